//! DeepSeek: special tokens around each call. V3 and R1 say what kind of call it is and put its
//! arguments into a fence of Markdown; V3.1 writes the name and the arguments.

use serde_json::value::RawValue;

use super::{Call, between, object};

const ALL: [&str; 2] = ["<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"];

pub(super) fn read(text: &str) -> (String, Vec<Call>) {
    let (mut said, calls) =
        between(text, ("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"), |body| {
            let (before, after) = body.split_once("<｜tool▁sep｜>")?;
            let (name, body) = if after.trim_start().starts_with('{') {
                (before, after.trim())
            } else {
                let (name, body) = after.split_once('\n')?;
                let body = body.trim();
                let body = body.strip_prefix("```json").unwrap_or(body);
                (name, body.strip_suffix("```").unwrap_or(body).trim())
            };
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
