//! The way out of the sandbox: an HTTP proxy that asks the policy about every request.
//!
//! A sandbox without a network of its own has a loopback; a port on it is handed over as a
//! listening socket, and [`Proxy::start`] serves it from outside. Enforcement is the missing
//! network, not the variable that names the proxy: who does not ask here reaches nobody.
//!
//! Each request is decided alone, also on a connection that is kept. A name is resolved once, all
//! of its addresses are judged, and the connection goes to one of just these. What was asked for,
//! allowed or not, is told through a channel before anything is connected, and a request that
//! cannot be told is refused; a refusal that repeats is told once for each command. Requests are
//! forwarded as they were understood, never as the bytes that came: what could be read in two ways
//! is refused ([`head`]).
//!
//! It serves on a thread of its own, so that a download does not slow down whoever decides, and
//! stops when it is dropped. Absent: caching, credentials (none are added, those for the proxy are
//! taken off), TLS (tunnels are not looked into), upgrades other than through `CONNECT`.

mod body;
mod connection;
mod head;
mod respond;

use std::collections::HashSet;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::{Semaphore, mpsc, watch};
use trajectory::event::NetworkRequest;

use crate::policy::{Network, Refusal, Target};

/// Connections at a time; more wait in the queue of the socket.
const CONNECTIONS_MAX: usize = 256;
/// Refusals that are told, before a last one that says so: nothing comes of a refused request, and
/// a record has an end.
const REFUSALS_MAX: usize = 4_096;
const LAST: &str = "; this is the last refusal on record, and further ones are not written";

/// A proxy that serves until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    rules: Arc<Rules>,
    /// Closed when this is dropped, which ends the thread.
    _stop: watch::Sender<()>,
}

impl Proxy {
    /// Serves a socket that listens. What is asked for goes to `log`; a proxy whose log nobody
    /// takes from waits, and one whose log is closed refuses.
    ///
    /// # Errors
    /// When the descriptor is no such socket, or there can be no more threads.
    pub fn start(
        listener: OwnedFd,
        network: Network,
        log: mpsc::Sender<NetworkRequest>,
    ) -> io::Result<Self> {
        let listener = TcpListener::from(listener);
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let rules = Arc::new(Rules { network: RwLock::new(network), log, told: Mutex::default() });
        let (stop, stopped) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = Arc::clone(&rules);
        std::thread::Builder::new().name("proxy".to_owned()).spawn(move || {
            runtime.block_on(serve(listener, served, stopped));
            // A name that is still being resolved keeps its thread, and nobody.
            runtime.shutdown_background();
        })?;
        Ok(Self { rules, _stop: stop })
    }

    /// Decides by other rules from now on. Tunnels that are open stay open.
    pub fn set_network(&self, network: Network) {
        *self.rules.network.write().unwrap_or_else(PoisonError::into_inner) = network;
    }
}

/// What a proxy decides by, and whom it tells.
#[derive(Debug)]
struct Rules {
    network: RwLock<Network>,
    log: mpsc::Sender<NetworkRequest>,
    /// Refusals that were told: by whom, of what.
    told: Mutex<HashSet<(Option<u32>, Target)>>,
}

impl Rules {
    fn network(&self) -> Network {
        self.network.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a decision on record. An error means that it could not be, and nothing may happen.
    async fn tell(
        &self,
        target: &Target,
        exec: Option<u32>,
        decision: &Result<String, Refusal>,
    ) -> Result<(), ()> {
        let mut last = "";
        if decision.is_err() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            // Who asks again is answered the same.
            if told.len() > REFUSALS_MAX || !told.insert((exec, target.clone())) {
                return Ok(());
            }
            if told.len() > REFUSALS_MAX {
                last = LAST;
            }
        }
        let request = NetworkRequest {
            exec,
            host: target.host.to_string(),
            port: target.port,
            allowed: decision.is_ok(),
            rule: match decision {
                Ok(rule) => rule.clone(),
                Err(refusal) => refusal.rule.clone() + last,
            },
        };
        self.log.send(request).await.map_err(|_| ())
    }
}

async fn serve(listener: TcpListener, rules: Arc<Rules>, mut stopped: watch::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            _ = stopped.changed() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            _ = stopped.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let rules = Arc::clone(&rules);
                tokio::spawn(async move {
                    connection::serve(stream, &rules).await;
                    drop(place);
                });
            }
            // Of one connection, or of descriptors that others will give back.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

#[cfg(test)]
mod tests;
