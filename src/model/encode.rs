//! Transcript → request.
//!
//! A body is `head`, the messages joined by commas, and `tail`. It is kept in these pieces because
//! the record stores it so: a message that is in twenty requests is stored once, and the pieces
//! put together are the sent bytes. Nothing here is ever parsed and written again.

use serde_json::{Map, Value};
use trajectory::{Message, ToolSpec, Transcript};

use crate::error::ModelError;

/// What the encoder itself writes, and so nobody may set as a parameter.
const RESERVED: [&str; 5] = ["model", "messages", "tools", "stream", "stream_options"];

/// A request, exactly as it is sent and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number in the session, from 1. Attempts of one request share it.
    pub request: u32,
    /// The body up to the first message.
    pub head: String,
    /// Each message's exact JSON.
    pub messages: Vec<String>,
    /// The body from behind the last message: tools, stream options, sampling parameters.
    pub tail: String,
}

impl Request {
    /// The body: the bytes that are sent.
    #[must_use]
    pub fn body(&self) -> String {
        let messages: usize = self.messages.iter().map(|message| message.len() + 1).sum();
        let mut body = String::with_capacity(self.head.len() + messages + self.tail.len());
        body.push_str(&self.head);
        for (index, message) in self.messages.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(message);
        }
        body.push_str(&self.tail);
        body
    }
}

/// Writes requests for one model with one set of sampling parameters.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    model: String,
    params: Map<String, Value>,
    head: String,
    /// The parameters as members, each with a comma before it.
    params_json: String,
}

impl Encoder {
    /// An encoder for the model with this name; `params` (such as `temperature`) become members
    /// of every body, in their order.
    ///
    /// # Errors
    /// When a parameter would overwrite what the encoder writes itself.
    pub(crate) fn new(model: &str, params: Map<String, Value>) -> Result<Self, ModelError> {
        let mut params_json = String::new();
        for (key, value) in &params {
            if RESERVED.contains(&key.as_str()) {
                return Err(ModelError::Parameter { name: key.clone() });
            }
            params_json.push_str(&format!(",{}:{value}", Value::from(key.as_str())));
        }
        let head = format!(r#"{{"model":{},"messages":["#, Value::from(model));
        Ok(Self { model: model.to_owned(), params, head, params_json })
    }

    /// The n-th request of the session (from 1), for the conversation as it stands.
    pub(crate) fn encode(&self, number: u32, transcript: &Transcript) -> Request {
        Request {
            request: number,
            head: self.head.clone(),
            messages: transcript.messages().map(Message::to_json).collect(),
            tail: self.tail(transcript.tools()),
        }
    }

    /// The model's name as it is requested.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    /// The sampling parameters, an object.
    pub(crate) fn params(&self) -> Value {
        Value::Object(self.params.clone())
    }

    fn tail(&self, tools: &[ToolSpec]) -> String {
        let mut tail = String::from("]");
        // Servers refuse an empty list.
        if !tools.is_empty() {
            let tools: Vec<String> = tools.iter().map(|tool| tool.to_chat().to_string()).collect();
            tail.push_str(r#","tools":["#);
            tail.push_str(&tools.join(","));
            tail.push(']');
        }
        tail.push_str(r#","stream":true,"stream_options":{"include_usage":true}"#);
        tail.push_str(&self.params_json);
        tail.push('}');
        tail
    }
}
