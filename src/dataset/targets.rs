//! Rows in the forms that trainers read, one file each. All of them are made of the same draft: the
//! messages as chat templates read them, and for each whether it is trained. What a form has no
//! place for is counted in the ledger.

mod axolotl;
mod limi;
mod openai;
mod sharegpt;
mod slime;

use serde::Serialize;
use serde_json::{Value, json};
use trajectory::{Message, Sample};

use crate::ledger::Ledger;
use crate::messages::Train;

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
    /// LLaMA-Factory, in its form of ShareGPT.
    Llamafactory,
    /// ShareGPT, as far as anybody agrees on it.
    Sharegpt,
}

/// A row before it has a form.
pub(crate) struct Draft<'a> {
    pub(crate) sample: &'a Sample,
    /// The messages, with arguments as objects and reasoning as `reasoning_content`.
    pub(crate) messages: Vec<Value>,
    pub(crate) tools: Vec<Value>,
    /// What of each message is trained.
    pub(crate) train: Vec<Train>,
    /// Where the row comes from.
    pub(crate) origin: Value,
}

impl Trainer {
    /// Every one there is.
    pub(crate) const ALL: [Self; 6] =
        [Self::Openai, Self::Axolotl, Self::Slime, Self::Limi, Self::Llamafactory, Self::Sharegpt];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Axolotl => "axolotl",
            Self::Slime => "slime",
            Self::Limi => "limi",
            Self::Llamafactory => "llamafactory",
            Self::Sharegpt => "sharegpt",
        }
    }

    /// Whether it trains every reply of a row, whatever may be.
    #[must_use]
    pub const fn trains_every_reply(self) -> bool {
        matches!(self, Self::Limi | Self::Llamafactory | Self::Sharegpt)
    }

    /// Whether its form can train the text of a reply and not its calls.
    pub(crate) const fn trains_text_alone(self) -> bool {
        matches!(self, Self::Axolotl)
    }

    /// Whether its form has a place for reasoning.
    pub(crate) const fn holds_reasoning(self) -> bool {
        !matches!(self, Self::Openai | Self::Limi)
    }

    /// Whether its form has a place for images that are files.
    pub(crate) const fn holds_images(self) -> bool {
        matches!(self, Self::Axolotl | Self::Slime)
    }

    /// The row in its form; `None` when that form would train what must not be.
    pub(crate) fn form(self, draft: Draft<'_>, ledger: &mut Ledger) -> Option<Value> {
        let respelled = if self == Self::Openai { 0 } else { respelled(&draft) };
        let row = match self {
            Self::Openai => Some(openai::form(draft, ledger)),
            Self::Axolotl => Some(axolotl::form(draft, ledger)),
            Self::Slime => Some(slime::form(draft)),
            Self::Limi => limi::form(draft, ledger),
            Self::Llamafactory => sharegpt::llama_factory(draft, ledger),
            Self::Sharegpt => sharegpt::plain(draft, ledger),
        }?;
        let note = "Calls whose arguments are values here: the space between their tokens and the \
                    spelling of their texts and numbers are not the model's.";
        ledger.lose(ARGUMENT_SPELLING, respelled, note);
        Some(row)
    }
}

/// What the ledger calls arguments that are not spelled as they were sent.
pub(crate) const ARGUMENT_SPELLING: &str = "argument_spelling";

/// How many calls have arguments whose text is not the one that was sent.
fn respelled(draft: &Draft<'_>) -> u64 {
    let mut count = 0;
    for (message, sampled) in draft.messages.iter().zip(&draft.sample.messages) {
        let Message::Assistant { tool_calls, .. } = &sampled.message else { continue };
        for (place, call) in tool_calls.iter().enumerate() {
            let sent = call.function.arguments.trim();
            let value = &message["tool_calls"][place]["function"]["arguments"];
            let spelt = value.to_string();
            count += u64::from(!sent.is_empty() && spelt != sent);
        }
    }
    count
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

/// For forms of which every reply is trained: none for a row with one that must not be.
fn without_untrained(draft: &Draft<'_>, ledger: &mut Ledger) -> Option<()> {
    let untrained = |(message, train): (&Value, &Train)| {
        message["role"] == "assistant" && *train != Train::Everything
    };
    if draft.messages.iter().zip(&draft.train).any(untrained) {
        let note = "Rows with a reply that must not be trained: this form trains every reply.";
        ledger.lose("rows_with_an_untrained_reply", 1, note);
        return None;
    }
    Some(())
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
            message[key] = value(*train != Train::Nothing);
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
