//! A request → the tokens that the model goes on from.
//!
//! Messages go through the model's chat template, and its text through the tokenizer. What a client
//! sends is text and never control: a file that a tool read may spell `<|im_end|>`, and were it read
//! as the token of that name, whoever wrote the file could end the tool's answer and speak as the
//! user. So such spellings are cut in two before the template sees them, and the text is tokenized
//! piece by piece between the cuts. `/v1/completions` has no template to write control tokens, so
//! there a client writes them itself.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, Match};
use chat::{ChatError, Part, Tokenizer};
use serde_json::{Map, Value};

use crate::engine::Facts;
use crate::protocol::{ApiError, ChatRequest, Written};
use crate::server::Server;

#[cfg(test)]
mod tests;

/// Where a text was cut. No text has this sign: Unicode gives it no meaning, ever.
const CUT: char = '\u{10fffe}';

/// A text with more bytes than this for each token of a context does not fit, and is not even
/// tokenized. The longest tokens that are in use are runs of 128 spaces.
const TOKEN_BYTES_MAX: usize = 128;

/// A request may be twice as long as its text, for the escapes of JSON, and so much longer, for its
/// tools, its schema and whatever else is in it.
const BESIDE_BYTES_MAX: usize = 2 << 20;

/// How a thought begins.
const THINK: &str = "<think>";

/// What the model goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) ids: Vec<u32>,
    /// It ends in a thought that is still open.
    pub(crate) thinking: bool,
    /// The field that it came of.
    pub(crate) field: &'static str,
}

/// The bytes of the largest request whose text may fit into a context of so many tokens.
pub(crate) const fn request_bytes_max(context: usize) -> usize {
    context.saturating_mul(2 * TOKEN_BYTES_MAX).saturating_add(BESIDE_BYTES_MAX)
}

impl Server {
    /// The prompt of a conversation, in a context of so many tokens.
    pub(crate) fn conversation(
        &self,
        request: &ChatRequest,
        context: usize,
        now_s: i64,
    ) -> Result<Prompt, ApiError> {
        const FIELD: &str = "messages";
        let content = |message: &Value| message["content"].as_str().map_or(0, str::len);
        check_bytes(FIELD, request.messages.iter().map(content).sum(), context)?;
        let mut messages = request.messages.clone();
        let mut tools = if request.offers() { request.tools.clone() } else { Vec::new() };
        let mut variables = Value::Object(request.variables.clone());
        self.check_tools(&messages, &tools)?;
        for message in &mut messages {
            if self.dialect.drops(Part::Reasoning)
                && let Some(fields) = message.as_object_mut()
            {
                fields.shift_remove("reasoning_content");
            }
        }
        for value in messages.iter_mut().chain(&mut tools).chain([&mut variables]) {
            tame(value, &self.controls);
        }
        let variables = variables.as_object().cloned().unwrap_or_default();
        let refused = |error| refused(FIELD, &error);
        let conversation = self.dialect.conversation(&messages, &tools, now_s).map_err(refused)?;
        let conversation = conversation.with_variables(&variables);
        let text = self.dialect.template().render(&conversation, true).map_err(refused)?;
        let thinking = text.trim_end().ends_with(THINK);
        let ids = tokens(FIELD, self.dialect.tokenizer(), &text, context)?;
        Ok(Prompt { ids, thinking, field: FIELD })
    }

    /// Refuses tools where the template would drop them.
    fn check_tools(&self, messages: &[Value], tools: &[Value]) -> Result<(), ApiError> {
        let Some(reason) = &self.no_tools else { return Ok(()) };
        let called =
            |message: &Value| message["role"] == "tool" || message["tool_calls"].is_array();
        let param = if !tools.is_empty() {
            "tools"
        } else if messages.iter().any(called) {
            "messages"
        } else {
            return Ok(());
        };
        let message = format!(
            "{reason}, so this model is served without tools. Leave them out, or serve it with another template (--template)."
        );
        Err(ApiError::unsupported(param, message))
    }

