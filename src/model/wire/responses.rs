//! The JSON of Responses: events, output items, the whole response.
//!
//! Read like that of Chat Completions: straight into borrowed strings, and what cannot be read so
//! is read a second time, value by value.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Arguments, Loose, Piece};

pub(crate) use super::tolerant::read_event as read_tolerantly;

/// An event of a stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Loose<'a>,
    /// A whole response has no type.
    #[serde(borrow)]
    pub(crate) object: Loose<'a>,
    pub(crate) output_index: Option<u32>,
    pub(crate) summary_index: Option<u32>,
    #[serde(borrow)]
    pub(crate) item_id: Loose<'a>,
    #[serde(borrow)]
    pub(crate) delta: Piece<'a>,
    #[serde(borrow)]
    pub(crate) arguments: Arguments<'a>,
    #[serde(borrow)]
    pub(crate) input: Piece<'a>,
    #[serde(borrow)]
    pub(crate) item: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) response: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// An item of the output.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OutputItem<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Loose<'a>,
    #[serde(borrow)]
    pub(crate) id: Loose<'a>,
    #[serde(borrow)]
    pub(crate) call_id: Loose<'a>,
    #[serde(borrow)]
    pub(crate) name: Loose<'a>,
    #[serde(borrow)]
    pub(crate) arguments: Arguments<'a>,
    #[serde(borrow)]
    pub(crate) input: Piece<'a>,
    #[serde(borrow)]
    pub(crate) content: Option<Vec<Section<'a>>>,
    #[serde(borrow)]
    pub(crate) summary: Option<Vec<Section<'a>>>,
}

/// A part of an item.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Section<'a> {
    #[serde(borrow)]
    pub(crate) text: Piece<'a>,
    #[serde(borrow)]
    pub(crate) refusal: Piece<'a>,
}

/// A whole response.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Response<'a> {
    #[serde(borrow)]
    pub(crate) id: Loose<'a>,
    #[serde(borrow)]
    pub(crate) model: Loose<'a>,
    #[serde(borrow)]
    pub(crate) status: Loose<'a>,
    #[serde(borrow)]
    pub(crate) output: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) incomplete_details: Option<Incomplete<'a>>,
}

/// Why a response is not whole.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Incomplete<'a> {
    #[serde(borrow)]
    pub(crate) reason: Loose<'a>,
}
