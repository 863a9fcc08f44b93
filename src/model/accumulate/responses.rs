//! The events of Responses.
//!
//! An output item is announced, grows, and is told once more when it is done. What grew is the
//! part; what is told at the end fills in where nothing grew (some servers send whole items only),
//! and of a reasoning item it is kept as it came, because it goes back so.

use serde_json::value::RawValue;
use trajectory::Progress;
use trajectory::event::{ReasoningField, ReasoningForm};

use super::{Accumulator, CALLS_MAX, Call, Taken, keep_first};
use crate::finish;
use crate::reply::Part;
use crate::wire::responses::{Event, OutputItem, Response, Section};
use crate::wire::{self, Loose, Piece};

/// Between the sections of a summary.
const SECTION_END: &str = "\n\n";

/// An output item.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    index: Option<u32>,
    id: Option<String>,
    /// Its place among the parts, once there is one.
    part: Option<usize>,
    /// The section of the summary that grows.
    section: Option<u32>,
    /// Text of it has come.
    grown: bool,
}

impl Accumulator {
    pub(super) fn take_event(&mut self, data: &[u8], out: &mut Vec<Progress>) -> Taken {
        if let Ok(event) = serde_json::from_slice(data) {
            return self.event(&event, data, out);
        }
        match wire::responses::read_tolerantly(&String::from_utf8_lossy(data)) {
            None => Taken::Nothing,
            Some((event, is_whole)) => match self.event(&event, data, out) {
                Taken::Whole if !is_whole => Taken::InPart,
                taken => taken,
            },
        }
    }

