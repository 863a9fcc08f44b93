//! One reply: what is said, how it is cut into writes, and how it breaks.

use std::time::Duration;

use serde_json::{Value, json};

/// A tool call of a reply, for whatever [`Reply::call`] is too plain for.
#[derive(Clone, Debug)]
pub struct Call {
    /// The id; `None` leaves the key out.
    pub id: Option<String>,
    /// The index among the parallel calls; `None` leaves the key out.
    pub index: Option<u32>,
    /// The tool's name.
    pub name: String,
    /// The arguments, JSON or not.
    pub arguments: String,
    /// Into how many deltas the arguments are cut; 1 sends them with the name.
    pub pieces: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Delta(Value),
    Raw(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finish,
    WithoutFinish,
    WithoutDone,
    Cut(usize),
    Hang(usize),
}

#[derive(Clone, Debug)]
enum Body {
    Stream,
    Plain {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// The connection closes with no answer.
    Reset,
}

/// A reply to one request. Parts come in the order in which they are added.
#[derive(Clone, Debug)]
pub struct Reply {
    body: Body,
    steps: Vec<Step>,
    calls: u32,
    end: End,
    finish_reason: Option<String>,
    usage: Option<Value>,
    model: String,
    carriage_returns: bool,
    events_per_write: usize,
    bytes_per_write: Option<usize>,
    pause: Duration,
    first_pause: Duration,
}

impl Default for Reply {
    fn default() -> Self {
        Self::new()
    }
}

impl Reply {
    /// An empty reply that ends properly: a role, a finish reason, usage, `[DONE]`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            body: Body::Stream,
            steps: Vec::new(),
            calls: 0,
            end: End::Finish,
            finish_reason: None,
            usage: Some(
                json!({"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}),
            ),
            model: "mock-model".to_owned(),
            carriage_returns: false,
            events_per_write: 1,
            bytes_per_write: None,
            pause: Duration::ZERO,
            first_pause: Duration::ZERO,
        }
    }

    /// A reply of one text delta.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new().then_text(text)
    }

    /// An answer that is no stream: a status, headers (a content length is added) and a body.
    #[must_use]
    pub fn status(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers =
            headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let body = Body::Plain { status, headers, body: body.into() };
        Self { body, ..Self::new() }
    }

    /// Status 200 and a web page, as a wrong base URL answers.
    #[must_use]
    pub fn html(page: &str) -> Self {
        Self::status(200, &[("content-type", "text/html; charset=utf-8")], page)
    }

    /// Status 200 and a JSON object that is no stream.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::status(200, &[("content-type", "application/json")], value.to_string())
    }

    /// The connection closes after the request was read, with no answer.
    #[must_use]
    pub fn reset() -> Self {
        Self { body: Body::Reset, ..Self::new() }
    }

    /// A stream of exactly these bytes (content type `text/event-stream`), nothing added.
    #[must_use]
    pub fn raw_stream(bytes: impl Into<Vec<u8>>) -> Self {
        let reply = Self { end: End::WithoutFinish, usage: None, ..Self::new() };
        reply.raw_event(bytes)
    }

    /// Adds a text delta.
    #[must_use]
    pub fn then_text(self, text: &str) -> Self {
        self.delta(json!({"content": text}))
    }

    /// Adds a text delta for each item.
    #[must_use]
    pub fn text_deltas<S: Into<String>>(mut self, deltas: impl IntoIterator<Item = S>) -> Self {
        for delta in deltas {
            self = self.delta(json!({"content": delta.into()}));
        }
        self
    }

    /// Adds a delta of reasoning under `reasoning_content`.
    #[must_use]
    pub fn reasoning(self, text: &str) -> Self {
        self.reasoning_as("reasoning_content", text)
    }

    /// Adds a delta of reasoning under this key.
    #[must_use]
    pub fn reasoning_as(self, field: &str, text: &str) -> Self {
        self.delta(json!({field: text}))
    }

    /// Adds a tool call in one delta, with the next index and an id of its own.
    #[must_use]
    pub fn call(self, name: &str, arguments: &str) -> Self {
        self.call_in(name, arguments, 1)
    }

