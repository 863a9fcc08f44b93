//! Events: what is recorded.
//!
//! An [`Event`] is a header (when, where in the log, from whom) and a [`Body`] (what). A body is
//! stored as JSON beside the name of its kind; [`Body::decode`] answers `None` to a kind it does
//! not know, so that an older limn reads a newer recording.

mod context;
mod lifecycle;
mod reply;
mod tool_use;
mod user;

use serde::{Deserialize, Serialize};

pub use context::{
    Checkpoint, CheckpointWhen, Compaction, ConfigChanged, ContextEdit, ModelChanged, Redaction,
    Rewind, ShortenedObservation, ThinkTags,
};
pub use lifecycle::{
    Ended, ErrorEvent, ErrorStage, Interruption, InterruptionCause, RoundEnded, SessionEnded,
};
pub use reply::{AssistantText, Cut, Reasoning, ReasoningField, ReasoningForm, Sampled, ToolCall};
pub use tool_use::{
    ApprovalDecision, ApprovalEvent, BackgroundExit, CallStatus, DecidedBy, Exit, NetworkRequest,
    Observation, OutputRef, ToolStarted, Truncation,
};
pub use user::{
    Attachment, ChangeKind, FileChange, Grant, Plan, PlanItem, PlanStatus, Prompt, Steering,
    UserCommand, UserEdit,
};

use crate::id::{EventId, RunId};

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The person at the keyboard, or the program that drives limn for them.
    User,
    /// The model.
    Model,
    /// A tool, a command, the workspace.
    Environment,
    /// limn itself.
    Harness,
}

impl Source {
    /// The word for it, as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Model => "model",
            Self::Environment => "environment",
            Self::Harness => "harness",
        }
    }

    /// The source with that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::User, Self::Model, Self::Environment, Self::Harness]
            .into_iter()
            .find(|source| source.as_str() == word)
    }
}

/// One recorded action of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name everywhere.
    pub id: EventId,
    /// Its place in the session, counted from 0 without gaps.
    pub seq: u64,
    /// The event it follows; `None` for the first.
    pub parent: Option<EventId>,
    /// The process that recorded it.
    pub run: RunId,
    /// The round it belongs to, from 1; 0 before the first prompt.
    pub round: u32,
    /// Who caused it.
    pub source: Source,
    /// Wall clock, nanoseconds since the Unix epoch.
    pub wall_ns: i64,
    /// Monotonic clock, nanoseconds since the run began.
    pub mono_ns: u64,
    /// Copied from the session this one was forked from: context, never trained again.
    pub copied: bool,
    /// What happened.
    pub body: Body,
}

impl Event {
    /// The event as `limn exec --json` and `limn show --json` print it.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "type": "event",
            "seq": self.seq,
            "kind": self.body.kind(),
            "id": self.id,
            "round": self.round,
            "source": self.source,
            "wall_ns": self.wall_ns,
            "body": self.body,
        })
    }
}

impl Body {
    /// What came with it: files of a prompt, images of an observation.
    #[must_use]
    pub fn attachments(&self) -> &[Attachment] {
        match self {
            Self::Prompt(prompt) => &prompt.attachments,
            Self::Observation(observation) => &observation.attachments,
            _ => &[],
        }
    }

    /// Who causes events of this kind.
    #[must_use]
    pub const fn source(&self) -> Source {
        match self {
            Self::Prompt(_)
            | Self::UserEdit(_)
            | Self::UserCommand(_)
            | Self::Steering(_)
            | Self::Grant(_)
            | Self::Rewind(_)
            | Self::Approval(ApprovalEvent { by: DecidedBy::User, .. })
            | Self::Interruption(Interruption { cause: InterruptionCause::User }) => Source::User,
            Self::Reasoning(_)
            | Self::Message(_)
            | Self::ToolCall(_)
            | Self::Sampled(_)
            | Self::Plan(_) => Source::Model,
            Self::Observation(_) | Self::BackgroundExit(_) | Self::NetworkRequest(_) => {
                Source::Environment
            }
            _ => Source::Harness,
        }
    }
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $variant:ident($payload:ty) = $kind:literal,)+) => {
        /// What happened: one variant for each kind of event.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Body {
            $($(#[$doc])* $variant($payload),)+
        }

        impl Body {
            /// Every kind there is, in the order of the vocabulary.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// The name of this kind.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)+ }
            }

            /// Reads a stored body. `Ok(None)` for a kind this version does not know.
            ///
            /// # Errors
            /// When the JSON is not what the kind calls for.
            pub fn decode(kind: &str, json: &[u8]) -> Result<Option<Self>, serde_json::Error> {
                match kind {
                    $($kind => serde_json::from_slice(json).map(Self::$variant).map(Some),)+
                    _ => Ok(None),
                }
            }
        }

        $(impl From<$payload> for Body {
            fn from(payload: $payload) -> Self {
                Self::$variant(payload)
            }
        })+
    };
}

bodies! {
    /// The user asks; a round begins.
    Prompt(Prompt) = "prompt",
    /// The model thinks.
    Reasoning(Reasoning) = "reasoning",
    /// The model speaks.
    Message(AssistantText) = "message",
    /// The model calls a tool.
    ToolCall(ToolCall) = "tool_call",
    /// The tokens of a reply, where the server gave them.
    Sampled(Sampled) = "sampled",
    /// A call is about to run: the intent, durable before any side effect.
    ToolStarted(ToolStarted) = "tool_started",
    /// What came of a call; each call has exactly one.
    Observation(Observation) = "observation",
    /// The user changed files of the workspace.
    UserEdit(UserEdit) = "user_edit",
    /// The user ran a command.
    UserCommand(UserCommand) = "user_command",
    /// The user said something while a round was running.
    Steering(Steering) = "steering",
    /// A call was allowed, denied or amended.
    Approval(ApprovalEvent) = "approval",
    /// The user granted what the policy had refused.
    Grant(Grant) = "grant",
    /// The model's checklist changed.
    Plan(Plan) = "plan",
    /// The workspace was snapshotted.
    Checkpoint(Checkpoint) = "checkpoint",
    /// Earlier observations are shown shorter from here on.
    ContextEdit(ContextEdit) = "context_edit",
    /// Earlier conversation is replaced by a summary from here on.
    Compaction(Compaction) = "compaction",
    /// The conversation goes on from an earlier point.
    Rewind(Rewind) = "rewind",
    /// Another model, endpoint or set of sampling parameters.
    ModelChanged(ModelChanged) = "model_changed",
    /// Another system prompt, tool set, mode or limit.
    ConfigChanged(ConfigChanged) = "config_changed",
    /// A background command ended.
    BackgroundExit(BackgroundExit) = "background_exit",
    /// A command wanted the network.
    NetworkRequest(NetworkRequest) = "network_request",
    /// Work was cut short.
    Interruption(Interruption) = "interruption",
    /// Something failed.
    Error(ErrorEvent) = "error",
    /// The model handed back.
    RoundEnded(RoundEnded) = "round_ended",
    /// The session was closed.
    SessionEnded(SessionEnded) = "session_ended",
    /// A secret was removed from the record.
    Redaction(Redaction) = "redaction",
}
