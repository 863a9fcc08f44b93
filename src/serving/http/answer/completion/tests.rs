use serde_json::{Value, json};

use crate::http::fixtures::{Site, joined};

const COMPLETIONS: &str = "/v1/completions";

#[tokio::test]
async fn a_text_is_gone_on_with() {
    let site = Site::open();
    site.control.say(&site.ids("Once upon"), &site.ids(" a time.<|im_end|>"));
    let body = json!({ "model": "run", "prompt": "Once upon", "return_token_ids": true });
    let (status, answer) = site.post(COMPLETIONS, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["object"], "text_completion");
    let choice = &answer["choices"][0];
    assert_eq!(choice["text"], " a time.");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["token_ids"], json!(site.ids(" a time.<|im_end|>")));
    assert_eq!(answer["prompt_token_ids"], json!(site.ids("Once upon")));
    let ids = json!({ "model": "run", "prompt": site.ids("Once upon") });
    assert_eq!(site.post(COMPLETIONS, ids).await.1["choices"][0]["text"], " a time.");
    let fields = json!({ "prompt": "Once upon", "stream_options": { "include_usage": true } });
    let events = site.stream(COMPLETIONS, fields).await;
    assert_eq!(joined(&events, "/choices/0/text"), " a time.");
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(usage["prompt_tokens"], site.ids("Once upon").len());
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_named() {
    let site = Site::open();
    let text = "word ".repeat(3000);
    let bytes = "x".repeat(2048 * 129);
    for (prompt, tokens_max) in [
        (json!(site.ids(&text)), 1),
        (json!(text), 1),
        (json!(bytes), 1),
        (json!("Once upon"), 4000),
    ] {
        let body = json!({ "prompt": prompt, "max_tokens": tokens_max });
        let (status, answer) = site.post(COMPLETIONS, body).await;
        let error = &answer["error"];
        assert_eq!((status, &error["param"]), (400, &json!("prompt")), "{answer}");
        assert_eq!(error["code"], "context_length_exceeded");
    }
}

#[tokio::test]
async fn thoughts_and_calls_are_text_here() {
    let site = Site::open();
    let said = "<think>no</think><tool_call>{}</tool_call>";
    site.control.say(&site.ids("Write tags"), &site.ids(&format!("{said}<|im_end|>")));
    let (_, answer) = site.post(COMPLETIONS, json!({ "prompt": "Write tags" })).await;
    assert_eq!(answer["choices"][0]["text"], said);
}

#[tokio::test]
async fn log_probabilities_have_the_old_form() {
    let site = Site::open();
    site.control.say(&site.ids("Once upon"), &site.ids(" a time.<|im_end|>"));
    let body = json!({ "prompt": "Once upon", "logprobs": 2, "max_tokens": 3 });
    let (_, answer) = site.post(COMPLETIONS, body).await;
    let logprobs = &answer["choices"][0]["logprobs"];
    let tokens: Vec<&str> =
        logprobs["tokens"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(tokens.len(), 3);
    assert_eq!(tokens.concat(), answer["choices"][0]["text"].as_str().unwrap());
    assert_eq!(logprobs["top_logprobs"][0].as_object().unwrap().len(), 2);
    assert_eq!(logprobs["text_offset"][0], 0);
    assert_eq!(logprobs["text_offset"][1], tokens[0].chars().count());
}

#[tokio::test]
async fn parts_of_a_character_stand_where_it_does_and_are_told_apart() {
    let site = Site::open();
    let said = site.ids("a😀b");
    assert!(said.len() > 3, "it has no token of its own");
    site.control.say(&site.ids("Once upon"), &[said, site.ids("<|im_end|>")].concat());
    let body = json!({ "prompt": "Once upon", "logprobs": 3, "max_tokens": 50 });
    let (_, answer) = site.post(COMPLETIONS, body).await;
    assert_eq!(answer["choices"][0]["text"], "a😀b");
    let logprobs = &answer["choices"][0]["logprobs"];
    let texts = |of: &Value| -> Vec<String> { serde_json::from_value(of.clone()).unwrap() };
    let offsets: Vec<usize> = serde_json::from_value(logprobs["text_offset"].clone()).unwrap();
    let tokens = texts(&logprobs["tokens"]);
    let place = |token: &str| tokens.iter().position(|it| it == token).unwrap();
    let (before, after) = (place("a"), place("b"));
    for part in before + 1..after {
        assert!(tokens[part].starts_with("bytes:\\x"), "{tokens:?}");
        assert_eq!(offsets[part], 1, "{offsets:?}");
    }
    assert_eq!((offsets[before], offsets[after], offsets[after + 1]), (0, 2, 3), "{tokens:?}");
    for top in logprobs["top_logprobs"].as_array().unwrap() {
        assert_eq!(top.as_object().unwrap().len(), 3);
    }
}
