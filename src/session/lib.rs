//! The only event loop: whatever happens is decided by the agent, recorded, and then shown.
//!
//! A [`Session`] owns the recorder, the agent, the model and the tools of one recording.
//! [`Session::run`] takes [`Command`]s from whoever drives it and sends [`Notice`]s back:
//! recorded events, and progress that flickers. A recording that cannot be written ends it.
//!
//! Absent here: any decision (that is `agent`), any drawing, any format.

mod attach;
mod checkpoints;
mod context;
mod continued;
mod effects;
mod environment;
mod error;
mod grant;
mod hands;
mod instructions;
mod jobs;
mod left;
mod network;
mod options;
mod own;
mod prompt;
mod request;
mod run;
mod stutter;
mod tool;

use record::{Archive, Ordinals, RecordError, Recorder, Resumed, SessionStart, TokenLog};
use tokio::sync::mpsc;
use trajectory::event::{ApprovalDecision, ConfigChanged, Ended, UserEdit};
use trajectory::{
    ApprovalMode, Body, Event, Hand, Progress, Recorded, SessionId, Transcript, Usage,
};

pub use attach::Attached;
use attach::Media;
pub use checkpoints::event as checkpoint_event;
use context::Context;
pub use context::Window;
use continued::Continued;
pub use error::SessionError;
pub use options::{Instructions, Options};

/// What a driver can tell a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// The user asks.
    Submit {
        /// What was typed.
        text: String,
        /// What comes with it.
        attached: Vec<Attached>,
    },
    /// The user has decided about a call.
    Decide {
        /// The call.
        call: u32,
        /// The decision.
        decision: ApprovalDecision,
        /// Why.
        reason: Option<String>,
        /// The user's arguments, when amended.
        arguments: Option<String>,
    },
    /// The user says something to the round that is under way; without one, it begins one.
    Steer(String),
    /// The user runs a command.
    Run {
        /// The command line.
        command: String,
        /// Outside the sandbox, with all the user's rights.
        outside: bool,
    },
    /// The conversation is to be replaced by a summary; ignored while a round is under way.
    Compact {
        /// What the summary should heed, in the user's words.
        words: Option<String>,
    },
    /// How much the agent may do without asking, from here on.
    Approval(ApprovalMode),
    /// Let the session speak to a host or read a file that its policy refuses, until it is closed.
    Allow(String),
    /// The user's own hand on a command that runs.
    Hand(Hand),
    /// Stop what is being done: the user's own command, if one runs, else what the agent does.
    Interrupt,
    /// No more prompts will come.
    Close,
}

/// What a session tells its driver.
#[allow(clippy::large_enum_variant, reason = "most notices are events, and few wait at a time")]
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Something is on record.
    Event(Recorded<Event>),
    /// Something is on its way.
    Progress(Progress),
    /// What a request took, as the provider counted it.
    Usage(Usage),
    /// A call waits for the user's decision.
    Decide {
        /// The call.
        call: u32,
    },
    /// A command of the user's own runs; its end is an event.
    OwnStarted {
        /// Its execution.
        exec: u32,
        /// The command line.
        command: String,
        /// It runs outside the sandbox.
        outside: bool,
    },
    /// A command of the user's own was not started, because another one runs.
    OwnRefused {
        /// The command line.
        command: String,
    },
    /// The round is over, or the summary that was asked for is made: the next prompt may come.
    RoundOver(Ended),
    /// What the user asked for cannot be done, in a sentence.
    Unable(String),
}

/// How it went.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// How the last round ended.
    pub ended: Ended,
    /// The tokens of this run.
    pub usage: Usage,
    /// The last failure was that nobody answered at the endpoint.
    pub unreachable: bool,
}

/// A session that is being recorded.
pub struct Session {
    id: SessionId,
    options: Options,
    recorder: Recorder,
    agent: agent::Agent,
    transcript: Transcript,
    context: Context,
    continued: Continued,
    media: Media,
    tokens: TokenLog,
    /// How it left the workspace when it was last at work, where that is known.
    left_at: Option<workspace::Hash>,
    /// What the driver has not been shown yet.
    shown_late: Vec<Recorded<Event>>,
}

impl Session {
    /// Begins a recording.
    ///
    /// # Errors
    /// When the recording cannot be made.
    pub async fn start(options: Options) -> Result<Self, SessionError> {
        let id = SessionId::new();
        let start = SessionStart {
            id,
            query: None,
            environment: environment::observe(&options.workspace, options.home.device()),
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            config: options.config.clone(),
            annotator: options.annotator.clone(),
            private: options.private,
            parent: None,
        };
        let workspace = start.environment.cwd.clone();
        let recorder = Recorder::create(&options.home, start)?;
        let last = Ordinals::default();
        let resumed = Resumed { recorder, events: Vec::new(), last };
        Self::begin(id, options, resumed, workspace, None).await
    }