    /// The prompt of a text.
    pub(crate) fn text(&self, written: Written, facts: Facts) -> Result<Prompt, ApiError> {
        const FIELD: &str = "prompt";
        let ids = match written {
            Written::Ids(ids) => {
                if let Some(id) = ids.iter().find(|id| **id as usize >= facts.vocab) {
                    let message = format!(
                        "`prompt` holds the token {id}, and the model has {}. Send its own tokens.",
                        facts.vocab
                    );
                    return Err(ApiError::field(FIELD, message));
                }
                ids
            }
            Written::Text(text) => {
                let tokenizer = self.dialect.tokenizer();
                let ids = tokens(FIELD, tokenizer, &text, facts.slot_tokens)?;
                let begin = tokenizer.begin();
                if ids.starts_with(begin) { ids } else { [begin, ids.as_slice()].concat() }
            }
        };
        if ids.is_empty() {
            let message =
                "`prompt` is empty, and this model begins no text by itself. Give a text.";
            return Err(ApiError::field(FIELD, message));
        }
        Ok(Prompt { ids, thinking: false, field: FIELD })
    }
}

/// A text as tokens, each stretch between two cuts for itself.
fn tokens(
    field: &'static str,
    tokenizer: &Tokenizer,
    text: &str,
    context: usize,
) -> Result<Vec<u32>, ApiError> {
    check_bytes(field, text.len(), context)?;
    let mut ids = Vec::new();
    for stretch in text.split(CUT).filter(|stretch| !stretch.is_empty()) {
        ids.extend(tokenizer.encode(stretch).map_err(|error| refused(field, &error))?.ids);
    }
    Ok(ids)
}

/// Refuses a text of so many bytes that it fits into no context of so many tokens.
fn check_bytes(field: &'static str, bytes: usize, context: usize) -> Result<(), ApiError> {
    let least = bytes / TOKEN_BYTES_MAX;
    if least > context {
        return Err(too_long(field, context, &format!("at least {least}"), None));
    }
    Ok(())
}

/// A prompt that does not fit into the context, alone or with what is to follow.
pub(crate) fn too_long(
    field: &'static str,
    context: usize,
    prompt: &str,
    reply: Option<usize>,
) -> ApiError {
    let asked = match reply {
        Some(reply) => format!("{prompt} in the prompt and {reply} for the reply"),
        None => format!("{prompt} in the prompt, and a reply needs room"),
    };
    let message = format!(
        "This model's maximum context length is {context} tokens, and the request has {asked}. Send less, or ask for less."
    );
    ApiError::field(field, message).with_code("context_length_exceeded")
}

/// Cuts every spelling of a control token in a value in two, keys included.
fn tame(value: &mut Value, controls: &Controls) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(cut) = controls.cut(text) {
                *text = cut;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tame(item, controls)),
        Value::Object(fields) => {
            let mut tamed = Map::new();
            for (name, mut field) in std::mem::take(fields) {
                tame(&mut field, controls);
                tamed.insert(controls.cut(&name).into_owned(), field);
            }
            *fields = tamed;
        }
        _ => {}
    }
}

/// The spellings of a model's control tokens, looked for all at once.
#[derive(Clone, Debug)]
pub(crate) struct Controls(AhoCorasick);

impl Controls {
    /// Those of a tokenizer; the error says what is wrong with them.
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<Self, String> {
        AhoCorasick::new(tokenizer.controls()).map(Self).map_err(|error| error.to_string())
    }

    /// A text in which none is spelled: each is cut behind its first sign, also where they overlap.
    fn cut<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let behind_first = |found: Match| {
            let first = text[found.range()].chars().next();
            found.start() + first.map_or(0, char::len_utf8)
        };
        let mut places: Vec<usize> = self.0.find_overlapping_iter(text).map(behind_first).collect();
        if places.is_empty() {
            return Cow::Borrowed(text);
        }
        places.sort_unstable();
        places.dedup();
        let mut cut = String::with_capacity(text.len() + places.len() * CUT.len_utf8());
        let mut from = 0;
        for place in places {
            cut.push_str(&text[from..place]);
            cut.push(CUT);
            from = place;
        }
        cut.push_str(&text[from..]);
        Cow::Owned(cut)
    }
}

/// What the template or the tokenizer says against a conversation.
fn refused(field: &'static str, error: &ChatError) -> ApiError {
    ApiError::field(field, error.to_string())
}
