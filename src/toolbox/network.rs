//! The proxy of the sandbox, and what it was asked for; and who may be spoken to.
//!
//! A sandbox hands out a socket for each set of its processes; a proxy answers it for as long as
//! the toolbox lives, or until there are many newer ones. What commands ask it for is received by
//! whoever keeps the record; as long as nobody receives, commands wait for their answers.
//!
//! The policy says who may be spoken to when a session begins. What the user allows while it runs
//! is added to that ([`Reach`]), for commands and for the tools of the web alike, and ends with the
//! toolbox.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sandbox::{HostPattern, Network, Proxy, Sandbox};
use tokio::sync::mpsc;
use trajectory::event::NetworkRequest;

/// Requests that may wait to be put on record.
const WAITING_MAX: usize = 64;

/// Proxies that go on; who is still in an older set of processes has no way out any more.
const PROXIES_MAX: usize = 8;

/// Who may be spoken to now. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Reach(Arc<RwLock<Network>>);

impl Reach {
    pub(crate) fn new(network: Network) -> Self {
        Self(Arc::new(RwLock::new(network)))
    }

    pub(crate) fn now(&self) -> Network {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn allow(&self, host: HostPattern) {
        let mut network = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *network = network.allowing(host);
    }
}

/// The way out of the sandbox.
#[derive(Debug)]
pub(crate) struct Gate {
    reach: Reach,
    log: mpsc::Sender<NetworkRequest>,
    requests: Mutex<Option<mpsc::Receiver<NetworkRequest>>>,
    /// One for each of the last sets of processes: jobs in an old one still have their way out.
    proxies: Mutex<Vec<Proxy>>,
}

impl Gate {
    pub(crate) fn new(reach: Reach) -> Self {
        let (log, requests) = mpsc::channel(WAITING_MAX);
        let (requests, proxies) = (Mutex::new(Some(requests)), Mutex::new(Vec::new()));
        Self { reach, log, requests, proxies }
    }

    /// Answers the socket of the sandbox, if there is one that nobody answers yet: at the start,
    /// and after a command for which its processes were started anew.
    pub(crate) fn attend(&self, sandbox: &Sandbox) {
        let Some(listener) = sandbox.take_proxy_listener() else { return };
        let mut proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a proxy commands have no network, which is the safe way to fail.
        proxies.extend(Proxy::start(listener.into(), self.reach.now(), self.log.clone()));
        let over = proxies.len().saturating_sub(PROXIES_MAX);
        proxies.drain(..over);
    }

    /// Who may be spoken to now.
    pub(crate) fn network(&self) -> Network {
        self.reach.now()
    }

    /// Lets everybody speak to this host, too.
    pub(crate) fn allow(&self, host: HostPattern) {
        let proxies = self.proxies.lock().unwrap_or_else(PoisonError::into_inner);
        self.reach.allow(host);
        for proxy in proxies.iter() {
            proxy.set_network(self.reach.now());
        }
    }

    pub(crate) fn take_requests(&self) -> Option<mpsc::Receiver<NetworkRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
