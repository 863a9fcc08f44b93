//! The file that a scripted model plays: `limn-script`, version 1, TOML.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::ModelError;

const FORMAT: &str = "limn-script";
const VERSION: u32 = 1;

/// A whole script.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    format: String,
    version: u32,
    pub(crate) title: String,
    /// Who wrote it, and that no model did.
    pub(crate) about: String,
    /// Where the task comes from, and under which licence.
    pub(crate) source: Option<String>,
    /// The pause before each piece.
    #[serde(default)]
    pub(crate) delay_ms: u64,
    pub(crate) rounds: Vec<Round>,
}

/// A prompt, and the turns that answer it: all but the last make calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Round {
    pub(crate) prompt: String,
    pub(crate) turns: Vec<Turn>,
}

/// One reply.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Turn {
    pub(crate) reasoning: Option<String>,
    pub(crate) text: Option<String>,
    /// What must occur in the observations since the turn before.
    #[serde(default)]
    pub(crate) expect: Vec<String>,
    #[serde(default)]
    pub(crate) calls: Vec<Call>,
}

/// A tool call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Keys in the order of the file: it is the order in which they are sent.
    #[serde(default)]
    pub(crate) arguments: Map<String, Value>,
}

impl Script {
    /// Reads a script; `file` is its name in messages.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, ModelError> {
        let wrong = |line: usize, reason: String| ModelError::Script {
            file: file.to_owned(),
            line,
            reason,
        };
        let script: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| line_of(text, span.start));
            wrong(line, crate::failure::tame(error.message(), 400))
        })?;
        script.check().map_err(|reason| wrong(0, reason))?;
        Ok(script)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format is {:?}, not {FORMAT:?}", self.format));
        }
        if self.version != VERSION {
            return Err(format!("version {} is not known, only {VERSION}", self.version));
        }
        if self.rounds.is_empty() {
            return Err("there are no rounds".to_owned());
        }
        for (index, round) in self.rounds.iter().enumerate() {
            let number = index + 1;
            let Some((last, before)) = round.turns.split_last() else {
                return Err(format!("round {number} has no turns"));
            };
            if let Some(turn) = before.iter().position(|turn| turn.calls.is_empty()) {
                return Err(format!(
                    "round {number}, turn {}: it makes no calls, so nothing can follow it",
                    turn + 1
                ));
            }
            if !last.calls.is_empty() {
                return Err(format!(
                    "round {number}: its last turn makes calls, and no turn answers what comes back"
                ));
            }
            let is_empty = |turn: &Turn| {
                turn.text.as_deref().unwrap_or_default().is_empty() && turn.calls.is_empty()
            };
            if let Some(turn) = round.turns.iter().position(is_empty) {
                return Err(format!("round {number}, turn {}: no text and no calls", turn + 1));
            }
        }
        Ok(())
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + memchr::memchr_iter(b'\n', before).count()
}
