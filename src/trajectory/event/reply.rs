//! What the model produces. The parts of one reply share its `request` and keep their order.

use serde::{Deserialize, Serialize};

/// In what form a provider hands out reasoning. Only full reasoning is trained by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningForm {
    /// The tokens that were sampled.
    #[default]
    Full,
    /// A summary in other words.
    Summary,
    /// Opaque: sent back, never read, never trained.
    Encrypted,
}

/// The key of the assistant message under which reasoning came, and goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningField {
    /// `reasoning_content`: vLLM, SGLang, llama.cpp, DeepSeek, GLM.
    #[default]
    ReasoningContent,
    /// `reasoning`: OpenRouter, Ollama, newer vLLM.
    Reasoning,
}

/// A stretch of the model's reasoning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reasoning {
    /// The request it answers.
    pub request: u32,
    /// The reasoning itself (a summary or ciphertext, as `form` says).
    pub text: String,
    /// What kind of text it is.
    #[serde(default)]
    pub form: ReasoningForm,
    /// Where it was found.
    #[serde(default)]
    pub field: ReasoningField,
    /// The provider's signature over it; kept and sent back, not exported to training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The reply was cut short in or after this part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// A stretch of text to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssistantText {
    /// The request it answers.
    pub request: u32,
    /// The text.
    pub text: String,
    /// The reply was cut short in or after this part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
}

/// A call of a tool, as the model sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The request it answers.
    pub request: u32,
    /// limn's number for it: the n-th call of the session, from 1.
    pub call: u32,
    /// The provider's id for it; not always unique, always sent back.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// The arguments, character for character as the model sent them.
    pub arguments: String,
    /// Why the arguments cannot be read as a JSON object, if they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
}
