//! Who may be spoken to: patterns of hosts, and what they say to a target.
//!
//! Names are compared as text, in small letters, without the dot at their end. Whether an address
//! is one that may be connected to is asked again once a name has been resolved
//! ([`Network::admits`]): a name that is allowed may still lead into the machine's own network.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::address::is_public;

/// The ports of a pattern that names none: the web's.
const WEB_PORTS: [u16; 2] = [80, 443];

const NAME_CHARS_MAX: usize = 253;

/// A host as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A name, in small letters.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host: a name, an IPv4 address, or an IPv6 address with or without its brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('[') {
            let inside = inside.strip_suffix(']')?;
            return inside.parse().ok().map(|address| Self::Address(IpAddr::V6(address)));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        is_name(&name).then_some(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
        }
    }
}

/// Whether a resolver would take it for a name. What ends in a number is an address in one of the
/// old spellings (`127.1`, `0x7f000001`), and those are only a way around.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.len() <= 63 && label.bytes().all(fits) && !label.starts_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    name.len() <= NAME_CHARS_MAX && name.split('.').all(label) && !number
}

/// Where a request wants to go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Target {
    /// Reads `host:port`; without a port it is this one, where there is one.
    #[must_use]
    pub fn parse(text: &str, port: Option<u16>) -> Option<Self> {
        let (host, port) = match split_port(text) {
            Some((host, Some(port))) => (host, port),
            Some((host, None)) => (host, port?),
            None => return None,
        };
        (port != 0).then_some(Self { host: Host::parse(host)?, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A host and the digits of a port behind it. Nothing when there is something that is no port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let is_bare_v6 = !text.starts_with('[') && text.matches(':').count() > 1;
    match text.rsplit_once(':') {
        Some((host, port)) if !is_bare_v6 && !text.ends_with(']') => {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse().ok().filter(|_| digits)?;
            Some((host, Some(port)))
        }
        _ => Some((text, None)),
    }
}

/// A host that is allowed: `host`, `host:port`, `*.host`, an address, or `*` for all that are
/// public. Without a port, those of the web are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    scope: Scope,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Every name, and every public address.
    Public,
    /// All names beneath this one, and not itself.
    Beneath(String),
    /// This host.
    One(Host),
}

impl Scope {
    fn fits(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Public, Host::Address(address)) => is_public(*address),
            (Self::Public, Host::Name(_)) => true,
            (Self::Beneath(above), Host::Name(name)) => is_beneath(name, above),
            (Self::Beneath(_), Host::Address(_)) => false,
            (Self::One(ours), theirs) => ours == theirs,
        }
    }
}

impl HostPattern {
    /// The pattern for every public host, on the ports of the web.
    const PUBLIC: Self = Self { scope: Scope::Public, port: None };

    /// Whether it is meant for this target.
    #[must_use]
    pub fn matches(&self, target: &Target) -> bool {
        self.scope.fits(&target.host) && self.takes(target.port)
    }

    fn takes(&self, port: u16) -> bool {
        self.port.map_or_else(|| WEB_PORTS.contains(&port), |ours| ours == port)
    }
}

fn is_beneath(name: &str, above: &str) -> bool {
    name.strip_suffix(above).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Public => f.write_str("*")?,
            Scope::Beneath(above) => write!(f, "*.{above}")?,
            Scope::One(host) => write!(f, "{host}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = || {
            let shown: String = text.chars().take(100).collect();
            format!(
                "{shown:?} is no host: write it as \"example.com\", \"*.example.com\", \
                 \"example.com:8443\" or \"[::1]:3000\""
            )
        };
        let (host, port) = split_port(text).ok_or_else(wrong)?;
        if port == Some(0) {
            return Err(wrong());
        }
        if host == "*" {
            return Ok(Self { scope: Scope::Public, port });
        }
        let Some(above) = host.strip_prefix("*.") else {
            return Ok(Self { scope: Scope::One(Host::parse(host).ok_or_else(wrong)?), port });
        };
        match Host::parse(above).ok_or_else(wrong)? {
            Host::Name(name) if name.contains('.') => {
                Ok(Self { scope: Scope::Beneath(name), port })
            }
            Host::Name(name) => Err(format!(
                "\"*.{name}\" would allow too much: name at least two parts, or set network = \
                 \"all\""
            )),
            Host::Address(_) => Err(wrong()),
        }
    }
}

