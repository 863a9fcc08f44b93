//! Hermes: JSON between `<tool_call>` and `</tool_call>`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Call, between, object};

#[derive(Deserialize)]
struct Written<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

pub(super) fn read(text: &str) -> (String, Vec<Call>) {
    between(text, ("<tool_call>", "</tool_call>"), |body| {
        let written: Written<'_> = serde_json::from_str(body.trim()).ok()?;
        let arguments = match written.arguments {
            Some(raw) => object(raw)?,
            None => "{}".to_owned(),
        };
        Some(Call { name: written.name, arguments })
    })
}
