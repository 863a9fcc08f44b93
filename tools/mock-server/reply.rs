//! One reply: what is said, how it is cut into writes, and how it breaks. How it is spelled is in
//! `render`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fault::Fault;

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
pub(crate) enum Step {
    Delta(Value),
    /// The ids of tokens that were sampled since the last event.
    Tokens(Vec<u32>),
    /// A call whose input is no JSON: a custom tool of Responses, a function of one string else.
    Freeform {
        id: String,
        name: String,
        input: String,
        pieces: usize,
    },
    Raw(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Finish,
    WithoutFinish,
    WithoutDone,
    /// The connection breaks in the middle of the event behind so many.
    Cut(usize),
    /// The connection breaks behind so many bytes.
    CutBytes(usize),
    /// The stream ends behind so many events as if that were all.
    Stop(usize),
    /// Silence behind so many events; comments at this pace, where there is one.
    Hang(usize, Option<Duration>),
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Stream,
    Plain {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// The connection closes with no answer.
    Reset,
    /// These bytes and the end of the connection, HTTP or not.
    Wire(Vec<u8>),
}

/// A reply to one request. Parts come in the order in which they are added.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) body: Body,
    pub(crate) steps: Vec<Step>,
    pub(crate) calls: u32,
    pub(crate) end: End,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Option<Value>,
    pub(crate) prompt_ids: Option<Vec<u32>>,
    pub(crate) model: String,
    pub(crate) summarized: bool,
    pub(crate) carriage_returns: bool,
    pub(crate) events_per_write: usize,
    pub(crate) bytes_per_write: Option<usize>,
    pub(crate) bad_line: Option<usize>,
    pub(crate) pause: Duration,
    pub(crate) first_pause: Duration,
    pub(crate) faults: Vec<Fault>,
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
            prompt_ids: None,
            model: "mock-model".to_owned(),
            summarized: true,
            carriage_returns: false,
            events_per_write: 1,
            bytes_per_write: None,
            bad_line: None,
            pause: Duration::ZERO,
            first_pause: Duration::ZERO,
            faults: Vec::new(),
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

    /// Exactly these bytes on the connection, the head of a response included if they have one;
    /// then the connection closes.
    #[must_use]
    pub fn wire(bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: Body::Wire(bytes.into()), ..Self::new() }
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
        let mut pieces = crate::render::split(&call.arguments, call.pieces).into_iter();
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

    /// Adds a call of a freeform tool, with an id of its own, in this many pieces.
    #[must_use]
    pub fn freeform_call_in(mut self, name: &str, input: &str, pieces: usize) -> Self {
        let id = format!("call_{{reply}}_{}", self.calls);
        self.calls += 1;
        let (name, input) = (name.to_owned(), input.to_owned());
        self.steps.push(Step::Freeform { id, name, input, pieces });
        self
    }

    /// Reasoning comes in full where it would come as a summary with something encrypted: as
    /// servers of open models send it in the Responses form.
    #[must_use]
    pub fn in_full(mut self) -> Self {
        self.summarized = false;
        self
    }

    /// Adds a delta object exactly so.
    #[must_use]
    pub fn delta(mut self, delta: Value) -> Self {
        self.steps.push(Step::Delta(delta));
        self
    }

    /// Says these as the ids of the prompt's tokens, with the first event (Chat Completions).
    #[must_use]
    pub fn prompt_ids(mut self, ids: impl Into<Vec<u32>>) -> Self {
        self.prompt_ids = Some(ids.into());
        self
    }

    /// Adds an event without text that says that these tokens were sampled (Chat Completions).
    #[must_use]
    pub fn token_ids(mut self, ids: impl Into<Vec<u32>>) -> Self {
        self.steps.push(Step::Tokens(ids.into()));
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
        self.end = End::Hang(events, None);
        self
    }

    /// Nothing but comments after the first `events` events, one each `every`.
    #[must_use]
    pub fn only_comments_after(mut self, events: usize, every: Duration) -> Self {
        self.end = End::Hang(events, Some(every));
        self
    }

    /// The stream ends after the first `events` events as if that were all: no finish reason.
    #[must_use]
    pub fn stop_after(mut self, events: usize) -> Self {
        self.end = End::Stop(events);
        self
    }

    /// The connection breaks after so many bytes of the stream.
    #[must_use]
    pub fn reset_after(mut self, bytes: usize) -> Self {
        self.end = End::CutBytes(bytes);
        self
    }

    /// A line that is no JSON after the first `events` events.
    #[must_use]
    pub fn bad_line_after(mut self, events: usize) -> Self {
        self.bad_line = Some(events);
        self
    }

    /// This reply comes at the last attempt: each fault spoils one before it.
    #[must_use]
    pub fn after(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults = faults.into_iter().collect();
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
}