/// Who may be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Nobody. Servers inside the sandbox can still be reached from inside.
    Off,
    /// These hosts, through the proxy.
    Hosts(Vec<HostPattern>),
    /// Every host with a public address, on the ports of the web, through the proxy.
    All,
}

/// What [`Network::All`] stands for.
const ALL: &[HostPattern] = &[HostPattern::PUBLIC];

impl Network {
    /// What is said to a target before its name is resolved: the rule that lets it through, or the
    /// refusal.
    ///
    /// # Errors
    /// The rule that says no, and the remedy.
    pub fn decide(&self, target: &Target) -> Result<String, Refusal> {
        let Some(patterns) = self.patterns() else { return Err(off(target)) };
        if let Host::Address(address) = target.host
            && !self.admits(address, target.port)
        {
            return Err(not_public(target, address));
        }
        let found = patterns.iter().find(|pattern| pattern.matches(target));
        let found = found.ok_or_else(|| not_listed(patterns, target))?;
        Ok(match self {
            Self::Hosts(_) => format!("allow_hosts: {found}"),
            Self::Off | Self::All => "network = all".to_owned(),
        })
    }

    /// Whether this address may be connected to, whatever name led to it: it is public, or it is
    /// named itself.
    #[must_use]
    pub fn admits(&self, address: IpAddr, port: u16) -> bool {
        let named = Target { host: Host::Address(address), port };
        self.patterns().is_some_and(|patterns| {
            is_public(address) || patterns.iter().any(|pattern| pattern.matches(&named))
        })
    }

    /// What is allowed; nothing when there is no network at all.
    pub(super) fn patterns(&self) -> Option<&[HostPattern]> {
        match self {
            Self::Off => None,
            Self::Hosts(patterns) => Some(patterns),
            Self::All => Some(ALL),
        }
    }

    /// The same, and this host too.
    #[must_use]
    pub fn allowing(&self, host: HostPattern) -> Self {
        Self::Hosts(self.patterns().unwrap_or_default().iter().cloned().chain([host]).collect())
    }

    /// The addresses of a target that may be connected to. One that may not spoils all: a private
    /// address among public ones is a trick, not a server.
    ///
    /// # Errors
    /// The refusal, with the address.
    pub fn filter(&self, target: &Target, found: &[IpAddr]) -> Result<(), Refusal> {
        match found.iter().find(|address| !self.admits(**address, target.port)) {
            Some(address) => Err(not_public(target, *address)),
            None => Ok(()),
        }
    }
}

fn off(target: &Target) -> Refusal {
    let host = as_pattern(target);
    Refusal {
        rule: format!("network is off for this session, and {target} was asked for"),
        remedy: with_remedy("allow it", &host),
    }
}

fn not_listed(patterns: &[HostPattern], target: &Target) -> Refusal {
    let host = as_pattern(target);
    let first: Vec<String> = patterns.iter().take(5).map(ToString::to_string).collect();
    let more = patterns.len().saturating_sub(first.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let only = if first.is_empty() { "none".to_owned() } else { first.join(", ") + &more };
    Refusal {
        rule: format!("{target} is not among the hosts that this session allows ({only})"),
        remedy: with_remedy("allow it", &host),
    }
}

fn not_public(target: &Target, address: IpAddr) -> Refusal {
    let shown = Target { host: Host::Address(address), port: target.port };
    let leads = match target.host {
        Host::Name(_) => format!("{target} leads to {address}, which"),
        Host::Address(_) => format!("{address}"),
    };
    Refusal {
        rule: format!("{leads} is an address of this machine or its networks"),
        remedy: with_remedy("if it is meant, allow the address itself", &as_pattern(&shown)),
    }
}

/// What allows a host: for a session that runs, for one that begins, for all.
fn with_remedy(what: &str, host: &str) -> String {
    format!("{what} with `/allow {host}`, `--allow-host {host}` or sandbox.allow_hosts")
}

/// A target as a pattern that would allow it.
fn as_pattern(target: &Target) -> String {
    match WEB_PORTS.contains(&target.port) {
        true => target.host.to_string(),
        false => target.to_string(),
    }
}
