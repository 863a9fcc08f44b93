//! Which servers may be spoken to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

const RULE: &str = "Only servers on the Internet can be reached.";

/// A name that leads to an address of this machine or its network.
#[derive(Debug, thiserror::Error)]
#[error(
    "{host} has the private address {address}. {RULE} If it is meant, the user can allow the host."
)]
pub(super) struct Refused {
    host: String,
    address: IpAddr,
}

/// Hosts that may have a private address.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    allowed: Vec<Allowed>,
}

#[derive(Clone, Debug)]
struct Allowed {
    host: String,
    port: Option<u16>,
}

impl Guard {
    pub(super) fn new(allow_private: &[String]) -> Self {
        let allowed = allow_private.iter().map(|text| {
            let text = text.trim().to_ascii_lowercase();
            let split = text.rsplit_once(':').and_then(|(host, port)| {
                let is_whole = !host.contains(':') || host.ends_with(']');
                Some((host.to_owned(), port.parse().ok()?)).filter(|_| is_whole)
            });
            let (host, port) = match split {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            Allowed { host: bare(&host).to_owned(), port }
        });
        Self { allowed: allowed.collect() }
    }

    /// What can be said of a URL before its name is resolved.
    pub(super) fn check(&self, url: &Url) -> Result<(), String> {
        let scheme = url.scheme();
        if !matches!(scheme, "http" | "https") {
            return Err(format!("Only http and https URLs can be fetched, not {scheme}."));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("The URL holds a user name or password; those are not sent.".to_owned());
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = bare(host.ok_or_else(|| "The URL names no host.".to_owned())?);
        let port = url.port_or_known_default();
        let rules: Vec<&Allowed> =
            self.allowed.iter().filter(|allowed| allowed.host == host).collect();
        if rules.iter().any(|rule| rule.port.is_none() || rule.port == port) {
            return Ok(());
        }
        // The resolver knows no port, so a host that is allowed on another one ends here.
        if !rules.is_empty() {
            return Err(format!("{host} is allowed on other ports only."));
        }
        match host.parse::<IpAddr>() {
            Ok(address) if !is_public(address) => {
                Err(Refused { host: host.to_owned(), address }.to_string())
            }
            _ => Ok(()),
        }
    }

    /// The addresses of a name that may be connected to.
    fn filter(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let host = bare(host).to_ascii_lowercase();
        if self.allowed.iter().any(|allowed| allowed.host == host) {
            return Ok(found);
        }
        let private = found.iter().map(SocketAddr::ip).find(|address| !is_public(*address));
        match private {
            // One private address among public ones is a trick, not a server.
            Some(address) => Err(Refused { host, address }),
            None => Ok(found),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let guard = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(guard.filter(&host, found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// A host without the brackets of an address and without the dot at the end of a name.
fn bare(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether an address belongs to a machine on the Internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    /// Networks with the bits that count, from the registry of special addresses.
    const SPECIAL: &[([u8; 4], u32)] = &[
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        // The server of instructions in one large cloud.
        ([168, 63, 129, 16], 32),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 88, 99, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        // Multicast, and all that is reserved beyond it.
        ([224, 0, 0, 0], 3),
    ];
    let bits = u32::from(address);
    !SPECIAL.iter().any(|(network, length)| {
        (bits ^ u32::from(Ipv4Addr::from(*network))).leading_zeros() >= *length
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        // An IPv4 address behind a translator.
        (0x64, 0xff9b) => [c, d, e, f] == [0; 4] && is_public_v4(inner(g, h)),
        // An IPv4 address as a prefix.
        (0x2002, b) => is_public_v4(inner(b, c)),
        // Protocol assignments, tunnels among them, and documentation.
        (0x2001, b) if b < 0x200 || b == 0xdb8 => false,
        (0x3fff, b) if b < 0x1000 => false,
        // Everything else that is given to machines.
        (a, _) => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;
