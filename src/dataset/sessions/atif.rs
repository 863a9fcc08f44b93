//! ATIF 1.8, the Agent Trajectory Interchange Format of Harbor: one JSON document a session.
//!
//! Its own validators take no key that they do not know, so what is ours is under `extra`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use trajectory::{ToolSpec, Usage};

use super::steps::{Image, Step, Who};
use crate::error::DatasetError;
use crate::recording::Recording;
use crate::stats::RowFacts;

const SCHEMA: &str = "ATIF-v1.8";

/// The document of a session.
pub(super) fn text(recording: &Recording, steps: &[Step]) -> Result<String, DatasetError> {
    let session = recording.archive.session()?;
    let tools = recording.samples.last().map(|sample| &sample.tools);
    let tools: Vec<Value> = tools.into_iter().flatten().map(ToolSpec::to_chat).collect();
    let mut agent = json!({ "name": "limn", "version": session.app_version });
    if let Some(model) = steps.iter().find_map(|step| step.model.as_ref()) {
        agent["model_name"] = model.clone().into();
    }
    if !tools.is_empty() {
        agent["tool_definitions"] = tools.into();
    }
    let total = |of: fn(&Usage) -> u64| -> u64 {
        steps.iter().filter_map(|step| step.usage.as_ref()).map(of).sum()
    };
    let mut extra = json!({ "head": recording.facts.head });
    if let Some(outcome) = &recording.facts.outcome {
        extra["outcome"] = outcome.clone().into();
    }
    let document = json!({
        "schema_version": SCHEMA,
        "session_id": recording.name,
        "agent": agent,
        "steps": steps.iter().enumerate().map(|(at, it)| step(at + 1, it)).collect::<Vec<_>>(),
        "final_metrics": {
            "total_prompt_tokens": total(|usage| usage.input_tokens),
            "total_completion_tokens": total(|usage| usage.output_tokens),
            "total_cached_tokens": total(|usage| usage.cached_tokens),
            "total_steps": steps.len(),
        },
        "extra": extra,
    });
    Ok(format!("{document:#}\n"))
}

fn step(number: usize, step: &Step) -> Value {
    let mut it = Map::new();
    it.insert("step_id".to_owned(), number.into());
    if let Some(at) = moment(step.wall_ns) {
        it.insert("timestamp".to_owned(), at.into());
    }
    let source = match step.who {
        Who::System => "system",
        Who::User => "user",
        Who::Agent => "agent",
    };
    it.insert("source".to_owned(), source.into());
    let mut put = |key: &str, value: Option<Value>| {
        it.extend(value.map(|value| (key.to_owned(), value)));
    };
    put("model_name", step.model.clone().map(Value::from));
    put("message", Some(content(&step.text, &step.images)));
    put("reasoning_content", step.reasoning.clone().map(Value::from));
    let calls = step.calls.iter().map(|call| {
        let arguments = super::arguments(&call.arguments);
        let mut it = json!({
            "tool_call_id": call.id, "function_name": call.name, "arguments": arguments,
        });
        if serde_json::from_str::<Map<String, Value>>(&call.arguments).is_err() {
            it["extra"] = json!({ "malformed": true });
        }
        it
    });
    put("tool_calls", (!step.calls.is_empty()).then(|| calls.collect()));
    let results = step.seen.iter().map(|seen| {
        let content = content(&seen.text, &seen.images);
        let extra = json!({ "status": seen.status });
        json!({ "source_call_id": seen.call, "content": content, "extra": extra })
    });
    let results: Vec<Value> = results.collect();
    put("observation", (!results.is_empty()).then(|| json!({ "results": results })));
    put("metrics", step.usage.as_ref().map(metrics));
    put("llm_call_count", step.request.map(|_| 1.into()));
    put("is_copied_context", step.copied.then_some(true.into()));
    let mut extra = Map::new();
    extra.extend(step.kind.map(|kind| ("kind".to_owned(), kind.into())));
    extra.extend(step.request.map(|request| ("request".to_owned(), request.into())));
    put("extra", (!extra.is_empty()).then(|| extra.into()));
    it.into()
}

fn metrics(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "extra": { "reasoning_tokens": usage.reasoning_tokens },
    })
}

/// A text, or parts where there are images.
fn content(text: &str, images: &[Image]) -> Value {
    if images.is_empty() {
        return text.into();
    }
    let images = images.iter().map(|image| {
        let source = json!({ "media_type": image.media_type, "path": image.path });
        json!({ "type": "image", "source": source })
    });
    std::iter::once(json!({ "type": "text", "text": text })).chain(images).collect()
}

fn moment(wall_ns: i64) -> Option<String> {
    let at = jiff::Timestamp::from_nanosecond(i128::from(wall_ns)).ok()?;
    Some(format!("{at:.6}"))
}

/// Checks what the validators of the format check, and counts.
pub(super) fn read(text: &str) -> Result<RowFacts, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if document["schema_version"] != SCHEMA || !document["agent"]["version"].is_string() {
        return Err("it does not say what it is".to_owned());
    }
    let steps = document["steps"].as_array().ok_or("it has no steps")?;
    let mut facts = RowFacts::default();
    for (place, step) in steps.iter().enumerate() {
        let number = place + 1;
        if step["step_id"] != number {
            return Err(format!("step {number} has another number"));
        }
        let is_agent = step["source"] == "agent";
        let only_agents = ["model_name", "reasoning_content", "tool_calls", "metrics"];
        if !is_agent && only_agents.iter().any(|key| !step[*key].is_null()) {
            return Err(format!("step {number} has what only the model has"));
        }
        let of = |list: &Value, key: &str| -> BTreeSet<String> {
            let ids = list.as_array().into_iter().flatten();
            ids.filter_map(|it| it[key].as_str().map(str::to_owned)).collect()
        };
        let calls = of(&step["tool_calls"], "tool_call_id");
        let results = of(&step["observation"]["results"], "source_call_id");
        if !results.is_subset(&calls) {
            return Err(format!("step {number} has a result without its call"));
        }
        facts.steps += usize::from(is_agent);
        let tokens = chat::estimate(&step.to_string());
        facts.tokens += usize::try_from(tokens).unwrap_or(usize::MAX);
    }
    facts.replies = facts.steps;
    Ok(facts)
}
