//! What changes the context: whatever makes the next request differ from "the last one, its
//! reply and what came since" is one of these, and the exporter cuts a sample there.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approval::ApprovalMode;
use crate::tool::ToolSpec;

/// When a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointWhen {
    /// Before a round.
    BeforeRound,
    /// The user had changed something while the agent was at work.
    Edited,
    /// When the user asked.
    OnRequest,
}

/// A snapshot of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// BLAKE3 of its manifest, hexadecimal.
    pub tree: String,
    /// When it was taken.
    pub when: CheckpointWhen,
    /// How many files it holds.
    pub files: u64,
    /// The bytes of all of them.
    #[serde(default)]
    pub bytes: u64,
    /// How many files and folders it left out; they are listed in its manifest.
    #[serde(default)]
    pub skipped: u64,
    /// The checkpoint that the workspace had just been taken back to, where it had been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<String>,
}

/// An earlier observation, shortened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortenedObservation {
    /// The call whose observation it is.
    pub call: u32,
    /// What the model is shown from now on.
    pub shown: String,
}

/// Earlier observations are shown shorter from here on; the log keeps them whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextEdit {
    /// Which, and how.
    pub observations: Vec<ShortenedObservation>,
    /// Why.
    pub reason: String,
}

/// The conversation up to an event is replaced by a summary from here on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compaction {
    /// The last event that the summary stands for. The system prompt stays.
    pub through_seq: u64,
    /// The summary, as the model is shown it.
    pub summary: String,
    /// The request that wrote it, when a model did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u32>,
}

/// The conversation goes on as if nothing after an event had been said. Nothing is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewind {
    /// The last event that still counts.
    pub to_seq: u64,
}

/// What `<think>` means in the text of a model's replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThinkTags {
    /// Nothing: it is text.
    #[default]
    Plain,
    /// A reply that begins with `<think>` begins with reasoning, up to `</think>`.
    Tagged,
    /// The prompt has opened the tag: every reply begins with reasoning, up to `</think>`.
    Opened,
}

impl ThinkTags {
    /// Whether nothing is looked for.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain)
    }
}

/// The model that answers from here on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelChanged {
    /// The model's name as requested.
    pub model: String,
    /// The provider: a name from the settings, or `scripted`, `cassette`.
    pub provider: String,
    /// The base URL, without credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The API form, such as `chat`.
    pub api: String,
    /// Sampling parameters as they are sent; an object.
    #[serde(default)]
    pub params: Value,
    /// The name of the profile by which its server is spoken to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What `<think>` means in its replies: with `api`, how a stored response is read.
    #[serde(default, skip_serializing_if = "ThinkTags::is_plain")]
    pub think: ThinkTags,
}

/// What frames the conversation from here on. An absent field did not change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigChanged {
    /// The system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_prompt: Option<String>,
    /// The tools on offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<ToolSpec>>,
    /// The approval mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalMode>,
    /// The sandbox's tier, as its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// The folder that is worked in, where it is another than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// A secret was removed: nonce and body of an event, or the bytes of a blob, are gone; the
/// commitment in the chain stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// What was redacted: an event's number, or a blob's hash.
    pub target: String,
    /// Fingerprint of the secret, so that it is recognised elsewhere.
    pub fingerprint: String,
    /// The rule or the person that found it.
    pub reason: String,
}
