//! From an input struct to what the model reads.
//!
//! The struct's doc comment is the tool's description, the fields' doc comments are those of its
//! parameters. Every training sample carries the result, so what no model needs is left out: what
//! stays is the subset that [`crate::arguments`] checks. That no other field is allowed is not
//! said; whoever sends one is told.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use trajectory::{ToolEffect, ToolSpec};

/// How deep parameters may be nested: a list of objects with lists in them.
const LEVELS_MAX: usize = 4;

/// The specification of the tool that takes a `T`.
pub(crate) fn spec<T: JsonSchema>(name: &str, effect: ToolEffect) -> ToolSpec {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    ToolSpec {
        name: name.to_owned(),
        description: description(&schema),
        parameters: Value::Object(object(&schema, LEVELS_MAX)),
        effect,
        grammar: None,
    }
}

fn object(schema: &Value, levels: usize) -> Map<String, Value> {
    let properties: Map<String, Value> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, property)| (name.clone(), parameter(property, levels)))
        .collect();
    let mut kept = Map::new();
    kept.insert("type".to_owned(), json!("object"));
    kept.insert("properties".to_owned(), Value::Object(properties));
    if let Some(required) = schema.get("required") {
        kept.insert("required".to_owned(), required.clone());
    }
    kept
}

fn parameter(property: &Value, levels: usize) -> Value {
    let inner = some(property);
    let kind = kind(inner);
    let mut kept = match kind {
        "object" if levels > 0 => object(inner, levels - 1),
        _ => Map::from_iter([("type".to_owned(), json!(kind))]),
    };
    if let Some(words) = inner.get("enum") {
        kept.insert("enum".to_owned(), words.clone());
    }
    if let Some(items) = inner.get("items").filter(|_| levels > 0) {
        kept.insert("items".to_owned(), parameter(items, levels - 1));
    }
    let text = description(property);
    if !text.is_empty() {
        kept.insert("description".to_owned(), Value::String(text));
    }
    Value::Object(kept)
}

/// What an optional parameter is when it is there.
fn some(property: &Value) -> &Value {
    let choices = property.get("anyOf").and_then(Value::as_array);
    let is_null = |choice: &&Value| choice.get("type").is_some_and(|kind| kind == "null");
    choices.and_then(|choices| choices.iter().find(|choice| !is_null(choice))).unwrap_or(property)
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
