//! What the tests of the modules share, and the tests of the whole: streams as each provider
//! writes them, over real HTTP.

use mock_server::{MockServer, Reply as Answer, Scenario};
use serde_json::json;
use tokio::sync::mpsc;
use trajectory::event::{
    Body, ConfigChanged, Event, Prompt, ReasoningField, ReasoningForm, Source, ThinkTags,
};
use trajectory::{EventId, Progress, RequestPoint, RunId, ToolEffect, ToolSpec, Transcript, Usage};

use super::*;

/// How the servers of the tests are read: Chat Completions with inline thoughts.
pub(crate) const TAGGED: Dialect = Dialect { api: Api::Chat, think: ThinkTags::Tagged };

/// A conversation of these events.
pub(crate) fn transcript(bodies: impl IntoIterator<Item = Body>) -> Transcript {
    let run = RunId::new();
    let events: Vec<Event> = bodies
        .into_iter()
        .enumerate()
        .map(|(seq, body)| Event {
            id: EventId::new(),
            seq: seq as u64,
            parent: None,
            run,
            round: 1,
            source: Source::User,
            wall_ns: 0,
            mono_ns: 0,
            copied: false,
            body,
        })
        .collect();
    // Before each reply a request was sent, and another is sent now.
    let is_reply = |seq: usize| {
        events.get(seq).is_some_and(|event: &Event| event.body.source() == Source::Model)
    };
    let sent = (1..=events.len())
        .filter(|seq| *seq == events.len() || (is_reply(*seq) && !is_reply(*seq - 1)));
    let points: Vec<RequestPoint> = (1..)
        .zip(sent)
        .map(|(request, seq)| RequestPoint { request, head_seq: seq as u64 - 1 })
        .collect();
    Transcript::fold(&events, &points)
}

pub(crate) fn prompt(text: &str) -> Body {
    Body::Prompt(Prompt { text: text.to_owned(), attachments: Vec::new() })
}

/// A request that says hello.
pub(crate) fn hello(model: &Model) -> Request {
    model.encode(1, &transcript([prompt("hello")]), &|_| None)
}

/// Asks, and gathers the pieces.
pub(crate) async fn ask(
    model: &Model,
    request: &Request,
) -> (Result<Reply, Failure>, Vec<Progress>) {
    // Small, so that every test runs into its end.
    let (sink, mut pieces) = mpsc::channel(2);
    let gather = async move {
        let mut all = Vec::new();
        while let Some(piece) = pieces.recv().await {
            all.push(piece);
        }
        all
    };
    let exchange = Exchange::new();
    let asking = async move { model.ask(request, &sink, &exchange).await };
    tokio::join!(asking, gather)
}

pub(crate) fn serve(replies: impl IntoIterator<Item = Answer>) -> MockServer {
    MockServer::start(Scenario::replies(replies)).unwrap()
}

pub(crate) fn chat(url: &str) -> Model {
    EndpointModel::new(EndpointConfig::new(url, "m")).unwrap().into()
}

/// A model that is asked in this form.
pub(crate) fn speaking(api: Api, url: &str) -> Model {
    let config = EndpointConfig { api, ..EndpointConfig::new(url, "m") };
    EndpointModel::new(config).unwrap().into()
}

/// Asks hello once; the reply or the failure.
pub(crate) async fn once(answer: Answer) -> Result<Reply, Failure> {
    once_in(Api::Chat, answer).await
}

/// The same in this form.
pub(crate) async fn once_in(api: Api, answer: Answer) -> Result<Reply, Failure> {
    let server = serve([answer]);
    let model = speaking(api, &server.url());
    ask(&model, &hello(&model)).await.0
}

pub(crate) fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::tool_call(id, name, arguments)
}

pub(crate) fn reasoning(text: &str) -> Part {
    Part::reasoning(text, ReasoningField::ReasoningContent)
}

pub(crate) fn text(text: &str) -> Part {
    Part::Text(text.into())
}

