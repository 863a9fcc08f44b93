//! Deltas → parts.
//!
//! Parts keep the order in which they began: text after a call is a new part. What each API form
//! sends is read in a file of its own (`chat`, `responses`); here the parts grow.
//!
//! A part that stands at half a character waits for the other half: nothing is shown of it, and
//! when it never comes, a replacement stands in its place.

mod chat;
mod ids;
mod responses;
mod think;

use trajectory::event::ReasoningField;
use trajectory::{Progress, Usage};

use self::ids::Ids;
use self::responses::Item;
use self::think::{Inline, Segment};
use crate::api::{Api, Dialect};
use crate::reply::Part;
use crate::wire::{self, Loose, Piece, Told};

/// The most calls of one reply.
pub(crate) const CALLS_MAX: usize = 1024;

/// How much of some data was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Whole,
    /// Something that should hold a piece of the reply could not be read; the rest was taken.
    InPart,
    /// It is no JSON object.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Call {
    /// Its place among the parts.
    part: usize,
    index: Option<u32>,
}

/// The reply so far.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    request: u32,
    api: Api,
    pub(crate) parts: Vec<Part>,
    calls: Vec<Call>,
    /// The output items of Responses.
    items: Vec<Item>,
    /// High surrogates at which parts stand, with the places of the parts.
    halves: Vec<(usize, u16)>,
    inline: Inline,
    /// The place of the reasoning that stands inside the text.
    thought: Option<usize>,
    /// `reasoning_details`, piece by piece.
    details: Vec<serde_json::Value>,
    pub(crate) usage: Option<Usage>,
    pub(crate) ids: Ids,
    pub(crate) finish_reason: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) model_served: Option<String>,
    /// An error told in the stream.
    pub(crate) told: Option<Told>,
    /// There were more calls than one reply may have; what followed was not taken.
    pub(crate) too_many_calls: bool,
    /// Whether anything has come that looks like a completion.
    pub(crate) begun: bool,
    /// How often something came that was more than a sign that somebody is there.
    pub(crate) signs: u64,
}

impl Accumulator {
    pub(crate) fn new(request: u32, dialect: Dialect) -> Self {
        let inline = Inline::new(dialect.think);
        Self { request, api: dialect.api, inline, ..Self::default() }
    }

    /// Takes the data of one event, or a whole completion. Progress that continues the last one
    /// in `out` is joined to it.
    pub(crate) fn take(&mut self, data: &[u8], out: &mut Vec<Progress>) -> Taken {
        // A list would be read as a struct, field by field.
        if data.trim_ascii_start().first() != Some(&b'{') {
            return Taken::Nothing;
        }
        match self.api {
            Api::Chat => self.take_chunk(data, out),
            Api::Responses => self.take_event(data, out),
        }
    }

    /// Whether the end has come that nothing follows. Chat Completions say it in a line of their
    /// own.
    pub(crate) fn is_over(&self) -> bool {
        self.api == Api::Responses && self.finish_reason.is_some()
    }

    /// No more comes: what still waits (halves of characters, the beginning of a tag) is no more
    /// than it seems to be.
    pub(crate) fn close(&mut self, out: &mut Vec<Progress>) {
        let segments = self.inline.end();
        self.say(segments, out);
        while let Some((part, _)) = self.halves.first().copied() {
            self.close_part(part, out);
        }
        self.sign();
    }

    /// Gives calls without an id one that is theirs alone in the session.
    pub(crate) fn name_calls(&mut self) {
        for (number, call) in self.calls.iter().enumerate() {
            if let Some(Part::ToolCall { id, .. }) = self.parts.get_mut(call.part)
                && id.is_empty()
            {
                *id = format!("call_{}_{}", self.request, number + 1);
            }
        }
    }

    /// An error ends the reply.
    pub(crate) fn fail(&mut self, told: Option<Told>, raw: Option<&str>) {
        let message = || raw.unwrap_or_default().to_owned();
        self.told = Some(told.unwrap_or_else(|| Told { message: message(), ..Told::default() }));
        self.signs += 1;
    }

    /// Text of the model, in which reasoning may stand between tags.
    fn content(&mut self, piece: &Piece<'_>, out: &mut Vec<Progress>) {
        if self.inline.is_over() {
            self.text(piece, out);
        } else {
            let segments = self.inline.push(piece.as_wtf8());
            self.say(segments, out);
        }
    }