    /// Goes on with a recording, after recovering it if its last process died. One that began on
    /// another device is gone on with as a fork: nobody but that device appends to it.
    ///
    /// # Errors
    /// When it cannot be opened for writing: another process has it, or it is damaged.
    pub async fn resume(options: Options, id: SessionId) -> Result<Self, SessionError> {
        let (id, resumed) = match Recorder::resume(&options.home, id) {
            Err(RecordError::OtherDevice { .. }) => {
                let id = record::fork(&options.home, id, None)?;
                (id, Recorder::resume(&options.home, id)?)
            }
            resumed => (id, resumed?),
        };
        let archive = Archive::open(&options.home, id)?;
        let workspace = archive.session()?.environment.cwd;
        Self::begin(id, options, resumed, workspace, Some(&archive)).await
    }

    /// The recording's id.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Works until the driver closes the session or the recording fails.
    ///
    /// # Errors
    /// When the recording cannot be written. Nothing more was shown than is on record.
    pub async fn run(
        self,
        commands: mpsc::Receiver<Command>,
        notices: mpsc::Sender<Notice>,
    ) -> Result<Summary, SessionError> {
        run::run(self, commands, notices).await
    }

    /// `workspace` is where the session began; `archive` is what is on record of it so far.
    async fn begin(
        id: SessionId,
        options: Options,
        resumed: Resumed,
        workspace: String,
        archive: Option<&Archive>,
    ) -> Result<Self, SessionError> {
        let Resumed { recorder, events, last } = resumed;
        let events: Vec<Event> = events.into_iter().map(Recorded::into_inner).collect();
        let points = archive.map(Archive::request_points).transpose()?.unwrap_or_default();
        let mut transcript = Transcript::fold(&events, &points);
        let mut media = Media::default();
        if let Some(archive) = archive {
            media.load(archive, &events)?;
        }
        let mut context = Context::new(options.window.clone());
        for event in &events {
            context.apply(event, &transcript);
        }
        let tools = options.toolbox.specs();
        let setup = agent::Setup {
            tools: tools.clone(),
            approval: options.approval,
            interactive: options.interactive,
            limits: options.limits,
            counters: agent::Counters {
                round: last.round,
                request: last.request,
                call: last.call,
                exec: last.exec,
            },
        };
        let left_at = match archive {
            Some(archive) => left::left_at(&options, &events, &archive.execs()?),
            None => None,
        };
        let frame = frame_changes(&options, tools, workspace, &events);
        let write = run::events_write(last.round, frame);
        let durability = options.durability(false);
        let shown_late = recorder.commit(write, durability).await?;
        for event in &shown_late {
            transcript.apply(event);
        }
        let agent = agent::Agent::new(setup);
        let continued = Continued::default();
        Ok(Self {
            id,
            options,
            recorder,
            agent,
            transcript,
            context,
            continued,
            media,
            tokens: TokenLog::default(),
            left_at,
            shown_late,
        })
    }
}

/// What frames the conversation now and did not before.
fn frame_changes(
    options: &Options,
    tools: Vec<trajectory::ToolSpec>,
    workspace: String,
    events: &[Event],
) -> Vec<Body> {
    let mut model_before = None;
    let mut before = ConfigChanged { workspace: Some(workspace), ..ConfigChanged::default() };
    for event in events {
        match &event.body {
            Body::ModelChanged(model) => model_before = Some(model),
            Body::ConfigChanged(config) => {
                let config = config.clone();
                before.system_prompt = config.system_prompt.or(before.system_prompt);
                before.tools = config.tools.or(before.tools);
                before.approval = config.approval.or(before.approval);
                before.sandbox = config.sandbox.or(before.sandbox);
                before.workspace = config.workspace.or(before.workspace);
            }
            _ => {}
        }
    }
    fn changed<T: PartialEq>(now: T, before: Option<&T>) -> Option<T> {
        (before != Some(&now)).then_some(now)
    }
    let change = ConfigChanged {
        system_prompt: changed(prompt::system(options), before.system_prompt.as_ref()),
        tools: changed(tools, before.tools.as_ref()),
        approval: changed(options.approval, before.approval.as_ref()),
        sandbox: changed(options.sandbox.clone(), before.sandbox.as_ref()),
        workspace: changed(options.workspace.display().to_string(), before.workspace.as_ref()),
    };
    let model = changed(options.model.description(), model_before).map(Body::ModelChanged);
    let folders = change.workspace.as_ref().zip(before.workspace.as_ref());
    let told = folders.map(|(now, before)| moved(now, before));
    let config = (change != ConfigChanged::default()).then_some(Body::ConfigChanged(change));
    model.into_iter().chain(config).chain(told).collect()
}

/// What the model is told when the session goes on in another folder: paths that it has seen lead to
/// the old one.
fn moved(now: &str, before: &str) -> Body {
    let shown = format!(
        "The user goes on in another folder: the workspace is {now} now, and was {before}."
    );
    UserEdit { changes: Vec::new(), more: 0, shown }.into()
}

#[cfg(test)]
mod tests;
