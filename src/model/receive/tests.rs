use std::collections::BTreeMap;

use mock_server::Reply as Answer;
use proptest::prelude::*;
use serde_json::{Value, json};
use trajectory::Usage;
use trajectory::event::ReasoningField;

use super::*;
use crate::exchange::Exchange;
use crate::reply::Part;
use crate::tests::{TAGGED, call, reasoning, text};

fn read(pieces: &[&[u8]], ending: Ending) -> (Result<(), Fault>, Reply) {
    let peer = Peer::named("the test");
    let mut reception = Reception::new(1, TAGGED);
    reception.begin(Head::of_stream(), false);
    let mut out = Vec::new();
    let mut result = Ok(());
    for piece in pieces {
        if let Err(fault) = reception.push(piece, &mut out, &peer) {
            result = Err(fault);
            break;
        }
    }
    let result = result.and_then(|()| reception.end(ending, &mut out, &peer));
    (result, reception.take_reply())
}

fn read_whole(body: &str) -> (Result<(), Fault>, Reply) {
    read(&[body.as_bytes()], Ending::Clean)
}

#[test]
fn a_whole_completion_is_a_reply() {
    let body = json!({
        "id": "c1", "object": "chat.completion", "model": "served",
        "choices": [{
            "index": 0, "finish_reason": "tool_calls",
            "message": {
                "role": "assistant", "content": "I look.", "reasoning_content": "hm",
                "tool_calls": [{"id": "a", "type": "function",
                                "function": {"name": "f", "arguments": "{}"}}],
            },
        }],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    });
    let (result, reply) = read_whole(&format!("\n {body:#}"));
    result.unwrap();
    assert_eq!(reply.parts, [reasoning("hm"), text("I look."), call("a", "f", "{}")]);
    assert_eq!(reply.usage.unwrap().total(), 7);
    assert!(reply.first_at.is_some());
}

