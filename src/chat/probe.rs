//! What a chat template can hold, found out by asking it.
//!
//! Templates take the same things differently: arguments as an object or as text, no text as an
//! absent or an empty one. And some leave things out without a word, tools and
//! their answers among them. So a template is given small conversations with words that occur
//! nowhere else, and what is not in the text it writes is [dropped](Part).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::error::ChatError;
use crate::template::{Conversation, Template};
use crate::tokenizer::Tokenizer;

#[cfg(test)]
mod tests;

/// Something that a template may leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The system prompt.
    System,
    /// The tools on offer.
    Tools,
    /// Tool calls.
    Calls,
    /// The second of two calls.
    ParallelCalls,
    /// Text beside a call.
    TextBesideCalls,
    /// What tools answered.
    ToolRole,
    /// Reasoning of the reply that is being given.
    Reasoning,
}

impl Part {
    /// The words for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "the system prompt",
            Self::Tools => "the tools on offer",
            Self::Calls => "tool calls",
            Self::ParallelCalls => "the second of two tool calls",
            Self::TextBesideCalls => "text beside a tool call",
            Self::ToolRole => "what tools answer",
            Self::Reasoning => "reasoning",
        }
    }
}

/// How a template wants its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Arguments are an object, not the text of one.
    arguments_are_objects: bool,
    /// A message without text has none, not an empty one.
    absent_is_absent: bool,
}

impl Shape {
    /// From the usual one to the odd one.
    const ALL: [Self; 4] = [
        Self { arguments_are_objects: true, absent_is_absent: true },
        Self { arguments_are_objects: true, absent_is_absent: false },
        Self { arguments_are_objects: false, absent_is_absent: true },
        Self { arguments_are_objects: false, absent_is_absent: false },
    ];

    /// A message in this shape.
    pub(crate) fn apply(self, message: &Value) -> Value {
        let mut message = message.clone();
        let Some(fields) = message.as_object_mut() else { return message };
        if !self.absent_is_absent && fields.get("content").is_some_and(Value::is_null) {
            fields.insert("content".to_owned(), "".into());
        }
        if !self.arguments_are_objects {
            let calls = fields.get_mut("tool_calls").and_then(Value::as_array_mut);
            for call in calls.into_iter().flatten() {
                if let Some(arguments) = call.pointer_mut("/function/arguments")
                    && !arguments.is_string()
                {
                    *arguments = arguments.to_string().into();
                }
            }
        }
        message
    }
}

/// What was found out.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) shape: Shape,
    pub(crate) drops: Vec<Part>,
    /// The token at which a reply of text ends, and one of calls.
    pub(crate) after_text: Option<u32>,
    pub(crate) after_calls: Option<u32>,
    /// The template writes that token even after the last message.
    pub(crate) writes_stops: bool,
}

const ASKED: &str = "probe-asked";
const ANSWER: &str = "probe-answer";
const VALUE: &str = "probe-value";
const RESULT: &str = "probe-result";
const NEXT: &str = "probe-next";
const THOUGHT: &str = "probe-thought";

/// Asks a template.
///
/// # Errors
/// When it cannot even write what a user says.
pub(crate) fn probe(
    tokenizer: &Tokenizer,
    template: &Template,
    stops: &BTreeSet<u32>,
) -> Result<Probe, ChatError> {
    template.render(&Conversation::new(&[user(ASKED)], &[], 0), true)?;
    let takes_calls = |shape: &Shape| Asking { template, shape: *shape }.takes_calls();
    let found = Shape::ALL.into_iter().find(takes_calls);
    let asking = Asking { template, shape: found.unwrap_or(Shape::ALL[0]) };
    let mut drops = if found.is_some() { Vec::new() } else { vec![Part::Calls] };
    asking.the_rest(&mut drops);
    drops.sort_unstable();
    let stop = |messages: &[Value], from: &str, to: &str| {
        let whole = asking.text(messages, &[])?;
        let alone = asking.text(&messages[..2], &[]).unwrap_or_default();
        stop_between(tokenizer, stops, (&whole, &alone), from, to)
    };
    let after_text = stop(&[user(ASKED), says(ANSWER), user(NEXT)], ANSWER, NEXT);
    let after_calls = stop(&[user(ASKED), calls(json!(""), 1), result(0)], VALUE, RESULT);
    let alone = asking.text(&[user(ASKED), says(ANSWER)], &[]).unwrap_or_default();
    let tail = alone.rfind(ANSWER).map_or("", |at| &alone[at..]);
    let ends = tokenizer.encode(tail)?.ids;
    let writes_stops = after_text.is_some_and(|stop| ends.contains(&stop));
    Ok(Probe { shape: asking.shape, drops, after_text, after_calls, writes_stops })
}

fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

fn says(text: &str) -> Value {
    json!({ "role": "assistant", "content": text })
}

/// A reply with so many calls.
fn calls(content: Value, count: usize) -> Value {
    let calls: Vec<Value> = (0..count)
        .map(|place| {
            let arguments = json!({ "probe_key": VALUE });
            let name = format!("probe_call_{place}");
            json!({
                "id": format!("call00{place}xx"),
                "type": "function",
                "function": { "name": name, "arguments": arguments },
            })
        })
        .collect();
    json!({ "role": "assistant", "content": content, "tool_calls": calls })
}

