//! The JSON of Chat Completions, as loosely as servers write it and as cheaply as it can be read.
//!
//! A chunk is parsed straight into borrowed strings; what is rare (usage, errors) stays raw until
//! somebody wants it. Numbers where a string should be are taken; unknown keys are passed over.
//! What this cannot read (half characters, bytes that are no UTF-8, indices that are no index,
//! content in parts) is an error here, and is read a second time by the tolerant reader. What that
//! one cannot read either is said to be missing, so that nothing is lost in silence.

mod piece;
mod tolerant;

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use trajectory::Usage;

pub(crate) use self::piece::{Piece, end as end_piece};
pub(crate) use self::tolerant::read as read_tolerantly;

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
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CallDelta<'a> {
    pub(crate) index: Option<u32>,
    #[serde(borrow)]
    pub(crate) id: Loose<'a>,
    #[serde(borrow)]
    pub(crate) function: Option<FunctionDelta<'a>>,
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

/// No request has more tokens, whatever a server says.
const TOKENS_MAX: u64 = 1 << 40;

/// Token counts; `None` when the object counts nothing.
pub(crate) fn usage(json: &RawValue) -> Option<Usage> {
    let value: Value = serde_json::from_str(json.get()).ok()?;
    let count = |path: &[&str]| {
        let found = path.iter().try_fold(&value, |value, key| value.get(key))?;
        found.as_u64().map(|count| count.min(TOKENS_MAX))
    };
    let input = count(&["prompt_tokens"]);
    let output = count(&["completion_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    // DeepSeek counts the cache under a key of its own.
    let cached = count(&["prompt_tokens_details", "cached_tokens"])
        .or_else(|| count(&["prompt_cache_hit_tokens"]));
    let reasoning = count(&["completion_tokens_details", "reasoning_tokens"]);
    Some(Usage {
        input_tokens: input.unwrap_or(0),
        output_tokens: output.unwrap_or(0),
        cached_tokens: cached.unwrap_or(0),
        reasoning_tokens: reasoning.unwrap_or(0),
    })
}

/// An error as a server tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) message: String,
    /// A number that looks like an HTTP status.
    pub(crate) status: Option<u16>,
}

/// Finds what a server says of an error, in whichever of the usual shapes.
pub(crate) fn told(body: &[u8]) -> Option<Told> {
    let mut value: Value = serde_json::from_str(&String::from_utf8_lossy(body)).ok()?;
    // Gemini's gateway wraps its errors in a list.
    if let Some(first) = value.get_mut(0).map(Value::take) {
        value = first;
    }
    let inner = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
    let message = ["message", "msg", "detail", "error", "title"]
        .into_iter()
        .find_map(|key| inner.get(key).filter(|found| !found.is_null()))
        .unwrap_or(inner);
    let message = match message {
        Value::String(text) => text.clone(),
        Value::Object(object) if object.is_empty() => return None,
        other => other.to_string(),
    };
    let status = ["code", "status", "status_code"].into_iter().find_map(|key| {
        let found = inner.get(key)?;
        let number = found.as_u64().or_else(|| found.as_str()?.parse().ok())?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    });
    Some(Told { message, status })
}

#[cfg(test)]
mod tests;
