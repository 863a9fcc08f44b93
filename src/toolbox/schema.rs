//! From an input struct to what the model reads.
//!
//! The struct's doc comment is the tool's description, the fields' doc comments are those of its
//! parameters. Every training sample carries the result, so what no model needs is left out.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};
use trajectory::{ToolEffect, ToolSpec};

/// The specification of the tool that takes a `T`.
pub(crate) fn spec<T: JsonSchema>(name: &str, effect: ToolEffect) -> ToolSpec {
    let schema = schemars::schema_for!(T).to_value();
    let properties: Map<String, Value> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.clone(), parameter(property)))
        .collect();
    let mut parameters = Map::new();
    parameters.insert("type".to_owned(), json!("object"));
    parameters.insert("properties".to_owned(), Value::Object(properties));
    if let Some(required) = schema.get("required") {
        parameters.insert("required".to_owned(), required.clone());
    }
    parameters.insert("additionalProperties".to_owned(), json!(false));
    ToolSpec {
        name: name.to_owned(),
        description: description(&schema),
        parameters: Value::Object(parameters),
        effect,
        grammar: None,
    }
}

fn parameter(property: &Value) -> Value {
    let mut kept = Map::new();
    kept.insert("type".to_owned(), json!(kind(property)));
    let text = description(property);
    if !text.is_empty() {
        kept.insert("description".to_owned(), Value::String(text));
    }
    Value::Object(kept)
}

/// The type of a parameter; an optional one is `[type, "null"]` in the derived schema.
fn kind(property: &Value) -> &str {
    match property.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("string")
        }
        _ => "string",
    }
}

fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
