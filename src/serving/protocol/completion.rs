//! A request of `/v1/completions`: a text to go on with.

use serde_json::value::RawValue;

use super::error::ApiError;
use super::fields::{Fields, value};
use super::generation::{Generation, NAMES, logprobs_within};

/// What is gone on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A text, in which special tokens are read as such.
    Text(String),
    /// Its tokens.
    Ids(Vec<u32>),
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CompletionRequest {
    pub(crate) prompt: Written,
    pub(crate) generation: Generation,
}

impl CompletionRequest {
    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let mut names = NAMES.to_vec();
        names.push("prompt");
        let fields = Fields::read(body, &names)?;
        let mut generation = Generation::read(&fields)?;
        let logprobs: Option<usize> = fields.take("logprobs")?;
        generation.logprobs =
            logprobs.map(|count| logprobs_within("logprobs", count)).transpose()?;
        Ok(Self { prompt: prompt(&fields)?, generation })
    }
}

fn prompt(fields: &Fields<'_>) -> Result<Written, ApiError> {
    const NAME: &str = "prompt";
    let raw: &RawValue = fields
        .take(NAME)?
        .ok_or_else(|| ApiError::field(NAME, "`prompt` is missing. Give a text."))?;
    if raw.get().starts_with('"') {
        return Ok(Written::Text(value(NAME, raw)?.unwrap_or_default()));
    }
    let list: Vec<&RawValue> = value(NAME, raw)?.unwrap_or_default();
    match list.as_slice() {
        [one] if one.get().starts_with(['"', '[']) => {
            let raw = one.get();
            let within = if raw.starts_with('"') {
                value(NAME, one)?.map(Written::Text)
            } else {
                value(NAME, one)?.map(Written::Ids)
            };
            within.ok_or_else(|| ApiError::field(NAME, "`prompt` is empty. Give a text."))
        }
        [first, ..] if first.get().starts_with(['"', '[']) => Err(ApiError::unsupported(
            NAME,
            "`prompt` holds several texts. One is gone on with in a request: send one request for each.",
        )),
        _ => Ok(Written::Ids(value(NAME, raw)?.unwrap_or_default())),
    }
}
