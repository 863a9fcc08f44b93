//! The forms of ShareGPT: turns of `from` and `value`, one after the other.
//!
//! LLaMA-Factory wants a turn of the user's or a tool's and one of the model's, in turn: results
//! of calls made at once, and what the user said beside them, are one turn. A turn of calls holds
//! JSON and, before it, a thought in tags; text beside calls has no place. The plain form has
//! calls as Hermes writes them, inside the text. Both train every reply.

use serde_json::{Value, json};

use super::{Draft, without_origin, without_untrained};
use crate::ledger::Ledger;

/// The row for LLaMA-Factory.
pub(super) fn llama_factory(draft: Draft<'_>, ledger: &mut Ledger) -> Option<Value> {
    without_untrained(&draft, ledger)?;
    let mut turns: Vec<(&'static str, String)> = Vec::new();
    let mut said = Ledger::default();
    let mut system = String::new();
    for message in &draft.messages {
        let text = message["content"].as_str().unwrap_or_default();
        let from = match message["role"].as_str() {
            Some("system") => {
                system.push_str(text);
                continue;
            }
            Some("user") => "human",
            Some("tool") => "observation",
            _ => {
                turns.push(reply(message, text, &mut said));
                continue;
            }
        };
        match turns.last_mut() {
            Some((last, value)) if matches!(*last, "human" | "observation") => {
                said.lose("turns_joined", 1, "Turns of users and tools that are one turn here.");
                value.push_str("\n\n");
                value.push_str(text);
            }
            _ => turns.push((from, text.to_owned())),
        }
    }
    let in_turn = turns
        .iter()
        .enumerate()
        .all(|(place, (from, _))| (place % 2 == 1) == matches!(*from, "gpt" | "function_call"));
    if !in_turn || turns.len() % 2 == 1 {
        let note = "Rows in which the model does not answer in turn.";
        ledger.lose("rows_out_of_turn", 1, note);
        return None;
    }
    ledger.add(&said);
    without_origin(ledger);
    let turns: Vec<Value> =
        turns.iter().map(|(from, value)| json!({ "from": from, "value": value })).collect();
    let tools: Vec<&Value> = draft.tools.iter().map(|tool| &tool["function"]).collect();
    let tools = if tools.is_empty() {
        String::new()
    } else {
        Value::from_iter(tools.into_iter().cloned()).to_string()
    };
    Some(json!({ "conversations": turns, "system": system, "tools": tools }))
}

/// A reply: its text, or its calls as JSON; a thought before either.
fn reply(message: &Value, text: &str, ledger: &mut Ledger) -> (&'static str, String) {
    let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
    let functions: Vec<Value> = calls.iter().map(function).collect();
    let mut value = thought(message);
    let from = match functions.as_slice() {
        [] => {
            value.push_str(text);
            "gpt"
        }
        [one] => {
            value.push_str(&one.to_string());
            "function_call"
        }
        many => {
            value.push_str(&Value::from(many.to_vec()).to_string());
            "function_call"
        }
    };
    if from == "function_call" && !text.trim().is_empty() {
        let note = "Text beside calls: a turn of calls has no place for it, and is trained \
                    without it.";
        ledger.lose("text_beside_calls", 1, note);
    }
    (from, value)
}

/// The plain row.
pub(super) fn plain(draft: Draft<'_>, ledger: &mut Ledger) -> Option<Value> {
    without_untrained(&draft, ledger)?;
    let turns: Vec<Value> = draft.messages.iter().map(|message| turn(message, ledger)).collect();
    without_origin(ledger);
    let mut row = json!({ "conversations": turns });
    if !draft.tools.is_empty() {
        row["tools"] = Value::from(draft.tools).to_string().into();
    }
    Some(row)
}

fn turn(message: &Value, ledger: &mut Ledger) -> Value {
    let mut value = message["content"].as_str().unwrap_or_default().to_owned();
    let from = match message["role"].as_str() {
        Some("system") => "system",
        Some("user") => "human",
        Some("tool") => {
            let note = "Results without the id of their call: they follow in its order.";
            ledger.lose("ids_of_calls", 1, note);
            "tool"
        }
        _ => {
            value.insert_str(0, &thought(message));
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                let note = "Calls as text, between the tags of Hermes.";
                ledger.lose("calls_as_text", 1, note);
                if !value.is_empty() {
                    value.push('\n');
                }
                value.push_str(&format!("<tool_call>\n{}\n</tool_call>", function(call)));
            }
            "gpt"
        }
    };
    json!({ "from": from, "value": value })
}

fn function(call: &Value) -> Value {
    json!({ "name": call["function"]["name"], "arguments": call["function"]["arguments"] })
}

fn thought(message: &Value) -> String {
    let thought = message["reasoning_content"].as_str().filter(|thought| !thought.is_empty());
    thought.map(|thought| format!("<think>\n{thought}\n</think>\n\n")).unwrap_or_default()
}
