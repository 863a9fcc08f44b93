//! One session of a comparison: a fresh copy of the workspace, a model, a prompt, and the command
//! that says whether the task was done.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataset::Said;
use record::{Library, Outcome as Judgement};
use session::{Command, Notice, Session, SessionError, Summary};
use tokio::sync::{mpsc, watch};
use trajectory::{Body, SessionId, Usage};
use workspace::{FreshCopy, Hash, How};

use super::outcome::{Key, Outcome, Steps};
use super::queries::Query;
use crate::args::RunArgs;
use crate::bill::Bill;
use crate::commands::exec::{recording_failed, server};
use crate::compose;
use crate::error::{CliError, Exit};
use crate::local::{self, Server};
use crate::settings::Settings;
use crate::store::Store;

/// The tag of sessions that were compared.
const TAG: &str = "compare";

/// A session that is to be.
pub(super) struct Job<'a> {
    pub(super) key: Key,
    pub(super) query: &'a Query,
    /// The workspace as it was when the comparison began.
    pub(super) tree: Option<Hash>,
    pub(super) task: String,
    pub(super) run: RunArgs,
    pub(super) private: bool,
}

/// What a session did.
struct Done {
    summary: Summary,
    steps: Steps,
    took: Duration,
    is_stopped: bool,
}

impl Job<'_> {
    /// Runs it to its end; `None` when it is stopped.
    pub(super) fn run(
        &self,
        servers: &Servers,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Option<Outcome>, CliError> {
        let store = Store::open()?;
        let scratch = tempfile::Builder::new().prefix("limn-compare-").tempdir();
        let scratch = scratch.map_err(|error| no_scratch(&error))?;
        let place = scratch.path().join("work");
        // The copy goes when this is dropped, before the folder around it.
        let copy = match &self.tree {
            Some(tree) => Some(FreshCopy::new(store.home.path(), tree, &place, How::Copy)?),
            None => None,
        };
        let workspace = match &copy {
            Some(copy) => copy.root().to_owned(),
            None => empty(place)?,
        };
        let run = RunArgs { workspace: Some(workspace), ..self.run.clone() };
        let settings = Settings::resolve_copy(&run, self.query.workspace.as_deref())?;
        // A model that cannot be had is a result: the other one still runs.
        let server = match loaded(&settings, servers, &mut stop) {
            Err(error) if error.exit == Exit::ModelUnreachable => {
                return Ok(Some(self.not_begun(error.to_string())));
            }
            Err(error) if error.exit == Exit::Interrupted => return Ok(None),
            server => server?,
        };
        let options = compose::options(&settings, self.private, None, server.as_ref())?;
        if *stop.borrow() {
            return Ok(None);
        }
        let (id, done) = compose::run(async {
            let session = Session::start(options).await.map_err(recording_failed)?;
            let id = session.id();
            Ok::<_, CliError>((id, drive(session, self.query, &mut stop).await?))
        })??;
        if done.is_stopped {
            return Ok(None);
        }
        let outcome = self.outcome(id, done, &Bill::of(&settings));
        judge(&store, id, &outcome, settings.annotator.as_deref())?;
        Ok(Some(outcome))
    }

    fn not_begun(&self, error: String) -> Outcome {
        Outcome {
            key: self.key.clone(),
            model: self.run.model.clone().unwrap_or_default(),
            task: self.task.clone(),
            session: None,
            ended: None,
            reached: false,
            error: Some(error),
            check: None,
            usage: Usage::default(),
            cost_usd: None,
            seconds: 0.0,
            steps: Vec::new(),
        }
    }

    fn outcome(&self, id: SessionId, done: Done, bill: &Bill) -> Outcome {
        let Done { summary, mut steps, took, .. } = done;
        Outcome {
            session: Some(id),
            ended: Some(summary.ended),
            reached: !(summary.unreachable && steps.is_empty()),
            error: steps.error.take(),
            check: steps.check.take(),
            usage: summary.usage,
            cost_usd: bill.cost(&summary.usage),
            seconds: took.as_secs_f64(),
            steps: steps.into_steps(),
            ..self.not_begun(String::new())
        }
    }
}

/// The servers of models of this machine: one for each, whoever asks it.
#[derive(Default)]
pub(super) struct Servers(Mutex<Vec<Arc<Server>>>);

