//! Transcript → request.
//!
//! A body is `head`, the messages joined by commas, and `tail`. It is kept in these pieces because
//! the record stores it so: a message that is in twenty requests is stored once, and the pieces
//! put together are the sent bytes. Nothing here is ever parsed and written again. One file for
//! each API form says what a message is; how servers of one form differ is in their profile.

mod chat;
mod params;
mod responses;
mod written;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use trajectory::event::{Attachment, ModelChanged};
use trajectory::{ToolSpec, Transcript, Turn};

use crate::api::{Api, Dialect};
use crate::error::ModelError;
use crate::profile::Profile;
pub use params::OUTPUT_MAX;
pub use written::Written;

/// A request, exactly as it is sent and stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number in the session, from 1. Attempts of one request share it.
    pub request: u32,
    /// The body up to the first message.
    pub head: String,
    /// Each message's exact JSON: a message of Chat Completions, an input item of Responses.
    /// Requests that hold the same message share it.
    pub messages: Vec<Arc<str>>,
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

/// Gives the URL of an attachment's bytes.
pub(crate) type Media<'a> = &'a dyn Fn(&Attachment) -> Option<String>;

/// What a message is written with.
struct Style<'a> {
    profile: &'a Profile,
    model: &'a str,
    media: Media<'a>,
}

impl Style<'_> {
    /// The URL of an image, where it is one and the server takes images.
    fn image(&self, attachment: &Attachment) -> Option<String> {
        let shown = self.profile.images && attachment.media_type.starts_with("image/");
        shown.then(|| (self.media)(attachment)).flatten()
    }
}

/// Writes requests for one model with one set of sampling parameters.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    model: String,
    api: Api,
    profile: Profile,
    /// As they are sent.
    params: Map<String, Value>,
    head: String,
    /// What stands behind the tools.
    tail: String,
}

impl Encoder {
    /// An encoder for the model with this name; `params` (such as `temperature`) become members
    /// of every body, in their order, under the names that the profile's servers know.
    ///
    /// # Errors
    /// When a parameter would overwrite what the encoder writes itself.
    pub(crate) fn new(
        model: &str,
        api: Api,
        profile: Profile,
        params: &Map<String, Value>,
    ) -> Result<Self, ModelError> {
        let reserved = match api {
            Api::Chat => chat::RESERVED,
            Api::Responses => responses::RESERVED,
        };
        if let Some(name) = params.keys().find(|key| reserved.contains(&key.as_str())) {
            return Err(ModelError::Parameter { name: name.clone() });
        }
        let params = params::as_sent(api, &profile, params);
        Ok(Self::as_sent(model, api, profile, params))
    }

    /// The same with parameters that are under the server's own names.
    pub(crate) fn as_sent(
        model: &str,
        api: Api,
        profile: Profile,
        params: Map<String, Value>,
    ) -> Self {
        let list = match api {
            Api::Chat => "messages",
            Api::Responses => "input",
        };
        let head = format!(r#"{{"model":{},"{list}":["#, Value::from(model));
        let mut tail = match api {
            Api::Chat => chat::options(&profile),
            Api::Responses => responses::options(&profile),
        };
        for (key, value) in &params {
            tail.push_str(&format!(",{}:{value}", Value::from(key.as_str())));
        }
        tail.push('}');
        Self { model: model.to_owned(), api, profile, params, head, tail }
    }

    /// The n-th request of the session (from 1), for the conversation as it stands; of what was
    /// written for the one before it, nothing is written again.
    pub(crate) fn encode(
        &self,
        number: u32,
        transcript: &Transcript,
        media: Media<'_>,
        written: &mut Written,
    ) -> Request {
        let style = Style { profile: &self.profile, model: &self.model, media };
        let messages =
            written.go_on(transcript, |turn, freeform| self.messages(turn, freeform, &style));
        let tail = written.tail(|| self.tail(transcript.tools()));
        Request { request: number, head: self.head.clone(), messages, tail }
    }

    /// The messages that a turn becomes. `freeform` says which calls before it took a text instead
    /// of arguments.
    fn messages(
        &self,
        turn: &Turn,
        freeform: &mut HashMap<String, bool>,
        style: &Style<'_>,
    ) -> Vec<String> {
        match self.api {
            Api::Chat => chat::message(turn, style).into_iter().collect(),
            Api::Responses => responses::items(turn, freeform, style),
        }
    }

    /// The model's name as it is requested.
    pub(crate) fn model(&self) -> &str {
        &self.model
    }

    pub(crate) const fn api(&self) -> Api {
        self.api
    }

    pub(crate) const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// How the replies are read.
    pub(crate) const fn dialect(&self) -> Dialect {
        Dialect { api: self.api, think: self.profile.think }
    }

    /// Which model is asked, in which form; who answers is for others to say.
    pub(crate) fn description(&self) -> ModelChanged {
        ModelChanged {
            model: self.model.clone(),
            provider: String::new(),
            endpoint: None,
            api: self.api.as_str().to_owned(),
            params: Value::Object(self.params.clone()),
            profile: Some(self.profile.name.clone()),
            think: self.profile.think,
        }
    }

    /// The parameters as they are sent.
    pub(crate) const fn params(&self) -> &Map<String, Value> {
        &self.params
    }

    fn tail(&self, tools: &[ToolSpec]) -> String {
        let mut tail = String::from("]");
        // Servers refuse an empty list.
        if !tools.is_empty() {
            let json = |tool: &ToolSpec| match self.api {
                Api::Chat => tool.to_chat().to_string(),
                Api::Responses if self.profile.custom_tools => tool.to_responses().to_string(),
                // As a function it takes one string.
                Api::Responses => {
                    ToolSpec { grammar: None, ..tool.clone() }.to_responses().to_string()
                }
            };
            let tools: Vec<String> = tools.iter().map(json).collect();
            tail.push_str(r#","tools":["#);
            tail.push_str(&tools.join(","));
            tail.push(']');
        }
        tail.push_str(&self.tail);
        tail
    }
}

/// The text of a user's turn with a line for each attachment that is not shown.
fn with_placeholders<'a>(content: &str, hidden: impl Iterator<Item = &'a Attachment>) -> String {
    let mut text = content.to_owned();
    for attachment in hidden {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&attachment.placeholder());
    }
    text
}
