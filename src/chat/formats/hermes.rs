//! Hermes: JSON between `<tool_call>` and `</tool_call>`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::{Found, Json};
use super::{Call, object};

pub(super) const OPEN: &str = "<tool_call>";
pub(super) const CLOSE: &str = "</tool_call>";

#[derive(Deserialize)]
struct Written<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// What stands at the opening tag with which this text begins. A closing tag inside a text of the
/// arguments closes nothing.
pub(super) fn find(text: &str, is_end: bool) -> Found {
    let body = text[OPEN.len()..].trim_start();
    if !body.is_empty() && !body.starts_with('{') {
        return Found::None(OPEN.len());
    }
    let end = match Json::of(body) {
        Json::End(end) => end,
        Json::Open => return Found::open(is_end, OPEN),
        Json::Broken => return Found::None(OPEN.len()),
    };
    let after = body[end..].trim_start();
    let end_of_call = match after.strip_prefix(CLOSE) {
        Some(rest) => text.len() - rest.len(),
        // The last one may lack its end: the token that closes it is a stop of some servers.
        None if after.is_empty() && is_end => text.len(),
        None if CLOSE.starts_with(after) => return Found::open(is_end, OPEN),
        None => return Found::None(OPEN.len()),
    };
    match call(&body[..end]) {
        Some(call) => Found::Call(call, end_of_call),
        None => Found::None(OPEN.len()),
    }
}

fn call(body: &str) -> Option<Call> {
    let written: Written<'_> = serde_json::from_str(body).ok()?;
    let arguments = match written.arguments {
        Some(raw) => object(raw)?,
        None => "{}".to_owned(),
    };
    Some(Call { name: written.name, arguments })
}
