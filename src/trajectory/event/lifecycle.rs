//! How rounds and sessions go wrong, and how they end.

use serde::{Deserialize, Serialize};

use crate::usage::Usage;

/// How a round or a session ended. Completed never implies success: an outcome is an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The model handed back by itself.
    Completed,
    /// Something failed that could not be mended.
    Failed,
    /// Someone, or a crash, cut it short.
    Interrupted,
    /// A limit on steps, time or tokens was reached.
    Limit,
}

impl Ended {
    /// The word for it, as it is stored and printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Limit => "limit",
        }
    }
}

/// Who or what cut work short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterruptionCause {
    /// The user, by a key or a signal.
    User,
    /// The process died; written by recovery.
    Crash,
    /// A limit ran out in mid-work.
    Limit,
}

/// Work was cut short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// By what.
    pub cause: InterruptionCause,
}

/// Where something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorStage {
    /// Asking the model.
    Model,
    /// Running a tool.
    Tool,
    /// The workspace.
    Workspace,
    /// A limit that the user set.
    Limit,
}

/// Something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorEvent {
    /// Where.
    pub stage: ErrorStage,
    /// What, in a sentence, and what to do about it in another.
    pub message: String,
    /// The request it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u32>,
}

/// The model handed back, or was made to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundEnded {
    /// How.
    pub ended: Ended,
    /// The round's tokens.
    #[serde(default)]
    pub usage: Usage,
}

/// The session was closed. A resumed session has more than one; the last counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnded {
    /// How.
    pub ended: Ended,
}
