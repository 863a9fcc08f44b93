//! Reading what a model sent as arguments, and saying what is wrong with it.
//!
//! Models write numbers as strings, lists as the text of a list, null for what they leave out.
//! What can mean one thing only is read as that; everything else is told, field by field.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use trajectory::ToolSpec;

/// The longest arguments that are read, bytes.
const ARGUMENTS_BYTES_MAX: usize = 16 << 20;
const PROBLEMS_TOLD_MAX: usize = 8;
/// How long the shape that is told may be before its inner objects are left out.
const SHAPE_CHARS_MAX: usize = 400;

/// Reads the arguments of a call.
///
/// # Errors
/// Sentences for the model: each wrong field by its name, then the shape that is expected.
pub(crate) fn parse<T: DeserializeOwned>(spec: &ToolSpec, arguments: &str) -> Result<T, String> {
    let object = object(arguments).map_err(|problem| explain(spec, &[problem]))?;
    let mut check = Check::default();
    let object = check.object(&spec.parameters, object, "");
    if !check.problems.is_empty() {
        return Err(explain(spec, &check.problems));
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
        // Some servers encode the object twice.
        Ok(Value::String(text)) => match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(format!("they are {}, not a JSON object", word(&Value::String(text)))),
        },
        Ok(other) => Err(format!("they are {}, not a JSON object", word(&other))),
        Err(error) => Err(format!("they are not valid JSON: {error}")),
    }
}

/// Holds values against a schema of the kind that [`crate::schema`] makes.
#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    /// The fields that are known. An optional field that is null counts as absent.
    fn object(
        &mut self,
        schema: &Value,
        object: Map<String, Value>,
        at: &str,
    ) -> Map<String, Value> {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let place = |name: &str| {
            if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
        };
        let mut read = Map::new();
        let mut present = Vec::new();
        for (name, value) in object {
            let Some((known, property)) = properties.get_key_value(&name) else {
                self.problems.push(format!("unknown field `{}`", place(&shorten(&name))));
                continue;
            };
            if value.is_null() && !is_required(schema, &name) {
                continue;
            }
            present.push(known);
            if let Some(value) = self.value(property, value, &place(&name)) {
                read.insert(name, value);
            }
        }
        for name in properties.keys() {
            if is_required(schema, name) && !present.contains(&name) {
                self.problems.push(format!("missing field `{}`", place(name)));
            }
        }
        read
    }

    fn value(&mut self, schema: &Value, value: Value, at: &str) -> Option<Value> {
        let read = match kind(schema) {
            "integer" => integer(value),
            "boolean" => boolean(value),
            "array" => {
                return match array(schema, value) {
                    Ok(items) => Some(self.items(schema, items, at)),
                    Err(value) => self.refuse(schema, &value, at),
                };
            }
            "object" => {
                return match inner_object(value) {
                    Ok(object) => Some(Value::Object(self.object(schema, object, at))),
                    Err(value) => self.refuse(schema, &value, at),
                };
            }
            _ => string(schema, value),
        };
        match read {
            Ok(value) => Some(value),
            Err(value) => self.refuse(schema, &value, at),
        }
    }

    fn items(&mut self, schema: &Value, items: Vec<Value>, at: &str) -> Value {
        let item = schema.get("items").unwrap_or(&Value::Null);
        let items = items
            .into_iter()
            .enumerate()
            .filter_map(|(index, value)| self.value(item, value, &format!("{at}[{index}]")));
        Value::Array(items.collect())
    }

    fn refuse(&mut self, schema: &Value, value: &Value, at: &str) -> Option<Value> {
        let expected = expected(schema);
        self.problems.push(format!("field `{at}` must be {expected}, not {}", word(value)));
        None
    }
}

/// A whole number may come as `2.0`, or as a string of digits.
fn integer(value: Value) -> Result<Value, Value> {
    match &value {
        Value::Number(number) if number.is_u64() => Ok(value),
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && (0.0..=9e15).contains(&float) => {
                // In range and whole, so nothing is lost.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let whole = float as u64;
                Ok(Value::from(whole))
            }
            _ => Err(value),
        },
        Value::String(text) => text.trim().parse::<u64>().map(Value::from).map_err(|_| value),
        _ => Err(value),
    }
}

