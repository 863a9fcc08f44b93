//! Calls as they run, and what they bring back.

use serde::{Deserialize, Serialize};

use crate::event::user::Attachment;

/// The intent to run a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolStarted {
    /// The call.
    pub call: u32,
    /// The execution it becomes.
    pub exec: u32,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// It ran; a command may still have exited non-zero.
    Ok,
    /// It could not run, or the tool failed.
    Error,
    /// Approval or policy said no.
    Denied,
    /// It was stopped, or never started.
    Cancelled,
    /// The process died while it ran: nobody knows what it did. Written by recovery.
    LostInCrash,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// limn ended it because its time was up.
    #[serde(default)]
    pub timed_out: bool,
}

impl Exit {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

/// The complete output of an execution, as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRef {
    /// BLAKE3 of all bytes, hexadecimal.
    pub blake3: String,
    /// Their number.
    pub bytes: u64,
}

/// What was left out of the text that the model saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncation {
    /// Lines left out of the middle.
    pub lines_omitted: u64,
    /// Characters left out.
    pub chars_omitted: u64,
}

/// What came of a call. Of a command that goes on in the background: what it had come to when the
/// call was answered; the rest is a [`BackgroundExit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The call it answers.
    pub call: u32,
    /// How it ended.
    pub status: CallStatus,
    /// What the model was shown, exactly.
    pub shown: String,
    /// The execution, when the call got as far as running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<u32>,
    /// How its process ended, when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// All that was printed, when something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRef>,
    /// What `shown` leaves out, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncation>,
    /// Images that the model is shown beside the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// How long it ran, microseconds.
    #[serde(default)]
    pub duration_us: u64,
}

/// What was decided of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalDecision {
    /// Run it as it is.
    Allowed,
    /// Run it with the user's arguments instead.
    Amended,
    /// Do not run it.
    Denied,
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidedBy {
    /// A person, asked.
    User,
    /// The approval mode.
    Mode,
    /// A rule of the user's.
    Rule,
    /// The sandbox's policy.
    Policy,
}

/// A decision about a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalEvent {
    /// The call.
    pub call: u32,
    /// What was decided.
    pub decision: ApprovalDecision,
    /// By whom.
    pub by: DecidedBy,
    /// Why, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The user's arguments, when amended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
}

/// A background command ended after its call had been answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackgroundExit {
    /// The execution.
    pub exec: u32,
    /// How it ended.
    pub exit: Exit,
    /// All that it printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRef>,
    /// What the model is told of it with the next request; empty when it knows already.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
}

/// A request that a command made through the sandbox's proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRequest {
    /// The execution that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<u32>,
    /// The host's name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it was let through.
    pub allowed: bool,
    /// The rule that decided.
    pub rule: String,
}
