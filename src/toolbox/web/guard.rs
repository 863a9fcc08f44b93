//! Which servers may be spoken to: those that the session's policy allows, and of them none with a
//! private address that was not meant.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sandbox::{Network, Target, is_public};

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
    /// What commands may reach, where they are isolated: the tools of the web reach no more.
    network: Option<Network>,
}

#[derive(Clone, Debug)]
struct Allowed {
    host: String,
    port: Option<u16>,
}

impl Guard {
    pub(super) fn new(allow_private: &[String], network: Option<Network>) -> Self {
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
        Self { allowed: allowed.collect(), network }
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
        let is_named = rules.iter().any(|rule| rule.port.is_none() || rule.port == port);
        self.ask_policy(host, port, is_named)?;
        if is_named {
            return Ok(());
        }
        // The resolver knows no port, so a host that is allowed on another one ends here.
        if !rules.is_empty() {
            return Err(format!("{host} is allowed on other ports only."));
        }
        match host.parse::<IpAddr>() {
            // Where there is a policy, it has decided about addresses.
            Ok(address) if !is_public(address) && self.network.is_none() => {
                Err(Refused { host: host.to_owned(), address }.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Whether the session's policy lets anybody speak to this host. One that is named for the web
    /// tools need not be on the policy's list, but without a network there is nobody to speak to.
    fn ask_policy(&self, host: &str, port: Option<u16>, is_named: bool) -> Result<(), String> {
        let Some(network) = &self.network else { return Ok(()) };
        if is_named && network != &Network::Off {
            return Ok(());
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let target = Target::parse(&host, port)
            .ok_or_else(|| format!("{host} is no host that can be allowed."))?;
        match network.decide(&target) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(format!("Refused: {refusal}.")),
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

#[cfg(test)]
mod tests;
