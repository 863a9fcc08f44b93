//! Which servers may be spoken to: those that the session's policy allows, and of them none with a
//! private address that was not meant.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sandbox::{Network, Target, is_public};

use crate::network::Reach;

/// A name that leads to an address of this machine or its network, in a sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

impl Refused {
    fn private(host: &str, address: IpAddr) -> Self {
        Self(format!(
            "{host} has the private address {address}. Only servers on the Internet can be \
             reached. If it is meant, the user can name it in web.allow_private of the settings."
        ))
    }
}

/// Hosts that may have a private address.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    allowed: Vec<Allowed>,
    /// What commands may reach, where they are isolated: the tools of the web reach no more.
    reach: Option<Reach>,
}

/// The guard at one port: a resolver is told the name alone.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) guard: Arc<Guard>,
    pub(super) port: u16,
}

#[derive(Clone, Debug)]
struct Allowed {
    host: String,
    port: Option<u16>,
}

impl Guard {
    pub(super) fn new(allow_private: &[String], reach: Option<Reach>) -> Self {
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
        Self { allowed: allowed.collect(), reach }
    }

    /// Whether a host is named for the tools of the web, on this port.
    fn names(&self, host: &str, port: Option<u16>) -> bool {
        let fits = |rule: &Allowed| rule.port.is_none() || rule.port == port;
        self.allowed.iter().any(|rule| rule.host == host && fits(rule))
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
        let is_named = self.names(host, port);
        self.ask_policy(host, port, is_named)?;
        match host.parse::<IpAddr>() {
            // Where there is a policy, it has decided about addresses.
            Ok(address) if !is_named && !is_public(address) && self.reach.is_none() => {
                Err(Refused::private(host, address).to_string())
            }
            _ => Ok(()),
        }
    }

    /// Whether the session's policy lets anybody speak to this host. One that is named for the web
    /// tools need not be on the policy's list, but without a network there is nobody to speak to.
    fn ask_policy(&self, host: &str, port: Option<u16>, is_named: bool) -> Result<(), String> {
        let Some(network) = self.reach.as_ref().map(Reach::now) else { return Ok(()) };
        if is_named && network != Network::Off {
            return Ok(());
        }
        let target =
            target(host, port).ok_or_else(|| format!("{host} is no host that can be allowed."))?;
        match network.decide(&target) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(format!("Refused: {refusal}.")),
        }
    }

    /// The addresses of a name that may be connected to, on this port.
    fn filter(
        &self,
        host: &str,
        port: u16,
        found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Refused> {
        let host = bare(host).to_ascii_lowercase();
        if self.names(&host, Some(port)) {
            return Ok(found);
        }
        let addresses: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
        let network = self.reach.as_ref().map(Reach::now);
        if let Some((network, target)) = network.zip(target(&host, Some(port))) {
            let filtered = network.filter(&target, &addresses);
            return filtered
                .map(|()| found)
                .map_err(|refusal| Refused(format!("Refused: {refusal}.")));
        }
        match addresses.into_iter().find(|address| !is_public(*address)) {
            // One private address among public ones is a trick, not a server.
            Some(address) => Err(Refused::private(&host, address)),
            None => Ok(found),
        }
    }
}

impl Resolve for Door {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let Self { guard, port } = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let addresses: Addrs = Box::new(guard.filter(&host, port, found)?.into_iter());
            Ok(addresses)
        })
    }
}

fn target(host: &str, port: Option<u16>) -> Option<Target> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    Target::parse(&host, port)
}

/// A host without the brackets of an address and without the dot at the end of a name.
fn bare(host: &str) -> &str {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests;
