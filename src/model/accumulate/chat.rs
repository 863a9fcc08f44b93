//! The chunks of Chat Completions.
//!
//! Calls are told apart by their index; where a server sends none, or the same one for all, by id
//! and name. `reasoning_details` are put together to the list that a reply in one piece would have
//! had, and handed to the last reasoning of the reply when it is whole: half a list is refused.

use serde_json::Value;
use serde_json::value::RawValue;
use trajectory::Progress;
use trajectory::event::{ReasoningField, ReasoningForm};

use super::{Accumulator, Call, Taken, keep_first};
use crate::finish;
use crate::reply::Part;
use crate::wire::{self, CallDelta, Chunk, Delta};

/// The members of a detail whose pieces follow one another.
const GROWING: [(&str, &str); 2] = [("reasoning.text", "text"), ("reasoning.summary", "summary")];
/// No reply has more details.
const DETAILS_MAX: usize = 4096;

impl Accumulator {
    pub(super) fn take_chunk(&mut self, data: &[u8], out: &mut Vec<Progress>) -> Taken {
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

    fn chunk(&mut self, chunk: &Chunk<'_>, data: &[u8], out: &mut Vec<Progress>) {
        if chunk.error.is_some() || chunk.object.text() == Some("error") {
            return self.fail(wire::told(data), chunk.error.map(RawValue::get));
        }
        keep_first(&mut self.response_id, &chunk.id);
        keep_first(&mut self.model_served, &chunk.model);
        self.ids.prompt(chunk.prompt_token_ids);
        if let Some(usage) = chunk.usage.and_then(wire::usage) {
            self.usage = Some(usage);
            self.begun = true;
            self.signs += 1;
        }
        for choice in chunk.choices.iter().flatten() {
            // Nobody asks for more than one; what comes unasked is in the raw bytes.
            if choice.index.is_some_and(|index| index > 0) {
                continue;
            }
            self.begun = true;
            if let Some(error) = choice.error {
                return self.fail(wire::told(error.get().as_bytes()), Some(error.get()));
            }
            // Tokens of which there is no text yet are a sign, too.
            self.signs += u64::from(self.ids.more(choice.token_ids));
            // Some servers send empty pieces while nothing is said: that they are there, no more.
            if let Some(delta) = choice.delta.as_ref().or(choice.message.as_ref())
                && !delta.is_blank()
            {
                self.signs += 1;
                self.delta(delta, out);
            }
            if self.too_many_calls {
                return;
            }
            if let Some(reason) = choice.finish_reason.text() {
                self.signs += 1;
                self.finish(reason);
                if self.told.is_some() {
                    return;
                }
            }
        }
        if let (Some(timings), Some(usage)) = (chunk.timings, &mut self.usage) {
            wire::add_timings(timings, usage);
        }
    }

    fn finish(&mut self, reason: &str) {
        match finish::reason(reason) {
            Ok(reason) => self.finish_reason = Some(reason.to_owned()),
            Err(told) => self.fail(Some(told), None),
        }
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<Progress>) {
        // Some servers send the same piece under both keys: one of them is enough.
        if !delta.reasoning_content.is_empty() {
            self.reasoning(&delta.reasoning_content, ReasoningField::ReasoningContent, out);
        } else if !delta.reasoning.is_empty() {
            self.reasoning(&delta.reasoning, ReasoningField::Reasoning, out);
        }
        if let Some(details) = delta.reasoning_details {
            self.add_details(details);
        }
        if !delta.content.is_empty() {
            self.content(&delta.content, out);
        }
        if !delta.refusal.is_empty() {
            self.text(&delta.refusal, out);
        }
        for call in delta.tool_calls.iter().flatten() {
            self.call(call, out);
            if self.too_many_calls {
                return;
            }
        }
    }

    fn call(&mut self, delta: &CallDelta<'_>, out: &mut Vec<Progress>) {
        let function = delta.function.as_ref();
        let new_id = delta.id.text();
        let new_name = function.and_then(|function| function.name.text());
        let found = self.find_call(delta.index, new_id, new_name);
        if found.is_none() && !self.may_call() {
            return;
        }
        let number = found.unwrap_or_else(|| {
            let part = self.begin_part(Part::tool_call("", "", ""), out);
            self.calls.push(Call { part, index: delta.index });
            self.calls.len() - 1
        });
        let Some(place) = self.calls.get(number).map(|call| call.part) else { return };
        let Some(Part::ToolCall { id, name, signature, .. }) = self.parts.get_mut(place) else {
            return;
        };
        if id.is_empty() {
            id.push_str(new_id.unwrap_or_default());
        }
        if signature.is_none() {
            *signature = delta.extra_content.map(|extra| extra.get().to_owned());
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

    fn add_details(&mut self, details: &RawValue) {
        let Ok(details) = serde_json::from_str::<Vec<Value>>(details.get()) else { return };
        for mut detail in details {
            let grown = self.details.last_mut().is_some_and(|last| grow_detail(last, &mut detail));
            if !grown && self.details.len() < DETAILS_MAX {
                self.details.push(detail);
            }
        }
    }

    /// Hands the details of a whole reply to its last reasoning; reasoning of which there is
    /// nothing else comes before everything.
    pub(super) fn sign(&mut self) {
        if self.details.is_empty() || self.finish_reason.is_none() || self.told.is_some() {
            return;
        }
        let details = std::mem::take(&mut self.details);
        let is_summary = details.iter().any(|detail| detail["type"] == "reasoning.summary");
        let list = Value::Array(details).to_string();
        let last = self.parts.iter_mut().rev().find_map(|part| match part {
            Part::Reasoning { form, signature, .. } => Some((form, signature)),
            _ => None,
        });
        if let Some((form, signature)) = last {
            *signature = Some(list);
            if is_summary {
                *form = ReasoningForm::Summary;
            }
            return;
        }
        let hidden = Part::Reasoning {
            text: String::new(),
            field: ReasoningField::Reasoning,
            form: ReasoningForm::Encrypted,
            signature: Some(list),
        };
        self.parts.insert(0, hidden);
        for call in &mut self.calls {
            call.part += 1;
        }
    }
}

/// Adds the next piece of a detail to it; false when it is another one.
fn grow_detail(last: &mut Value, next: &mut Value) -> bool {
    let kind = next["type"].as_str().unwrap_or_default();
    let Some((_, key)) = GROWING.iter().find(|(name, _)| *name == kind) else { return false };
    if last["type"] != next["type"] || last["index"] != next["index"] {
        return false;
    }
    let (Some(last), Some(next)) = (last.as_object_mut(), next.as_object_mut()) else {
        return false;
    };
    for (name, value) in std::mem::take(next) {
        match last.get_mut(&name) {
            Some(Value::String(text)) if name == *key => {
                text.push_str(value.as_str().unwrap_or_default());
            }
            Some(there) if !there.is_null() => {}
            _ => {
                last.insert(name, value);
            }
        }
    }
    true
}
