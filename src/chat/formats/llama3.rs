//! Llama 3: the reply is nothing but `{"name": …, "parameters": …}`, or several of them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stream::Json;
use super::{Call, object};

const TAG: &str = "<|python_tag|>";

#[derive(Deserialize)]
struct Written<'a> {
    name: String,
    #[serde(borrow, alias = "arguments")]
    parameters: Option<&'a RawValue>,
}

/// The calls, when the reply is nothing else; none when it is text; `None` when it is too early to
/// say, which it is up to the end unless it is text.
pub(super) fn find(text: &str, is_end: bool) -> Option<Vec<Call>> {
    let begun = text.trim_start();
    let body = match begun.strip_prefix(TAG) {
        Some(body) => body.trim_start(),
        None if TAG.starts_with(begun) && !is_end => return None,
        None => begun,
    };
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        if !rest.starts_with('{') {
            return Some(Vec::new());
        }
        let end = match Json::of(rest) {
            Json::End(end) => end,
            Json::Open => return is_end.then(Vec::new),
            Json::Broken => return Some(Vec::new()),
        };
        match call(&rest[..end]) {
            Some(call) => calls.push(call),
            None => return Some(Vec::new()),
        }
        rest = rest[end..].trim_start_matches(|sign: char| sign == ';' || sign.is_whitespace());
    }
    is_end.then_some(calls)
}

fn call(body: &str) -> Option<Call> {
    let written: Written<'_> = serde_json::from_str(body).ok()?;
    let arguments = match written.parameters {
        Some(raw) => object(raw)?,
        None => "{}".to_owned(),
    };
    Some(Call { name: written.name, arguments })
}
