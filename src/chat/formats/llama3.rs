//! Llama 3: the reply is nothing but `{"name": …, "parameters": …}`, or several of them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Call, object};

#[derive(Deserialize)]
struct Written<'a> {
    name: String,
    #[serde(borrow, alias = "arguments")]
    parameters: Option<&'a RawValue>,
}

pub(super) fn read(text: &str) -> (String, Vec<Call>) {
    let body = text.trim();
    let body = body.strip_prefix("<|python_tag|>").unwrap_or(body).trim_start();
    match calls(body) {
        Some(calls) => (String::new(), calls),
        None => (text.to_owned(), Vec::new()),
    }
}

/// The calls, when the text is nothing else.
fn calls(body: &str) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let mut written = serde_json::Deserializer::from_str(rest).into_iter::<Written<'_>>();
        let call = written.next()?.ok()?;
        let arguments = match call.parameters {
            Some(raw) => object(raw)?,
            None => "{}".to_owned(),
        };
        let end = written.byte_offset();
        calls.push(Call { name: call.name, arguments });
        rest = rest[end..].trim_start_matches(|sign: char| sign == ';' || sign.is_whitespace());
    }
    (!calls.is_empty()).then_some(calls)
}
