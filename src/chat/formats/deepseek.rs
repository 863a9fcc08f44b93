//! DeepSeek V3 and R1: special tokens around each call, its arguments in a fence of Markdown.

use serde_json::value::RawValue;

use super::{Call, between, object};

const ALL: [&str; 2] = ["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"];

pub(super) fn read(text: &str) -> (String, Vec<Call>) {
    let (mut said, calls) =
        between(text, ("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"), |body| {
            let (_kind, body) = body.split_once("<｜tool▁sep｜>")?;
            let (name, body) = body.split_once('\n')?;
            let body = body.trim();
            let body = body.strip_prefix("```json").unwrap_or(body);
            let body = body.strip_suffix("```").unwrap_or(body).trim();
            let raw: &RawValue = serde_json::from_str(body).ok()?;
            Some(Call { name: name.trim().to_owned(), arguments: object(raw)? })
        });
    if !calls.is_empty() {
        // The tokens around all of them are no text either.
        for token in ALL {
            said = said.replacen(token, "", 1);
        }
    }
    (said, calls)
}