    fn say(&mut self, segments: Vec<Segment>, out: &mut Vec<Progress>) {
        for segment in segments {
            match segment {
                Segment::Open(field) => {
                    let place = self.begin_part(Part::reasoning("", field), out);
                    self.thought = Some(place);
                }
                // Whatever came in between, the thought goes on until its tag is closed.
                Segment::Thought(bytes) => {
                    if let Some(place) = self.thought {
                        self.grow(place, &Piece::of_wtf8(bytes.into()), out);
                    }
                }
                Segment::Text(bytes) => self.text(&Piece::of_wtf8(bytes.into()), out),
            }
        }
    }

    fn reasoning(&mut self, piece: &Piece<'_>, from: ReasoningField, out: &mut Vec<Progress>) {
        if !matches!(self.parts.last(), Some(Part::Reasoning { field, .. }) if *field == from) {
            self.begin_part(Part::reasoning("", from), out);
        }
        self.grow(self.parts.len().saturating_sub(1), piece, out);
    }

    fn text(&mut self, piece: &Piece<'_>, out: &mut Vec<Progress>) {
        if !matches!(self.parts.last(), Some(Part::Text(_))) {
            self.begin_part(Part::Text(String::new()), out);
        }
        self.grow(self.parts.len().saturating_sub(1), piece, out);
    }

    /// Begins a part; its place. Only calls are continued once another part has begun.
    fn begin_part(&mut self, part: Part, out: &mut Vec<Progress>) -> usize {
        let place = self.parts.len();
        if let Some(last) = place.checked_sub(1)
            && !matches!(self.parts.last(), Some(Part::ToolCall { .. }))
        {
            self.close_part(last, out);
        }
        self.parts.push(part);
        place
    }

    fn close_part(&mut self, place: usize, out: &mut Vec<Progress>) {
        let mut half = self.take_half(place);
        let mut text = String::new();
        wire::end_piece(&mut half, &mut text);
        self.add(place, &text, out);
    }

    fn grow(&mut self, place: usize, piece: &Piece<'_>, out: &mut Vec<Progress>) {
        let mut half = self.take_half(place);
        let text = piece.join(&mut half);
        if let Some(half) = half {
            self.halves.push((place, half));
        }
        self.add(place, &text, out);
    }

    fn take_half(&mut self, place: usize) -> Option<u16> {
        let found = self.halves.iter().position(|(part, _)| *part == place)?;
        Some(self.halves.remove(found).1)
    }

    /// Adds text to a part, and tells of it.
    fn add(&mut self, place: usize, piece: &str, out: &mut Vec<Progress>) {
        if piece.is_empty() {
            return;
        }
        let request = self.request;
        match (self.parts.get_mut(place), out.last_mut()) {
            (None, _) => {}
            (Some(Part::Reasoning { text, field: from, .. }), last) => {
                text.push_str(piece);
                match last {
                    Some(Progress::Reasoning { text, field, .. }) if field == from => {
                        text.push_str(piece);
                    }
                    _ => out.push(Progress::Reasoning {
                        request,
                        field: *from,
                        text: piece.to_owned(),
                    }),
                }
            }
            (Some(Part::Text(text)), last) => {
                text.push_str(piece);
                match last {
                    Some(Progress::Text { text, .. }) => text.push_str(piece),
                    _ => out.push(Progress::Text { request, text: piece.to_owned() }),
                }
            }
            (Some(Part::ToolCall { arguments, .. }), last) => {
                arguments.push_str(piece);
                // Calls begin one after the other, so they lie in the order of their places.
                let number = self.calls.partition_point(|call| call.part < place);
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                match last {
                    Some(Progress::ToolCall { index, arguments, .. }) if *index == number => {
                        arguments.push_str(piece);
                    }
                    _ => out.push(Progress::ToolCall {
                        request,
                        index: number,
                        name: None,
                        arguments: piece.to_owned(),
                    }),
                }
            }
        }
    }

    /// Whether one more call may begin.
    fn may_call(&mut self) -> bool {
        self.too_many_calls |= self.calls.len() >= CALLS_MAX;
        !self.too_many_calls
    }
}

fn keep_first(slot: &mut Option<String>, value: &Loose<'_>) {
    if slot.is_none() {
        *slot = value.text().map(ToOwned::to_owned);
    }
}

#[cfg(test)]
mod tests;
