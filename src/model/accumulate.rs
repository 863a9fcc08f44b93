//! Deltas → parts.
//!
//! Parts keep the order in which they began: text after a call is a new part. Calls are told apart
//! by their index; where a server sends none, or the same one for all, by id and name.
//!
//! A part that stands at half a character waits for the other half: nothing is shown of it, and
//! when it never comes, a replacement stands in its place.

use trajectory::event::ReasoningField;
use trajectory::{Progress, Usage};

use crate::reply::Part;
use crate::wire::{self, CallDelta, Chunk, Delta, Loose, Piece, Told};

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
    pub(crate) parts: Vec<Part>,
    calls: Vec<Call>,
    /// High surrogates at which parts stand, with the places of the parts.
    halves: Vec<(usize, u16)>,
    pub(crate) usage: Option<Usage>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) response_id: Option<String>,
    pub(crate) model_served: Option<String>,
    /// An error told in the stream.
    pub(crate) told: Option<Told>,
    /// There were more calls than one reply may have; what followed was not taken.
    pub(crate) too_many_calls: bool,
    /// Whether anything has come that looks like a completion.
    pub(crate) begun: bool,
}

impl Accumulator {
    pub(crate) fn new(request: u32) -> Self {
        Self { request, ..Self::default() }
    }

    /// Takes the data of one event, or a whole completion. Progress that continues the last one
    /// in `out` is joined to it.
    pub(crate) fn take(&mut self, data: &[u8], out: &mut Vec<Progress>) -> Taken {
        // A list would be read as a struct, field by field.
        if data.trim_ascii_start().first() != Some(&b'{') {
            return Taken::Nothing;
        }
        if let Ok(chunk) = serde_json::from_slice(data) {
            self.chunk(&chunk, data, out);
            return Taken::Whole;
        }
        match wire::read_tolerantly(&String::from_utf8_lossy(data)) {
            None => Taken::Nothing,
            Some((chunk, is_whole)) => {
                self.chunk(&chunk, data, out);
                if is_whole { Taken::Whole } else { Taken::InPart }
            }
        }
    }

    /// No more comes: halves of characters that still wait are replaced.
    pub(crate) fn close(&mut self, out: &mut Vec<Progress>) {
        while let Some((part, _)) = self.halves.first().copied() {
            self.close_part(part, out);
        }
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

    fn chunk(&mut self, chunk: &Chunk<'_>, data: &[u8], out: &mut Vec<Progress>) {
        if chunk.error.is_some() || chunk.object.text() == Some("error") {
            let raw = || Told {
                message: chunk.error.map(|error| error.get().to_owned()).unwrap_or_default(),
                status: None,
            };
            self.told = Some(wire::told(data).unwrap_or_else(raw));
            return;
        }
        keep_first(&mut self.response_id, &chunk.id);
        keep_first(&mut self.model_served, &chunk.model);
        if let Some(usage) = chunk.usage.and_then(wire::usage) {
            self.usage = Some(usage);
            self.begun = true;
        }
        for choice in chunk.choices.iter().flatten() {
            // Nobody asks for more than one; what comes unasked is in the raw bytes.
            if choice.index.is_some_and(|index| index > 0) {
                continue;
            }
            self.begun = true;
            if let Some(delta) = choice.delta.as_ref().or(choice.message.as_ref()) {
                self.delta(delta, out);
            }
            if self.too_many_calls {
                return;
            }
            if let Some(reason) = choice.finish_reason.text() {
                self.finish_reason = Some(reason.to_owned());
            }
        }
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<Progress>) {
        // Some servers send the same piece under both keys: one of them is enough.
        if !delta.reasoning_content.is_empty() {
            self.reasoning(&delta.reasoning_content, ReasoningField::ReasoningContent, out);
        } else if !delta.reasoning.is_empty() {
            self.reasoning(&delta.reasoning, ReasoningField::Reasoning, out);
        }
        for piece in [&delta.content, &delta.refusal] {
            if !piece.is_empty() {
                self.text(piece, out);
            }
        }
        for call in delta.tool_calls.iter().flatten() {
            self.call(call, out);
            if self.too_many_calls {
                return;
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

    fn call(&mut self, delta: &CallDelta<'_>, out: &mut Vec<Progress>) {
        let function = delta.function.as_ref();
        let new_id = delta.id.text();
        let new_name = function.and_then(|function| function.name.text());
        let found = self.find_call(delta.index, new_id, new_name);
        if found.is_none() && self.calls.len() >= CALLS_MAX {
            self.too_many_calls = true;
            return;
        }
        let number = found.unwrap_or_else(|| {
            let part = self.begin_part(Part::tool_call("", "", ""), out);
            self.calls.push(Call { part, index: delta.index });
            self.calls.len() - 1
        });
        let Some(place) = self.calls.get(number).map(|call| call.part) else { return };
        let Some(Part::ToolCall { id, name, .. }) = self.parts.get_mut(place) else { return };
        if id.is_empty() {
            id.push_str(new_id.unwrap_or_default());
        }
        let named = name.is_empty().then_some(new_name).flatten();
        name.push_str(named.unwrap_or_default());
        if found.is_none() || named.is_some() {
            out.push(Progress::ToolCall {
                request: self.request,
                index: u32::try_from(number).unwrap_or(u32::MAX),
                name: named.map(ToOwned::to_owned),
                arguments: String::new(),
            });
        }
        if let Some(function) = function {
            self.grow(place, &function.arguments.0, out);
        }
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

    /// The call that a delta continues; `None` when it begins one.
    fn find_call(&self, index: Option<u32>, id: Option<&str>, name: Option<&str>) -> Option<usize> {
        let number = match index {
            Some(_) => self.calls.iter().rposition(|call| call.index == index)?,
            None => self.calls.len().checked_sub(1)?,
        };
        let part = self.calls.get(number).and_then(|call| self.parts.get(call.part));
        let Some(Part::ToolCall { id: known_id, name: known_name, .. }) = part else { return None };
        let other_id = id.is_some_and(|id| !known_id.is_empty() && id != known_id);
        let begins = match index {
            // The same index for another call: only an id and a name together prove it.
            Some(_) => other_id && name.is_some() && !known_name.is_empty(),
            // No index: another id, or a name with no id to say that it is the same call.
            None => other_id || (id.is_none() && name.is_some() && !known_name.is_empty()),
        };
        (!begins).then_some(number)
    }
}

fn keep_first(slot: &mut Option<String>, value: &Loose<'_>) {
    if slot.is_none() {
        *slot = value.text().map(ToOwned::to_owned);
    }
}

#[cfg(test)]
mod tests;
