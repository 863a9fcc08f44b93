//! From a call to its outcome.

mod own;

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Poll;
use std::time::Instant;

use sandbox::{OutputChunk, Preset, Sandbox};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trajectory::event::{CallStatus, NetworkRequest};
use trajectory::{ToolEffect, ToolSpec, Verdict};

use crate::answer::{Answer, Failure};
use crate::arguments;
use crate::beneath::Workspace;
use crate::jobs::{JobEvent, Jobs};
use crate::network::{Gate, Reach};
use crate::outcome::Outcome;
use crate::rules::Rules;
use crate::sii;
use crate::web::{Browser, Web};
use crate::web_search::Engine;
use crate::{
    edit, glob, grep, list, map, patch, plan, read, schema, shell, terminal, web_fetch, web_search,
    write,
};

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
    /// What the tools may do on the web.
    pub web: Web,
    /// Whether the model can see images.
    pub images: bool,
    /// What the user allows, wants to be asked about, or denies.
    pub rules: Rules,
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
    pub(crate) parts: Arc<Parts>,
}

pub(crate) struct Parts {
    pub(crate) workspace: Workspace,
    pub(crate) sandbox: Sandbox,
    tools: Vec<(Tool, ToolSpec)>,
    browser: Browser,
    engine: Option<Engine>,
    /// Whether the model can see images.
    sees: bool,
    rules: RwLock<Rules>,
    /// What the map tool knows of the code.
    atlas: map::Atlas,
    jobs: Jobs,
    pub(crate) gate: Gate,
    /// One change at a time: an edit reads, thinks and writes.
    writing: Mutex<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Shell,
    Read,
    Write,
    Edit,
    Patch,
    List,
    Terminal,
    Glob,
    Grep,
    Map,
    Plan,
    WebFetch,
    WebSearch,
    /// One under the name and in the shape that SII CLI has for it.
    Sii(sii::Tool),
}

impl Tool {
    /// In the order in which a model reads them.
    const ALL: [Self; 13] = [
        Self::Shell,
        Self::Read,
        Self::Write,
        Self::Edit,
        Self::Patch,
        Self::List,
        Self::Glob,
        Self::Grep,
        Self::Map,
        Self::Plan,
        Self::Terminal,
        Self::WebFetch,
        Self::WebSearch,
    ];

    fn spec(self) -> ToolSpec {
        use ToolEffect::{Executes, Network, ReadOnly, Writes};
        match self {
            Self::Shell => schema::spec::<shell::Input>("shell", Executes),
            Self::Read => schema::spec::<read::Input>("read", ReadOnly),
            Self::Write => schema::spec::<write::Input>("write", Writes),
            Self::Edit => schema::spec::<edit::Input>("edit", Writes),
            Self::Patch => patch::spec(),
            Self::List => schema::spec::<list::Input>("list", ReadOnly),
            Self::Glob => schema::spec::<glob::Input>("glob", ReadOnly),
            Self::Grep => schema::spec::<grep::Input>("grep", ReadOnly),
            Self::Map => schema::spec::<map::Input>("map", ReadOnly),
            Self::Plan => schema::spec::<plan::Input>("plan", ReadOnly),
            Self::Terminal => schema::spec::<terminal::Input>("terminal", Executes),
            Self::WebFetch => schema::spec::<web_fetch::Input>("web_fetch", Network),
            Self::WebSearch => schema::spec::<web_search::Input>("web_search", Network),
            Self::Sii(tool) => tool.spec(),
        }
    }

    /// Whether a model is offered it.
    fn is_offered(self, setup: &Setup) -> bool {
        match self {
            Self::Write | Self::Edit => setup.set == ToolSet::Edit,
            Self::Patch => setup.set == ToolSet::Patch,
            Self::WebFetch | Self::Sii(sii::Tool::WebFetch) => setup.web.fetch,
            Self::WebSearch | Self::Sii(sii::Tool::WebSearch) => setup.web.search.is_some(),
            _ => true,
        }
    }

    /// The tools that a setup asks for.
    fn offered(setup: &Setup) -> Vec<(Self, ToolSpec)> {
        let tools: Vec<Self> = match setup.set {
            ToolSet::Edit | ToolSet::Patch => Self::ALL.to_vec(),
            // SII CLI has nothing to answer a command with; ours may ask something all the same.
            ToolSet::Sii => {
                sii::Tool::ALL.map(Self::Sii).into_iter().chain([Self::Terminal]).collect()
            }
        };
        let offered = tools.into_iter().filter(|tool| tool.is_offered(setup));
        offered.map(|tool| (tool, tool.spec())).collect()
    }
}