#[test]
fn objects_that_are_no_completion_are_refused() {
    for (body, word) in [
        (r#"{"error":{"message":"model is loading"}}"#, "model is loading"),
        (r#"{"detail":"Not Found"}"#, "Not Found"),
        (r#"[{"error":{"message":"quota"}}]"#, "quota"),
        ("{}", "not with a completion"),
        (r#"{"choices":"#, "not with a completion"),
    ] {
        let (result, reply) = read_whole(body);
        let fault = result.unwrap_err();
        assert!(fault.message.contains(word), "{body}: {}", fault.message);
        assert_eq!(reply.raw, body.as_bytes());
    }
}

#[test]
fn pages_and_plain_text_are_refused() {
    for body in ["<!DOCTYPE html>…", "\n <html>", "Not Found", "hello: world\n\n", "[1, 2]"] {
        let fault = read_whole(body).0.unwrap_err();
        assert_eq!(fault.kind, FailureKind::Protocol, "{body}: {}", fault.message);
    }
}

#[test]
fn a_compressed_answer_is_told_as_that() {
    for magic in [b"\x1f\x8b\x08\x00".as_slice(), b"\x28\xb5\x2f\xfd\x04"] {
        let fault = read(&[magic, b"data: \n\n"], Ending::Clean).0.unwrap_err();
        assert_eq!(fault.kind, FailureKind::Protocol);
        assert!(fault.message.contains("compressed"), "{}", fault.message);
    }
}

#[test]
fn what_is_not_finished_is_interrupted() {
    let full = String::from_utf8(Answer::text("one").then_text(" two").to_bytes(0)).unwrap();
    let finish = full.find(r#""stop""#).unwrap();
    for length in 0..full.len() {
        for ending in [Ending::Clean, Ending::Broken] {
            let (result, reply) = read(&[&full.as_bytes()[..length]], ending);
            // Once the whole event with the finish reason is there, the reply is.
            match result {
                Ok(()) => assert!(length > finish),
                Err(fault) => {
                    assert!(length < finish + 20, "{length}: {}", fault.message);
                    let broken = length == 0 || full.starts_with(&full[..length]);
                    assert!(broken && fault.kind != FailureKind::Server { retry_after: None });
                    assert!(matches!(reply.parts.as_slice(), [] | [Part::Text(_)]));
                }
            }
        }
    }
}

#[test]
fn done_alone_does_not_complete_a_reply() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\ndata: [DONE]\n\n";
    let (result, reply) = read_whole(stream);
    assert_eq!(result.unwrap_err().kind, FailureKind::Interrupted);
    assert_eq!(reply.parts, [text("half")]);
}

#[test]
fn lines_that_cannot_be_read_are_passed_over_and_kept() {
    let long = "x".repeat(5000);
    let answer = Answer::text("a")
        .raw_event("data: {not json\n\n")
        .raw_event(format!("data: {long}\n\n"))
        .raw_event("stray line\n\n")
        .raw_event(&b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n"[..])
        .raw_event("data: {\"choices\":[{\"delta\":{\"content\":{\"a\":7}}}]}\n\n")
        .then_text("b");
    let (result, reply) = read(&[&answer.to_bytes(0)], Ending::Clean);
    result.unwrap();
    assert_eq!(reply.parts, [text("a\u{fffd}b")]);
    assert_eq!(reply.skipped_count, 4);
    assert_eq!(reply.skipped_lines[0], "{not json");
    assert_eq!(reply.skipped_lines[1].len(), SKIPPED_LINE_BYTES_MAX);
    assert_eq!(reply.skipped_lines[2], "stray line");
    assert!(reply.skipped_lines[3].contains(r#"{"a":7}"#));
    let noise: String = (0..1000).map(|n| format!("data: {n}\n\n")).collect();
    let (_, reply) = read_whole(&noise);
    assert_eq!((reply.skipped_count, reply.skipped_lines.len()), (1000, SKIPPED_LINES_MAX));
}

#[test]
fn events_without_the_empty_line_between_them_are_read() {
    let stream = String::from_utf8(Answer::text("a").then_text("b").to_bytes(0)).unwrap();
    let (result, reply) = read_whole(&stream.replace("\n\n", "\n"));
    result.unwrap();
    assert_eq!(reply.parts, [text("ab")]);
    assert_eq!(reply.skipped_count, 0);
}

#[test]
fn an_error_in_the_stream_ends_it() {
    let answer = Answer::text("half")
        .raw_event("data: {\"error\":{\"message\":\"overloaded\\u001b[31m\",\"code\":429}}\n\n")
        .then_text("never");
    let (result, reply) = read(&[&answer.to_bytes(0)], Ending::Clean);
    let fault = result.unwrap_err();
    assert_eq!(fault.kind, FailureKind::RateLimited { retry_after: None });
    assert!(fault.message.contains("overloaded [31m"), "{}", fault.message);
    assert_eq!(reply.parts, [text("half")]);
    assert!(reply.finish_reason.is_none());
}

#[test]
fn sizes_are_bounded() {
    let line = [b'a'; 1 << 20];
    let endless: Vec<&[u8]> =
        std::iter::once(&b"data: "[..]).chain((0..20).map(|_| &line[..])).collect();
    let fault = read(&endless, Ending::Clean).0.unwrap_err();
    assert!(fault.message.contains("16 MiB"), "{}", fault.message);
    let mut comment = vec![b':'; 1 << 20];
    comment.extend_from_slice(b"\n");
    let endless: Vec<&[u8]> = (0..65).map(|_| &comment[..]).collect();
    let (result, reply) = read(&endless, Ending::Clean);
    let fault = result.unwrap_err();
    assert!(fault.message.contains("64 MiB"), "{}", fault.message);
    assert!(reply.raw.len() <= RAW_BYTES_MAX);
}

#[test]
fn a_stored_reply_reads_the_same_again() {
    let answer = Answer::new().reasoning("hm").then_text("so").call_in("f", "{\"a\": 1}", 3);
    let reply = parse(7, TAGGED, &answer.to_bytes(0)).unwrap();
    assert_eq!(reply.parts, [reasoning("hm"), text("so"), call("call_0_0", "f", "{\"a\": 1}")]);
    let failure = parse(7, TAGGED, &answer.without_finish().to_bytes(0)).unwrap_err();
    assert_eq!(failure.partial.parts, reply.parts);
}

#[test]
fn a_secret_that_is_echoed_is_blotted_out() {
    let peer = Peer::named("the test");
    let failed = Head { status: 500, ..Head::default() };
    let exchange = Exchange::new();
    let begin = |head: &Head, body: &[u8]| {
        exchange.start(1, TAGGED, Some("sk-12345".to_owned().into()));
        exchange.begin(head.clone(), true);
        exchange.push(body, &mut Vec::new(), &peer).unwrap();
    };
    let echo = b"you sent sk-12345, sk-12345!";
    let blotted = b"you sent ********, ********!";
    begin(&failed, echo);
    let fault = exchange.end(Ending::Clean, &mut Vec::new(), &peer).unwrap_err();
    let failure = exchange.finish(Err(fault)).unwrap_err();
    assert!(!failure.message.contains("sk-12345"), "{failure}");
    assert_eq!(failure.partial.raw, blotted);
    // Cancelled in the middle of it.
    begin(&failed, echo);
    assert_eq!(exchange.cancelled().partial.raw, blotted);
    assert!(exchange.cancelled().partial.raw.is_empty());
    // A whole completion: what is recorded of it is what its recorded bytes say.
    let body = json!({"choices": [{"message": {"content": "your key is sk-12345"},
                                   "finish_reason": "stop"}]});
    begin(&Head::of_stream(), body.to_string().as_bytes());
    exchange.end(Ending::Clean, &mut Vec::new(), &peer).unwrap();
    let reply = exchange.finish(Ok(())).unwrap();
    assert_eq!(reply.parts, [text("your key is ********")]);
    assert_eq!(parse(1, TAGGED, &reply.raw).unwrap().parts, reply.parts);
}

/// Invariant 2, for a reply that is cancelled after any of its bytes: what is kept as parts is what
/// the kept bytes are read as.
#[test]
fn what_is_cancelled_reads_the_same_again() {
    let stream = Answer::new().reasoning("hm").then_text("so").call_in("f", "{\"a\": 1}", 3);
    let stream = stream.to_bytes(0);
    let object = json!({"choices": [{"message": {"content": "so"}, "finish_reason": "stop"}]});
    let peer = Peer::named("the test");
    let html = Head { content_type: Some("text/html".into()), ..Head::of_stream() };
    for body in [stream, object.to_string().into_bytes()] {
        for head in [Head::of_stream(), html.clone()] {
            for length in 0..=body.len() {
                let exchange = Exchange::new();
                exchange.start(7, TAGGED, None);
                exchange.begin(head.clone(), true);
                exchange.push(&body[..length], &mut Vec::new(), &peer).unwrap();
                let partial = exchange.cancelled().partial;
                assert_eq!(partial.raw, &body[..length]);
                let again =
                    parse(7, TAGGED, &partial.raw).unwrap_or_else(|failure| *failure.partial);
                assert_eq!(again.parts, partial.parts, "{length} bytes");
            }
        }
    }
}

#[test]
fn absurd_token_counts_count_nothing() {
    let counted = |counts: Value| {
        let body = json!({"choices": [], "usage": counts}).to_string();
        let usage = read_whole(&body).1.usage?;
        let Usage { input_tokens, cached_tokens, output_tokens, reasoning_tokens } = usage;
        Some([input_tokens, cached_tokens, output_tokens, reasoning_tokens])
    };
    let named = |input: Value, cached: Value, output: Value, reasoning: Value| {
        counted(json!({
            "prompt_tokens": input, "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens": output,
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }))
    };
    let huge = || json!(u64::MAX);
    for (found, expected) in [
        (named(huge(), json!(1), huge(), json!(1)), None),
        (named(json!(-5), json!(1), json!("7"), json!(1)), None),
        (named(json!(1e300), json!(1), json!(3), json!(1)), Some([0, 0, 3, 1])),
        // Part of it cannot be more than the whole.
        (named(json!(10), huge(), json!(3), json!(500)), Some([10, 0, 3, 3])),
        (named(json!(10), json!(99), json!(3), json!(0)), Some([10, 10, 3, 0])),
        // Numbers as some proxies write them.
        (named(json!(10.0), json!(4.0), json!(3.0), json!(null)), Some([10, 4, 3, 0])),
        (named(json!(10.5), json!(0), json!(3), json!(0)), Some([0, 0, 3, 0])),
        (counted(json!("lots")), None),
        (counted(json!([1, 2])), None),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn more_calls_than_are_allowed_are_a_failure() {
    let call = |n: usize| json!({"index": n, "id": format!("c{n}"), "function": {"name": "f"}});
    let event = |n: usize| {
        format!("data: {}\n\n", json!({"choices": [{"delta": {"tool_calls": [call(n)]}}]}))
    };
    let finish = "data: {\"choices\":[{\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    let stream =
        |count: usize| (0..count).map(event).chain([finish.to_owned()]).collect::<String>();
    let (result, reply) = read_whole(&stream(CALLS_MAX));
    result.unwrap();
    assert_eq!(reply.parts.len(), CALLS_MAX);
    let many = stream(CALLS_MAX + 500);
    for piece_bytes in [1000, many.len()] {
        let pieces: Vec<&[u8]> = many.as_bytes().chunks(piece_bytes).collect();
        let (result, partial) = read(&pieces, Ending::Clean);
        let fault = result.unwrap_err();
        assert_eq!(fault.kind, FailureKind::Protocol);
        assert!(fault.message.contains("1024"), "{}", fault.message);
        assert_eq!(partial.parts, reply.parts);
        assert!(partial.finish_reason.is_none());
        assert_eq!(parse(1, TAGGED, &partial.raw).unwrap_err().partial.parts, reply.parts);
    }
    let calls: Vec<_> = (0..=CALLS_MAX).map(call).collect();
    let object = json!({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]});
    let (result, partial) = read_whole(&object.to_string());
    assert!(result.unwrap_err().message.contains("1024"));
    assert_eq!(partial.parts, reply.parts);
}

#[test]
fn a_whole_completion_with_content_in_parts_is_a_reply() {
    let (result, reply) = read_whole(
        r#"{"choices":[{"message":{"content":[{"type":"text","text":"a \ud83d"},
            {"type":"text","text":"\ude00"}]},"finish_reason":"stop"}]}"#,
    );
    result.unwrap();
    assert_eq!((reply.parts, reply.skipped_count), (vec![text("a 😀")], 0));
}

/// Where a piece of a reply goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum To {
    Reasoning,
    Text,
    Call(u32),
}

/// The event that brings these UTF-16 units, whole characters or not.
fn event(to: To, units: &[u16]) -> String {
    let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let delta = match to {
        To::Reasoning => format!(r#""reasoning_content":"{escaped}""#),
        To::Text => format!(r#""content":"{escaped}""#),
        To::Call(n) => format!(
            r#""tool_calls":[{{"index":{n},"id":"c{n}","function":{{"arguments":"{escaped}"}}}}]"#
        ),
    };
    format!("data: {{\"choices\":[{{\"delta\":{{{delta}}}}}]}}\n\n")
}

/// The parts that these pieces are.
fn expected(pieces: &[(To, Vec<u16>)]) -> Vec<Part> {
    let mut parts: Vec<(To, Vec<u16>)> = Vec::new();
    for (to, units) in pieces {
        let place = match to {
            To::Call(_) => parts.iter().position(|(of, _)| of == to),
            _ if units.is_empty() => continue,
            _ => parts.len().checked_sub(1).filter(|last| parts[*last].0 == *to),
        };
        match place {
            Some(place) => parts[place].1.extend(units),
            None => parts.push((*to, units.clone())),
        }
    }
    let part = |(to, units): (To, Vec<u16>)| {
        let whole = String::from_utf16_lossy(&units);
        match to {
            To::Reasoning => reasoning(&whole),
            To::Text => text(&whole),
            To::Call(n) => call(&format!("c{n}"), "", &whole),
        }
    };
    parts.into_iter().map(part).collect()
}

/// Everything that was shown: reasoning, text, and each call's arguments.
fn shown(out: &[Progress]) -> (String, String, BTreeMap<u32, String>) {
    let mut shown = (String::new(), String::new(), BTreeMap::<u32, String>::new());
    for progress in out {
        match progress {
            Progress::Reasoning { text, field: ReasoningField::ReasoningContent, .. } => {
                shown.0.push_str(text);
            }
            Progress::Text { text, .. } => shown.1.push_str(text),
            Progress::ToolCall { index, arguments, .. } => {
                shown.2.entry(*index).or_default().push_str(arguments);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    shown
}

fn of_parts(parts: &[Part]) -> (String, String, BTreeMap<u32, String>) {
    let mut all = (String::new(), String::new(), BTreeMap::new());
    for part in parts {
        match part {
            Part::Reasoning { text, .. } => all.0.push_str(text),
            Part::Text(text) => all.1.push_str(text),
            Part::ToolCall { arguments, .. } => {
                all.2.insert(all.2.len() as u32, arguments.clone());
            }
        }
    }
    all
}

fn units() -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        Just(0x61),
        Just(0xe9),
        Just(0xd7ff),
        Just(0xe000),
        0xd800_u16..0xdc00,
        0xdc00_u16..=0xdfff,
    ];
    proptest::collection::vec(unit, 0..4)
}

fn to() -> impl Strategy<Value = To> {
    prop_oneof![1 => Just(To::Reasoning), 3 => Just(To::Text), 2 => (0_u32..3).prop_map(To::Call)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However a text is cut into pieces, in the middle of characters, too, and however the stream
    /// of them is cut by the network: the parts are the same, what is shown adds up to them, and
    /// the stored bytes are read as them.
    #[test]
    fn no_cut_changes_the_parts(
        pieces in proptest::collection::vec((to(), units()), 0..12),
        cuts in proptest::collection::vec(1_usize..200, 1..8),
    ) {
        let finish = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";
        let events = pieces.iter().map(|(to, units)| event(*to, units));
        let stream: String = events.chain([finish.to_owned()]).collect();
        let peer = Peer::named("the test");
        let mut reception = Reception::new(1, TAGGED);
        reception.begin(Head::of_stream(), false);
        let mut out = Vec::new();
        let mut rest = stream.as_bytes();
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at(rest.len().min(*cut));
            reception.push(piece, &mut out, &peer).unwrap();
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        reception.end(Ending::Clean, &mut out, &peer).unwrap();
        let reply = reception.take_reply();
        prop_assert_eq!(&reply.parts, &expected(&pieces));
        prop_assert_eq!(reply.skipped_count, 0);
        prop_assert_eq!(shown(&out), of_parts(&reply.parts));
        prop_assert_eq!(parse(1, TAGGED, &reply.raw).unwrap().parts, reply.parts);
    }

    /// Any bytes in a text: never a panic, and read again they are the same.
    #[test]
    fn any_bytes_read_the_same_again(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..6),
        cut in 1_usize..100,
    ) {
        let event = |bytes: &Vec<u8>| {
            [&b"data: {\"choices\":[{\"delta\":{\"content\":\""[..], bytes, b"\"}}]}\n\n"].concat()
        };
        let stream: Vec<u8> = pieces.iter().flat_map(event).collect();
        let chunks: Vec<&[u8]> = stream.chunks(cut).collect();
        let (_, reply) = read(&chunks, Ending::Clean);
        let again = *parse(1, TAGGED, &reply.raw).unwrap_err().partial;
        prop_assert_eq!(again.parts, reply.parts);
        prop_assert_eq!(again.skipped_lines, reply.skipped_lines);
    }
}
