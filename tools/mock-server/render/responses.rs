//! A reply as Responses stream it: items that are announced, grow, and are done.

use serde_json::{Value, json};

use super::split;
use crate::reply::{End, Reply, Step};

/// The events, each with the empty line that ends it.
pub(super) fn events(reply: &Reply, number: &str) -> Vec<Vec<u8>> {
    let raw_only =
        reply.end == End::WithoutFinish && reply.steps.iter().all(|s| matches!(s, Step::Raw(_)));
    let mut writer = Writer {
        reply,
        number,
        line_end: if reply.carriage_returns { "\r\n" } else { "\n" },
        events: Vec::with_capacity(reply.steps.len() + 8),
        output: Vec::new(),
        open: None,
    };
    if !raw_only {
        let response = writer.response("in_progress");
        writer.event("response.created", json!({"response": response}));
    }
    for step in &reply.steps {
        writer.step(step);
    }
    if reply.end != End::WithoutFinish {
        writer.close();
        writer.finish();
    }
    writer.events
}

/// An item that grows.
struct Open {
    /// `message`, `reasoning`, or a call.
    item: Value,
    /// The key of what grows, within the item.
    text: String,
    /// The index of the call in Chat Completions.
    call: Option<u64>,
}

struct Writer<'a> {
    reply: &'a Reply,
    number: &'a str,
    line_end: &'static str,
    events: Vec<Vec<u8>>,
    output: Vec<Value>,
    open: Option<Open>,
}

impl Writer<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Raw(bytes) => self.events.push(bytes.clone()),
            // This form has no place for them.
            Step::Tokens(_) => {}
            Step::Freeform { id, name, input, pieces } => {
                let id = id.replace("{reply}", self.number);
                self.close();
                self.begin(
                    json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": ""}),
                );
                for piece in split(input, *pieces) {
                    self.grow("response.custom_tool_call_input.delta", &piece);
                }
            }
            Step::Delta(delta) => self.delta(delta),
        }
    }

    fn delta(&mut self, delta: &Value) {
        for key in ["reasoning_content", "reasoning"] {
            if let Some(text) = delta[key].as_str() {
                self.ensure("reasoning", || json!({"type": "reasoning", "summary": []}));
                let kind = if self.reply.summarized {
                    "response.reasoning_summary_text.delta"
                } else {
                    "response.reasoning_text.delta"
                };
                self.grow(kind, text);
            }
        }
        if let Some(text) = delta["content"].as_str() {
            self.ensure(
                "message",
                || json!({"type": "message", "role": "assistant", "content": []}),
            );
            self.grow("response.output_text.delta", text);
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.call(call);
        }
    }

    fn call(&mut self, call: &Value) {
        let index = call["index"].as_u64();
        let named = call["function"]["name"].as_str();
        let continues =
            self.open.as_ref().is_some_and(|open| named.is_none() && open.call == index);
        if !continues {
            self.close();
            let id = call["id"].as_str().unwrap_or_default().replace("{reply}", self.number);
            self.begin(json!({"type": "function_call", "call_id": id,
                              "name": named.unwrap_or_default(), "arguments": ""}));
            if let Some(open) = &mut self.open {
                open.call = index;
            }
        }
        if let Some(piece) = call["function"]["arguments"].as_str().filter(|p| !p.is_empty()) {
            self.grow("response.function_call_arguments.delta", piece);
        }
    }

    /// Goes on with an item of this kind, or begins one.
    fn ensure(&mut self, kind: &str, item: impl FnOnce() -> Value) {
        if self.open.as_ref().is_none_or(|open| open.item["type"] != kind) {
            self.close();
            self.begin(item());
        }
    }

    fn begin(&mut self, mut item: Value) {
        let place = self.output.len();
        item["id"] = format!("item_{}_{place}", self.number).into();
        self.event("response.output_item.added", json!({"output_index": place, "item": item}));
        self.open = Some(Open { item, text: String::new(), call: None });
    }

    fn grow(&mut self, kind: &str, piece: &str) {
        let Some(open) = &mut self.open else { return };
        open.text.push_str(piece);
        let item_id = open.item["id"].clone();
        let place = self.output.len();
        let mut event = json!({"item_id": item_id, "output_index": place, "delta": piece});
        match kind {
            "response.reasoning_summary_text.delta" => event["summary_index"] = 0.into(),
            "response.output_text.delta" | "response.reasoning_text.delta" => {
                event["content_index"] = 0.into();
            }
            _ => {}
        }
        self.event(kind, event);
    }

    /// The open item is done.
    fn close(&mut self) {
        let Some(Open { mut item, text, .. }) = self.open.take() else { return };
        match item["type"].as_str().unwrap_or_default() {
            "message" => {
                item["status"] = "completed".into();
                item["content"] = json!([{"type": "output_text", "text": text, "annotations": []}]);
            }
            "reasoning" if self.reply.summarized => {
                item["summary"] = json!([{"type": "summary_text", "text": text}]);
                item["encrypted_content"] = format!("gAAAA{}", text.len()).into();
            }
            "reasoning" => item["content"] = json!([{"type": "reasoning_text", "text": text}]),
            "custom_tool_call" => item["input"] = text.into(),
            _ => {
                item["status"] = "completed".into();
                item["arguments"] = text.into();
            }
        }
        let place = self.output.len();
        self.event("response.output_item.done", json!({"output_index": place, "item": item}));
        self.output.push(item);
    }

    fn finish(&mut self) {
        let why = match self.reply.finish_reason.as_deref() {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        };
        let status = if why.is_some() { "incomplete" } else { "completed" };
        let mut response = self.response(status);
        if let Some(why) = why {
            response["incomplete_details"] = json!({"reason": why});
        }
        response["output"] = Value::Array(std::mem::take(&mut self.output));
        if let Some(usage) = &self.reply.usage {
            response["usage"] = json!({
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": usage["prompt_tokens_details"],
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": usage["completion_tokens_details"],
                "total_tokens": usage["total_tokens"],
            });
        }
        self.event(&format!("response.{status}"), json!({"response": response}));
    }

    fn response(&self, status: &str) -> Value {
        json!({"id": format!("resp_{}", self.number), "object": "response", "status": status,
               "created_at": 1_700_000_000, "model": self.reply.model, "output": []})
    }

    fn event(&mut self, kind: &str, mut event: Value) {
        let line_end = self.line_end;
        let mut whole = json!({"type": kind, "sequence_number": self.events.len()});
        if let (Some(whole), Some(event)) = (whole.as_object_mut(), event.as_object_mut()) {
            whole.append(event);
        }
        let text = format!("event: {kind}{line_end}data: {whole}{line_end}{line_end}");
        self.events.push(text.into_bytes());
    }
}
