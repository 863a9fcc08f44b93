//! The bytes that a token stands for.
//!
//! Byte-level BPE spells each byte as a letter; SentencePiece spells a space as `▁` and what it has
//! no token for as `<0x0A>`. Tokens that were added to either are spelled as they are.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::bytes::alphabet;

#[cfg(test)]
mod tests;

/// The part of a `tokenizer.json` that says it.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    decoder: Value,
}

/// How a tokenizer spells bytes.
#[derive(Debug)]
pub(super) enum Spelling {
    /// A letter for each byte.
    Letters(HashMap<char, u8>),
    /// `▁` and `<0x0A>`.
    Pieces,
}

impl Spelling {
    /// What the decoder of a `tokenizer.json` says; `None` when it is of another kind.
    pub(super) fn of(json: &[u8]) -> Option<Self> {
        let Written { decoder } = serde_json::from_slice(json).ok()?;
        let steps = match decoder["decoders"].as_array() {
            Some(steps) => steps.as_slice(),
            None => std::slice::from_ref(&decoder),
        };
        let has = |kind: &str| steps.iter().any(|step| step["type"] == kind);
        if has("ByteLevel") {
            let letters = (0..=u8::MAX).zip(alphabet());
            return Some(Self::Letters(letters.map(|(byte, letter)| (letter, byte)).collect()));
        }
        let replaces = |step: &Value| {
            step["type"] == "Metaspace"
                || (step["type"] == "Replace" && step["pattern"]["String"] == "▁")
        };
        steps.iter().any(replaces).then_some(Self::Pieces)
    }

    /// The bytes of a token that was not added.
    pub(super) fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Self::Letters(letters) => {
                let bytes: Option<Vec<u8>> =
                    token.chars().map(|letter| letters.get(&letter).copied()).collect();
                bytes.unwrap_or_else(|| token.as_bytes().to_vec())
            }
            Self::Pieces => match byte(token) {
                Some(byte) => vec![byte],
                None => token.replace('▁', " ").into_bytes(),
            },
        }
    }
}

/// The byte of `<0x0A>`.
fn byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}
