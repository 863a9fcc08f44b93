use mock_server::Reply as Answer;
use proptest::prelude::*;
use serde_json::{Value, json};
use trajectory::event::ThinkTags;

use super::*;
use crate::api::{Api, Dialect};
use crate::receive::parse;
use crate::tests::{call, once_in, text};
use crate::{Failure, FailureKind, Reply};

const DIALECT: Dialect = Dialect { api: Api::Responses, think: ThinkTags::Tagged };

fn stream(events: &[Value]) -> Vec<u8> {
    let event = |event: &Value| {
        let kind = event["type"].as_str().unwrap();
        format!("event: {kind}\ndata: {event}\n\n")
    };
    events.iter().map(event).collect::<String>().into_bytes()
}

fn read(events: &[Value]) -> Result<Reply, Failure> {
    parse(3, DIALECT, &stream(events))
}

fn end(status: &str, more: Value) -> Value {
    let mut response = json!({"id": "r", "object": "response", "status": status, "output": []});
    response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"type": format!("response.{status}"), "response": response})
}

fn item_of(text: &str, form: ReasoningForm, signature: Option<&Value>) -> Part {
    let signature = signature.map(ToString::to_string);
    Part::Reasoning { text: text.into(), field: ReasoningField::Item, form, signature }
}

#[test]
fn a_whole_response_is_a_reply() {
    let thought = json!({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "g"});
    let body = json!({
        "id": "r1", "object": "response", "status": "completed", "model": "served", "error": null,
        "output": [
            thought,
            {"type": "message", "id": "m1", "role": "assistant", "content": [
                {"type": "output_text", "text": "<think>hm</think>One"},
                {"type": "refusal", "refusal": ", no."}]},
            {"type": "message", "id": "m2", "content": [{"type": "output_text", "text": "Two"}]},
            {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "web_search_call", "id": "w"},
            {"type": "custom_tool_call", "call_id": "", "name": "p", "input": "raw \"text\""},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    });
    let reply = parse(3, DIALECT, body.to_string().as_bytes()).unwrap();
    let mut patch = call("call_3_2", "p", "raw \"text\"");
    if let Part::ToolCall { freeform, .. } = &mut patch {
        *freeform = true;
    }
    let expected = [
        item_of("", ReasoningForm::Encrypted, Some(&thought)),
        Part::reasoning("hm", ReasoningField::Think),
        text("One, no."),
        text("Two"),
        call("c", "f", "{}"),
        patch,
    ];
    assert_eq!(reply.parts, expected);
    assert_eq!(reply.finish_reason.as_deref(), Some("tool_calls"));
    assert_eq!(reply.usage.unwrap().total(), 7);
    assert_eq!((reply.response_id.as_deref(), reply.skipped_count), (Some("r1"), 0));
}

#[test]
fn items_that_are_only_told_when_they_are_done_are_taken() {
    let done = |index: u32, item: Value| json!({"type": "response.output_item.done", "output_index": index, "item": item});
    let thought = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"},
                                                           {"type": "summary_text", "text": "b"}]});
    let reply = read(&[
        done(0, thought.clone()),
        done(1, json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"})),
        end("completed", json!({"usage": null})),
    ]);
    let expected =
        [item_of("a\n\nb", ReasoningForm::Summary, Some(&thought)), call("c", "f", "{}")];
    assert_eq!(reply.unwrap().parts, expected);
}

#[test]
fn ends_are_told_apart() {
    let incomplete = |why: &str| end("incomplete", json!({"incomplete_details": {"reason": why}}));
    for (why, expected) in [("max_output_tokens", "length"), ("content_filter", "content_filter")] {
        assert_eq!(read(&[incomplete(why)]).unwrap().finish_reason.as_deref(), Some(expected));
    }
    let error = |code: &str| end("failed", json!({"error": {"code": code, "message": "it is so"}}));
    for (code, kind) in [
        ("server_error", FailureKind::Server { retry_after: None }),
        ("rate_limit_exceeded", FailureKind::RateLimited { retry_after: None }),
        ("insufficient_quota", FailureKind::QuotaExhausted),
        ("context_length_exceeded", FailureKind::ContextOverflow { window: None }),
        ("invalid_prompt", FailureKind::BadRequest),
    ] {
        let failure = read(&[error(code)]).unwrap_err();
        assert_eq!(failure.kind, kind, "{failure}");
        assert!(failure.message.contains("it is so"), "{failure}");
        let flat = json!({"type": "error", "code": code, "message": "it is so", "param": null});
        assert_eq!(read(&[flat]).unwrap_err().kind, kind);
        let nested = json!({"type": "error", "error": {"code": code, "message": "it is so"}});
        assert_eq!(read(&[nested]).unwrap_err().kind, kind);
    }
    let cancelled = read(&[end("cancelled", json!({}))]).unwrap_err();
    assert_eq!(cancelled.kind, FailureKind::Server { retry_after: None });
    let still = read(&[json!({"type": "response.created", "response": {"id": "r"}})]).unwrap_err();
    assert_eq!(still.kind, FailureKind::Interrupted);
}

