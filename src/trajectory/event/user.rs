//! What the user does.

use serde::{Deserialize, Serialize};

use super::tool_use::Exit;

/// Something handed in with a prompt; its bytes are a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The name it had.
    pub name: String,
    /// Its media type, such as `image/png`.
    pub media_type: String,
    /// BLAKE3 of its bytes, hexadecimal.
    pub blake3: String,
}

impl Attachment {
    /// What stands in its place where it cannot be shown.
    #[must_use]
    pub fn placeholder(&self) -> String {
        format!("[{} ({}) cannot be shown to this model]", self.name, self.media_type)
    }
}

/// The user asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// What was typed.
    pub text: String,
    /// What came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

/// The user says something to a round that is running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steering {
    /// What was typed.
    pub text: String,
}

/// The user ran a command; its output is context without loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCommand {
    /// The command line.
    pub command: String,
    /// Its execution.
    pub exec: u32,
    /// What the model is shown of it.
    pub shown: String,
    /// It ran outside the sandbox.
    #[serde(default)]
    pub outside_sandbox: bool,
    /// How it ended; none when it goes on in the background, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// How long it ran, microseconds.
    #[serde(default)]
    pub duration_us: u64,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// Its content or mode changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path, relative to the workspace.
    pub path: String,
    /// What happened to it.
    pub change: ChangeKind,
    /// A unified diff, where it is text and not too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// The user changed the workspace: an observation for the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEdit {
    /// What changed.
    pub changes: Vec<FileChange>,
    /// How many more files changed than are listed.
    #[serde(default, skip_serializing_if = "none_more")]
    pub more: u64,
    /// What the model is shown of it.
    pub shown: String,
}

impl UserEdit {
    /// What happened, in a line for the user: the first files by name; what the model is told, where
    /// no file changed.
    #[must_use]
    pub fn told(&self, max: usize) -> String {
        if self.changes.is_empty() && self.more == 0 {
            return self.shown.lines().next().unwrap_or_default().to_owned();
        }
        format!("You changed: {}", self.named(max))
    }

    /// The first files by name, and how many more there are.
    #[must_use]
    pub fn named(&self, max: usize) -> String {
        let names: Vec<&str> =
            self.changes.iter().take(max).map(|change| change.path.as_str()).collect();
        let more = self.more + self.changes.len().saturating_sub(max) as u64;
        if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
    }
}

fn none_more(more: &u64) -> bool {
    *more == 0
}

/// The user allowed once what the policy refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The rule that refused.
    pub rule: String,
    /// What was granted.
    pub scope: String,
    /// The call it was granted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<u32>,
    /// What the model is told of it with the next request; empty when it is told nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shown: String,
}

/// How far a step of the plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    /// Not begun.
    Pending,
    /// Being worked on.
    InProgress,
    /// Done.
    Completed,
}

/// A step of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// What is to be done.
    pub text: String,
    /// How far it is.
    pub status: PlanStatus,
}

/// The model's checklist, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The steps in order.
    pub items: Vec<PlanItem>,
}
