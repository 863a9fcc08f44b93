//! The JSON of Chat Completions, as loosely as servers write it and as cheaply as it can be read.
//! That of Responses is in `responses`; usage and errors, which both share, have a file each.
//!
//! A chunk is parsed straight into borrowed strings; what is rare (usage, errors) stays raw until
//! somebody wants it. Numbers where a string should be are taken; unknown keys are passed over.
//! What this cannot read (half characters, bytes that are no UTF-8, indices that are no index,
//! content in parts) is an error here, and is read a second time by the tolerant reader. What that
//! one cannot read either is said to be missing, so that nothing is lost in silence.

mod piece;
pub(crate) mod responses;
mod told;
mod tolerant;
mod usage;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::value::RawValue;

pub(crate) use self::piece::{Piece, end as end_piece};
pub(crate) use self::told::{Told, told};
pub(crate) use self::tolerant::read as read_tolerantly;
pub(crate) use self::usage::{add_timings, usage};

/// A chunk of a stream, or a whole completion.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Chunk<'a> {
    #[serde(borrow)]
    pub(crate) id: Loose<'a>,
    #[serde(borrow)]
    pub(crate) object: Loose<'a>,
    #[serde(borrow)]
    pub(crate) model: Loose<'a>,
    #[serde(borrow)]
    pub(crate) choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    /// The ids of the prompt's tokens, where they were asked for.
    #[serde(borrow)]
    pub(crate) prompt_token_ids: Option<&'a RawValue>,
    /// llama.cpp's own count.
    #[serde(borrow)]
    pub(crate) timings: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Choice<'a> {
    pub(crate) index: Option<u32>,
    #[serde(borrow)]
    pub(crate) delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(crate) message: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(crate) finish_reason: Loose<'a>,
    /// The ids that were sampled since the last piece.
    #[serde(borrow)]
    pub(crate) token_ids: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Delta<'a> {
    #[serde(borrow)]
    pub(crate) reasoning_content: Piece<'a>,
    #[serde(borrow)]
    pub(crate) reasoning: Piece<'a>,
    #[serde(borrow)]
    pub(crate) content: Piece<'a>,
    #[serde(borrow)]
    pub(crate) refusal: Piece<'a>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<CallDelta<'a>>>,
    /// OpenRouter's: reasoning as the provider behind it signs it.
    #[serde(borrow)]
    pub(crate) reasoning_details: Option<&'a RawValue>,
}

impl Delta<'_> {
    /// Whether it says nothing: a role, empty pieces.
    pub(crate) fn is_blank(&self) -> bool {
        let pieces = [&self.reasoning_content, &self.reasoning, &self.content, &self.refusal];
        pieces.iter().all(|piece| piece.is_empty())
            && self.tool_calls.as_ref().is_none_or(Vec::is_empty)
            && self.reasoning_details.is_none()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CallDelta<'a> {
    pub(crate) index: Option<u32>,
    #[serde(borrow)]
    pub(crate) id: Loose<'a>,
    #[serde(borrow)]
    pub(crate) function: Option<FunctionDelta<'a>>,
    /// Gemini's: the signature of the thought behind the call.
    #[serde(borrow)]
    pub(crate) extra_content: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FunctionDelta<'a> {
    #[serde(borrow)]
    pub(crate) name: Loose<'a>,
    #[serde(borrow)]
    pub(crate) arguments: Arguments<'a>,
}

/// The arguments: a string's content, or, from servers that send an object, its JSON.
#[derive(Debug, Default)]
pub(crate) struct Arguments<'a>(pub(crate) Piece<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Arguments<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match json.as_bytes().first() {
            Some(b'"') => serde_json::from_str(json).map_err(de::Error::custom)?,
            Some(b'n') => Piece::default(),
            _ => Piece::Whole(Cow::Borrowed(json)),
        }))
    }
}

/// A string that may be missing, null, or a number.
#[derive(Debug, Default)]
pub(crate) struct Loose<'a>(pub(crate) Option<Cow<'a, str>>);

impl Loose<'_> {
    /// The text, unless there is none or it is empty.
    pub(crate) fn text(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Loose<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LooseVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Piece<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Loose::deserialize(deserializer)?;
        Ok(Self::Whole(text.0.unwrap_or_default()))
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Loose(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Loose(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Loose(Some(Cow::Owned(text))))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Loose(None))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Loose(Some(Cow::Owned(number.to_string()))))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Loose(Some(Cow::Owned(number.to_string()))))
    }
}

#[cfg(test)]
mod tests;
