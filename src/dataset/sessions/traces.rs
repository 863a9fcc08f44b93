//! Session traces as the viewer of the Hugging Face Hub reads them: a line that heads the session,
//! then a line for each message.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trajectory::event::CallStatus;

use super::steps::{Step, Who};
use crate::error::DatasetError;
use crate::ledger::Ledger;
use crate::recording::Recording;
use crate::stats::RowFacts;

/// The lines of a session.
pub(super) fn text(
    recording: &Recording,
    steps: &[Step],
    ledger: &mut Ledger,
) -> Result<String, DatasetError> {
    let title = recording.archive.status()?.title;
    let mut head = json!({ "type": "session", "harness": "limn", "id": recording.name });
    if let Some(title) = title {
        head["name"] = title.into();
    }
    let mut lines = vec![head];
    for step in steps {
        if step.kind == Some("rewind") {
            let note = "Ways back: what was said before them stands as if it still counted.";
            ledger.lose("rewinds", 1, note);
            continue;
        }
        count_losses(step, ledger);
        lines.push(envelope(message(step), step.wall_ns));
        for seen in &step.seen {
            let result = json!({ "role": "tool", "toolCallId": seen.call, "content": seen.text });
            lines.push(envelope(result, seen.wall_ns));
        }
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

fn count_losses(step: &Step, ledger: &mut Ledger) {
    let mut lose = |what: &str, is_lost: bool, note: &str| {
        ledger.lose(what, u64::from(is_lost), note);
    };
    lose("usage", step.usage.is_some(), "Tokens that replies took.");
    let note = "Of what came from users and from limn: whether it is an edit, a command, a summary \
                or something said.";
    lose("kinds", step.kind.is_some(), note);
    let note = "Steps that are copies from another session, which are not marked as such.";
    lose("copied_marks", step.copied, note);
    for seen in &step.seen {
        let note = "Calls that failed, were denied or were stopped, which are not marked as such.";
        lose("call_status", seen.status != CallStatus::Ok, note);
    }
}

fn message(step: &Step) -> Value {
    let role = match step.who {
        Who::System => "system",
        Who::User => "user",
        Who::Agent => "assistant",
    };
    let mut message = json!({ "role": role, "content": step.text });
    if let Some(reasoning) = &step.reasoning {
        message["reasoningContent"] = reasoning.clone().into();
    }
    if !step.calls.is_empty() {
        let calls = step.calls.iter().map(|call| {
            json!({
                "id": call.id,
                "function": { "name": call.name, "arguments": call.arguments },
            })
        });
        message["toolCalls"] = calls.collect();
    }
    if let Some(model) = &step.model {
        message["model"] = model.clone().into();
    }
    message
}

fn envelope(mut message: Value, wall_ns: i64) -> Value {
    message["timestamp"] = (wall_ns / 1_000_000).into();
    json!({ "type": "message", "message": message })
}

/// Checks that results have calls, and counts.
pub(super) fn read(text: &str) -> Result<RowFacts, String> {
    let mut facts = RowFacts::default();
    let mut calls = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let expected = if number == 0 { "session" } else { "message" };
        if line["type"] != expected {
            return Err(format!("line {} is no {expected}", number + 1));
        }
        if number == 0 {
            continue;
        }
        let message = &line["message"];
        if !message["content"].is_string() {
            return Err(format!("line {} has no content", number + 1));
        }
        for call in message["toolCalls"].as_array().into_iter().flatten() {
            calls.insert(call["id"].as_str().unwrap_or_default().to_owned());
        }
        if message["role"] == "tool"
            && !message["toolCallId"].as_str().is_some_and(|id| calls.contains(id))
        {
            return Err(format!("line {} is a result without its call", number + 1));
        }
        facts.steps += usize::from(message["role"] == "assistant");
        let tokens = chat::estimate(&message.to_string());
        facts.tokens += usize::try_from(tokens).unwrap_or(usize::MAX);
    }
    facts.replies = facts.steps;
    Ok(facts)
}
