//! A reply as Chat Completions stream it.

use serde_json::{Value, json};

use super::split;
use crate::reply::{End, Reply, Step};

/// The events, each with the empty line that ends it.
pub(super) fn events(reply: &Reply, number: &str) -> Vec<Vec<u8>> {
    let line_end = if reply.carriage_returns { "\r\n" } else { "\n" };
    let prefix = format!(
        r#"{{"id":"chatcmpl-{number}","object":"chat.completion.chunk","created":1700000000,"model":{},"#,
        Value::from(reply.model.as_str()),
    );
    let event = |rest: &str| format!("data: {prefix}{rest}}}{line_end}{line_end}").into_bytes();
    let choice = |delta: &str, finish: &str| {
        event(&format!(
            r#""choices":[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]"#
        ))
    };
    let raw_only =
        reply.end == End::WithoutFinish && reply.steps.iter().all(|s| matches!(s, Step::Raw(_)));
    let mut events = Vec::with_capacity(reply.steps.len() + 4);
    if !raw_only {
        let role = choice(r#"{"role":"assistant","content":""}"#, "null");
        events.push(match &reply.prompt_ids {
            None => role,
            Some(ids) => event(&format!(
                r#""prompt_token_ids":{},"choices":[{{"index":0,"delta":{{"role":"assistant"}}}}]"#,
                json!(ids)
            )),
        });
    }
    for step in &reply.steps {
        match step {
            Step::Raw(bytes) => events.push(bytes.clone()),
            Step::Tokens(ids) => {
                let ids = json!(ids);
                events.push(event(&format!(
                    r#""choices":[{{"index":0,"delta":{{}},"finish_reason":null,"token_ids":{ids}}}]"#
                )));
            }
            Step::Delta(delta) if delta.get("tool_calls").is_some() => {
                events.push(choice(&delta.to_string().replace("{reply}", number), "null"));
            }
            Step::Delta(delta) => events.push(choice(&delta.to_string(), "null")),
            Step::Freeform { id, name, input, pieces } => {
                let id = id.replace("{reply}", number);
                let index: Option<u32> = id.rsplit('_').next().and_then(|end| end.parse().ok());
                let arguments = json!({"input": input}).to_string();
                let first = json!({"index": index, "id": id, "type": "function",
                                   "function": {"name": name, "arguments": ""}});
                let rest = split(&arguments, *pieces).into_iter();
                let rest =
                    rest.map(|piece| json!({"index": index, "function": {"arguments": piece}}));
                for call in [first].into_iter().chain(rest) {
                    events.push(choice(&json!({"tool_calls": [call]}).to_string(), "null"));
                }
            }
        }
    }
    if reply.end != End::WithoutFinish {
        let usual = if reply.calls > 0 { "tool_calls" } else { "stop" };
        let reason = reply.finish_reason.as_deref().unwrap_or(usual);
        events.push(choice("{}", &Value::from(reason).to_string()));
        if let Some(usage) = &reply.usage {
            events.push(event(&format!(r#""choices":[],"usage":{usage}"#)));
        }
        if reply.end != End::WithoutDone {
            events.push(format!("data: [DONE]{line_end}{line_end}").into_bytes());
        }
    }
    events
}
