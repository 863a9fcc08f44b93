//! A line of a dataset: what it holds, told from its keys.

use std::path::Path;

use chat::ChatError;
use serde::Deserialize;
use serde_json::Value;

use crate::error::TrainingError;

/// Why a row is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What is wrong with it, and what to do.
    Row(String, &'static str),
    /// The template says both.
    Chat(ChatError),
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>, remedy: &'static str) -> Self {
        Self::Row(reason.into(), remedy)
    }

    /// The error of a line.
    pub(super) fn at(self, path: &Path, line: usize) -> TrainingError {
        let path = path.to_owned();
        match self {
            Self::Row(reason, remedy) => {
                TrainingError::Line { path, line, reason, remedy: remedy.to_owned() }
            }
            Self::Chat(error) => TrainingError::LineChat { path, line, error },
        }
    }
}

/// What a line may say. Keys that are not here are somebody else's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Row {
    pub(super) input_ids: Option<Vec<u32>>,
    pub(super) labels: Option<Vec<i64>>,
    pub(super) completion_mask: Option<Vec<Flag>>,
    pub(super) assistant_masks: Option<Vec<Flag>>,
    pub(super) messages: Option<Value>,
    pub(super) prompt: Option<Value>,
    pub(super) completion: Option<Value>,
    pub(super) conversations: Option<serde::de::IgnoredAny>,
    pub(super) text: Option<serde::de::IgnoredAny>,
    pub(super) tools: Option<Value>,
    pub(super) train: Option<Vec<bool>>,
    pub(super) session: Option<String>,
    pub(super) sample: Option<u64>,
    pub(super) row: Option<u64>,
    pub(super) origin: Option<Origin>,
    pub(super) id: Option<Value>,
}

/// Where a row in the form of another trainer comes from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Origin {
    session: Option<String>,
    sample: Option<u64>,
    row: Option<u64>,
}

/// Yes or no, as a word or a number.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Flag {
    Word(bool),
    Number(u8),
}

impl Flag {
    pub(super) const fn is_set(self) -> bool {
        match self {
            Self::Word(is_set) => is_set,
            Self::Number(number) => number != 0,
        }
    }
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tokens with their mask.
    Tokens,
    /// A conversation.
    Messages,
}

impl Row {
    /// What it is, or why it is none that can be trained on.
    pub(super) fn kind(&self) -> Result<Kind, Refusal> {
        if self.input_ids.is_some() {
            return Ok(Kind::Tokens);
        }
        if self.messages.is_some() || self.prompt.is_some() && self.completion.is_some() {
            return Ok(Kind::Messages);
        }
        let what = if self.conversations.is_some() {
            "it is a row of ShareGPT (`conversations`)"
        } else if self.text.is_some() {
            "it is plain text, which does not say what the model wrote"
        } else {
            "it has neither `messages`, nor `prompt` and `completion`, nor `input_ids`"
        };
        let remedy = "Write rows with `messages` and `tools`, as docs/training.md shows.";
        Err(Refusal::new(what, remedy))
    }

    /// What it is called, and what keeps together: `None` when it does not say.
    pub(super) fn name(&self) -> Option<(String, String)> {
        let origin = self.origin.as_ref();
        let session = self.session.as_ref().or(origin.and_then(|it| it.session.as_ref()));
        if let Some(session) = session {
            let sample = self.sample.or(origin.and_then(|it| it.sample)).unwrap_or(0);
            let row = self.row.or(origin.and_then(|it| it.row)).unwrap_or(0);
            return Some((format!("{session}/{sample}.{row}"), session.clone()));
        }
        let id = match self.id.as_ref()? {
            Value::String(id) if !id.is_empty() && id.len() <= ID_BYTES_MAX => id.clone(),
            Value::Number(id) => id.to_string(),
            _ => return None,
        };
        Some((id.clone(), id))
    }

    /// The session it comes from, where it is one of ours.
    pub(super) fn session(&self) -> Option<&str> {
        let origin = self.origin.as_ref().and_then(|origin| origin.session.as_deref());
        self.session.as_deref().or(origin)
    }
}

/// Longer ids are no names.
const ID_BYTES_MAX: usize = 256;