impl Servers {
    /// The server of the model, where it is one of this machine. Another one that nobody uses ends
    /// before this one takes its memory.
    fn of(&self, settings: &Settings) -> Result<Option<Arc<Server>>, CliError> {
        let Some(launch) = settings.endpoint().and_then(|endpoint| endpoint.local.as_ref()) else {
            return Ok(None);
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter().find(|it| it.launch() == launch) {
            return Ok(Some(Arc::clone(known)));
        }
        // Each is handed out under the lock, so one that is here alone stays so.
        all.retain(|it| Arc::strong_count(it) > 1);
        let new = server(settings)?;
        all.extend(new.clone());
        Ok(new)
    }
}

/// The server of a model of this machine, once it answers.
fn loaded(
    settings: &Settings,
    servers: &Servers,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<Arc<Server>>, CliError> {
    let server = servers.of(settings)?;
    if let Some(server) = &server {
        compose::run(local::load_until(server, stopped(stop)))??;
    }
    Ok(server)
}

/// Until the comparison is stopped.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever says so is there as long as there are sessions.
    let _ = stop.wait_for(|is_stopped| *is_stopped).await;
}

pub(super) fn no_scratch(error: &std::io::Error) -> CliError {
    CliError::failed(format!("Cannot make a folder to work in: {error}. Look at TMPDIR."))
}

fn empty(place: PathBuf) -> Result<PathBuf, CliError> {
    std::fs::create_dir(&place).map_err(|error| {
        CliError::failed(format!("Cannot make {}: {error}. Look at TMPDIR.", place.display()))
    })?;
    Ok(place)
}

/// What the check says of a session is kept beside it, as the verdict of a verifier.
fn judge(
    store: &Store,
    id: SessionId,
    outcome: &Outcome,
    annotator: Option<&str>,
) -> Result<(), CliError> {
    let library = Library::open(&store.home)?;
    library.annotate(id, &Said::tag_field(TAG), "yes", "user", annotator)?;
    if let Some(check) = &outcome.check {
        let judgement = if check.passed { Judgement::Success } else { Judgement::Failure };
        library.set_outcome(id, judgement, "verifier", None)?;
    }
    Ok(())
}

/// Gives the prompt, then runs the check, and hears what happens.
async fn drive(
    session: Session,
    query: &Query,
    stop: &mut watch::Receiver<bool>,
) -> Result<Done, CliError> {
    let (commands, commands_end) = mpsc::channel(16);
    let (notices_end, mut notices) = mpsc::channel(1024);
    let mut running = pin!(session.run(commands_end, notices_end));
    let mut steps = Steps::default();
    let (began, mut took, mut is_stopped) = (Instant::now(), None, false);
    let prompt = Command::Submit { text: query.prompt.clone(), attached: Vec::new() };
    // Nobody hears a session that has failed already; its failure comes below.
    let _ = commands.send(prompt).await;
    let mut batch = Vec::new();
    let result: Result<Summary, SessionError> = loop {
        tokio::select! {
            biased;
            () = stopped(stop), if !is_stopped => {
                let _ = commands.send(Command::Interrupt).await;
                let _ = commands.send(Command::Close).await;
                is_stopped = true;
            }
            count = notices.recv_many(&mut batch, 256), if !notices.is_closed() || !notices.is_empty() => {
                if count == 0 { continue; }
                for notice in batch.drain(..) {
                    let next = next(&notice, query, &steps, took.is_some());
                    if matches!(notice, Notice::RoundOver(_)) {
                        took.get_or_insert_with(|| began.elapsed());
                    }
                    if let Notice::Event(event) = notice {
                        steps.take(&event.body);
                    }
                    if let Some(command) = next.filter(|_| !is_stopped) {
                        let _ = commands.send(command).await;
                    }
                }
            }
            result = &mut running => break result,
        }
    };
    while let Ok(notice) = notices.try_recv() {
        if let Notice::Event(event) = notice {
            steps.take(&event.body);
        }
    }
    let took = took.unwrap_or_else(|| began.elapsed());
    Ok(Done { summary: result.map_err(recording_failed)?, steps, took, is_stopped })
}

/// What is to be done when this happened: the round is followed by the check, where the model has
/// said anything, and that by the end.
fn next(notice: &Notice, query: &Query, steps: &Steps, is_over: bool) -> Option<Command> {
    match notice {
        Notice::RoundOver(_) if !is_over => Some(match &query.check {
            Some(check) if !steps.is_empty() => {
                Command::Run { command: check.clone(), outside: false }
            }
            _ => Command::Close,
        }),
        Notice::OwnRefused { .. } => Some(Command::Close),
        Notice::Event(event) if matches!(event.body, Body::UserCommand(_)) => Some(Command::Close),
        _ => None,
    }
}
