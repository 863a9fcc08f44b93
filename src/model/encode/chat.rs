//! Turns as messages of Chat Completions.

use serde_json::{Value, json};
use trajectory::event::Attachment;
use trajectory::{Message, Turn};

use super::{Style, with_placeholders};
use crate::profile::{EmptyContent, Profile, ReasoningBack};

/// What the encoder itself writes, and so nobody may set as a parameter.
pub(super) const RESERVED: &[&str] = &["model", "messages", "tools", "stream", "stream_options"];

/// What stands between the tools and the parameters.
pub(super) fn options(profile: &Profile) -> String {
    let usage =
        if profile.stream_options { r#","stream_options":{"include_usage":true}"# } else { "" };
    format!(r#","stream":true{usage}"#)
}

/// The message of a turn; `None` when a server would not accept any.
pub(super) fn message(turn: &Turn, style: &Style<'_>) -> Option<String> {
    if !turn.message.is_sendable() {
        return None;
    }
    match &turn.message {
        Message::System { content } if style.profile.system_role != "system" => {
            Some(json!({ "role": style.profile.system_role, "content": content }).to_string())
        }
        Message::User { content, attachments } if !attachments.is_empty() => {
            Some(user(&turn.message, content, attachments, style))
        }
        Message::Assistant { .. } => assistant(turn, style),
        message => Some(message.to_json()),
    }
}

fn user(message: &Message, content: &str, attachments: &[Attachment], style: &Style<'_>) -> String {
    let urls: Vec<Option<String>> =
        attachments.iter().map(|attachment| style.image(attachment)).collect();
    if urls.iter().all(Option::is_none) {
        // Servers of text models know no content in parts.
        let content = with_placeholders(content, attachments.iter());
        return Message::User { content, attachments: Vec::new() }.to_json();
    }
    message.to_json_with(&|attachment| {
        let place = attachments.iter().position(|other| std::ptr::eq(other, attachment))?;
        urls.get(place).cloned().flatten()
    })
}

fn assistant(turn: &Turn, style: &Style<'_>) -> Option<String> {
    let profile = style.profile;
    let own = turn.model.as_deref() == Some(style.model);
    let mut message = turn.message.clone();
    let Message::Assistant { content, reasoning_content, reasoning, reasoning_details, tool_calls } =
        &mut message
    else {
        return None;
    };
    if !own {
        *reasoning_details = None;
    }
    let keep = match profile.reasoning_back {
        ReasoningBack::AsReceived => true,
        ReasoningBack::WithCalls => !tool_calls.is_empty(),
        ReasoningBack::Details => reasoning_details.is_none(),
        ReasoningBack::Never => false,
    };
    if !keep {
        (*reasoning_content, *reasoning) = (None, None);
    }
    if matches!(profile.reasoning_back, ReasoningBack::Never | ReasoningBack::WithCalls) {
        *reasoning_details = None;
    }
    for call in tool_calls.iter_mut() {
        if !own || !profile.call_signatures {
            call.extra_content = None;
        }
        // Servers read the arguments of every earlier call. What is no object was made one by the
        // fold; a call without any may come with no text at all.
        if call.function.arguments.trim().is_empty() {
            "{}".clone_into(&mut call.function.arguments);
        }
    }
    let says_nothing = content.as_deref().unwrap_or_default().is_empty();
    match profile.empty_content {
        EmptyContent::Text if says_nothing => *content = Some(String::new()),
        EmptyContent::Absent if says_nothing && tool_calls.is_empty() => return None,
        EmptyContent::Absent if says_nothing => return Some(without_content(&message)),
        _ => {}
    }
    Some(message.to_json())
}

fn without_content(message: &Message) -> String {
    let mut value: Value = serde_json::to_value(message).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("content");
    }
    value.to_string()
}
