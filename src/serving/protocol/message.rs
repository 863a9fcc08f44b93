//! Messages, as clients send them and as chat templates read them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::fields::{Fields, Object, value};

#[derive(Deserialize)]
struct Message<'a> {
    role: String,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    name: Option<String>,
    #[serde(borrow)]
    tool_calls: Option<Vec<&'a RawValue>>,
    tool_call_id: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Call<'a> {
    id: Option<String>,
    #[serde(borrow)]
    function: Option<Object<Function<'a>>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    name: String,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Reads the messages of a request.
pub(super) fn read(fields: &Fields<'_>) -> Result<Vec<Value>, ApiError> {
    let raw: Vec<&RawValue> = fields.take("messages")?.unwrap_or_default();
    if raw.is_empty() {
        return Err(ApiError::field("messages", "`messages` is empty. Send one message or more."));
    }
    // Which tool a call was of: some templates want it with the answer, and clients say it once.
    let mut called = BTreeMap::new();
    raw.iter()
        .enumerate()
        .map(|(place, raw)| message(&format!("messages[{place}]"), raw, &mut called))
        .collect()
}

fn message(
    param: &str,
    raw: &RawValue,
    called: &mut BTreeMap<String, String>,
) -> Result<Value, ApiError> {
    let Object(message): Object<Message<'_>> = value(param, raw)?
        .ok_or_else(|| ApiError::field(param, format!("`{param}` is null. Give a message.")))?;
    let content = content(&format!("{param}.content"), message.content)?;
    let mut written = Map::new();
    let role = match message.role.as_str() {
        "developer" => "system",
        role @ ("system" | "user" | "assistant" | "tool") => role,
        other => {
            let param = format!("{param}.role");
            let message = format!(
                "`{param}` is {other:?}. Give \"system\", \"user\", \"assistant\" or \"tool\"."
            );
            return Err(ApiError::field(param, message));
        }
    };
    written.insert("role".to_owned(), role.into());
    if role != "assistant" {
        written.insert("content".to_owned(), content.unwrap_or_default().into());
        let known = message.tool_call_id.as_ref().and_then(|id| called.get(id));
        let name = message.name.or_else(|| known.cloned());
        for (field, value) in [("name", name), ("tool_call_id", message.tool_call_id)] {
            written.extend(value.map(|value| (field.to_owned(), value.into())));
        }
        return Ok(Value::Object(written));
    }
    let calls = calls(param, message.tool_calls.unwrap_or_default(), called)?;
    let content = match content {
        Some(content) => Value::String(content),
        None if calls.is_empty() => "".into(),
        None => Value::Null,
    };
    written.insert("content".to_owned(), content);
    let thoughts = message.reasoning_content.or(message.reasoning);
    if let Some(thoughts) = thoughts.filter(|thoughts| !thoughts.is_empty()) {
        written.insert("reasoning_content".to_owned(), thoughts.into());
    }
    if !calls.is_empty() {
        written.insert("tool_calls".to_owned(), calls.into());
    }
    Ok(Value::Object(written))
}

/// The text of a message, given whole or in parts.
fn content(param: &str, raw: Option<&RawValue>) -> Result<Option<String>, ApiError> {
    let Some(raw) = raw else { return Ok(None) };
    if !raw.get().starts_with('[') {
        return value(param, raw);
    }
    let parts: Vec<Object<Part>> = value(param, raw)?.unwrap_or_default();
    let mut text = String::new();
    for (place, Object(part)) in parts.into_iter().enumerate() {
        let said = match part.r#type.as_str() {
            "text" | "input_text" | "output_text" => part.text,
            "refusal" => part.refusal,
            kind => {
                let param = format!("{param}[{place}]");
                let message = format!(
                    "`{param}` is of the type {kind:?}, and this model reads text only: no images, sounds or files. Send text."
                );
                return Err(ApiError::field(param, message));
            }
        };
        text.push_str(&said.unwrap_or_default());
    }
    Ok(Some(text))
}

fn calls(
    param: &str,
    raw: Vec<&RawValue>,
    called: &mut BTreeMap<String, String>,
) -> Result<Vec<Value>, ApiError> {
    let mut calls = Vec::new();
    for (place, raw) in raw.into_iter().enumerate() {
        let param = format!("{param}.tool_calls[{place}]");
        let call: Option<Object<Call<'_>>> = value(&param, raw)?;
        let Some(Object(Call { id, function: Some(Object(function)) })) = call else {
            let message = format!("`{param}` is no call of a function. Give its `function`.");
            return Err(ApiError::field(param, message));
        };
        let arguments = arguments(&format!("{param}.function.arguments"), function.arguments)?;
        let id = id.unwrap_or_default();
        called.insert(id.clone(), function.name.clone());
        calls.push(json!({
            "id": id,
            "type": "function",
            "function": { "name": function.name, "arguments": arguments },
        }));
    }
    Ok(calls)
}

/// Arguments as an object, as templates want them; a text that is none stays one.
fn arguments(param: &str, raw: Option<&RawValue>) -> Result<Value, ApiError> {
    let given: Value = match raw {
        Some(raw) => value(param, raw)?.unwrap_or_default(),
        None => Value::Null,
    };
    Ok(match given {
        Value::String(text) if text.trim().is_empty() => json!({}),
        Value::String(text) => match serde_json::from_str::<Map<String, Value>>(&text) {
            Ok(object) => Value::Object(object),
            Err(_) => Value::String(text),
        },
        Value::Object(object) => Value::Object(object),
        Value::Null => json!({}),
        other => {
            let message = format!("`{param}` is {other}. Give the JSON of an object, as a text.");
            return Err(ApiError::field(param, message));
        }
    })
}
