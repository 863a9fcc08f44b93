//! The server of a local model: started when it is first asked, started again when it has died,
//! ended when nobody needs it any more.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{Address, ApiKey, Host, HostFailure, Saying};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use super::Launch;
use super::process::{Log, Process};
use crate::error::{CliError, Exit};
use crate::limn_train;
use crate::print::safe_line;
use crate::settings;

/// Bytes of a key: nobody guesses them.
const KEY_BYTES: usize = 32;

/// How long a process that broke a connection is given to be gone.
const DEATH_MAX: Duration = Duration::from_millis(500);

/// Who is told what the server does: that it is loaded, what it has to say of the model.
pub(crate) type Teller = Box<dyn Fn(&str) + Send + Sync>;

/// A server, whether it runs or not.
pub(crate) struct Server {
    launch: Launch,
    program: PathBuf,
    log: Log,
    tell: Teller,
    running: Mutex<Option<Running>>,
    /// Tokens that fit into a request and its reply, as the server said last; 0 before.
    context: AtomicU64,
}

#[derive(Debug)]
struct Running {
    process: Process,
    address: Arc<Address>,
}

/// What a server says once it answers.
#[derive(Debug, Deserialize)]
struct Serving {
    #[serde(rename = "type")]
    kind: String,
    url: String,
    models: Vec<String>,
    context: u64,
    #[serde(default)]
    notices: Vec<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("launch", &self.launch).finish_non_exhaustive()
    }
}

impl Server {
    /// A server that does not run yet.
    ///
    /// # Errors
    /// When there is no program that could serve.
    pub(crate) fn new(launch: &Launch, tell: Teller) -> Result<Self, CliError> {
        Ok(Self {
            program: limn_train::find()?,
            log: Log::of(&settings::cache()?, &launch.name),
            launch: launch.clone(),
            tell,
            running: Mutex::new(None),
            context: AtomicU64::new(0),
        })
    }

    pub(crate) const fn launch(&self) -> &Launch {
        &self.launch
    }

    /// Tokens that fit into a request and its reply, once the server has said so.
    pub(crate) fn context(&self) -> Option<u64> {
        Some(self.context.load(Ordering::Relaxed)).filter(|tokens| *tokens > 0)
    }

    /// Where it answers; it is started where it does not run. To drop this is to give that up: what
    /// was being started is ended.
    pub(crate) async fn ready(&self) -> Result<Arc<Address>, HostFailure> {
        let mut running = self.running.lock().await;
        if let Some(it) = running.as_mut()
            && it.process.status().is_none()
        {
            return Ok(Arc::clone(&it.address));
        }
        *running = None;
        (self.tell)(&format!("loading {} …", safe_line(&self.launch.name)));
        let started = self.start().await?;
        let address = Arc::clone(&started.address);
        *running = Some(started);
        Ok(address)
    }

    /// Ends it in order, and waits for that beside whatever else goes on.
    pub(crate) async fn stop(&self) {
        let Some(running) = self.running.lock().await.take() else { return };
        let log = self.log.clone();
        // What fails there has ended the process all the same.
        let _ = tokio::task::spawn_blocking(move || running.end(&log)).await;
    }

    async fn start(&self) -> Result<Running, HostFailure> {
        let key = key().map_err(|error| self.failure(&format!("no key can be made: {error}")))?;
        let process = Process::start(&self.program, &self.launch, &key, &self.log);
        let mut process = process.map_err(|error| self.failure(&error.to_string()))?;
        let patience = self.launch.patience;
        let Ok(line) = tokio::time::timeout(patience, process.first_line()).await else {
            let why = format!("it did not answer within {} s", patience.as_secs());
            return Err(HostFailure {
                hint: "Give it longer (`wait_s` in [local] of config.toml), or serve a smaller \
                       model."
                    .to_owned(),
                ..self.failure(&why)
            });
        };
        let Some(line) = line else {
            let status = process.ends_within(DEATH_MAX).await;
            return Err(self.failure(&format!("its server {}", ended(status))));
        };
        let serving = self.understood(&line).map_err(|why| self.failure(&why))?;
        self.context.store(serving.context, Ordering::Relaxed);
        serving.notices.iter().for_each(|notice| (self.tell)(&safe_line(notice)));
        let address = Address { base_url: serving.url, key: ApiKey::new(&key) };
        Ok(Running { process, address: Arc::new(address) })
    }

