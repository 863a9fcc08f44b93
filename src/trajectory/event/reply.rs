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
    /// Inside the text, between `<think>` and `</think>`, both written by the model.
    Think,
    /// Inside the text, up to `</think>`: the prompt had opened the tag.
    ThinkOpened,
    /// A reasoning item of the Responses API; `signature` holds the item.
    Item,
}

impl ReasoningField {
    /// Every field there is.
    pub const ALL: [Self; 5] =
        [Self::ReasoningContent, Self::Reasoning, Self::Think, Self::ThinkOpened, Self::Item];

    /// The word for it, as it is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReasoningContent => "reasoning_content",
            Self::Reasoning => "reasoning",
            Self::Think => "think",
            Self::ThinkOpened => "think_opened",
            Self::Item => "item",
        }
    }
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
    /// What the provider wants back with it, as JSON: the Responses item, the list of
    /// `reasoning_details`. Kept and sent back, not exported to training.
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
    /// The arguments, character for character as the model sent them: the text of a JSON object,
    /// or, of a freeform call, the input itself.
    pub arguments: String,
    /// A freeform call: the arguments are no JSON and are not meant to be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub freeform: bool,
    /// What the provider wants back with the call, as JSON (`extra_content` of Gemini).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Why the arguments cannot be read as a JSON object, if they cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
}

/// The tokens of a reply, as the server that sampled them gave them, beside its parts.
///
/// A prompt is mostly the prompt before it, so it is kept as what is new: its first `kept` tokens
/// are those of the prompt and then of the reply of the `sampled` event before this one. The ids
/// themselves are bytes beside the event, named by their hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampled {
    /// The request it answers.
    pub request: u32,
    /// BLAKE3 of the JSON of the tokenizer, hexadecimal, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// How many tokens the prompt had; absent where the server did not give them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    /// How many of them, from the first, are those of the event before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub kept: u64,
    /// How many tokens were sampled, the one at which the model stopped included.
    pub tokens: u64,
    /// BLAKE3 of the ids, hexadecimal: what is new of the prompt, then the reply.
    pub blake3: String,
    /// Where the list of the prompt's ids was taken out of the recorded response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// Where a list of numbers stood, and how it was spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The byte before which its numbers stood.
    pub at: u64,
    /// A space followed each comma.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spaced: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
