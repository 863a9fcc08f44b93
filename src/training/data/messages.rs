//! Rows that are conversations: messages in the form of Chat Completions, made into tokens by the
//! model's template, with the mask of what the model wrote.
//!
//! What is trained: of our exports what they say (`train`), else every message of the assistant; of
//! a prompt and a completion, those of the completion.

use chat::{Dialect, Unfit, Wanted};
use serde_json::Value;
use trajectory::SessionId;

use super::rows::{Refusal, Row};

/// What a template that writes the date is told where the row does not say when it was had: the
/// beginning of 2025. It has to be the same on every machine and every day.
const UNDATED_S: i64 = 1_735_689_600;

/// Replies that could not be trained, by why.
#[derive(Debug, Default)]
pub(super) struct Unfits {
    spelled: usize,
    changed: usize,
    together: usize,
}

impl Unfits {
    fn count(&mut self, unfit: &Unfit) {
        match unfit {
            Unfit::SpecialToken(_) => self.spelled += 1,
            Unfit::Changed => self.changed += 1,
            Unfit::PartsTogether => self.together += 1,
        }
    }

    /// What is to be known of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let notes = [
            (self.spelled, "spell a control token, which would be read as control"),
            (self.changed, "are written otherwise by the template than the model wrote them"),
            (self.together, "have parts that cannot be told apart"),
        ];
        let some = notes.into_iter().filter(|(count, _)| *count > 0);
        some.map(|(count, why)| format!("{count} replies are not trained: they {why}.")).collect()
    }
}

/// The tokens of a row and which of them are trained.
pub(super) fn read(
    row: Row,
    dialect: &Dialect,
    unfits: &mut Unfits,
) -> Result<(Vec<u32>, Vec<bool>), Refusal> {
    let began_s = row.session().and_then(began_s).unwrap_or(UNDATED_S);
    let (messages, wanted) = conversation(row.messages, row.prompt, row.completion, row.train)?;
    let tools = tools(row.tools)?;
    let masked = dialect.mask(&messages, &tools, &wanted, began_s).map_err(Refusal::Chat)?;
    masked.unfit.iter().for_each(|(_, unfit)| unfits.count(unfit));
    Ok((masked.ids, masked.trained))
}

/// When a session of ours began: its id says so.
fn began_s(session: &str) -> Option<i64> {
    let id: SessionId = session.parse().ok()?;
    let bytes = id.as_bytes();
    let is_dated = bytes[6] >> 4 == 7;
    let ms = bytes[..6].iter().fold(0i64, |ms, byte| ms << 8 | i64::from(*byte));
    is_dated.then_some(ms / 1_000)
}

/// The messages of a row, and what of each is trained.
fn conversation(
    messages: Option<Value>,
    prompt: Option<Value>,
    completion: Option<Value>,
    train: Option<Vec<bool>>,
) -> Result<(Vec<Value>, Vec<Wanted>), Refusal> {
    let (mut messages, from) = match messages {
        Some(messages) => (list(messages, "messages")?, 0),
        None => {
            let mut all = list(prompt.unwrap_or_default(), "prompt")?;
            let from = all.len();
            all.extend(list(completion.unwrap_or_default(), "completion")?);
            (all, from)
        }
    };
    if train.as_ref().is_some_and(|train| train.len() != messages.len()) {
        let reason = format!("it has {} messages and another number in `train`", messages.len());
        return Err(Refusal::new(reason, "Write one for each message."));
    }
    let mut wanted = Vec::with_capacity(messages.len());
    for (place, message) in messages.iter_mut().enumerate() {
        let said = train.as_ref().map(|train| train[place]);
        let is_trained = normalise(message, place)?
            && place >= from
            && said.or_else(|| flag(message)).unwrap_or(true);
        wanted.push(if is_trained { Wanted::Everything } else { Wanted::Nothing });
    }
    Ok((messages, wanted))
}

fn list(value: Value, key: &str) -> Result<Vec<Value>, Refusal> {
    match value {
        Value::Array(messages) => Ok(messages),
        Value::String(_) => {
            let remedy = "Write `prompt` and `completion` as lists of messages.";
            Err(Refusal::new(format!("`{key}` is a text and no list of messages"), remedy))
        }
        _ => Err(Refusal::new(
            format!("`{key}` is no list of messages"),
            "Write a list of messages.",
        )),
    }
}

/// What other trainers write beside a message to say whether it is trained.
fn flag(message: &Value) -> Option<bool> {
    let key = ["train", "weight", "step_loss_mask"].into_iter().find_map(|key| message.get(key))?;
    key.as_bool().or_else(|| key.as_f64().map(|weight| weight > 0.0))
}

/// Brings a message into the form that templates read; answers whether the assistant wrote it.
fn normalise(message: &mut Value, place: usize) -> Result<bool, Refusal> {
    let at = |what: &str| format!("message {place} {what}");
    let Some(fields) = message.as_object_mut() else {
        return Err(Refusal::new(at("is no object"), "Write messages with `role` and `content`."));
    };
    let Some(role) = fields.get("role").and_then(Value::as_str).map(str::to_owned) else {
        return Err(Refusal::new(at("has no role"), "Write messages with `role` and `content`."));
    };
    if let Some(Value::Array(parts)) = fields.get("content") {
        let text: Option<String> = parts.iter().map(text_of).collect();
        let Some(text) = text else {
            let remedy = "Leave such rows out: pictures are not trained.";
            return Err(Refusal::new(at("holds something other than text"), remedy));
        };
        fields.insert("content".to_owned(), Value::String(text));
    }
    for call in fields.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(arguments) = call.pointer_mut("/function/arguments") else { continue };
        let Value::String(text) = arguments else { continue };
        match serde_json::from_str::<Value>(text) {
            Ok(object @ Value::Object(_)) => *arguments = object,
            _ => {
                let remedy = "Write the arguments of a call as an object.";
                return Err(Refusal::new(
                    at("calls a tool with arguments that are no object"),
                    remedy,
                ));
            }
        }
    }
    Ok(role == "assistant")
}

fn text_of(part: &Value) -> Option<&str> {
    match part {
        Value::String(text) => Some(text),
        part => (part["type"] == "text").then(|| part["text"].as_str())?,
    }
}

/// Tools, as a list or as the text of one.
fn tools(value: Option<Value>) -> Result<Vec<Value>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(tools)) => Ok(tools),
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(|_| no_tools()),
        Some(_) => Err(no_tools()),
    }
}

fn no_tools() -> Refusal {
    Refusal::new("`tools` is no list of tools", "Write a list of function schemas.")
}