/// What the pieces add up to must be what the parts say.
fn pieces_add_up(pieces: &[Progress], parts: &[Part]) {
    let mut spoken = [String::new(), String::new()];
    let mut calls: Vec<(String, String)> = Vec::new();
    for piece in pieces {
        match piece {
            Progress::Reasoning { text, .. } => spoken[0].push_str(text),
            Progress::Text { text, .. } => spoken[1].push_str(text),
            Progress::ToolCall { index, name, arguments, .. } => {
                let index = *index as usize;
                calls.resize(calls.len().max(index + 1), Default::default());
                calls[index].0.push_str(name.as_deref().unwrap_or_default());
                calls[index].1.push_str(arguments);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    let mut expected = [String::new(), String::new()];
    let mut expected_calls = Vec::new();
    for part in parts {
        match part {
            Part::Reasoning { text, .. } => expected[0].push_str(text),
            Part::Text(text) => expected[1].push_str(text),
            Part::ToolCall { name, arguments, .. } => {
                expected_calls.push((name.clone(), arguments.clone()));
            }
        }
    }
    assert_eq!((spoken, calls), (expected, expected_calls));
}

pub(crate) struct Expected {
    pub(crate) parts: Vec<Part>,
    pub(crate) usage: Usage,
    pub(crate) finish: &'static str,
    pub(crate) id: &'static str,
    pub(crate) served: &'static str,
}

/// The stream over real HTTP, cut in several ways; always the same reply.
async fn check(stream: &str, expected: Expected) {
    check_form(Api::Chat, stream, expected).await;
}

/// The same in either API form.
pub(crate) async fn check_form(api: Api, stream: &str, expected: Expected) {
    let crlf = stream.replace('\n', "\r\n");
    for (body, bytes) in [(stream, 7), (stream, 61), (&crlf, 13), (stream, 100_000)] {
        let server = serve([Answer::raw_stream(body).bytes_per_write(bytes)]);
        let model = speaking(api, &server.url());
        let (reply, pieces) = ask(&model, &hello(&model)).await;
        let reply = reply.unwrap();
        assert_eq!(reply.parts, expected.parts);
        pieces_add_up(&pieces, &reply.parts);
        assert_eq!(reply.usage, Some(expected.usage));
        assert_eq!(reply.finish_reason.as_deref(), Some(expected.finish));
        assert_eq!(reply.response_id.as_deref(), Some(expected.id));
        assert_eq!(reply.model_served.as_deref(), Some(expected.served));
        assert_eq!(reply.raw, body.as_bytes());
        assert_eq!((reply.http_status, reply.skipped_count), (Some(200), 0));
        assert!(reply.first_at.is_some());
        // What is stored gives the same parts again.
        let dialect = Dialect::of(&model.description());
        let again = parse(1, dialect, &reply.raw).unwrap();
        assert_eq!((again.parts, again.usage), (reply.parts, reply.usage));
    }
}

#[tokio::test]
async fn openai() {
    let expected = Expected {
        parts: vec![
            text("Both cities — at once."),
            call("call_DdmO9pD3xa9XTPNJ32zg2hcA", "get_weather", r#"{"city":"Paris"}"#),
            call("call_9pD3xa9XTPNJ32zg2hcADdmO", "get_weather", r#"{"city":"Bogotá"}"#),
        ],
        usage: Usage {
            input_tokens: 82,
            output_tokens: 51,
            cached_tokens: 64,
            reasoning_tokens: 0,
        },
        finish: "tool_calls",
        id: "chatcmpl-BXa",
        served: "gpt-4.1-2025-04-14",
    };
    check(include_str!("fixtures/openai.sse"), expected).await;
}

#[tokio::test]
async fn vllm() {
    let expected = Expected {
        parts: vec![
            reasoning("The user wants a listing.\n"),
            call("chatcmpl-tool-0a1b", "shell", r#"{"command": "ls -la"}"#),
        ],
        usage: Usage { input_tokens: 211, output_tokens: 38, ..Usage::default() },
        finish: "tool_calls",
        id: "chatcmpl-5f2c",
        served: "Qwen/Qwen3-8B",
    };
    check(include_str!("fixtures/vllm.sse"), expected).await;
}

#[tokio::test]
async fn llama_cpp() {
    let expected = Expected {
        parts: vec![
            reasoning("Look first"),
            text("I look."),
            call("call_1_1", "read", r#"{"path":"a.rs"}"#),
        ],
        usage: Usage { input_tokens: 65, output_tokens: 24, ..Usage::default() },
        finish: "tool_calls",
        id: "chatcmpl-lLm",
        served: "gpt-3.5-turbo",
    };
    check(include_str!("fixtures/llamacpp.sse"), expected).await;
}

#[tokio::test]
async fn deepseek() {
    let expected = Expected {
        parts: vec![reasoning("九点十一分"), text("9.8 is larger.")],
        usage: Usage {
            input_tokens: 19,
            output_tokens: 120,
            cached_tokens: 16,
            reasoning_tokens: 98,
        },
        finish: "stop",
        id: "b1f2",
        served: "deepseek-reasoner",
    };
    check(include_str!("fixtures/deepseek.sse"), expected).await;
}

#[tokio::test]
async fn openrouter() {
    let expected = Expected {
        parts: vec![
            Part::Reasoning {
                text: "Let me check.".into(),
                field: ReasoningField::Reasoning,
                form: ReasoningForm::Full,
                signature: Some(
                    concat!(
                        r#"[{"type":"reasoning.text","text":"Let me check.","#,
                        r#""format":"unknown","index":0}]"#
                    )
                    .into(),
                ),
            },
            call("call_-80", "list", r#"{"path":"."}"#),
            call("call_-81", "list", r#"{"path":"src"}"#),
        ],
        usage: Usage {
            input_tokens: 170,
            output_tokens: 46,
            cached_tokens: 43,
            reasoning_tokens: 7,
        },
        finish: "tool_calls",
        id: "gen-1752",
        served: "z-ai/glm-4.5",
    };
    check(include_str!("fixtures/openrouter.sse"), expected).await;
}

fn a_tool() -> ToolSpec {
    ToolSpec {
        name: "shell".into(),
        description: "Runs \"it\".".into(),
        parameters: json!({"type": "object", "properties": {"z": {}, "a": {}}}),
        effect: ToolEffect::Executes,
        grammar: None,
    }
}

#[test]
fn a_request_is_head_messages_and_tail() {
    let mut config = EndpointConfig::new("http://127.0.0.1:1/v1", "a \"model\"");
    config.params.insert("temperature".into(), json!(0.7));
    config.params.insert("stop".into(), json!(["\n"]));
    let model = Model::from(EndpointModel::new(config).unwrap());
    let frame = Body::ConfigChanged(ConfigChanged {
        system_prompt: Some("Be calm.".into()),
        tools: Some(vec![a_tool()]),
        ..ConfigChanged::default()
    });
    let request = model.encode(3, &transcript([frame, prompt("hello")]), &|_| None);
    assert_eq!(request.request, 3);
    assert_eq!(
        request.body(),
        concat!(
            r#"{"model":"a \"model\"","messages":["#,
            r#"{"role":"system","content":"Be calm."},{"role":"user","content":"hello"}]"#,
            r#","tools":[{"type":"function","function":{"name":"shell","description":"Runs \"it\".","#,
            r#""parameters":{"type":"object","properties":{"z":{},"a":{}}}}}]"#,
            r#","stream":true,"stream_options":{"include_usage":true}"#,
            r#","temperature":0.7,"stop":["\n"]}"#,
        )
    );
    let pieces = format!("{}{}{}", request.head, request.messages.join(","), request.tail);
    assert_eq!(pieces, request.body());
}

#[test]
fn without_tools_there_is_no_tools_key() {
    let body = hello(&chat("http://127.0.0.1:1/v1")).body();
    assert!(!body.contains("tools"));
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
}

#[test]
fn a_parameter_may_not_take_the_place_of_what_limn_writes() {
    for name in ["model", "messages", "tools", "stream", "stream_options"] {
        let mut config = EndpointConfig::new("http://127.0.0.1:1/v1", "m");
        config.params.insert(name.into(), json!(1));
        let error = EndpointModel::new(config).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_description_names_endpoint_and_parameters() {
    let mut config = EndpointConfig::new("http://localhost:8080/v1/?token=secret", "m");
    config.key = Some(ApiKey::new("sk-secret"));
    config.params.insert("top_p".into(), json!(0.9));
    let model = Model::from(EndpointModel::new(config).unwrap());
    let description = model.description();
    assert_eq!(description.endpoint.as_deref(), Some("http://localhost:8080/v1"));
    assert_eq!(description.params, json!({"top_p": 0.9}));
    assert_eq!(model.prompts().count(), 0);
    assert!(!format!("{model:?}{description:?}").contains("secret"));
}

#[test]
fn asking_can_be_spawned() {
    fn sendable<T: Send>(_: &T) {}
    let model = chat("http://127.0.0.1:1/v1");
    let request = hello(&model);
    let (sink, _pieces) = mpsc::channel(1);
    let exchange = Exchange::new();
    sendable(&model.ask(&request, &sink, &exchange));
}
