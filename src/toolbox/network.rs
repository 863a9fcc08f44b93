//! The proxy of the sandbox, and what it was asked for.
//!
//! A sandbox whose policy allows any network hands out a socket; a proxy answers it for as long as
//! the toolbox lives. What commands ask it for is received by whoever keeps the record; as long as
//! nobody receives, commands wait for their answers.

use std::sync::{Mutex, PoisonError};

use sandbox::{Proxy, Sandbox};
use tokio::sync::mpsc;
use trajectory::event::NetworkRequest;

/// Requests that may wait to be put on record.
const WAITING_MAX: usize = 64;

/// The way out of the sandbox.
#[derive(Debug)]
pub(crate) struct Gate {
    log: mpsc::Sender<NetworkRequest>,
    requests: Mutex<Option<mpsc::Receiver<NetworkRequest>>>,
    proxy: Mutex<Option<Proxy>>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let (log, requests) = mpsc::channel(WAITING_MAX);
        Self { log, requests: Mutex::new(Some(requests)), proxy: Mutex::new(None) }
    }

    /// Answers the socket of the sandbox, if there is one that nobody answers yet: at the start,
    /// and after its processes had to be started anew.
    pub(crate) fn attend(&self, sandbox: &Sandbox) {
        let Some(listener) = sandbox.take_proxy_listener() else { return };
        let network = sandbox.policy().network.clone();
        // Without a proxy commands have no network, which is the safe way to fail.
        let proxy = Proxy::start(listener.into(), network, self.log.clone()).ok();
        *self.proxy.lock().unwrap_or_else(PoisonError::into_inner) = proxy;
    }

    pub(crate) fn take_requests(&self) -> Option<mpsc::Receiver<NetworkRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
