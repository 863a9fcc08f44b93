//! Chat messages: the form in which a context is sent, hashed, stored and exported.
//!
//! The JSON of a [`Message`] is the JSON of the Chat Completions API. It is written in one place,
//! [`Message::to_json`], and never normalised afterwards: the stored bytes are the sent bytes.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::event::{Attachment, ToolCall};

/// A function call inside an assistant message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The tool's name.
    pub name: String,
    /// The arguments, as the model wrote them.
    pub arguments: String,
}

/// A tool call inside an assistant message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallMessage {
    /// The provider's id.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is called.
    pub function: FunctionCall,
    /// What the provider wants back with the call, as it came (Gemini's signatures).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_content: Option<Verbatim>,
}

impl ToolCallMessage {
    /// A call as a context holds it.
    #[must_use]
    pub fn of(call: &ToolCall) -> Self {
        let arguments = if call.freeform {
            // Chat Completions knows functions only: the input is its one argument.
            serde_json::json!({ "input": call.arguments }).to_string()
        } else if call.malformed.is_some() {
            // Servers read the arguments of every earlier call, and refuse a request in which they
            // are no object. The event keeps them as sent.
            wrapped_arguments(&call.arguments)
        } else {
            call.arguments.clone()
        };
        let message = Self::function(call.id.clone(), call.name.clone(), arguments);
        Self { extra_content: call.signature.as_deref().and_then(Verbatim::new), ..message }
    }

    /// A call of a function.
    #[must_use]
    pub fn function(id: String, name: String, arguments: String) -> Self {
        Self {
            id,
            kind: "function".to_owned(),
            function: FunctionCall { name, arguments },
            extra_content: None,
        }
    }
}

/// An object that holds arguments that are none, under the key `malformed`: the only place that
/// says how they go back and are exported.
#[must_use]
pub fn wrapped_arguments(arguments: &str) -> String {
    serde_json::json!({ "malformed": arguments }).to_string()
}

/// An object for arguments that are none themselves: an empty one where there are no arguments;
/// `None` when they are an object.
#[must_use]
pub fn arguments_as_object(arguments: &str) -> Option<String> {
    if arguments.trim().is_empty() {
        return Some("{}".to_owned());
    }
    let is_object = serde_json::from_str::<HashMap<Cow<'_, str>, IgnoredAny>>(arguments).is_ok();
    (!is_object).then(|| wrapped_arguments(arguments))
}

/// Somebody else's JSON, kept as it came: neither numbers nor keys change on the way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verbatim(String);

impl Verbatim {
    /// Keeps a JSON text; `None` when it is none.
    #[must_use]
    pub fn new(json: &str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(json).ok()?;
        Some(Self(raw.get().to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl Serialize for Verbatim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Verbatim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A tagged enum hands its members on as values, so the raw text is out of reach here.
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self(value.to_string()))
    }
}

/// One message of a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// The frame of the conversation.
    System {
        /// Its text.
        content: String,
    },
    /// The user, or what the user did.
    User {
        /// Its text.
        content: String,
        /// Images beside the text. They are not in this JSON: whoever sends the message has the
        /// bytes ([`Message::to_json_with`]).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
    },
    /// A reply of the model.
    Assistant {
        /// Text to the user; `null` when there was none.
        content: Option<String>,
        /// Reasoning, for servers that call it so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reasoning_content: Option<String>,
        /// Reasoning, for servers that call it so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reasoning: Option<String>,
        /// Reasoning as some servers sign it, sent back as it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reasoning_details: Option<Verbatim>,
        /// Calls, in the order they were made.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCallMessage>,
    },
    /// What came of a call.
    Tool {
        /// The provider's id of the call.
        tool_call_id: String,
        /// What the model is shown.
        content: String,
    },
}

impl Message {
    /// The message's JSON: what is sent, hashed and stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, options and vectors of them always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The message's JSON with its images: `url` gives the URL of an attachment's bytes (a `data:`
    /// URL), or none where the model cannot be shown them, and a line of text stands instead.
    #[must_use]
    pub fn to_json_with(&self, url: &dyn Fn(&Attachment) -> Option<String>) -> String {
        let Self::User { content, attachments } = self else { return self.to_json() };
        if attachments.is_empty() {
            return self.to_json();
        }
        let mut parts = vec![serde_json::json!({ "type": "text", "text": content })];
        parts.extend(attachments.iter().map(|attachment| match url(attachment) {
            Some(url) => {
                serde_json::json!({ "type": "image_url", "image_url": { "url": url } })
            }
            None => serde_json::json!({ "type": "text", "text": attachment.placeholder() }),
        }));
        serde_json::json!({ "role": "user", "content": parts }).to_string()
    }

    /// An assistant message with nothing in it.
    #[must_use]
    pub fn empty_assistant() -> Self {
        Self::Assistant {
            content: None,
            reasoning_content: None,
            reasoning: None,
            reasoning_details: None,
            tool_calls: Vec::new(),
        }
    }

    /// The role, as the API calls it.
    #[must_use]
    pub const fn role(&self) -> &'static str {
        match self {
            Self::System { .. } => "system",
            Self::User { .. } => "user",
            Self::Assistant { .. } => "assistant",
            Self::Tool { .. } => "tool",
        }
    }

    /// Whether it holds anything a server accepts: an assistant message of reasoning alone, as an
    /// interrupted reply may be, is refused by most and is left out of requests.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        match self {
            Self::Assistant { content, tool_calls, .. } => {
                content.is_some() || !tool_calls.is_empty()
            }
            _ => true,
        }
    }
}

/// A running hash over the messages and the tools of a request: equal digests, equal context.
/// Adding a message costs its own length, however long the context is.
#[derive(Clone)]
pub struct MessageDigest(blake3::Hasher);

impl Default for MessageDigest {
    fn default() -> Self {
        Self(blake3::Hasher::new())
    }
}

impl MessageDigest {
    /// Adds the next message's JSON.
    pub fn push(&mut self, json: &str) {
        self.0.update(&(json.len() as u64).to_le_bytes());
        self.0.update(json.as_bytes());
    }

    /// The digest of everything pushed, hexadecimal.
    #[must_use]
    pub fn finish(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
