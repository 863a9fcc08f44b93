//! What a model wrote, read again: thoughts, text and calls of a reply, one file for each family.
//!
//! It is the way back of the template. What does not read as a call stays in the text, every byte
//! of it: a model that describes the format has not called anything, and one that got it wrong is
//! to be told so by whoever runs the call. Nothing here fails.

mod deepseek;
mod glm;
mod hermes;
mod live;
mod llama3;
mod stream;

use serde_json::Value;

pub use stream::{Heard, ReplyReader};

#[cfg(test)]
mod tests;

/// What spells thoughts and calls. Where a tokenizer has a special token for one of these it is a
/// part of the reply all the same. The tag with which Llama 3 may begin is none: its calls do
/// without.
pub const TAGS: [&str; 13] = [
    stream::THINK,
    stream::THOUGHT,
    hermes::OPEN,
    hermes::CLOSE,
    glm::KEY[0],
    glm::KEY[1],
    glm::VALUE[0],
    glm::VALUE[1],
    deepseek::CALLS_BEGIN,
    deepseek::CALLS_END,
    deepseek::BEGIN,
    deepseek::END,
    deepseek::SEPARATOR,
];

/// How a family writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `<tool_call>{"name": …, "arguments": …}</tool_call>`: Hermes, Qwen 2.5 and 3.
    Hermes,
    /// `{"name": …, "parameters": …}`, alone: Llama 3.
    Llama3,
    /// `<tool_call>name<arg_key>…</arg_key><arg_value>…</arg_value></tool_call>`: GLM 4.5.
    Glm,
    /// Between special tokens: DeepSeek V3, R1 and V3.1.
    DeepSeek,
}

/// A reply in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The thoughts before it; `None` when there were none.
    pub reasoning: Option<String>,
    /// The text to the user.
    pub text: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// A call in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments, a JSON object in the model's own spelling where the format has one.
    pub arguments: String,
}

impl Format {
    /// The format in which a template writes calls; `None` when it is none that is known.
    #[must_use]
    pub fn of(template: &str) -> Option<Self> {
        let has = |word: &str| template.contains(word);
        if has("<arg_key>") {
            Some(Self::Glm)
        } else if has("<｜tool▁call▁begin｜>") {
            Some(Self::DeepSeek)
        } else if has("<tool_call>") {
            Some(Self::Hermes)
        } else if has("<|start_header_id|>") && has("\"parameters\": ") {
            Some(Self::Llama3)
        } else {
            None
        }
    }

    /// Reads a reply, without the token at which the model stopped. `thinking` when the prompt had
    /// opened the thoughts; `tools` as they were offered, since GLM says no types.
    #[must_use]
    pub fn read(self, reply: &str, thinking: bool, tools: &[Value]) -> Said {
        let mut reader = ReplyReader::new(Some(self), thinking, tools);
        let mut heard = reader.push(reply);
        heard.extend(reader.end());
        Said::of(heard, reader.has_thought())
    }
}

impl Said {
    /// What was heard, put together.
    fn of(heard: Vec<Heard>, has_thought: bool) -> Self {
        let mut said = Self { reasoning: has_thought.then(String::new), ..Self::default() };
        for part in heard {
            match part {
                Heard::Reasoning(more) => said.reasoning.get_or_insert_default().push_str(&more),
                Heard::Text(more) => said.text.push_str(&more),
                Heard::CallName { name, .. } => {
                    said.calls.push(Call { name, arguments: String::new() });
                }
                Heard::CallArguments { index, delta } => {
                    if let Some(call) = said.calls.get_mut(index) {
                        call.arguments.push_str(&delta);
                    }
                }
            }
        }
        said
    }
}

/// Arguments as the text of an object: themselves, or what a text of them says.
fn object(raw: &serde_json::value::RawValue) -> Option<String> {
    let text = raw.get();
    if text.starts_with('{') {
        return Some(text.to_owned());
    }
    let inner: String = serde_json::from_str(text).ok()?;
    serde_json::from_str::<serde_json::Map<String, Value>>(&inner).ok().map(|_| inner)
}
