//! What a model wrote, read again: thoughts, text and calls of a reply, one file for each family.
//!
//! It is the way back of the template. What does not read as a call stays in the text, every byte
//! of it: a model that describes the format has not called anything, and one that got it wrong is
//! to be told so by whoever runs the call. Nothing here fails.

mod deepseek;
mod glm;
mod hermes;
mod llama3;

use serde_json::Value;

#[cfg(test)]
mod tests;

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
        let (reasoning, rest) = thoughts(reply, thinking);
        let (text, calls) = match self {
            Self::Hermes => hermes::read(rest),
            Self::Llama3 => llama3::read(rest),
            Self::Glm => glm::read(rest, tools),
            Self::DeepSeek => deepseek::read(rest),
        };
        // A template puts line ends around the parts; they are nobody's.
        let text = if calls.is_empty() { text.as_str() } else { text.trim_end_matches('\n') };
        let text = if reasoning.is_some() { text.trim_start_matches('\n') } else { text };
        Said { reasoning, text: text.to_owned(), calls }
    }
}

/// Takes the thoughts off the beginning of a reply.
fn thoughts(reply: &str, thinking: bool) -> (Option<String>, &str) {
    let opened = reply.trim_start().strip_prefix("<think>");
    let Some(within) = opened.or(thinking.then_some(reply)) else { return (None, reply) };
    match within.split_once("</think>") {
        Some((thought, rest)) => (Some(thought.trim_matches('\n').to_owned()), rest),
        // It was cut short while it thought.
        None => (Some(within.trim_matches('\n').to_owned()), ""),
    }
}

/// Splits a text at stretches between two tags. What `inside` makes nothing of stays text, as do
/// tags without their fellow; the space between two calls is nobody's.
fn between(
    text: &str,
    (open, close): (&str, &str),
    mut inside: impl FnMut(&str) -> Option<Call>,
) -> (String, Vec<Call>) {
    let (mut said, mut calls) = (String::new(), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find(open) {
        let within = &rest[at + open.len()..];
        // The last one may lack its end: the token that closes it is a stop of some servers.
        let (body, after) = within.split_once(close).unwrap_or((within, ""));
        let Some(call) = inside(body) else {
            said.push_str(&rest[..at + open.len()]);
            rest = within;
            continue;
        };
        if calls.is_empty() || !rest[..at].trim().is_empty() {
            said.push_str(&rest[..at]);
        }
        calls.push(call);
        rest = after;
    }
    if calls.is_empty() || !rest.trim().is_empty() {
        said.push_str(rest);
    }
    (said, calls)
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
