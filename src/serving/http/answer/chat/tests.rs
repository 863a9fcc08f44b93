use serde_json::{Value, json};

use crate::http::fixtures::{Site, joined, says, says_with};

const CHAT: &str = "/v1/chat/completions";
const CONTENT: &str = "/choices/0/delta/content";

fn look() -> Value {
    json!({ "type": "function", "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": { "at": { "type": "string" }, "times": { "type": "integer" } },
            "required": ["at"],
        },
    } })
}

const CALL: &str =
    "<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": \"the sea\"}}\n</tool_call>";

#[tokio::test]
async fn a_reply_is_a_message_with_what_it_cost() {
    let site = Site::open();
    site.when("Hello there", "Hello yourself, 世界.");
    let body = says_with("Hello there", json!({ "return_token_ids": true }));
    let answer = site.chat(body).await;
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "run");
    let choice = &answer["choices"][0];
    assert_eq!(
        choice["message"],
        json!({ "role": "assistant", "content": "Hello yourself, 世界." })
    );
    assert_eq!(choice["finish_reason"], "stop");
    let prompt = "<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(answer["prompt_token_ids"], json!(site.ids(prompt)));
    let reply = site.ids("Hello yourself, 世界.<|im_end|>");
    assert_eq!(choice["token_ids"], json!(reply), "with the token at which it stopped");
    let usage = &answer["usage"];
    assert_eq!(usage["prompt_tokens"], site.ids(prompt).len());
    assert_eq!(usage["completion_tokens"], reply.len());
    assert_eq!(usage["total_tokens"], site.ids(prompt).len() + reply.len());
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
}

#[tokio::test]
async fn a_stream_says_the_same_piece_by_piece() {
    let site = Site::open();
    site.when("Hello there", "Grüße an alle 🦀, and more of it.");
    let fields = json!({ "return_token_ids": true, "stream_options": { "include_usage": true } });
    let events = site.stream(CHAT, says_with("Hello there", fields)).await;
    assert!(events.len() > 5, "{events:?}");
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk"));
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
    assert_eq!(events[0]["choices"][0]["delta"], json!({ "role": "assistant", "content": "" }));
    assert!(events[0]["prompt_token_ids"].is_array());
    assert!(events[1..].iter().all(|event| event["prompt_token_ids"].is_null()));
    assert_eq!(joined(&events, CONTENT), "Grüße an alle 🦀, and more of it.");
    let ids: Vec<Value> = events
        .iter()
        .filter_map(|event| event.pointer("/choices/0/token_ids")?.as_array())
        .flatten()
        .cloned()
        .collect();
    let reply = site.ids("Grüße an alle 🦀, and more of it.<|im_end|>");
    assert_eq!(Value::from(ids), json!(reply));
    let [.., finish, usage] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], reply.len());
}

#[tokio::test]
async fn ids_and_costs_are_said_to_those_who_ask() {
    let site = Site::open();
    site.when("Hello there", "Yes.");
    let events = site.stream(CHAT, says("Hello there")).await;
    let said = serde_json::to_string(&events).unwrap();
    assert!(!said.contains("token_ids") && !said.contains("usage"), "{said}");
}

#[tokio::test]
async fn what_was_computed_before_is_not_computed_again() {
    let site = Site::open();
    site.when("Hello there", "Yes.");
    site.chat(says("Hello there")).await;
    let prompt = site.ids("<|im_start|>user\nHello there<|im_end|>\n<|im_start|>assistant\n");
    let usage = site.chat(says("Hello there")).await["usage"].clone();
    // The last one is computed: what follows it is wanted.
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], prompt.len() - 1);
    // Each counted once, by the scheduler.
    let reply = site.ids("Yes.<|im_end|>").len();
    site.until(&format!("limn_prompt_tokens_total {}", prompt.len() * 2)).await;
    site.until(&format!("limn_cached_tokens_total {}", prompt.len() - 1)).await;
    site.until(&format!("limn_generated_tokens_total {}", reply * 2)).await;
}