fn boolean(value: Value) -> Result<Value, Value> {
    match &value {
        Value::Bool(_) => Ok(value),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(Value::Bool(true)),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(Value::Bool(false)),
        _ => Err(value),
    }
}

/// A string; where only some words are allowed, the one that is meant, however it is spelled.
fn string(schema: &Value, value: Value) -> Result<Value, Value> {
    let Value::String(text) = &value else {
        return Err(value);
    };
    let Some(words) = schema.get("enum").and_then(Value::as_array) else {
        return Ok(value);
    };
    let plain = |text: &str| text.trim().to_lowercase().replace([' ', '-'], "_");
    let wanted = plain(text);
    let found = words.iter().find(|word| word.as_str().is_some_and(|word| plain(word) == wanted));
    found.cloned().ok_or(value)
}

/// A list may come as its own text, and a list of one as that one.
fn array(schema: &Value, value: Value) -> Result<Vec<Value>, Value> {
    let item = schema.get("items").map(kind).unwrap_or_default();
    match value {
        Value::Array(items) => Ok(items),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => Ok(items),
            Ok(Value::Object(object)) if item == "object" => Ok(vec![Value::Object(object)]),
            _ if item == "string" && !text.trim_start().starts_with('[') => {
                Ok(vec![Value::String(text)])
            }
            _ => Err(Value::String(text)),
        },
        Value::Object(object) if item == "object" => Ok(vec![Value::Object(object)]),
        value => Err(value),
    }
}

fn inner_object(value: Value) -> Result<Map<String, Value>, Value> {
    match value {
        Value::Object(object) => Ok(object),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(Value::String(text)),
        },
        value => Err(value),
    }
}

fn kind(schema: &Value) -> &str {
    schema.get("type").and_then(Value::as_str).unwrap_or("string")
}

fn expected(schema: &Value) -> String {
    match kind(schema) {
        "integer" => "a whole number from 0".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => match schema.get("items").map(kind) {
            Some("object") => "an array of objects".to_owned(),
            _ => "an array of strings".to_owned(),
        },
        "object" => "an object".to_owned(),
        _ => match words(schema) {
            Some(words) => format!("one of {}", words.join(", ")),
            None => "a string".to_owned(),
        },
    }
}

fn words(schema: &Value) -> Option<Vec<&str>> {
    let words = schema.get("enum").and_then(Value::as_array)?;
    Some(words.iter().filter_map(Value::as_str).collect())
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

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|required| required == name))
}

fn explain(spec: &ToolSpec, problems: &[String]) -> String {
    let mut shown: Vec<&str> =
        problems.iter().take(PROBLEMS_TOLD_MAX).map(String::as_str).collect();
    let more = problems.len().saturating_sub(PROBLEMS_TOLD_MAX);
    let more = format!("{more} more");
    if problems.len() > PROBLEMS_TOLD_MAX {
        shown.push(&more);
    }
    format!(
        "The arguments of {} cannot be used: {}. Expected: {}. Nothing was done.",
        spec.name,
        shown.join("; "),
        shape(&spec.parameters)
    )
}

/// The arguments in short: `{"file_path": string, "limit"?: integer}`.
fn shape(schema: &Value) -> String {
    let whole = fields(schema, true);
    if whole.chars().count() <= SHAPE_CHARS_MAX { whole } else { fields(schema, false) }
}

fn fields(schema: &Value, deep: bool) -> String {
    let properties = schema.get("properties").and_then(Value::as_object);
    let fields: Vec<String> = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let mark = if is_required(schema, name) { "" } else { "?" };
            format!("\"{name}\"{mark}: {}", form(property, deep))
        })
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn form(schema: &Value, deep: bool) -> String {
    match kind(schema) {
        "array" => {
            let item = schema.get("items").map_or("string".to_owned(), |item| form(item, deep));
            format!("[{item}, …]")
        }
        "object" if deep => fields(schema, true),
        "string" => {
            let words = words(schema).map(|words| {
                words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" | ")
            });
            words.unwrap_or_else(|| "string".to_owned())
        }
        kind => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests;