    /// What the server says first. It is a program of ours, and an older or newer one may say
    /// something else; nothing is sent beyond this machine on its word.
    fn understood(&self, line: &[u8]) -> Result<Serving, String> {
        let serving: Serving = serde_json::from_slice(line)
            .ok()
            .filter(|it: &Serving| it.kind == "serving")
            .ok_or_else(|| {
                format!("{} says something else than limn expects", self.program.display())
            })?;
        if !settings::is_loopback(&serving.url) {
            return Err(format!("its server says that it is at {}", safe_line(&serving.url)));
        }
        if !serving.models.contains(&self.launch.name) {
            let models = safe_line(&serving.models.join(", "));
            return Err(format!("its server has other models: {models}"));
        }
        Ok(serving)
    }

    fn failure(&self, why: &str) -> HostFailure {
        let said = self.said_last();
        HostFailure {
            message: format!("{} cannot be served: {why}.{said}", safe_line(&self.launch.name)),
            hint: format!("Try it by itself: limn serve {}", self.launch.target.display()),
        }
    }

    fn said_last(&self) -> String {
        self.log.end().map(|end| format!(" It said last:\n{end}\n")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.get_mut().take() {
            running.end(&self.log);
        }
    }
}

impl Running {
    /// Ends it in order. What it said is kept only where it has died before.
    fn end(mut self, log: &Log) {
        let has_died = self.process.status().is_some();
        drop(self);
        if !has_died {
            log.remove();
        }
    }
}

impl Host for Server {
    fn address(&self) -> Saying<'_, Result<Arc<Address>, HostFailure>> {
        Box::pin(self.ready())
    }

    fn fate(&self) -> Saying<'_, Option<HostFailure>> {
        Box::pin(async {
            let mut running = self.running.lock().await;
            let status = running.as_mut()?.process.ends_within(DEATH_MAX).await?;
            *running = None;
            let name = safe_line(&self.launch.name);
            Some(HostFailure {
                message: format!(
                    "The server of {name} {}.{}",
                    ended(Some(status)),
                    self.said_last()
                ),
                hint: format!(
                    "The next request starts it again; all that it said is in {}.",
                    self.log.path().display()
                ),
            })
        })
    }
}

/// `ended (exit status: 1)`, `ended (signal: 9 (SIGKILL))`.
fn ended(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "ended".to_owned(), |status| format!("ended ({status})"))
}

/// A key that only the two processes know: whoever else is on this machine uses the server not.
fn key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Loads a model before a session begins. A signal ends that.
pub(crate) async fn load(server: &Server) -> Result<(), CliError> {
    let signal = |kind| {
        signal(kind)
            .map_err(|error| CliError::failed(format!("Cannot listen for signals: {error}.")))
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    load_until(server, async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
    .await
}

/// The same, given up when `stopped` is over.
pub(crate) async fn load_until(
    server: &Server,
    stopped: impl Future<Output = ()>,
) -> Result<(), CliError> {
    tokio::select! {
        ready = server.ready() => match ready {
            Ok(_) => return Ok(()),
            Err(failure) => return Err(CliError::new(Exit::ModelUnreachable, failure.to_string())),
        },
        () = stopped => {}
    }
    let name = safe_line(&server.launch.name);
    Err(CliError::new(
        Exit::Interrupted,
        format!("{name} is not loaded any more. Nothing was begun."),
    ))
}
