//! The profiles, each with a stream as its servers write it and a request as they want it.

use mock_server::Reply as Answer;
use serde_json::{Map, Value, json};
use trajectory::event::{
    AssistantText, Attachment, Body, CallStatus, ConfigChanged, ModelChanged, Observation, Prompt,
    Reasoning, ReasoningField, ReasoningForm, ToolCall,
};
use trajectory::{ToolEffect, ToolSpec, Transcript, Usage};

use super::*;
use crate::tests::{Expected, call, check_form, once, prompt, reasoning, text, transcript};
use crate::{Api, EndpointConfig, EndpointModel, FailureKind, Model, ModelFacts, Part};

fn signed(text: &str, form: ReasoningForm, field: ReasoningField, signature: &str) -> Part {
    Part::Reasoning { text: text.into(), field, form, signature: Some(signature.into()) }
}

fn usage(input: u64, output: u64, cached: u64, reasoning: u64) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: output,
        cached_tokens: cached,
        reasoning_tokens: reasoning,
    }
}

#[tokio::test]
async fn openai_in_the_responses_form() {
    let mut patch = call("call_Pt2", "apply_patch", "*** Begin Patch\n*** End Patch");
    if let Part::ToolCall { freeform, .. } = &mut patch {
        *freeform = true;
    }
    let item = concat!(
        r#"{"id":"rs_68af01","type":"reasoning","encrypted_content":"gAAAAABor-Zx9","#,
        r#""summary":[{"type":"summary_text","text":"**Looking**\n\nThe file first."},"#,
        r#"{"type":"summary_text","text":"**Then** the patch."}]}"#
    );
    let summary = "**Looking**\n\nThe file first.\n\n**Then** the patch.";
    let expected = Expected {
        parts: vec![
            signed(summary, ReasoningForm::Summary, ReasoningField::Item, item),
            text("I read – then I patch."),
            call("call_Rd1", "read", r#"{"path":"a.rs"}"#),
            patch,
        ],
        usage: usage(812, 140, 768, 64),
        finish: "tool_calls",
        id: "resp_68af",
        served: "gpt-5-2025-08-07",
    };
    check_form(Api::Responses, include_str!("../fixtures/responses_openai.sse"), expected).await;
}

#[tokio::test]
async fn vllm_in_the_responses_form() {
    let item = concat!(
        r#"{"id":"rs_1","summary":[],"type":"reasoning","#,
        r#""content":[{"text":"We need to list.","type":"reasoning_text"}],"#,
        r#""encrypted_content":null,"status":"completed"}"#
    );
    let expected = Expected {
        parts: vec![
            signed("We need to list.", ReasoningForm::Full, ReasoningField::Item, item),
            call("call_9a", "list", r#"{"path":"."}"#),
        ],
        usage: usage(120, 31, 96, 14),
        finish: "tool_calls",
        id: "resp_5f2c",
        served: "openai/gpt-oss-20b",
    };
    check_form(Api::Responses, include_str!("../fixtures/responses_vllm.sse"), expected).await;
}

#[tokio::test]
async fn sglang_with_thoughts_in_the_text() {
    let expected = Expected {
        parts: vec![
            Part::reasoning("\nShort one.\n", ReasoningField::Think),
            text("\n\nHello <think> you"),
        ],
        usage: usage(21, 18, 8, 6),
        finish: "stop",
        id: "8d1e",
        served: "Qwen/Qwen3-4B",
    };
    check_form(Api::Chat, include_str!("../fixtures/sglang.sse"), expected).await;
}

#[tokio::test]
async fn ollama_with_whole_calls() {
    let expected = Expected {
        parts: vec![
            Part::reasoning("The user wants it.", ReasoningField::Reasoning),
            call("call_a1b2", "read", r#"{"path":"x"}"#),
            call("call_c3d4", "list", r#"{"path":".","depth":2}"#),
        ],
        usage: usage(170, 44, 0, 0),
        finish: "tool_calls",
        id: "chatcmpl-491",
        served: "qwen3:8b",
    };
    check_form(Api::Chat, include_str!("../fixtures/ollama.sse"), expected).await;
}

#[tokio::test]
async fn glm_with_a_call_that_repeats_its_id() {
    let expected = Expected {
        parts: vec![
            reasoning("先看目录"),
            text("\n好的。"),
            call("call_-7421", "list", r#"{"path": "."}"#),
        ],
        usage: usage(210, 36, 128, 9),
        finish: "tool_calls",
        id: "20250910",
        served: "glm-4.6",
    };
    check_form(Api::Chat, include_str!("../fixtures/glm.sse"), expected).await;
}

#[tokio::test]
async fn gemini_with_a_signature_and_no_index() {
    let mut first = call("function-call-11", "get_weather", r#"{"city":"Paris"}"#);
    if let Part::ToolCall { signature, .. } = &mut first {
        *signature = Some(r#"{"google":{"thought_signature":"CvIBAVSoXO5b+Q=="}}"#.into());
    }
    let expected = Expected {
        parts: vec![
            text("Both."),
            first,
            call("function-call-12", "get_weather", r#"{"city":"Oslo"}"#),
        ],
        usage: usage(74, 157, 0, 129),
        finish: "stop",
        id: "aGl2",
        served: "gemini-2.5-pro",
    };
    check_form(Api::Chat, include_str!("../fixtures/gemini.sse"), expected).await;
}

#[tokio::test]
async fn anthropic_with_ends_in_other_words() {
    let expected = Expected {
        parts: vec![text("I look now."), call("toolu_01X", "read", r#"{"path": "a"}"#)],
        usage: usage(1300, 40, 1024, 0),
        finish: "tool_calls",
        id: "msg_01Ab",
        served: "claude-sonnet-4-5-20250929",
    };
    check_form(Api::Chat, include_str!("../fixtures/anthropic.sse"), expected).await;
}

#[tokio::test]
async fn deepseek_with_thought_and_a_call() {
    let expected = Expected {
        parts: vec![
            reasoning("Read it first."),
            text("I read."),
            call("call_00_Zx", "read", r#"{"path": "a"}"#),
        ],
        usage: usage(300, 60, 256, 22),
        finish: "tool_calls",
        id: "d32",
        served: "deepseek-reasoner",
    };
    check_form(Api::Chat, include_str!("../fixtures/deepseek_tools.sse"), expected).await;
}

#[tokio::test]
async fn openrouter_with_reasoning_that_cannot_be_read() {
    let details = concat!(
        r#"[{"type":"reasoning.encrypted","data":"gAAAAAB=","id":"rs_1","#,
        r#""format":"openai-responses-v1","index":0}]"#
    );
    let expected = Expected {
        parts: vec![
            signed("", ReasoningForm::Encrypted, ReasoningField::Reasoning, details),
            text("Done."),
        ],
        usage: usage(50, 80, 0, 64),
        finish: "stop",
        id: "gen-1757",
        served: "openai/gpt-5-mini",
    };
    check_form(Api::Chat, include_str!("../fixtures/openrouter_encrypted.sse"), expected).await;
}

#[tokio::test]
async fn errors_in_mid_stream_are_told_by_whoever_tells_them() {
    for (stream, word) in [
        (include_str!("../fixtures/openrouter_error.sse"), "Provider disconnected"),
        (include_str!("../fixtures/llamacpp_error.sse"), "Context shift is disabled"),
    ] {
        let failure = once(Answer::raw_stream(stream)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Server { retry_after: None }, "{failure}");
        assert!(failure.message.contains(word), "{failure}");
        assert_eq!(failure.partial.parts, [text("Half")]);
    }
}

/// A conversation with everything in it that servers differ about. The first reply is another
/// model's.
fn conversation(model: &str) -> Transcript {
    let change = |model: &str| {
        Body::ModelChanged(ModelChanged { model: model.into(), ..ModelChanged::default() })
    };
    let thought = |request, text: &str, field, form, signature: Option<&str>| {
        let (text, signature) = (text.to_owned(), signature.map(ToOwned::to_owned));
        Body::Reasoning(Reasoning { request, text, form, field, signature, interrupted: false })
    };
    let said = |request, text: &str| {
        Body::Message(AssistantText { request, text: text.into(), interrupted: false })
    };
    let called = |request, call, arguments: &str, signature: Option<&str>| ToolCall {
        request,
        call,
        id: format!("c{call}"),
        name: "read".into(),
        arguments: arguments.into(),
        freeform: false,
        signature: signature.map(ToOwned::to_owned),
        malformed: None,
    };
    let observed = |call, shown: &str| {
        Body::Observation(Observation {
            call,
            status: CallStatus::Ok,
            shown: shown.into(),
            exec: None,
            exit: None,
            output: None,
            truncated: None,
            attachments: Vec::new(),
            duration_us: 0,
        })
    };
    let (content, item) = (ReasoningField::ReasoningContent, ReasoningField::Item);
    let details = r#"[{"type":"reasoning.text","text":"t","signature":"s"}]"#;
    let extra = r#"{"google":{"thought_signature":"Cv=="}}"#;
    let encrypted = r#"{"id":"rs_1","type":"reasoning","encrypted_content":"g=","summary":[]}"#;
    let patch = ToolSpec {
        name: "patch".into(),
        description: "Patches.".into(),
        parameters: json!({"type": "object", "properties": {"input": {"type": "string"}}}),
        effect: ToolEffect::Writes,
        grammar: Some("start: /.+/".into()),
    };
    let read = ToolSpec { name: "read".into(), grammar: None, ..patch.clone() };
    let frame = ConfigChanged {
        system_prompt: Some("Be calm.".into()),
        tools: Some(vec![read, patch]),
        ..ConfigChanged::default()
    };
    let image =
        Attachment { name: "a.png".into(), media_type: "image/png".into(), blake3: "00".into() };
    transcript([
        Body::ConfigChanged(frame),
        change("another"),
        Body::Prompt(Prompt { text: "Look.".into(), attachments: vec![image] }),
        thought(1, "of another", content, ReasoningForm::Full, Some(details)),
        thought(1, "", item, ReasoningForm::Encrypted, Some(encrypted)),
        said(1, "Seen."),
        prompt("Read it."),
        change(model),
        thought(2, "I had better read.", content, ReasoningForm::Full, Some(details)),
        thought(2, "", item, ReasoningForm::Encrypted, Some(encrypted)),
        Body::ToolCall(called(2, 1, r#"{"path":"a"}"#, Some(extra))),
        Body::ToolCall(ToolCall {
            malformed: Some("expected value".into()),
            ..called(2, 2, "{\"path\": oops", None)
        }),
        Body::ToolCall(ToolCall {
            name: "patch".into(),
            freeform: true,
            ..called(2, 3, "*** Begin", None)
        }),
        observed(1, "text"),
        observed(2, "no JSON"),
        observed(3, "patched"),
        thought(3, "Short.", ReasoningField::Think, ReasoningForm::Full, None),
        said(3, "Done."),
        prompt("Thanks."),
        said(4, ""),
        prompt("Go on."),
        // Nothing followed this thought: the reply was cut off.
        thought(5, "", item, ReasoningForm::Encrypted, Some(encrypted)),
        prompt("Again."),
    ])
}

fn request(profile: &str, api: Api) -> String {
    let mut config = EndpointConfig::new("http://127.0.0.1:1/v1", "m");
    config.profile = Profile::named(profile).unwrap();
    config.api = api;
    config.params.insert("temperature".into(), json!(0.6));
    config.params.insert("max_tokens".into(), json!(4096));
    config.params.insert("reasoning_effort".into(), json!("high"));
    let model = Model::from(EndpointModel::new(config).unwrap());
    let url = |image: &Attachment| Some(format!("data:{};base64,AAAA", image.media_type));
    let body = model.encode(9, &conversation("m"), &url).body();
    let value: Value = serde_json::from_str(&body).unwrap();
    // What was sent is what is shown: nothing is lost by reading it.
    assert_eq!(value.to_string().len(), body.len());
    let mut lines = String::new();
    for (key, value) in value.as_object().unwrap() {
        match value {
            Value::Array(items) => {
                lines.push_str(&format!("{key}:\n"));
                items.iter().for_each(|item| lines.push_str(&format!("  {item}\n")));
            }
            value => lines.push_str(&format!("{key}: {value}\n")),
        }
    }
    lines
}

#[test]
fn requests_of_chat_completions() {
    for name in Profile::names() {
        insta::assert_snapshot!(format!("chat_{name}"), request(name, Api::Chat));
    }
}

#[test]
fn requests_of_responses() {
    for name in ["openai", "vllm"] {
        insta::assert_snapshot!(format!("responses_{name}"), request(name, Api::Responses));
    }
}

#[test]
fn a_profile_is_found_from_the_base_url() {
    for (url, name) in [
        ("https://api.openai.com/v1", "openai"),
        ("https://mine.openai.azure.com/openai/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://open.bigmodel.cn/api/paas/v4", "glm"),
        ("https://api.z.ai/api/coding/paas/v4", "glm"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
        ("https://api.anthropic.com/v1/", "anthropic"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://127.0.0.1:8000/v1", "default"),
        ("https://notopenai.com/v1", "default"),
        ("https://openai.com.example/v1", "default"),
        ("nonsense", "default"),
    ] {
        assert_eq!(Profile::detect(url).name, name, "{url}");
    }
}

#[test]
fn every_host_has_a_profile_and_every_profile_its_name() {
    for (_, name) in HOSTS {
        assert!(Profile::named(name).is_some(), "{name}");
    }
    for name in Profile::names() {
        assert_eq!(Profile::named(name).unwrap().name, name);
    }
    assert!(Profile::named("none").is_none());
}

#[test]
fn settings_replace_fields_of_a_profile() {
    let changes = |value: Value| -> Map<String, Value> { serde_json::from_value(value).unwrap() };
    let vllm = || Profile::named("vllm").unwrap();
    let opened = vllm().with(&changes(json!({"think": "opened", "images": false}))).unwrap();
    assert_eq!(opened.think, ThinkTags::Opened);
    assert_eq!(Profile { think: ThinkTags::Tagged, images: true, ..opened }, vllm());
    for (wrong, word) in [
        (json!({"thnk": "opened"}), "thnk"),
        (json!({"think": "ajar"}), "ajar"),
        (json!({"images": 1}), "boolean"),
    ] {
        let error = vllm().with(&changes(wrong)).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    let facts = ModelFacts { images: Some(false), reasoning: Some(false), ..ModelFacts::default() };
    let config = EndpointConfig::new("http://127.0.0.1:1/v1", "m").with_facts(&facts);
    assert!(!config.profile.images && !config.profile.reasoning);
}

#[test]
fn a_model_that_does_not_reason_is_not_asked_for_encrypted_reasoning() {
    let facts = ModelFacts { reasoning: Some(false), ..ModelFacts::default() };
    let config = EndpointConfig::new("http://127.0.0.1:1/v1", "m").with_facts(&facts);
    let config = EndpointConfig { api: Api::Responses, ..config };
    let model = Model::from(EndpointModel::new(config).unwrap());
    let body = model.encode(1, &transcript([prompt("hi")]), &|_| None).body();
    assert!(!body.contains("include") && body.contains(r#""store":false"#), "{body}");
}

#[test]
fn every_server_is_told_of_the_effort_in_its_own_way() {
    for (profile, effort, expected) in [
        ("openai", "low", json!({"reasoning_effort": "low"})),
        ("openrouter", "none", json!({"reasoning": {"effort": "none"}})),
        ("glm", "none", json!({"thinking": {"type": "disabled"}})),
        ("deepseek", "high", json!({"thinking": {"type": "enabled"}})),
        ("anthropic", "low", json!({"thinking": {"type": "enabled", "budget_tokens": 4096}})),
        ("anthropic", "none", json!({"thinking": {"type": "disabled"}})),
        ("vllm", "none", json!({"chat_template_kwargs": {"a": 1, "enable_thinking": false}})),
    ] {
        let mut config = EndpointConfig::new("http://127.0.0.1:1/v1", "m");
        config.profile = Profile::named(profile).unwrap();
        if profile == "vllm" {
            config.params.insert("chat_template_kwargs".into(), json!({"a": 1}));
        }
        config.params.insert("reasoning_effort".into(), effort.into());
        let model = Model::from(EndpointModel::new(config).unwrap());
        assert_eq!(model.description().params, expected, "{profile} {effort}");
    }
}
