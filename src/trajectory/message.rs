//! Chat messages: the form in which a context is sent, hashed, stored and exported.
//!
//! The JSON of a [`Message`] is the JSON of the Chat Completions API. It is written in one place,
//! [`Message::to_json`], and never normalised afterwards: the stored bytes are the sent bytes.

use serde::{Deserialize, Serialize};

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
}

impl ToolCallMessage {
    /// A call of a function.
    #[must_use]
    pub fn function(id: String, name: String, arguments: String) -> Self {
        Self { id, kind: "function".to_owned(), function: FunctionCall { name, arguments } }
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

    /// An assistant message with nothing in it.
    #[must_use]
    pub fn empty_assistant() -> Self {
        Self::Assistant {
            content: None,
            reasoning_content: None,
            reasoning: None,
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
