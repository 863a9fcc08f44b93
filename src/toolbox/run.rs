//! From a call to its outcome.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use sandbox::{OutputChunk, Sandbox, SandboxError, TerminalSize};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trajectory::event::CallStatus;
use trajectory::{ToolEffect, ToolSpec};

use crate::answer::{Answer, Failure};
use crate::arguments;
use crate::beneath::Workspace;
use crate::jobs::{JobEvent, Jobs};
use crate::outcome::Outcome;
use crate::{edit, list, read, schema, shell, terminal, write};

/// Why there are no tools.
#[derive(Debug, thiserror::Error)]
pub enum ToolboxError {
    /// The workspace cannot be used.
    #[error("The workspace {} cannot be opened: {source}. Name a folder that exists.", path.display())]
    Workspace {
        /// The path that was given.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What decides which tools there are, and what they leave alone.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Paths that no file tool reads, lists or writes: folders or files inside the workspace,
    /// which need not exist yet. Those outside are out of reach anyway.
    pub hidden: Vec<PathBuf>,
    /// The names and shapes of the tools.
    pub set: ToolSet,
}

/// The names and shapes of the tools, as a family of models does best with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolSet {
    /// `edit` and `write`.
    #[default]
    Edit,
    /// One `apply_patch` in their place (GPT-5 and its kin).
    Patch,
    /// The names and shapes of SII CLI.
    Sii,
}

/// A call to run.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The number of the execution.
    pub exec: u32,
    /// The tool's name.
    pub name: &'a str,
    /// The text of its arguments, as the model sent them, perhaps broken.
    pub arguments: &'a str,
}

/// The tools of a session: one workspace, one sandbox. Clones share them.
#[derive(Clone)]
pub struct Toolbox {
    parts: Arc<Parts>,
}

struct Parts {
    workspace: Workspace,
    sandbox: Sandbox,
    specs: Vec<ToolSpec>,
    jobs: Jobs,
    /// One change at a time: an edit reads, thinks and writes.
    writing: Mutex<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Shell,
    Read,
    Write,
    Edit,
    List,
    Terminal,
}

impl Tool {
    /// In the order in which a model reads them.
    const ALL: [Self; 6] =
        [Self::Shell, Self::Read, Self::Write, Self::Edit, Self::List, Self::Terminal];

    fn spec(self) -> ToolSpec {
        match self {
            Self::Shell => schema::spec::<shell::Input>("shell", ToolEffect::Executes),
            Self::Read => schema::spec::<read::Input>("read", ToolEffect::ReadOnly),
            Self::Write => schema::spec::<write::Input>("write", ToolEffect::Writes),
            Self::Edit => schema::spec::<edit::Input>("edit", ToolEffect::Writes),
            Self::List => schema::spec::<list::Input>("list", ToolEffect::ReadOnly),
            Self::Terminal => schema::spec::<terminal::Input>("terminal", ToolEffect::Executes),
        }
    }
}

/// What a file tool is: blocking work on the workspace that looks at the token now and then.
type Work<T> = fn(&Workspace, &T, &CancellationToken) -> Result<Answer, Failure>;

impl Toolbox {
    /// Opens the tools on a workspace.
    ///
    /// # Errors
    /// When the workspace is not a directory that can be opened.
    pub fn open(workspace: &Path, sandbox: Sandbox, setup: &Setup) -> Result<Self, ToolboxError> {
        let workspace = Workspace::open(workspace)
            .map_err(|source| ToolboxError::Workspace { path: workspace.to_path_buf(), source })?
            .hiding(&setup.hidden);
        let specs = Tool::ALL.into_iter().map(Tool::spec).collect();
        let jobs = Jobs::new();
        let parts = Parts { workspace, sandbox, specs, jobs, writing: Mutex::new(()) };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The tools as a model is offered them.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.parts.specs.clone()
    }

