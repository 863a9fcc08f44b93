//! Training samples, cut where the context was changed.
//!
//! A sample is a request, its reply, what came since, the next reply, and so on, for as long as
//! each request is the one before it, its reply and new observations. Where it is not (an
//! observation shortened, a compaction, a rewind, another model or tool set) the sample ends and
//! another begins with the context that was really sent, itself without loss. So the text before
//! every trained token is the text of a request, and no token is trained twice.

use crate::event::Event;
use crate::message::Message;
use crate::tool::ToolSpec;
use crate::transcript::{Transcript, Turn};

/// A part of an assistant message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanPart {
    /// The reasoning.
    Reasoning,
    /// The text.
    Content,
    /// The call at this place.
    ToolCall(usize),
}

/// Why a stretch that the model produced gets no loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// It was copied from the session this one was forked from.
    Copied,
    /// It was cut short, or what it asked for was.
    Interrupted,
    /// The arguments were not a JSON object.
    Malformed,
    /// The call was denied.
    Denied,
    /// The user changed the call.
    Amended,
    /// A summary of reasoning, not the reasoning.
    NotFullReasoning,
    /// Trained in an earlier sample; here it is context.
    Context,
}

impl LossReason {
    /// The word for it in ledgers and datasets.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Interrupted => "interrupted",
            Self::Malformed => "malformed",
            Self::Denied => "denied",
            Self::Amended => "amended",
            Self::NotFullReasoning => "not_full_reasoning",
            Self::Context => "context",
        }
    }
}

/// A stretch of an assistant message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which part.
    pub part: SpanPart,
    /// Why it is not trained; `None` when it is.
    pub untrained: Option<LossReason>,
}

/// A message of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleMessage {
    /// The message.
    pub message: Message,
    /// What of it is trained; empty unless the model wrote it.
    pub spans: Vec<Span>,
    /// The events it stands for, by `seq`.
    pub seqs: Vec<u64>,
    /// The request it replies to, when the model wrote it.
    pub request: Option<u32>,
}

impl SampleMessage {
    fn of(turn: &Turn) -> Self {
        Self {
            message: turn.message.clone(),
            spans: turn.spans.clone(),
            seqs: turn.seqs.clone(),
            request: turn.request,
        }
    }

    fn as_context(turn: &Turn) -> Self {
        let mut message = Self::of(turn);
        for span in &mut message.spans {
            span.untrained = span.untrained.or(Some(LossReason::Context));
        }
        message
    }

    /// Whether anything of it gets loss.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.spans.iter().any(|span| span.untrained.is_none())
    }
}

/// One row of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The model that produced what is trained.
    pub model: Option<String>,
    /// The tools it was offered.
    pub tools: Vec<ToolSpec>,
    /// The messages, the last one trained.
    pub messages: Vec<SampleMessage>,
}

/// When a request was sent: after which event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPoint {
    /// Its number.
    pub request: u32,
    /// The last event that its context holds.
    pub head_seq: u64,
}

/// Cuts a session into samples. `points` are its requests in the order they were sent; linear in
/// the length of the log unless the context is changed at every step.
#[must_use]
pub fn samples(events: &[Event], points: &[RequestPoint]) -> Vec<Sample> {
    let mut cutter = Cutter::default();
    let mut points = points.iter().peekable();
    for event in events {
        while let Some(point) = points.next_if(|point| point.head_seq < event.seq) {
            cutter.request(point.request);
        }
        if Transcript::changes_context(&event.body) {
            cutter.end_sample();
        }
        cutter.transcript.apply(event);
    }
    for point in points {
        cutter.request(point.request);
    }
    cutter.end_sample();
    cutter.done
}

#[derive(Default)]
struct Cutter {
    transcript: Transcript,
    open: Option<Open>,
    done: Vec<Sample>,
}

/// A sample that may still grow.
struct Open {
    sample: Sample,
    /// How many turns its last request had.
    turns: usize,
    request: u32,
}

impl Cutter {
    /// A request is sent with the context as it stands.
    fn request(&mut self, request: u32) {
        self.transcript.asked();
        match self.open.take().map(|open| self.extended(open)) {
            Some(Ok(mut open)) => {
                open.turns = self.transcript.turns().len();
                open.request = request;
                self.open = Some(open);
                return;
            }
            Some(Err(closed)) => self.keep(closed),
            None => {}
        }
        let turns = self.transcript.turns();
        let messages = turns.iter().filter(|turn| turn.message.is_sendable());
        self.open = Some(Open {
            sample: Sample {
                model: self.transcript.model().map(str::to_owned),
                tools: self.transcript.tools().to_vec(),
                messages: messages.map(SampleMessage::as_context).collect(),
            },
            turns: turns.len(),
            request,
        });
    }

    /// The open sample with its last reply and what came since; as it is up to that reply, when
    /// somebody else's reply stands there too.
    fn extended(&self, mut open: Open) -> Result<Open, Sample> {
        let new = self.transcript.turns().get(open.turns..).unwrap_or_default();
        let foreign = |turn: &Turn| turn.request.is_some_and(|request| request != open.request);
        let stop = new.iter().position(foreign);
        let taken = &new[..stop.unwrap_or(new.len())];
        let taken = taken.iter().filter(|turn| turn.message.is_sendable());
        open.sample.messages.extend(taken.map(SampleMessage::of));
        if stop.is_some() { Err(open.sample) } else { Ok(open) }
    }

    fn end_sample(&mut self) {
        if let Some(open) = self.open.take() {
            let sample = match self.extended(open) {
                Ok(open) => open.sample,
                Err(sample) => sample,
            };
            self.keep(sample);
        }
    }

    fn keep(&mut self, mut sample: Sample) {
        while sample.messages.last().is_some_and(|message| !message.is_trained()) {
            sample.messages.pop();
        }
        if !sample.messages.is_empty() {
            self.done.push(sample);
        }
    }
}
