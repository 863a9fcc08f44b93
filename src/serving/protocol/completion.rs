//! A request of `/v1/completions`: a text to go on with.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::ApiError;
use super::fields::{Fields, value};
use super::generation::{Generation, NAMES, logprobs_within};

const NAME: &str = "prompt";

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
        names.push(NAME);
        let fields = Fields::read(body, &names)?;
        let mut generation = Generation::read(&fields)?;
        let logprobs: Option<usize> = fields.take("logprobs")?;
        generation.logprobs =
            logprobs.map(|count| logprobs_within("logprobs", count)).transpose()?;
        Ok(Self { prompt: prompt(&fields)?, generation })
    }
}

fn prompt(fields: &Fields<'_>) -> Result<Written, ApiError> {
    let raw: &RawValue = fields
        .take(NAME)?
        .ok_or_else(|| ApiError::field(NAME, "`prompt` is missing. Give a text."))?;
    // What it holds is told by its first signs, so that a long list of ids is read once and kept as
    // nothing but ids.
    let list = raw.get().strip_prefix('[').map(str::trim_start);
    let written = match list {
        None => value(NAME, raw)?.map(Written::Text),
        Some(list) if list.starts_with('"') => lone(raw)?.map(Written::Text),
        Some(list) if list.starts_with('[') => lone(raw)?.map(Written::Ids),
        Some(_) => value(NAME, raw)?.map(Written::Ids),
    };
    written.ok_or_else(|| ApiError::field(NAME, "`prompt` is empty. Give a text."))
}

/// What a list holds, which is to be one thing.
fn lone<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<Option<T>, ApiError> {
    match value(NAME, raw)? {
        Some(First { more: true, .. }) => Err(ApiError::unsupported(
            NAME,
            "`prompt` holds several texts. One is gone on with in a request: send one request for each.",
        )),
        first => Ok(first.and_then(|First { first, .. }| first)),
    }
}

/// The first thing in a list, and whether there are more.
struct First<T> {
    first: Option<T>,
    more: bool,
}

impl<'a, T: Deserialize<'a>> Deserialize<'a> for First<T> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(OfFirst(PhantomData))
    }
}

struct OfFirst<T>(PhantomData<T>);

impl<'a, T: Deserialize<'a>> Visitor<'a> for OfFirst<T> {
    type Value = First<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<First<T>, A::Error> {
        let mut first = First { first: list.next_element()?, more: false };
        while list.next_element::<IgnoredAny>()?.is_some() {
            first.more = true;
        }
        Ok(first)
    }
}