#[tokio::test]
async fn a_call_is_told_apart_from_text() {
    let site = Site::open();
    site.when("Where is it", CALL);
    let answer = site.chat(says_with("Where is it", json!({ "tools": [look()] }))).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    assert_eq!(message["content"], Value::Null);
    let call = &message["tool_calls"][0];
    assert!(call["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(call["type"], "function");
    assert_eq!(call["function"], json!({ "name": "look", "arguments": "{\"at\": \"the sea\"}" }));
}

#[tokio::test]
async fn calls_are_streamed_name_first() {
    let site = Site::open();
    site.when("Where is it", &format!("Let me look.\n{CALL}\n{CALL}"));
    let events = site.stream(CHAT, says_with("Where is it", json!({ "tools": [look()] }))).await;
    assert_eq!(joined(&events, CONTENT).trim_end(), "Let me look.");
    let calls: Vec<&Value> =
        events.iter().filter_map(|event| event.pointer("/choices/0/delta/tool_calls/0")).collect();
    for index in [0, 1] {
        let of_call: Vec<&&Value> = calls.iter().filter(|call| call["index"] == index).collect();
        assert_eq!(of_call[0]["function"]["name"], "look");
        assert!(of_call[0]["id"].as_str().unwrap().starts_with("call_"));
        assert!(of_call[1..].iter().all(|call| call["id"].is_null()));
        let arguments: String =
            of_call.iter().map(|call| call["function"]["arguments"].as_str().unwrap()).collect();
        assert_eq!(arguments, "{\"at\": \"the sea\"}");
    }
    let last = events.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn one_call_at_a_time_is_one_call() {
    let site = Site::open();
    site.when("Where is it", &format!("{CALL}\n{CALL}"));
    let fields = json!({ "tools": [look()], "parallel_tool_calls": false });
    let answer = site.chat(says_with("Where is it", fields)).await;
    let calls = answer["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 1, "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_call_that_a_stop_cuts_short_is_told_like_one_that_is_too_long() {
    let site = Site::open();
    site.when("Where is it", CALL);
    let (before, within) = CALL.split_once("the sea").unwrap();
    let ids = site.ids(CALL);
    let begun = site.ids(before).len();
    let inside = begun..ids.len() - site.ids(within).len();
    // A token that comes in the arguments first, and is none of the call's own.
    let stop = ids[inside.clone()].iter().find(|id| !ids[..begun].contains(id)).unwrap();
    for (fields, finish) in [
        (json!({ "stop": "the" }), "stop"),
        (json!({ "stop_token_ids": [stop] }), "stop"),
        (json!({ "max_tokens": inside.start }), "length"),
    ] {
        let mut fields = fields;
        fields["tools"] = json!([look()]);
        let answer = site.chat(says_with("Where is it", fields.clone())).await;
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], finish, "{answer}");
        let call = &choice["message"]["tool_calls"][0]["function"];
        let arguments = call["arguments"].as_str().unwrap();
        assert_eq!(call["name"], "look");
        assert!(arguments.starts_with("{\"at\": \""), "{arguments}");
        assert!(serde_json::from_str::<Value>(arguments).is_err(), "{arguments}");
        let events = site.stream(CHAT, says_with("Where is it", fields)).await;
        let pointer = "/choices/0/delta/tool_calls/0/function/arguments";
        assert_eq!(joined(&events, pointer), arguments);
        assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], finish);
    }
    // One that is whole but for the tag that closes it is a call.
    let fields = json!({ "stop": "</tool_call>", "tools": [look()] });
    let answer = site.chat(says_with("Where is it", fields)).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_call_that_is_required_is_made_whatever_the_model_would_say() {
    let site = Site::open();
    site.when("Where is it", "I would rather not.");
    for choice in [json!("required"), json!({ "type": "function", "function": { "name": "look" } })]
    {
        let fields = json!({
            "tools": [look()], "tool_choice": choice, "temperature": 0.7, "seed": 3, "max_tokens": 900,
        });
        let answer = site.chat(says_with("Where is it", fields)).await;
        let choice = &answer["choices"][0];
        // An engine of arithmetic may write a long text for `at`; what there is, is a call.
        let call = &choice["message"]["tool_calls"][0]["function"];
        assert_eq!(call["name"], "look", "{answer}");
        if choice["finish_reason"] == "tool_calls" {
            let arguments: Value =
                serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
            assert!(arguments["at"].is_string(), "{arguments}");
        }
    }
}

#[tokio::test]
async fn where_no_tool_may_be_called_no_call_is_written() {
    let site = Site::open();
    site.when("Where is it", &format!("I look.\n{CALL}"));
    let called = json!([
        { "role": "assistant", "tool_calls": [
            { "id": "1", "type": "function", "function": { "name": "look", "arguments": "{}" } },
        ] },
        { "role": "tool", "tool_call_id": "1", "content": "Nothing." },
        { "role": "user", "content": "Where is it" },
    ]);
    for fields in [json!({ "tools": [look()] }), json!({ "messages": called })] {
        let mut body = says_with("Where is it", fields);
        for (choice, is_free) in [("auto", true), ("none", false)] {
            body["tool_choice"] = choice.into();
            body["max_tokens"] = 300.into();
            body["temperature"] = 0.into();
            let answer = site.chat(body.clone()).await;
            let message = &answer["choices"][0]["message"];
            let text = message["content"].as_str().unwrap();
            assert!(text.starts_with("I look."), "{answer}");
            let is_call = !message["tool_calls"].is_null() || text.contains("<tool_call>");
            assert_eq!(is_call, is_free, "{choice}: {answer}");
            assert_ne!(answer["choices"][0]["finish_reason"], json!(null));
        }
    }
}

#[tokio::test]
async fn a_schema_is_kept_to() {
    let site = Site::open();
    let schema = json!({
        "type": "object",
        "properties": { "kind": { "enum": ["sea", "land"] }, "deep": { "type": "boolean" } },
        "required": ["kind", "deep"],
        "additionalProperties": false,
    });
    let format =
        json!({ "type": "json_schema", "json_schema": { "name": "place", "schema": schema } });
    let fields = json!({ "response_format": format, "seed": 1, "max_tokens": 1500 });
    let answer = site.chat(says_with("Where is it", fields)).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop", "{answer}");
    let place: Value =
        serde_json::from_str(choice["message"]["content"].as_str().unwrap()).unwrap();
    assert!(place["kind"] == "sea" || place["kind"] == "land", "{place}");
    assert!(place["deep"].is_boolean());
}

#[tokio::test]
async fn thoughts_are_no_content() {
    let site = Site::open();
    site.when("Think hard", "<think>\nHm, hard.\n</think>\n\nDone.");
    let answer = site.chat(says("Think hard")).await;
    assert_eq!(
        answer["choices"][0]["message"],
        json!({ "role": "assistant", "reasoning_content": "Hm, hard.", "content": "Done." })
    );
    let details = &answer["usage"]["completion_tokens_details"];
    assert!(details["reasoning_tokens"].as_u64().unwrap() > 0);
    let events = site.stream(CHAT, says("Think hard")).await;
    assert_eq!(joined(&events, "/choices/0/delta/reasoning_content"), "Hm, hard.");
    assert_eq!(joined(&events, CONTENT), "Done.");
}

#[tokio::test]
async fn a_reply_ends_before_a_stop_text_and_at_its_length() {
    let site = Site::open();
    site.when("Count up", "one two three four five six");
    let stopped = site.chat(says_with("Count up", json!({ "stop": ["ee fo"] }))).await;
    assert_eq!(stopped["choices"][0]["message"]["content"], "one two thr");
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let short = site.chat(says_with("Count up", json!({ "max_tokens": 2 }))).await;
    assert_eq!(short["choices"][0]["finish_reason"], "length");
    assert_eq!(short["usage"]["completion_tokens"], 2);
    let said = short["choices"][0]["message"]["content"].as_str().unwrap();
    assert!("one two three".starts_with(said), "{said}");
}

#[tokio::test]
async fn a_model_that_does_not_stop_is_not_stopped_where_that_is_asked() {
    let site = Site::open();
    site.when("Count up", "one");
    let fields = json!({ "ignore_eos": true, "max_tokens": 50, "return_token_ids": true });
    let answer = site.chat(says_with("Count up", fields)).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 50);
    let stop = site.tokenizer.id("<|im_end|>").unwrap();
    assert!(answer["choices"][0]["token_ids"].as_array().unwrap().contains(&json!(stop)));
}

#[tokio::test]
async fn log_probabilities_come_with_the_tokens_they_are_of() {
    let site = Site::open();
    site.when("Hello there", "Ja, 世.");
    let fields = json!({ "logprobs": true, "top_logprobs": 2 });
    let answer = site.chat(says_with("Hello there", fields.clone())).await;
    let content = answer["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(content.len(), site.ids("Ja, 世.<|im_end|>").len());
    let mut bytes = Vec::new();
    for token in content {
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 2);
        assert_eq!(top[0]["token"], token["token"]);
        assert_eq!(top[0]["logprob"], token["logprob"]);
        bytes.extend(
            token["bytes"].as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap() as u8),
        );
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), "Ja, 世.<|im_end|>");
    let events = site.stream(CHAT, says_with("Hello there", fields)).await;
    let streamed: Vec<&Value> = events
        .iter()
        .filter_map(|event| event.pointer("/choices/0/logprobs/content")?.as_array())
        .flatten()
        .collect();
    assert_eq!(streamed, content.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_reply_and_models_differ() {
    let site = Site::open();
    let ask = |seed: u64, model: &str| {
        let fields =
            json!({ "seed": seed, "max_tokens": 30, "model": model, "return_token_ids": true });
        let body = says_with("Tell me something", fields);
        let site = &site;
        async move { site.chat(body).await["choices"][0]["token_ids"].clone() }
    };
    let first = ask(7, "run").await;
    assert_eq!(first, ask(7, "run").await);
    assert_ne!(first, ask(8, "run").await);
    assert_ne!(first, ask(7, "base/model").await);
}