fn result(place: usize) -> Value {
    let (id, name) = (format!("call00{place}xx"), format!("probe_call_{place}"));
    json!({ "role": "tool", "tool_call_id": id, "name": name, "content": RESULT })
}

fn tool() -> Value {
    json!({ "type": "function", "function": {
        "name": "probe_tool",
        "description": "probe-description",
        "parameters": {
            "type": "object",
            "properties": { "probe_parameter": { "type": "string", "description": "One." } },
            "required": ["probe_parameter"],
        },
    } })
}

/// A template that is asked, with messages in a shape.
struct Asking<'a> {
    template: &'a Template,
    shape: Shape,
}

impl Asking<'_> {
    fn text(&self, messages: &[Value], tools: &[Value]) -> Option<String> {
        let shaped: Vec<Value> = messages.iter().map(|it| self.shape.apply(it)).collect();
        self.template.render(&Conversation::new(&shaped, tools, 0), false).ok()
    }

    /// Whether all these words are in the text.
    fn holds(&self, messages: &[Value], tools: &[Value], words: &[&str]) -> bool {
        let text = self.text(messages, tools);
        text.is_some_and(|text| words.iter().all(|word| text.contains(word)))
    }

    /// Whether a call is written as JSON, and neither as Python nor as a text within JSON.
    fn takes_calls(&self) -> bool {
        let conversation = [user(ASKED), calls(Value::Null, 1), result(0)];
        let Some(text) = self.text(&conversation, &[]) else { return false };
        let held = ["probe_call_0", "probe_key", VALUE].iter().all(|word| text.contains(word));
        held && !["'probe_key'", "\\\"probe_key", "None"].iter().any(|word| text.contains(word))
    }

    /// What else is dropped.
    fn the_rest(&self, drops: &mut Vec<Part>) {
        let system = json!({ "role": "system", "content": "probe-system" });
        let one = [user(ASKED), calls(json!(""), 1), result(0)];
        let beside = [user(ASKED), calls(json!(ANSWER), 1), result(0)];
        let two = [user(ASKED), calls(json!(""), 2), result(0), result(1)];
        let mut thinks = says(ANSWER);
        thinks["reasoning_content"] = THOUGHT.into();
        let tools = [tool()];
        let offered = ["probe_tool", "probe-description", "probe_parameter"];
        /// A part, messages and tools that have it, and words that show it.
        type Question<'a> = (Part, &'a [Value], &'a [Value], &'a [&'a str]);
        let questions: [Question<'_>; 6] = [
            (Part::System, &[system, user(ASKED)], &[], &["probe-system"]),
            (Part::Reasoning, &[user(ASKED), thinks], &[], &[THOUGHT, ANSWER]),
            (Part::Tools, &[user(ASKED)], &tools, &offered),
            (Part::ToolRole, &one, &[], &[RESULT]),
            (Part::TextBesideCalls, &beside, &[], &[ANSWER, "probe_call_0"]),
            (Part::ParallelCalls, &two, &[], &["probe_call_0", "probe_call_1"]),
        ];
        for (part, messages, tools, words) in questions {
            if !self.holds(messages, tools, words) {
                drops.push(part);
            }
        }
    }
}

/// The token that ends a reply: one at which the model is said to stop, else the last special one
/// of the reply written alone, else the first with which the next message begins.
fn stop_between(
    tokenizer: &Tokenizer,
    stops: &BTreeSet<u32>,
    (whole, alone): (&str, &str),
    from: &str,
    to: &str,
) -> Option<u32> {
    let start = whole.find(from)? + from.len();
    let gap = &whole[start..start + whole[start..].find(to)?];
    let ids = tokenizer.encode(gap).ok()?.ids;
    let opens = |id: &u32| {
        // What closes a bracket ends a part of a reply, not the reply.
        let spelling = tokenizer.decode(&[*id]).unwrap_or_default();
        tokenizer.is_special(*id) && (!spelling.starts_with("</") || spelling == "</s>")
    };
    if let Some(id) = ids.iter().find(|id| stops.contains(id)) {
        return Some(*id);
    }
    let tail = alone.find(from).map_or("", |at| &alone[at + from.len()..]);
    let own = tokenizer.encode(tail).ok()?.ids;
    own.iter().copied().rfind(opens).or_else(|| ids.iter().copied().find(opens))
}

/// What a template must hold for this conversation.
pub(crate) fn needs(messages: &[Value], tools: &[Value]) -> BTreeSet<Part> {
    let mut needs = BTreeSet::new();
    if !tools.is_empty() {
        needs.insert(Part::Tools);
    }
    let filled = |value: &Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
    for message in messages {
        match message["role"].as_str() {
            Some("system") => drop(needs.insert(Part::System)),
            Some("tool") => drop(needs.insert(Part::ToolRole)),
            _ => {}
        }
        let count = message["tool_calls"].as_array().map_or(0, Vec::len);
        let parts = [
            (Part::Calls, count > 0),
            (Part::ParallelCalls, count > 1),
            (Part::TextBesideCalls, count > 0 && filled(&message["content"])),
            (Part::Reasoning, filled(&message["reasoning_content"])),
        ];
        needs.extend(parts.into_iter().filter(|(_, needed)| *needed).map(|(part, _)| part));
    }
    needs
}
