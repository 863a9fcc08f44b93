//! DeepSeek: special tokens around each call. V3 and R1 say what kind of call it is and put its
//! arguments into a fence of Markdown; V3.1 writes the name and the arguments.

use serde_json::value::RawValue;

use super::stream::{Found, Json};
use super::{Call, object};

pub(super) const CALLS_BEGIN: &str = "<｜tool▁calls▁begin｜>";
pub(super) const CALLS_END: &str = "<｜tool▁calls▁end｜>";
pub(super) const BEGIN: &str = "<｜tool▁call▁begin｜>";
pub(super) const END: &str = "<｜tool▁call▁end｜>";
pub(super) const SEPARATOR: &str = "<｜tool▁sep｜>";
const FENCE: &str = "```";
pub(super) const FENCE_OF_JSON: &str = "```json";

/// What stands before the separator is a name, or the word `function`.
const NAME_BYTES_MAX: usize = 1024;

/// What stands at the tag with which this text begins: that of all calls, or that of one.
pub(super) fn find(text: &str, is_end: bool) -> Found {
    let (tag, one) = match text.strip_prefix(CALLS_BEGIN) {
        Some(rest) => (CALLS_BEGIN, rest.trim_start()),
        None => (BEGIN, text),
    };
    let Some(within) = one.strip_prefix(BEGIN) else {
        return if BEGIN.starts_with(one) {
            Found::open(is_end, tag)
        } else {
            Found::None(tag.len())
        };
    };
    match read(within, is_end) {
        Read::Call(call, rest) => Found::Call(call, text.len() - rest),
        Read::None => Found::None(tag.len()),
        Read::Open => Found::open(is_end, tag),
    }
}

enum Read {
    /// A call, and how many bytes follow it.
    Call(Call, usize),
    None,
    Open,
}

fn read(within: &str, is_end: bool) -> Read {
    let Some((before, after)) = within.split_once(SEPARATOR) else {
        let is_none = within.contains(END) || within.len() > NAME_BYTES_MAX + SEPARATOR.len();
        return if is_none { Read::None } else { Read::Open };
    };
    let plain = after.trim_start();
    if before.contains(END) || before.len() > NAME_BYTES_MAX {
        return Read::None;
    }
    let (name, body, is_plain) = if plain.starts_with('{') {
        (before, plain, true)
    } else {
        match after.split_once('\n') {
            Some((name, _)) if name.len() > NAME_BYTES_MAX => return Read::None,
            Some((name, body)) => (name, body.trim_start(), false),
            None if after.len() > NAME_BYTES_MAX && !plain.is_empty() => return Read::None,
            None => return Read::Open,
        }
    };
    if !is_plain && body.len() < FENCE_OF_JSON.len() && FENCE_OF_JSON.starts_with(body) {
        return Read::Open;
    }
    let body = if is_plain { body } else { body.strip_prefix(FENCE_OF_JSON).unwrap_or(body) };
    let body = body.trim_start();
    if !body.is_empty() && !body.starts_with(['{', '"']) {
        return Read::None;
    }
    let end = match Json::of(body) {
        Json::End(end) => end,
        Json::Open => return Read::Open,
        Json::Broken => return Read::None,
    };
    let mut after = body[end..].trim_start();
    if !is_plain {
        if after.len() < FENCE.len() && FENCE.starts_with(after) && !(after.is_empty() && is_end) {
            return Read::Open;
        }
        after = after.strip_prefix(FENCE).unwrap_or(after).trim_start();
    }
    let rest = match after.strip_prefix(END) {
        Some(rest) => rest.len(),
        None if after.is_empty() && is_end => 0,
        None if END.starts_with(after) => return Read::Open,
        None => return Read::None,
    };
    let raw: Option<&RawValue> = serde_json::from_str(&body[..end]).ok();
    match raw.and_then(object) {
        Some(arguments) => Read::Call(Call { name: name.trim().to_owned(), arguments }, rest),
        None => Read::None,
    }
}