/// What a call brings: what its tool is told, and what it can be stopped by.
pub(crate) struct Given<'a> {
    /// The number of the execution.
    pub(crate) exec: u32,
    pub(crate) spec: &'a ToolSpec,
    pub(crate) arguments: &'a str,
    pub(crate) cancel: CancellationToken,
}

impl Toolbox {
    /// Opens the tools on a workspace.
    ///
    /// # Errors
    /// When the workspace is not a directory that can be opened.
    pub fn open(workspace: &Path, sandbox: Sandbox, setup: &Setup) -> Result<Self, ToolboxError> {
        let workspace = Workspace::open(workspace)
            .map_err(|source| ToolboxError::Workspace { path: workspace.to_path_buf(), source })?
            .hiding(&setup.hidden)
            .within(sandbox.policy());
        let isolated = sandbox.policy().preset != Preset::Off;
        let reach = Reach::new(sandbox.policy().network.clone());
        let gate = Gate::new(reach.clone());
        gate.attend(&sandbox);
        let reach = isolated.then_some(reach);
        let parts = Parts {
            workspace,
            sandbox,
            tools: Tool::offered(setup),
            browser: Browser::new(&setup.web.allow_private, reach.clone()),
            engine: setup.web.search.as_ref().map(|endpoint| Engine::new(endpoint, reach)),
            sees: setup.images,
            rules: RwLock::new(setup.rules.clone()),
            atlas: map::Atlas::default(),
            jobs: Jobs::new(),
            gate,
            writing: Mutex::new(()),
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The tools as a model is offered them.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.parts.tools.iter().map(|(_, spec)| spec.clone()).collect()
    }

    /// The canonical path of the workspace.
    #[must_use]
    pub fn workspace(&self) -> &Path {
        self.parts.workspace.root()
    }

    /// What no tool shows the model of what it can reach: absolute paths without links.
    #[must_use]
    pub fn hidden(&self) -> &[PathBuf] {
        self.parts.workspace.hidden()
    }

    /// What the user's rules say to a call; nothing when none of them fits, or the tool is not
    /// there.
    #[must_use]
    pub fn judge(&self, name: &str, arguments: &str) -> Option<Verdict> {
        let (_, spec) = self.parts.tools.iter().find(|(_, spec)| spec.name == name)?;
        let rules = self.parts.rules.read().unwrap_or_else(PoisonError::into_inner);
        rules.judge(self.workspace(), spec, arguments)
    }

    /// What commands do that go on after their call was answered, for the one who asks first.
    /// Whoever takes it has to receive from it: a job whose events wait, waits too. When nobody
    /// has, jobs run all the same, and their output is only what the model is shown of it.
    #[must_use]
    pub fn jobs(&self) -> Option<mpsc::Receiver<JobEvent>> {
        self.parts.jobs.take_events()
    }

    /// What commands ask the network for, allowed or not, for the one who asks first. Whoever takes
    /// it has to receive from it: a request waits until it is taken.
    #[must_use]
    pub fn network_requests(&self) -> Option<mpsc::Receiver<NetworkRequest>> {
        self.parts.gate.take_requests()
    }

    /// Ends all jobs and waits until their last events are sent; those have to be received
    /// meanwhile. Without this they are killed when the last clone of the toolbox is dropped.
    pub async fn stop_jobs(&self) {
        self.parts.jobs.stop().await;
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
        let Some((tool, spec)) = self.parts.tools.iter().find(|(_, spec)| spec.name == name) else {
            return self.unknown(name);
        };
        let given = Given { exec, spec, arguments, cancel };
        match *tool {
            Tool::Shell => self.shell::<shell::Input>(given, out).await,
            Tool::Read => self.file(given, self.reading()).await,
            Tool::Write => self.file(given, write::run).await,
            Tool::Edit => self.file(given, edit::run).await,
            Tool::Patch => {
                let arguments = &patch::arguments(arguments);
                self.file(Given { arguments, ..given }, patch::run).await
            }
            Tool::List => self.file(given, list::run).await,
            Tool::Glob => self.file(given, glob::run).await,
            Tool::Grep => self.file(given, grep::run).await,
            Tool::Map => self.file(given, self.mapping()).await,
            Tool::Plan => self.file(given, plan::run).await,
            Tool::Terminal => self.terminal(given).await,
            Tool::WebFetch => self.web_fetch(given).await,
            Tool::WebSearch => self.web_search(given).await,
            Tool::Sii(tool) => self.sii(tool, given, out).await,
        }
    }

    fn unknown(&self, name: &str) -> Outcome {
        let name: String = name.chars().take(60).collect();
        let names: Vec<&str> =
            self.parts.tools.iter().map(|(_, spec)| spec.name.as_str()).collect();
        let text = format!("There is no tool {name:?}. The tools are {}.", names.join(", "));
        Outcome::told(CallStatus::Error, text)
    }

    /// Whether the model can see images.
    pub(crate) fn sees(&self) -> bool {
        self.parts.sees
    }

    /// What the read tool does, for a model that sees images or does not.
    pub(crate) fn reading(
        &self,
    ) -> impl FnOnce(&Workspace, &read::Input, &CancellationToken) -> Result<Answer, Failure> + use<>
    {
        let sees = self.parts.sees;
        move |workspace, input, cancel| read::run(workspace, input, sees, cancel)
    }

    fn mapping(
        &self,
    ) -> impl FnOnce(&Workspace, &map::Input, &CancellationToken) -> Result<Answer, Failure> + use<>
    {
        let parts = Arc::clone(&self.parts);
        move |workspace, input, cancel| map::run(workspace, &parts.atlas, input, cancel)
    }

    /// Runs a command; its arguments come as an `A`.
    pub(crate) async fn shell<A: DeserializeOwned + Into<shell::Input>>(
        &self,
        given: Given<'_>,
        out: mpsc::Sender<OutputChunk>,
    ) -> Outcome {
        match arguments::parse::<A>(given.spec, given.arguments) {
            Ok(input) => {
                let Parts { workspace, sandbox, jobs, gate, .. } = &*self.parts;
                let place = shell::Place { workspace, sandbox, jobs, gate };
                shell::run(place, given.exec, &input.into(), out, &given.cancel).await
            }
            Err(problem) => Outcome::told(CallStatus::Error, problem),
        }
    }

    async fn terminal(&self, given: Given<'_>) -> Outcome {
        match arguments::parse(given.spec, given.arguments) {
            Ok(input) => terminal::run(&self.parts.jobs, &input, &given.cancel).await,
            Err(problem) => Outcome::told(CallStatus::Error, problem),
        }
    }

    pub(crate) async fn web_fetch(&self, given: Given<'_>) -> Outcome {
        match arguments::parse(given.spec, given.arguments) {
            Ok(input) => {
                let Parts { browser, sees, .. } = &*self.parts;
                concluded(web_fetch::run(browser, &input, *sees, &given.cancel).await)
            }
            Err(problem) => Outcome::told(CallStatus::Error, problem),
        }
    }

    pub(crate) async fn web_search(&self, given: Given<'_>) -> Outcome {
        let Some(engine) = &self.parts.engine else {
            return self.unknown(&given.spec.name);
        };
        match arguments::parse(given.spec, given.arguments) {
            Ok(input) => concluded(web_search::run(engine, &input, &given.cancel).await),
            Err(problem) => Outcome::told(CallStatus::Error, problem),
        }
    }

    /// Blocking work on the workspace, on a thread of its own.
    pub(crate) async fn file<T, W>(&self, given: Given<'_>, work: W) -> Outcome
    where
        T: DeserializeOwned + Send + 'static,
        W: FnOnce(&Workspace, &T, &CancellationToken) -> Result<Answer, Failure> + Send + 'static,
    {
        self.adapted::<T, T, W>(given, work).await
    }

    /// The same for arguments that come as an `A`.
    pub(crate) async fn adapted<A, T, W>(&self, given: Given<'_>, work: W) -> Outcome
    where
        A: DeserializeOwned + Into<T>,
        T: Send + 'static,
        W: FnOnce(&Workspace, &T, &CancellationToken) -> Result<Answer, Failure> + Send + 'static,
    {
        let Given { spec, arguments, cancel, .. } = given;
        let input: T = match arguments::parse::<A>(spec, arguments) {
            Ok(input) => input.into(),
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
            Ok(result) => concluded(result),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => broken(&spec.name, &*panic),
                Err(_) => Outcome::told(CallStatus::Cancelled, "Cancelled: limn ends.".to_owned()),
            },
        }
    }
}

fn concluded(result: Result<Answer, Failure>) -> Outcome {
    match result {
        Ok(answer) => {
            let Answer { shown, truncated, attachments, plan } = answer;
            Outcome { truncated, attachments, plan, ..Outcome::told(CallStatus::Ok, shown) }
        }
        Err(Failure::Error(text)) => Outcome::told(CallStatus::Error, text),
        Err(Failure::Denied(text)) => Outcome::told(CallStatus::Denied, text),
        Err(Failure::Cancelled(text)) => Outcome::told(CallStatus::Cancelled, text),
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