    /// Adds a tool call whose arguments come in this many deltas.
    #[must_use]
    pub fn call_in(self, name: &str, arguments: &str, pieces: usize) -> Self {
        let index = self.calls;
        self.call_as(Call {
            // Numbered when it is rendered: only then is the reply's own number known.
            id: Some(format!("call_{{reply}}_{index}")),
            index: Some(index),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            pieces,
        })
    }

    /// Adds a tool call exactly so.
    #[must_use]
    pub fn call_as(mut self, call: Call) -> Self {
        self.calls += 1;
        let mut pieces = split(&call.arguments, call.pieces).into_iter();
        let mut first = json!({
            "type": "function",
            "function": {"name": call.name, "arguments": pieces.next().unwrap_or_default()},
        });
        if let Some(index) = call.index {
            first["index"] = index.into();
        }
        if let Some(id) = call.id {
            first["id"] = id.into();
        }
        self = self.delta(json!({"tool_calls": [first]}));
        for piece in pieces {
            let mut next = json!({"function": {"arguments": piece}});
            if let Some(index) = call.index {
                next["index"] = index.into();
            }
            self = self.delta(json!({"tool_calls": [next]}));
        }
        self
    }

    /// Adds a delta object exactly so.
    #[must_use]
    pub fn delta(mut self, delta: Value) -> Self {
        self.steps.push(Step::Delta(delta));
        self
    }

