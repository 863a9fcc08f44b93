//! Reading what a model sent as arguments, and saying what is wrong with it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use trajectory::ToolSpec;

/// The longest arguments that are read, bytes.
const ARGUMENTS_BYTES_MAX: usize = 16 << 20;

/// Reads the arguments of a call.
///
/// # Errors
/// Sentences for the model: each wrong field by its name, then the shape that is expected.
pub(crate) fn parse<T: DeserializeOwned>(spec: &ToolSpec, arguments: &str) -> Result<T, String> {
    let object = object(arguments).map_err(|problem| explain(spec, &[problem]))?;
    let (object, problems) = check(spec, object);
    if !problems.is_empty() {
        return Err(explain(spec, &problems));
    }
    serde_json::from_value(Value::Object(object))
        .map_err(|error| explain(spec, &[format!("{error}")]))
}

fn object(arguments: &str) -> Result<Map<String, Value>, String> {
    if arguments.len() > ARGUMENTS_BYTES_MAX {
        return Err(format!(
            "they are {} bytes long; the most is {ARGUMENTS_BYTES_MAX}",
            arguments.len()
        ));
    }
    if arguments.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("they are {}, not a JSON object", word(&other))),
        Err(error) => Err(format!("they are not valid JSON: {error}")),
    }
}

/// Holds an object against the schema. An optional field that is null counts as absent, and a
/// whole number may come as `2.0`: models send both, and neither can be misread.
fn check(spec: &ToolSpec, object: Map<String, Value>) -> (Map<String, Value>, Vec<String>) {
    let empty = Map::new();
    let properties = spec.parameters.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let mut problems = Vec::new();
    let mut read = Map::new();
    for (name, value) in object {
        let Some(property) = properties.get(&name) else {
            problems.push(format!("unknown field `{}`", shorten(&name)));
            continue;
        };
        if value.is_null() && !is_required(spec, &name) {
            continue;
        }
        let kind = property.get("type").and_then(Value::as_str).unwrap_or_default();
        match coerce(kind, value) {
            Ok(value) => {
                read.insert(name, value);
            }
            Err(value) => problems.push(format!(
                "field `{name}` must be {}, not {}",
                expected(kind),
                word(&value)
            )),
        }
    }
    for name in properties.keys() {
        if is_required(spec, name) && !read.contains_key(name) {
            let told = format!("field `{name}` must be");
            if !problems.iter().any(|problem| problem.starts_with(&told)) {
                problems.push(format!("missing field `{name}`"));
            }
        }
    }
    (read, problems)
}

fn coerce(kind: &str, value: Value) -> Result<Value, Value> {
    match (kind, &value) {
        ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => Ok(value),
        ("integer", Value::Number(number)) => {
            if number.is_u64() {
                return Ok(value);
            }
            match number.as_f64() {
                Some(float) if float.fract() == 0.0 && (0.0..=9e15).contains(&float) => {
                    // In range and whole, so nothing is lost.
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                    let whole = float as u64;
                    Ok(Value::from(whole))
                }
                _ => Err(value),
            }
        }
        _ => Err(value),
    }
}

fn expected(kind: &str) -> &'static str {
    match kind {
        "integer" => "a whole number from 0",
        "boolean" => "true or false",
        _ => "a string",
    }
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("the string {:?}", shorten(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn is_required(spec: &ToolSpec, name: &str) -> bool {
    let required = spec.parameters.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|required| required == name))
}

fn explain(spec: &ToolSpec, problems: &[String]) -> String {
    let shown: Vec<&str> = problems.iter().take(8).map(String::as_str).collect();
    format!(
        "The arguments of {} cannot be used: {}. Expected: {}. Nothing was done.",
        spec.name,
        shown.join("; "),
        shape(spec)
    )
}

/// The arguments in short: `{"file_path": string, "limit"?: integer}`.
fn shape(spec: &ToolSpec) -> String {
    let properties = spec.parameters.get("properties").and_then(Value::as_object);
    let fields: Vec<String> = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let kind = property.get("type").and_then(Value::as_str).unwrap_or("string");
            let mark = if is_required(spec, name) { "" } else { "?" };
            format!("\"{name}\"{mark}: {kind}")
        })
        .collect();
    format!("{{{}}}", fields.join(", "))
}

#[cfg(test)]
mod tests;
