//! HTTP: who may ask, what is asked, and the answer whole or piece by piece.
//!
//! Everything here runs on one thread: what takes time, reading a request and making tokens of it,
//! goes to threads for blocking work, and generating is the scheduler's. A client that goes away
//! takes its connection with it, and with that the reply and the end of the channel that the
//! scheduler writes to, so its slot is free at the next token.
//!
//! A server for oneself on a loopback address is reached by every page in a browser on the same
//! machine. So where no key keeps them out it answers only to the names of that address, which a
//! page on another name that was made to point here does not use, and to no page of another origin.

mod answer;
mod body;
mod connections;
#[cfg(test)]
pub(crate) mod fixtures;
mod guard;
mod order;
mod routes;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::constraint::Grammar;
use crate::engine::{Engine, Facts};
use crate::metrics::Metrics;
use crate::scheduler::{self, Handle, Settings};
use crate::server::{ServeError, Server};

/// How long blocking work may go on after the end.
const BLOCKING_END: Duration = Duration::from_secs(1);

/// Requests that are read at the same time, each on a thread.
const READ_AT_ONCE: usize = 4;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// A name or an address.
    pub host: String,
    /// The port; 0 is any that is free.
    pub port: u16,
}

/// A server that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// The base URL for clients.
    pub url: String,
    /// The names of its models, the default one first.
    pub models: Vec<String>,
    /// Tokens of a prompt and its reply together.
    pub context: usize,
    /// Texts that it generates at once.
    pub slots: usize,
    /// What a user should know, a sentence each.
    pub notices: Vec<String>,
}

/// How patient the server is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Connections at once; more wait.
    pub(crate) connections: usize,
    /// For the head of a request, and for the next one on a connection.
    pub(crate) head: Duration,
    /// For the next piece of a body.
    pub(crate) body: Duration,
    /// Bytes of bodies that are not read yet, all together; more wait.
    pub(crate) bodies_bytes: usize,
    /// For a client that does not take what it is sent.
    pub(crate) unread: Duration,
    /// Until a stream says that it is still alive.
    pub(crate) silence: Duration,
    /// For requests that are running when the server is to end.
    pub(crate) end: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(60),
            body: Duration::from_secs(30),
            bodies_bytes: 256 << 20,
            unread: Duration::from_secs(60),
            silence: Duration::from_secs(10),
            end: Duration::from_secs(2),
        }
    }
}

/// What all requests share.
pub(crate) struct App {
    pub(crate) server: Arc<Server>,
    pub(crate) handle: Handle,
    pub(crate) facts: Facts,
    /// Made while the first clients come: it takes a moment.
    pub(crate) grammar: std::sync::OnceLock<Result<Grammar, String>>,
    pub(crate) metrics: Arc<Metrics>,
    /// The digest of the key: two digests are compared in the same time whatever they are.
    pub(crate) key: Option<blake3::Hash>,
    pub(crate) readers: Arc<Semaphore>,
    /// Room for bodies.
    pub(crate) room: Arc<Semaphore>,
    pub(crate) patience: Patience,
    /// When it began, in seconds of the Unix epoch.
    pub(crate) began_s: u64,
}

/// Serves until `shutdown` is over; running requests have two seconds from then. `ready` is told
/// once clients can ask. It blocks, and has a runtime of its own, in which `shutdown` is awaited.
///
/// # Errors
/// When the address cannot be had, or others could ask without a key; later, when what generates
/// has failed for good.
pub fn serve(
    server: Server,
    engine: Box<dyn Engine>,
    listen: &Listen,
    ready: impl FnOnce(&Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let manners = (Patience::default(), Settings::default());
    serve_with(server, engine, listen, manners, ready, shutdown)
}

fn serve_with(
    server: Server,
    engine: Box<dyn Engine>,
    listen: &Listen,
    (patience, settings): (Patience, Settings),
    ready: impl FnOnce(&Ready),
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let facts = engine.facts();
    check(&server, facts)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    let served = runtime.block_on(async {
        let failed =
            |source| ServeError::Listen { host: listen.host.clone(), port: listen.port, source };
        let address = (listen.host.as_str(), listen.port);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() && server.key.is_none() {
            return Err(ServeError::KeyNeeded(listen.host.clone()));
        }
        let said = Ready {
            url: format!("http://{address}/v1"),
            models: server.models.iter().map(|model| model.name.clone()).collect(),
            context: facts.slot_tokens,
            slots: facts.slots,
            notices: server.notices().to_vec(),
        };
        let app = Arc::new(App {
            key: server.key.as_ref().map(|key| blake3::hash(key.expose_secret().as_bytes())),
            server: Arc::new(server),
            handle: scheduler::start(engine, settings).map_err(ServeError::System)?,
            facts,
            grammar: std::sync::OnceLock::new(),
            metrics: Arc::default(),
            readers: Arc::new(Semaphore::new(READ_AT_ONCE)),
            room: body::room(patience.bodies_bytes),
            patience,
            began_s: now_s(),
        });
        let early = Arc::clone(&app);
        // Before somebody waits for it. Who asks meanwhile waits for this one.
        tokio::task::spawn_blocking(move || drop(order::grammar(&early)));
        ready(&said);
        connections::serve(listener, app, shutdown).await
    });
    runtime.shutdown_timeout(BLOCKING_END);
    served
}

/// Refuses what could not be served as it is asked for.
fn check(server: &Server, facts: Facts) -> Result<(), ServeError> {
    for (place, model) in server.models.iter().enumerate() {
        let is_twice = server.models[..place].iter().any(|other| other.name == model.name);
        if is_twice || model.name.is_empty() || model.variant >= facts.variants {
            return Err(ServeError::Model(model.name.clone()));
        }
    }
    if server.models.is_empty() {
        return Err(ServeError::Model(String::new()));
    }
    let key = server.key.as_ref().map(ExposeSecret::expose_secret);
    if key.is_some_and(|key| key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(ServeError::Key);
    }
    Ok(())
}

/// Seconds of the Unix epoch.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