    /// Adds bytes exactly so where an event would be: a comment, a line that is no JSON.
    #[must_use]
    pub fn raw_event(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Raw(bytes.into()));
        self
    }

    /// Another finish reason than `stop`, or `tool_calls` when there are calls.
    #[must_use]
    pub fn finish_reason(mut self, reason: &str) -> Self {
        self.finish_reason = Some(reason.to_owned());
        self
    }

    /// The usage object of the last chunk; null leaves that chunk out.
    #[must_use]
    pub fn usage(mut self, usage: Value) -> Self {
        self.usage = (!usage.is_null()).then_some(usage);
        self
    }

    /// The name of the model that is said to answer.
    #[must_use]
    pub fn model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.model);
        self
    }

    /// The stream ends properly, in HTTP's terms, but says neither finish reason nor `[DONE]`.
    #[must_use]
    pub fn without_finish(mut self) -> Self {
        self.end = End::WithoutFinish;
        self
    }

    /// The stream ends after finish reason and usage, without `[DONE]`.
    #[must_use]
    pub fn without_done(mut self) -> Self {
        self.end = End::WithoutDone;
        self
    }

    /// The connection breaks in the middle of the event after the first `events` ones (the first
    /// event of a stream is its role).
    #[must_use]
    pub fn cut_after(mut self, events: usize) -> Self {
        self.end = End::Cut(events);
        self
    }

    /// Silence after the first `events` events, until the client leaves or the server is dropped.
    #[must_use]
    pub fn hang_after(mut self, events: usize) -> Self {
        self.end = End::Hang(events);
        self
    }

    /// Lines end in CR LF.
    #[must_use]
    pub fn carriage_returns(mut self) -> Self {
        self.carriage_returns = true;
        self
    }

    /// So many events in one write and one HTTP chunk (1 unless told; at least 1).
    #[must_use]
    pub fn events_per_write(mut self, events: usize) -> Self {
        self.events_per_write = events.max(1);
        self
    }

    /// The bytes of the stream are cut into writes of this size wherever that falls.
    #[must_use]
    pub fn bytes_per_write(mut self, bytes: usize) -> Self {
        self.bytes_per_write = Some(bytes.max(1));
        self
    }

    /// A pause after each write.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// A pause before the first byte.
    #[must_use]
    pub fn first_pause(mut self, pause: Duration) -> Self {
        self.first_pause = pause;
        self
    }

    /// The stream's bytes as one buffer, as a client would have received them from the reply with
    /// this number: for tests that need no server.
    #[must_use]
    pub fn to_bytes(&self, number: usize) -> Vec<u8> {
        self.events(&number.to_string()).concat()
    }

    pub(crate) fn render(&self, number: &str) -> Rendered {
        let (status, headers, writes, then) = match &self.body {
            Body::Reset => (0, Vec::new(), Vec::new(), Then::Reset),
            Body::Plain { status, headers, body } => {
                let mut headers = headers.clone();
                headers.push(("content-length".to_owned(), body.len().to_string()));
                (*status, headers, vec![body.clone()], Then::KeepAlive)
            }
            Body::Stream => {
                let headers = [
                    ("content-type", "text/event-stream; charset=utf-8"),
                    ("cache-control", "no-cache"),
                    ("transfer-encoding", "chunked"),
                ];
                let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned()));
                let (writes, then) = self.writes(number);
                (200, headers.to_vec(), writes, then)
            }
        };
        Rendered {
            chunked: matches!(self.body, Body::Stream),
            head: crate::http::head(status, &headers),
            writes,
            then,
            pause: self.pause,
            first_pause: self.first_pause,
        }
    }

    fn writes(&self, number: &str) -> (Vec<Vec<u8>>, Then) {
        let mut events = self.events(number);
        let then = match self.end {
            End::Finish | End::WithoutFinish | End::WithoutDone => Then::KeepAlive,
            End::Cut(keep) => {
                if let Some(half) = events.get_mut(keep) {
                    half.truncate(half.len() / 2);
                }
                events.truncate(keep.saturating_add(1));
                Then::Cut
            }
            End::Hang(keep) => {
                events.truncate(keep);
                Then::Hang
            }
        };
        let writes = match self.bytes_per_write {
            Some(bytes) => events.concat().chunks(bytes).map(<[u8]>::to_vec).collect(),
            None => events.chunks(self.events_per_write).map(<[Vec<u8>]>::concat).collect(),
        };
        (writes, then)
    }

    /// The events, each with the empty line that ends it.
    fn events(&self, number: &str) -> Vec<Vec<u8>> {
        let line_end = if self.carriage_returns { "\r\n" } else { "\n" };
        let prefix = format!(
            r#"{{"id":"chatcmpl-{number}","object":"chat.completion.chunk","created":1700000000,"model":{},"#,
            Value::from(self.model.as_str()),
        );
        let event = |rest: &str| format!("data: {prefix}{rest}}}{line_end}{line_end}").into_bytes();
        let choice = |delta: &str, finish: &str| {
            event(&format!(
                r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]"#
            ))
        };
        let raw_only =
            self.end == End::WithoutFinish && self.steps.iter().all(|s| matches!(s, Step::Raw(_)));
        let mut events = Vec::with_capacity(self.steps.len() + 4);
        if !raw_only {
            events.push(choice(r#"{"role":"assistant","content":""}"#, "null"));
        }
        for step in &self.steps {
            events.push(match step {
                Step::Raw(bytes) => bytes.clone(),
                Step::Delta(delta) if delta.get("tool_calls").is_some() => {
                    choice(&delta.to_string().replace("{reply}", number), "null")
                }
                Step::Delta(delta) => choice(&delta.to_string(), "null"),
            });
        }
        if self.end != End::WithoutFinish {
            let usual = if self.calls > 0 { "tool_calls" } else { "stop" };
            let reason = self.finish_reason.as_deref().unwrap_or(usual);
            events.push(choice("{}", &Value::from(reason).to_string()));
            if let Some(usage) = &self.usage {
                events.push(event(&format!(r#""choices":[],"usage":{usage}"#)));
            }
            if self.end != End::WithoutDone {
                events.push(format!("data: [DONE]{line_end}{line_end}").into_bytes());
            }
        }
        events
    }
}

/// What becomes of the connection after the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    KeepAlive,
    Cut,
    Hang,
    Reset,
}

/// A reply, ready to be written.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) head: String,
    pub(crate) chunked: bool,
    pub(crate) writes: Vec<Vec<u8>>,
    pub(crate) then: Then,
    pub(crate) pause: Duration,
    pub(crate) first_pause: Duration,
}

/// Cuts at character boundaries into at most `pieces` pieces of about the same length.
fn split(text: &str, pieces: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let size = characters.len().div_ceil(pieces.max(1)).max(1);
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}