    fn event(&mut self, event: &Event<'_>, data: &[u8], out: &mut Vec<Progress>) -> Taken {
        let kind = event.kind.text().unwrap_or_default();
        if kind.is_empty() && event.object.text() == Some("response") {
            return self.response(data, out);
        }
        if kind == "error" || (kind.is_empty() && event.error.is_some()) {
            self.fail(wire::told(data), event.error.map(RawValue::get));
            return Taken::Whole;
        }
        let Some(kind) = kind.strip_prefix("response.") else { return Taken::Whole };
        self.begun = true;
        // That it was taken up, and still is, is sent for as long as a gateway likes.
        self.signs += u64::from(!matches!(kind, "created" | "queued" | "in_progress"));
        match kind {
            "created" => self.created(event.response),
            "output_item.added" => return self.item(event, false, out),
            "output_item.done" => return self.item(event, true, out),
            "output_text.delta" | "refusal.delta" => {
                self.mark_grown(event);
                self.content(&event.delta, out);
            }
            "reasoning_text.delta" => self.thought(event, ReasoningForm::Full, out),
            "reasoning_summary_text.delta" => self.thought(event, ReasoningForm::Summary, out),
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.grow_call(event, &event.delta, out);
            }
            "function_call_arguments.done" if !self.has_grown(event) => {
                self.grow_call(event, &event.arguments.0, out);
            }
            "custom_tool_call_input.done" if !self.has_grown(event) => {
                self.grow_call(event, &event.input, out);
            }
            "completed" | "incomplete" | "failed" | "cancelled" => {
                let whole = event.response.map(RawValue::get);
                return whole.map_or(Taken::InPart, |whole| self.response(whole.as_bytes(), out));
            }
            _ => {}
        }
        Taken::Whole
    }

    fn created(&mut self, response: Option<&RawValue>) {
        let Some(raw) = response else { return };
        if let Ok(response) = serde_json::from_str::<Response<'_>>(raw.get()) {
            keep_first(&mut self.response_id, &response.id);
            keep_first(&mut self.model_served, &response.model);
        }
    }

    /// The whole response, at the end of a stream or instead of one.
    fn response(&mut self, raw: &[u8], out: &mut Vec<Progress>) -> Taken {
        let Ok(response) = serde_json::from_slice::<Response<'_>>(raw) else {
            return Taken::InPart;
        };
        self.begun = true;
        self.signs += 1;
        keep_first(&mut self.response_id, &response.id);
        keep_first(&mut self.model_served, &response.model);
        if let Some(usage) = response.usage.and_then(wire::usage) {
            self.usage = Some(usage);
        }
        let mut taken = Taken::Whole;
        if self.items.is_empty() {
            for (index, item) in (0..).zip(response.output.iter().flatten()) {
                let event =
                    Event { output_index: Some(index), item: Some(item), ..Event::default() };
                for done in [false, true] {
                    if self.item(&event, done, out) != Taken::Whole {
                        taken = Taken::InPart;
                    }
                }
            }
        }
        if self.too_many_calls {
            return taken;
        }
        let reason = response.incomplete_details.as_ref().and_then(|why| why.reason.text());
        match response.status.text() {
            Some("failed" | "cancelled") => self.fail(
                wire::told(raw).filter(|_| response.error.is_some()),
                Some(response.error.map_or("it says no more", RawValue::get)),
            ),
            Some("incomplete") => match finish::reason(reason.unwrap_or("length")) {
                Ok(reason) => self.finish_reason = Some(reason.to_owned()),
                Err(told) => self.fail(Some(told), None),
            },
            // A response in the background is none yet.
            Some("queued" | "in_progress") => {}
            _ => {
                let reason = if self.calls.is_empty() { "stop" } else { "tool_calls" };
                self.finish_reason = Some(reason.to_owned());
            }
        }
        taken
    }

    /// An item is announced, or done.
    fn item(&mut self, event: &Event<'_>, done: bool, out: &mut Vec<Progress>) -> Taken {
        let Some(raw) = event.item else { return Taken::InPart };
        let Ok(item) = serde_json::from_str::<OutputItem<'_>>(raw.get()) else {
            return Taken::InPart;
        };
        let known = if done { self.find_item(event.output_index, &item.id) } else { None };
        let number = match known {
            Some(number) => number,
            None if self.items.len() >= CALLS_MAX => {
                self.too_many_calls = true;
                return Taken::Whole;
            }
            None => {
                let id = item.id.text().map(ToOwned::to_owned);
                self.items.push(Item { index: event.output_index, id, ..Item::default() });
                self.items.len() - 1
            }
        };
        match item.kind.text() {
            Some("function_call" | "custom_tool_call") => self.call_item(number, &item, done, out),
            Some("message") if done => self.message_item(number, &item, out),
            // Two messages in a row are two parts.
            Some("message") if matches!(self.parts.last(), Some(Part::Text(_))) => {
                self.begin_part(Part::Text(String::new()), out);
            }
            Some("reasoning") if done => self.reasoning_item(number, &item, raw, out),
            _ => {}
        }
        Taken::Whole
    }

    fn call_item(
        &mut self,
        number: usize,
        item: &OutputItem<'_>,
        done: bool,
        out: &mut Vec<Progress>,
    ) {
        let freeform = item.kind.text() == Some("custom_tool_call");
        let place = self.items.get(number).and_then(|item| item.part);
        let place = match place {
            Some(place) => place,
            None => {
                if !self.may_call() {
                    return;
                }
                let id = item.call_id.text().unwrap_or_default();
                let name = item.name.text().unwrap_or_default();
                let mut part = Part::tool_call(id, name, "");
                if let Part::ToolCall { freeform: is, .. } = &mut part {
                    *is = freeform;
                }
                let part = self.begin_part(part, out);
                self.calls.push(Call { part, index: None });
                out.push(Progress::ToolCall {
                    request: self.request,
                    index: u32::try_from(self.calls.len() - 1).unwrap_or(u32::MAX),
                    name: item.name.text().map(ToOwned::to_owned),
                    arguments: String::new(),
                });
                part
            }
        };
        let Some(known) = self.items.get_mut(number) else { return };
        known.part = Some(place);
        let said = if freeform { &item.input } else { &item.arguments.0 };
        if done && !known.grown && !said.is_empty() {
            known.grown = true;
            self.grow(place, said, out);
        }
    }

    fn message_item(&mut self, number: usize, item: &OutputItem<'_>, out: &mut Vec<Progress>) {
        if self.items.get(number).is_none_or(|item| item.grown) {
            return;
        }
        for section in item.content.iter().flatten() {
            let piece = if section.refusal.is_empty() { &section.text } else { &section.refusal };
            if !piece.is_empty() {
                self.content(piece, out);
            }
        }
    }

    /// A reasoning item is done: it is kept as it came.
    fn reasoning_item(
        &mut self,
        number: usize,
        item: &OutputItem<'_>,
        raw: &RawValue,
        out: &mut Vec<Progress>,
    ) {
        let Some(place) = self.items.get(number).map(|item| item.part) else { return };
        let place = place.unwrap_or_else(|| {
            let (form, text) = reasoning_of(item);
            let part = self.begin_part(thought_part(form), out);
            self.grow(part, &Piece::Whole(text.into()), out);
            part
        });
        if let Some(item) = self.items.get_mut(number) {
            item.part = Some(place);
        }
        if let Some(Part::Reasoning { signature, .. }) = self.parts.get_mut(place) {
            *signature = Some(raw.get().to_owned());
        }
    }

    /// Reasoning grows. Where a server tells it in full and in summary, what came first stands.
    fn thought(&mut self, event: &Event<'_>, as_form: ReasoningForm, out: &mut Vec<Progress>) {
        let Some(number) = self.item_of(event) else { return };
        let Some(item) = self.items.get(number).cloned() else { return };
        let place = match item.part {
            Some(place) => place,
            None => self.begin_part(thought_part(as_form), out),
        };
        let Some(Part::Reasoning { form, .. }) = self.parts.get(place) else { return };
        if *form != as_form {
            return;
        }
        let is_next = item.grown && event.summary_index != item.section;
        if as_form == ReasoningForm::Summary && is_next {
            self.grow(place, &Piece::Whole(SECTION_END.into()), out);
        }
        self.grow(place, &event.delta, out);
        if let Some(item) = self.items.get_mut(number) {
            item.part = Some(place);
            item.section = event.summary_index;
            item.grown = true;
        }
    }

    fn grow_call(&mut self, event: &Event<'_>, piece: &Piece<'_>, out: &mut Vec<Progress>) {
        let Some(number) = self.find_item(event.output_index, &event.item_id) else { return };
        let Some(item) = self.items.get_mut(number) else { return };
        item.grown |= !piece.is_empty();
        let Some(place) = item.part else { return };
        self.grow(place, piece, out);
    }

    fn mark_grown(&mut self, event: &Event<'_>) {
        if let Some(number) = self.item_of(event)
            && let Some(item) = self.items.get_mut(number)
        {
            item.grown = true;
        }
    }

    fn has_grown(&self, event: &Event<'_>) -> bool {
        let number = self.find_item(event.output_index, &event.item_id);
        number.and_then(|number| self.items.get(number)).is_some_and(|item| item.grown)
    }

    /// The item of an event; one that nobody announced is made.
    fn item_of(&mut self, event: &Event<'_>) -> Option<usize> {
        if let Some(number) = self.find_item(event.output_index, &event.item_id) {
            return Some(number);
        }
        if self.items.len() >= CALLS_MAX {
            self.too_many_calls = true;
            return None;
        }
        let id = event.item_id.text().map(ToOwned::to_owned);
        self.items.push(Item { index: event.output_index, id, ..Item::default() });
        Some(self.items.len() - 1)
    }

    /// By its place in the output; where a server sends none, by its id; else the last.
    fn find_item(&self, index: Option<u32>, id: &Loose<'_>) -> Option<usize> {
        match (index, id.text()) {
            (Some(_), _) => self.items.iter().rposition(|item| item.index == index),
            (None, Some(id)) => self.items.iter().rposition(|item| item.id.as_deref() == Some(id)),
            (None, None) => self.items.len().checked_sub(1),
        }
    }
}

fn thought_part(form: ReasoningForm) -> Part {
    Part::Reasoning { text: String::new(), field: ReasoningField::Item, form, signature: None }
}

/// What a whole reasoning item says: all of it, a summary, or nothing that can be read.
fn reasoning_of(item: &OutputItem<'_>) -> (ReasoningForm, String) {
    let texts = |sections: &Option<Vec<Section<'_>>>| -> Vec<String> {
        let sections = sections.iter().flatten();
        sections.map(|section| section.text.to_text()).filter(|text| !text.is_empty()).collect()
    };
    let (full, summary) = (texts(&item.content), texts(&item.summary));
    if !full.is_empty() {
        (ReasoningForm::Full, full.concat())
    } else if !summary.is_empty() {
        (ReasoningForm::Summary, summary.join(SECTION_END))
    } else {
        (ReasoningForm::Encrypted, String::new())
    }
}

#[cfg(test)]
mod tests;