#[test]
fn a_stream_that_stops_is_interrupted_wherever_it_stops() {
    let whole = Answer::new().reasoning("hm").then_text("so").call_in("f", "{\"a\": 1}", 3);
    let whole = whole.to_responses_bytes(0);
    let completed = memchr::memmem::find(&whole, b"response.completed").unwrap();
    for length in 0..whole.len() {
        match parse(7, DIALECT, &whole[..length]) {
            Ok(_) => assert!(length > completed),
            Err(failure) => {
                let kind = failure.kind;
                assert!(
                    matches!(kind, FailureKind::Interrupted | FailureKind::Protocol),
                    "{length}"
                );
            }
        }
    }
    let reply = parse(7, DIALECT, &whole).unwrap();
    assert_eq!(reply.parts[1..], [text("so"), call("call_0_0", "f", "{\"a\": 1}")]);
}

#[test]
fn events_in_any_odd_order_do_no_harm() {
    let delta = |kind: &str, index: Value, piece: &str| json!({"type": format!("response.{kind}.delta"), "output_index": index, "delta": piece});
    let reply = read(&[
        json!({"type": "keepalive", "sequence_number": 1}),
        delta("function_call_arguments", 9.into(), "nobody's"),
        delta("output_text", Value::Null, "unannounced"),
        json!({"type": "response.output_item.added", "output_index": 1}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": 7}}),
        json!({"type": "response.audio.delta", "delta": {"a": 1}}),
        json!({"type": "response.of_the_future", "delta": "?"}),
        delta("reasoning_text", 4.into(), "full"),
        delta("reasoning_summary_text", 4.into(), "and in short"),
        end("completed", json!({})),
    ])
    .unwrap();
    assert_eq!(reply.parts, [text("unannounced"), item_of("full", ReasoningForm::Full, None)]);
    assert_eq!(reply.skipped_count, 1);
}

#[test]
fn one_that_opens_items_without_end_is_stopped() {
    let added = |index: usize| {
        json!({"type": "response.output_item.added", "output_index": index,
               "item": {"type": "function_call", "name": "f"}})
    };
    let failure = read(&(0..3000).map(added).collect::<Vec<_>>()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Protocol);
    assert_eq!(failure.partial.parts.len(), CALLS_MAX);
}

#[tokio::test]
async fn a_reply_of_the_mock_server_is_the_same_in_both_forms() {
    let answer = || {
        Answer::new()
            .then_text("I ")
            .then_text("look.")
            .call_in("f", "{\"a\": \"é𝄞\"}", 4)
            .call("g", "")
    };
    let chat = once_in(Api::Chat, answer()).await.unwrap();
    let responses = once_in(Api::Responses, answer()).await.unwrap();
    assert_eq!(chat.parts, responses.parts);
    assert_eq!(chat.usage, responses.usage);
    assert_eq!(chat.finish_reason, responses.finish_reason);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// However the pieces are cut, in the middle of characters, too: the parts are the same.
    #[test]
    fn no_cut_changes_the_parts(
        units in proptest::collection::vec(
            prop_oneof![Just(0x61_u16), Just(0x3c), 0xd83d_u16..=0xd83e, 0xde00_u16..=0xde02], 0..12,
        ),
        cut in 1_usize..5,
    ) {
        let piece = |units: &[u16]| {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            format!(
                "data: {{\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"{escaped}\"}}\n\n"
            )
        };
        let finish = String::from_utf8(stream(&[end("completed", json!({}))])).unwrap();
        let whole: String = units.chunks(cut).map(piece).chain([finish]).collect();
        let reply = parse(1, DIALECT, whole.as_bytes()).unwrap();
        let said = String::from_utf16_lossy(&units);
        let expected = if said.is_empty() { vec![] } else { vec![text(&said)] };
        prop_assert_eq!(reply.parts, expected);
        prop_assert_eq!(reply.skipped_count, 0);
    }
}
