//! Turns as input items of Responses.
//!
//! The system prompt is the first item, and not `instructions`: an item is stored once for all
//! requests that hold it and is part of the digest of the context, and it stays where it is when
//! a server keeps the prefix in its cache. Nothing is kept by the server (`store: false`), so
//! whatever it wants to remember, encrypted reasoning above all, is in the items sent back.

use std::collections::HashMap;

use serde_json::{Value, json};
use trajectory::event::{Attachment, ReasoningField};
use trajectory::{Message, Part, Turn, Verbatim};

use super::{Style, with_placeholders};
use crate::profile::{MalformedBack, Profile};

/// What the encoder itself writes, and so nobody may set as a parameter.
pub(super) const RESERVED: &[&str] = &[
    "model",
    "input",
    "instructions",
    "tools",
    "stream",
    "store",
    "include",
    "previous_response_id",
];

/// What stands between the tools and the parameters.
pub(super) fn options(profile: &Profile) -> String {
    // A model that does not reason has nothing encrypted, and refuses to be asked for it.
    let include =
        if profile.reasoning { r#","include":["reasoning.encrypted_content"]"# } else { "" };
    format!(r#","stream":true,"store":false{include}"#)
}

/// The items of a turn. `freeform` says of the calls so far whether they took a text; ids may be
/// used again, and the last call with one is the one that is answered.
pub(super) fn items(
    turn: &Turn,
    freeform: &mut HashMap<String, bool>,
    style: &Style<'_>,
) -> Vec<String> {
    let mut items = Vec::new();
    match &turn.message {
        Message::System { content } => {
            let text = json!([{ "type": "input_text", "text": content }]);
            items.push(message(&style.profile.system_role, &text));
        }
        Message::User { content, attachments } => {
            items.push(message("user", &user(content, attachments, style)));
        }
        Message::Assistant { .. } => {
            for part in &turn.parts {
                if let Part::ToolCall { id, freeform: is, .. } = part {
                    freeform.insert(id.clone(), *is && style.profile.custom_tools);
                }
            }
            reply(turn, style, &mut items);
        }
        Message::Tool { tool_call_id, content } => {
            let custom = freeform.get(tool_call_id).copied().unwrap_or_default();
            let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
            let item = json!({ "type": kind, "call_id": tool_call_id, "output": content });
            items.push(item.to_string());
        }
    }
    items
}

fn message(role: &str, content: &Value) -> String {
    json!({ "type": "message", "role": role, "content": content }).to_string()
}

fn user(content: &str, attachments: &[Attachment], style: &Style<'_>) -> Value {
    let urls: Vec<_> =
        attachments.iter().map(|attachment| (attachment, style.image(attachment))).collect();
    let hidden = urls.iter().filter(|(_, url)| url.is_none()).map(|(attachment, _)| *attachment);
    let text = with_placeholders(content, hidden);
    let mut parts = vec![json!({ "type": "input_text", "text": text })];
    parts.extend(urls.iter().filter_map(|(_, url)| {
        let url = url.as_ref()?;
        Some(json!({ "type": "input_image", "image_url": url, "detail": "auto" }))
    }));
    Value::Array(parts)
}

/// The output items of a reply, in the order in which they came.
fn reply(turn: &Turn, style: &Style<'_>, items: &mut Vec<String>) {
    let own = turn.model.as_deref() == Some(style.model);
    // What is said in one item: a text, with a thought in tags before it or without.
    let mut spoken = String::new();
    let mut is_said = false;
    // Reasoning is refused without the item that followed it, so it waits for that one.
    let mut thought: Vec<String> = Vec::new();
    for part in &turn.parts {
        match part {
            Part::Text(text) => {
                if is_said {
                    speak(&mut spoken, &mut thought, items);
                }
                spoken.push_str(text);
                is_said = true;
            }
            Part::Reasoning { text, field, .. } if is_inline(*field) => {
                let tag = if *field == ReasoningField::Think { "<think>" } else { "" };
                spoken.push_str(&format!("{tag}{text}</think>"));
            }
            // What another model has thought cannot be read here, least of all encrypted.
            Part::Reasoning { signature, field: ReasoningField::Item, .. } if own => {
                speak(&mut spoken, &mut thought, items);
                is_said = false;
                thought.extend(signature.as_deref().and_then(item));
            }
            Part::Reasoning { .. } => {}
            Part::ToolCall { id, name, arguments, freeform, .. } => {
                speak(&mut spoken, &mut thought, items);
                is_said = false;
                items.append(&mut thought);
                items.push(call(id, name, arguments, *freeform, style.profile).to_string());
            }
        }
    }
    speak(&mut spoken, &mut thought, items);
}

fn call(id: &str, name: &str, arguments: &str, freeform: bool, profile: &Profile) -> Value {
    if freeform && profile.custom_tools {
        return json!({ "type": "custom_tool_call", "call_id": id, "name": name, "input": arguments });
    }
    let changed = match profile.malformed_back {
        _ if freeform => Some(json!({ "input": arguments }).to_string()),
        MalformedBack::Wrapped => trajectory::arguments_as_object(arguments),
        MalformedBack::AsSent => None,
    };
    let arguments = changed.as_deref().unwrap_or(arguments);
    json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments })
}

const fn is_inline(field: ReasoningField) -> bool {
    matches!(field, ReasoningField::Think | ReasoningField::ThinkOpened)
}

/// Adds what was said, if anything was, behind what was thought before it.
fn speak(spoken: &mut String, thought: &mut Vec<String>, items: &mut Vec<String>) {
    if !spoken.is_empty() {
        items.append(thought);
        items.push(message("assistant", &json!([{ "type": "output_text", "text": spoken }])));
        spoken.clear();
    }
}

/// An item as it came.
fn item(signature: &str) -> Option<String> {
    let item = Verbatim::new(signature)?;
    item.get().starts_with('{').then(|| item.get().to_owned())
}
