//! Rows in the forms that trainers read, one file each. All of them are made of the same draft: the
//! messages as chat templates read them, and for each whether it is trained. What a form has no
//! place for is counted in the ledger.

mod axolotl;
mod limi;
mod openai;
mod slime;

use serde::Serialize;
use serde_json::{Value, json};
use trajectory::Sample;

use crate::ledger::Ledger;

#[cfg(test)]
mod tests;

/// Who reads a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trainer {
    /// OpenAI's fine-tuning, and who took over its form.
    Openai,
    /// Axolotl.
    Axolotl,
    /// slime.
    Slime,
    /// The trainer of LIMI.
    Limi,
}

/// A row before it has a form.
pub(crate) struct Draft<'a> {
    pub(crate) sample: &'a Sample,
    /// The messages, with arguments as objects and reasoning as `reasoning_content`.
    pub(crate) messages: Vec<Value>,
    pub(crate) tools: Vec<Value>,
    /// Whether each message is trained.
    pub(crate) train: Vec<bool>,
    /// Where the row comes from.
    pub(crate) origin: Value,
}

impl Trainer {
    /// Whether its form has a place for images that are files.
    pub(crate) const fn holds_images(self) -> bool {
        matches!(self, Self::Axolotl | Self::Slime)
    }

    /// The row in its form; `None` when that form would train what must not be.
    pub(crate) fn form(self, draft: Draft<'_>, ledger: &mut Ledger) -> Option<Value> {
        match self {
            Self::Openai => Some(openai::form(draft, ledger)),
            Self::Axolotl => Some(axolotl::form(draft)),
            Self::Slime => Some(slime::form(draft)),
            Self::Limi => limi::form(draft, ledger),
        }
    }
}

/// A row of messages and tools, with where it comes from if the form has a place for that.
fn with_origin(messages: Vec<Value>, tools: Vec<Value>, origin: Option<Value>) -> Value {
    let mut row = json!({ "messages": messages });
    if !tools.is_empty() {
        row["tools"] = tools.into();
    }
    if let Some(origin) = origin {
        row["origin"] = origin;
    }
    row
}

/// Counts a row that does not say where it comes from.
fn without_origin(ledger: &mut Ledger) {
    let note = "Rows without where they come from: the form allows no other keys.";
    ledger.lose("origins", 1, note);
}

/// Marks each reply with whether it is trained, under the key that a trainer reads.
fn mark(draft: &mut Draft<'_>, key: &str, value: impl Fn(bool) -> Value) {
    for (message, train) in draft.messages.iter_mut().zip(&draft.train) {
        if message["role"] == "assistant" {
            message[key] = value(*train);
        }
    }
}

/// Takes the reasoning out of the messages, for forms without a place for it.
fn without_reasoning(messages: &mut [Value], ledger: &mut Ledger) {
    for message in messages {
        let fields = message.as_object_mut();
        if fields.and_then(|fields| fields.shift_remove("reasoning_content")).is_some() {
            ledger.lose("reasoning", 1, "Reasoning: this form has no place for it.");
        }
    }
}