    /// The canonical path of the workspace.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        self.parts.workspace.root()
    }

    /// What commands do that go on after their call was answered, for the one who asks first.
    /// Whoever takes it has to receive from it: a job whose events wait, waits too. When nobody
    /// has, jobs run all the same, and their output is only what the model is shown of it.
    #[must_use]
    pub fn jobs(&self) -> Option<mpsc::Receiver<JobEvent>> {
        self.parts.jobs.take_events()
    }

    /// Ends all jobs and waits until their last events are sent; those have to be received
    /// meanwhile. Without this they are killed when the last clone of the toolbox is dropped.
    pub async fn stop_jobs(&self) {
        self.parts.jobs.stop().await;
    }

    /// Changes the size of the terminal of a job.
    ///
    /// # Errors
    /// [`SandboxError::Ended`] when there is no such job any more.
    pub fn resize_job(&self, exec: u32, size: TerminalSize) -> Result<(), SandboxError> {
        self.parts.jobs.resize(exec, size)
    }

    /// Runs one call to its answer: the end of what it does, save for a command that goes on as a
    /// job. What a command prints goes to `out` as it comes; when nobody
    /// takes it from there, the command waits. Cancelling kills a command, and stops a change of
    /// a file unless it is done already.
    pub async fn run(
        &self,
        call: Call<'_>,
        out: mpsc::Sender<OutputChunk>,
        cancel: CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let outcome = if cancel.is_cancelled() {
            Outcome::told(CallStatus::Cancelled, "Cancelled before it started.".to_owned())
        } else {
            let work = self.dispatch(call, out, cancel);
            guarded(work).await.unwrap_or_else(|panic| broken(call.name, &*panic))
        };
        Outcome { duration: started.elapsed(), ..outcome.bounded() }
    }

    async fn dispatch(
        &self,
        call: Call<'_>,
        out: mpsc::Sender<OutputChunk>,
        cancel: CancellationToken,
    ) -> Outcome {
        let Call { exec, name, arguments } = call;
        let tools = Tool::ALL.into_iter().zip(&self.parts.specs);
        let Some((tool, spec)) = tools.into_iter().find(|(_, spec)| spec.name == name) else {
            return self.unknown(name);
        };
        match tool {
            Tool::Read => self.file(spec, arguments, cancel, read::run).await,
            Tool::Write => self.file(spec, arguments, cancel, write::run).await,
            Tool::Edit => self.file(spec, arguments, cancel, edit::run).await,
            Tool::List => self.file(spec, arguments, cancel, list::run).await,
            Tool::Shell => match arguments::parse(spec, arguments) {
                Ok(input) => {
                    let Parts { workspace, sandbox, jobs, .. } = &*self.parts;
                    let place = shell::Place { workspace, sandbox, jobs };
                    shell::run(place, exec, &input, out, &cancel).await
                }
                Err(problem) => Outcome::told(CallStatus::Error, problem),
            },
            Tool::Terminal => match arguments::parse(spec, arguments) {
                Ok(input) => terminal::run(&self.parts.jobs, &input, &cancel).await,
                Err(problem) => Outcome::told(CallStatus::Error, problem),
            },
        }
    }

    fn unknown(&self, name: &str) -> Outcome {
        let name: String = name.chars().take(60).collect();
        let names: Vec<&str> = self.parts.specs.iter().map(|spec| spec.name.as_str()).collect();
        let text = format!("There is no tool {name:?}. The tools are {}.", names.join(", "));
        Outcome::told(CallStatus::Error, text)
    }

    async fn file<T>(
        &self,
        spec: &ToolSpec,
        arguments: &str,
        cancel: CancellationToken,
        work: Work<T>,
    ) -> Outcome
    where
        T: DeserializeOwned + Send + 'static,
    {
        let input: T = match arguments::parse(spec, arguments) {
            Ok(input) => input,
            Err(problem) => return Outcome::told(CallStatus::Error, problem),
        };
        let parts = Arc::clone(&self.parts);
        let token = cancel.clone();
        let writes = spec.effect.has_side_effects();
        let task = tokio::task::spawn_blocking(move || {
            let _one_at_a_time =
                writes.then(|| parts.writing.lock().unwrap_or_else(PoisonError::into_inner));
            work(&parts.workspace, &input, &token)
        });
        let result = if writes {
            // Whether the change happened must be known, so it is waited for.
            task.await
        } else {
            tokio::select! {
                result = task => result,
                // A file system that hangs keeps its thread. This call does not wait for it; the
                // end of the runtime would, unless it is shut down in the background.
                () = cancel.cancelled() => {
                    return Outcome::told(CallStatus::Cancelled, "Cancelled.".to_owned());
                }
            }
        };
        match result {
            Ok(Ok(answer)) => {
                let Answer { shown, truncated, attachments, plan } = answer;
                Outcome { truncated, attachments, plan, ..Outcome::told(CallStatus::Ok, shown) }
            }
            Ok(Err(Failure::Error(text))) => Outcome::told(CallStatus::Error, text),
            Ok(Err(Failure::Denied(text))) => Outcome::told(CallStatus::Denied, text),
            Ok(Err(Failure::Cancelled(text))) => Outcome::told(CallStatus::Cancelled, text),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => broken(&spec.name, &*panic),
                Err(_) => Outcome::told(CallStatus::Cancelled, "Cancelled: limn ends.".to_owned()),
            },
        }
    }
}

/// Runs a future and catches its panic.
async fn guarded<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // After a panic the future is never polled again, and what it shared is under locks.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn broken(name: &str, panic: &(dyn Any + Send)) -> Outcome {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let message: String = message.chars().take(300).collect();
    let text =
        format!("The tool {name} broke ({message}). This is a fault of limn, not of the call.");
    Outcome::told(CallStatus::Error, text)
}

#[cfg(test)]
mod tests;
