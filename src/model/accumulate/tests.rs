use proptest::prelude::*;
use serde_json::{Value, json};
use trajectory::Message;
use trajectory::event::{AssistantText, Body, Reasoning, ThinkTags, ToolCall};

use super::*;
use crate::TokenIds;
use crate::tests::{TAGGED, call, reasoning, text, transcript};

fn take(accumulator: &mut Accumulator, chunk: &Value) -> Vec<Progress> {
    let mut out = Vec::new();
    assert_eq!(accumulator.take(chunk.to_string().as_bytes(), &mut out), Taken::Whole);
    out
}

fn parts(deltas: &[Value]) -> Vec<Part> {
    let mut accumulator = Accumulator::new(4, TAGGED);
    for delta in deltas {
        take(&mut accumulator, &json!({"choices": [{"index": 0, "delta": delta}]}));
    }
    accumulator.name_calls();
    accumulator.parts
}

fn calls(calls: Value) -> Value {
    json!({"tool_calls": calls})
}

fn ids(chunks: &[Value]) -> Option<TokenIds> {
    let mut accumulator = Accumulator::new(1, TAGGED);
    for chunk in chunks {
        take(&mut accumulator, chunk);
    }
    accumulator.ids.whole()
}

#[test]
fn the_ids_of_tokens_are_put_together() {
    let piece = |ids: Value| json!({"choices": [{"index": 0, "delta": {}, "token_ids": ids}]});
    let first = json!({"prompt_token_ids": [5, 6], "choices": [
        {"index": 0, "delta": {"role": "assistant"}, "token_ids": null},
    ]});
    // Tokens that are no text yet come in a piece that says nothing else.
    let stream = [first.clone(), piece(json!([1, 2])), piece(json!([])), piece(json!([151_645]))];
    let whole = TokenIds { prompt: Some(vec![5, 6]), sampled: vec![1, 2, 151_645] };
    assert_eq!(ids(&stream), Some(whole.clone()));
    // Said again, or by another choice, they are not taken again.
    let again = json!({"prompt_token_ids": [9], "choices": [{"index": 1, "token_ids": [7]}]});
    assert_eq!(ids(&[&stream[..], &[again]].concat()), Some(whole.clone()));
    // In one piece, and with half a character, which is read by the second reader.
    let message = json!({"role": "assistant", "content": "x"});
    let object = json!({"prompt_token_ids": [5, 6], "choices": [
        {"index": 0, "message": message, "token_ids": [1, 2, 151_645]},
    ]});
    assert_eq!(ids(std::slice::from_ref(&object)), Some(whole.clone()));
    let mut accumulator = Accumulator::new(1, TAGGED);
    let half = object.to_string().replace("\"x\"", r#""\ud83e""#);
    assert_eq!(accumulator.take(half.as_bytes(), &mut Vec::new()), Taken::Whole);
    assert_eq!(accumulator.ids.whole(), Some(whole));
    // Without the prompt's they are worth something, without the reply's nothing.
    assert_eq!(ids(&[piece(json!([3]))]).unwrap().prompt, None);
    assert_eq!(ids(&[first]), None);
}

#[test]
fn ids_that_cannot_be_read_are_none_and_spoil_nothing_else() {
    for odd in
        [json!(["a"]), json!([-1]), json!([4_294_967_296_u64]), json!([1.5]), json!({}), json!("1")]
    {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": "x"}, "token_ids": odd}]});
        let mut accumulator = Accumulator::new(1, TAGGED);
        take(&mut accumulator, &json!({"choices": [{"index": 0, "token_ids": [1]}]}));
        take(&mut accumulator, &chunk);
        assert_eq!(accumulator.parts, [text("x")]);
        assert_eq!(accumulator.ids.whole(), None, "{odd}");
    }
    let prompt = json!({"prompt_token_ids": "?", "choices": [{"index": 0, "token_ids": [1]}]});
    assert_eq!(ids(&[prompt]), Some(TokenIds { prompt: None, sampled: vec![1] }));
}

#[test]
fn parts_keep_their_order() {
    let deltas = [
        json!({"reasoning_content": "hm"}),
        json!({"content": "one"}),
        calls(json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}])),
        json!({"content": "two"}),
        json!({"content": "", "reasoning_content": null}),
        json!({"reasoning_content": "again"}),
    ];
    let expected =
        [reasoning("hm"), text("one"), call("a", "f", "{}"), text("two"), reasoning("again")];
    assert_eq!(parts(&deltas), expected);
}

#[test]
fn interleaved_calls_are_told_apart_by_index() {
    let deltas = [
        calls(json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}])),
        calls(json!([{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}])),
        calls(json!([{"index": 0, "function": {"arguments": "{\"x\""}}])),
        calls(json!([{"index": 1, "function": {"arguments": "{}"}},
                     {"index": 0, "function": {"arguments": ":1}"}}])),
    ];
    assert_eq!(parts(&deltas), [call("a", "f", "{\"x\":1}"), call("b", "g", "{}")]);
}

#[test]
fn calls_without_index_are_told_apart_by_id_and_name() {
    let whole = calls(json!([{"function": {"name": "f", "arguments": "{}"}},
                             {"function": {"name": "f", "arguments": "{}"}}]));
    assert_eq!(parts(&[whole]), [call("call_4_1", "f", "{}"), call("call_4_2", "f", "{}")]);
    let streamed = [
        calls(json!([{"id": "a", "function": {"name": "f", "arguments": ""}}])),
        calls(json!([{"function": {"arguments": "{"}}])),
        calls(json!([{"id": "a", "function": {"name": "f", "arguments": "}"}}])),
        calls(json!([{"id": "b", "function": {"name": "f", "arguments": "[]"}}])),
    ];
    assert_eq!(parts(&streamed), [call("a", "f", "{}"), call("b", "f", "[]")]);
}

#[test]
fn calls_that_all_say_index_zero_are_told_apart() {
    let whole = calls(json!([
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"index": 0, "id": "b", "function": {"name": "f", "arguments": "[]"}},
    ]));
    assert_eq!(parts(&[whole]), [call("a", "f", "{}"), call("b", "f", "[]")]);
}

#[test]
fn ids_names_and_arguments_come_as_they_like() {
    let late = [
        calls(json!([{"index": 0, "function": {"name": "f"}}])),
        calls(json!([{"index": 0, "id": "late", "function": {"arguments": "{}"}}])),
        calls(json!([{"index": 0, "id": 7, "function": {"name": "f", "arguments": ""}}])),
    ];
    // Another id with a name again: another call.
    assert_eq!(parts(&late), [call("late", "f", "{}"), call("7", "f", "")]);
    let object = calls(json!([{"function": {"name": "f", "arguments": {"b": 1.50, "a": [null]}}}]));
    assert_eq!(parts(&[object]), [call("call_4_1", "f", r#"{"b":1.5,"a":[null]}"#)]);
    let none = calls(json!([{"id": "x", "function": null}, {"id": "y"}]));
    assert_eq!(parts(&[none]), [call("x", "", ""), call("y", "", "")]);
}

#[test]
fn arguments_survive_as_sent() {
    for arguments in ["{\"a\": 1, \"a\": 1e400, }", "", "not json", "{\"s\":\"\\ud800 \\u00e9\"}"] {
        let delta = calls(json!([{"id": "a", "function": {"name": "f", "arguments": arguments}}]));
        assert_eq!(parts(&[delta]), [call("a", "f", arguments)]);
    }
}

#[test]
fn reasoning_under_both_keys_is_taken_once() {
    let both = json!({"reasoning_content": "hm", "reasoning": "hm"});
    assert_eq!(parts(&[both]), [reasoning("hm")]);
    let other = json!({"reasoning": "hm"});
    let field = ReasoningField::Reasoning;
    assert_eq!(parts(&[other]), [Part::reasoning("hm", field)]);
}

#[test]
fn progress_is_joined_within_a_piece_of_network() {
    let mut accumulator = Accumulator::new(9, TAGGED);
    let mut out = Vec::new();
    for word in ["a ", "b ", "c"] {
        let chunk = json!({"choices": [{"delta": {"content": word}}]}).to_string();
        assert_eq!(accumulator.take(chunk.as_bytes(), &mut out), Taken::Whole);
    }
    assert_eq!(out, [Progress::Text { request: 9, text: "a b c".into() }]);
}

#[test]
fn what_is_odd_is_an_error_or_nothing() {
    let mut accumulator = Accumulator::new(1, TAGGED);
    let mut out = Vec::new();
    for bad in ["", "{", "[]", "7", "\"x\"", "{\"a\": tru}", "{} {}"] {
        assert_eq!(accumulator.take(bad.as_bytes(), &mut out), Taken::Nothing, "{bad}");
    }
    for odd in ["{}", r#"{"choices":null}"#, r#"{"choices":[{}]}"#, r#"{"type":"ping"}"#] {
        assert_eq!(accumulator.take(odd.as_bytes(), &mut out), Taken::Whole, "{odd}");
    }
    for lost in [
        r#"{"choices": 7}"#,
        r#"{"choices": [7, {"delta": "x"}]}"#,
        r#"{"choices": [{"delta": {"content": {"text": "x"}}}]}"#,
        r#"{"choices": [{"delta": {"content": [{"type": "image_url", "text": "x"}, 7]}}]}"#,
        r#"{"choices": [{"delta": {"tool_calls": [true]}}]}"#,
    ] {
        assert_eq!(accumulator.take(lost.as_bytes(), &mut out), Taken::InPart, "{lost}");
    }
    let second = json!({"choices": [{"index": 1, "delta": {"content": "no"}}]});
    take(&mut accumulator, &second);
    assert!(accumulator.parts.is_empty() && out.is_empty());
}

#[test]
fn errors_are_found_in_every_shape() {
    for (error, message, status) in [
        (json!({"error": {"message": "no", "code": 502}}), "no", Some(502)),
        (json!({"error": {"message": "no", "code": "503"}}), "no", Some(503)),
        (json!({"error": "no"}), "no", None),
        (json!({"object": "error", "message": "no", "code": 400}), "no", Some(400)),
        (json!({"error": {"code": 7}}), r#"{"code":7}"#, None),
    ] {
        let mut accumulator = Accumulator::new(1, TAGGED);
        take(&mut accumulator, &error);
        let told = accumulator.told.unwrap();
        assert_eq!((told.message.as_str(), told.status), (message, status));
    }
}

#[test]
fn pieces_of_reasoning_keep_their_key() {
    let mut accumulator = Accumulator::new(4, TAGGED);
    let delta = |key: &str, text: &str| json!({"choices": [{"delta": {key: text}}]});
    let mut out = Vec::new();
    for (key, text) in [
        ("reasoning_content", "th"),
        ("reasoning_content", "in"),
        ("reasoning", "k"),
        ("reasoning", "!"),
    ] {
        let chunk = delta(key, text).to_string();
        assert_eq!(accumulator.take(chunk.as_bytes(), &mut out), Taken::Whole);
    }
    let piece = |field, text: &str| Progress::Reasoning { request: 4, field, text: text.into() };
    let (one, other) = (ReasoningField::ReasoningContent, ReasoningField::Reasoning);
    assert_eq!(out, [piece(one, "thin"), piece(other, "k!")]);
}

#[test]
fn one_that_opens_calls_without_end_is_stopped() {
    let many: Vec<Value> =
        (0..5000).map(|n| json!({"index": n, "function": {"name": "f"}})).collect();
    // Cut off within a chunk or between two, it is the same.
    let mut one = Accumulator::new(4, TAGGED);
    let whole =
        json!({"choices": [{"delta": calls(many.clone().into()), "finish_reason": "stop"}]});
    take(&mut one, &whole);
    assert!(one.too_many_calls && one.finish_reason.is_none());
    assert_eq!((one.parts.len(), one.calls.len()), (CALLS_MAX, CALLS_MAX));
    let few = json!({"choices": [{"delta": calls(many[..CALLS_MAX].into())}]});
    let mut other = Accumulator::new(4, TAGGED);
    take(&mut other, &few);
    assert!(!other.too_many_calls);
    take(&mut other, &whole);
    assert!(other.too_many_calls);
    assert_eq!(other.parts, one.parts);
}

/// Lines as they stand on the wire, all of them understood.
fn parts_of_lines<T: AsRef<[u8]>>(lines: &[T]) -> Vec<Part> {
    let mut accumulator = Accumulator::new(4, TAGGED);
    for line in lines {
        let line = line.as_ref();
        let taken = accumulator.take(line, &mut Vec::new());
        assert_eq!(taken, Taken::Whole, "{}", String::from_utf8_lossy(line));
    }
    accumulator.close(&mut Vec::new());
    accumulator.name_calls();
    accumulator.parts
}

fn content(json: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{"content":{json}}}}}]}}"#)
}

#[test]
fn halves_of_a_character_meet_again() {
    for (pieces, whole) in [
        (&[r#""a\ud83d""#, r#""\ude00b""#][..], "a😀b"),
        (&[r#""\ud83d""#, r#""""#, "null", r#""\ude00""#], "😀"),
        (&[r#""\ud83d""#, r#""x""#], "\u{fffd}x"),
        (&[r#""x\ud83d""#], "x\u{fffd}"),
        (&[r#""\ude00x""#], "\u{fffd}x"),
        (&[r#""\ud83d""#, r#""\ud83d""#, r#""\ude00\ude00""#], "\u{fffd}😀\u{fffd}"),
        (&[r#""\ud83d\n\ud83d\ude00 \ud800s""#], "\u{fffd}\n😀 \u{fffd}s"),
    ] {
        let lines: Vec<String> = pieces.iter().map(|piece| content(piece)).collect();
        assert_eq!(parts_of_lines(&lines), [text(whole)], "{pieces:?}");
    }
}

/// A half waits within its own part, and no longer than the part can be continued.
#[test]
fn halves_of_different_parts_do_not_meet() {
    let delta = |json: &str| format!(r#"{{"choices":[{{"delta":{json}}}]}}"#);
    let piece = |index: u32, json: &str| {
        delta(&format!(
            r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":{json}}}}}]}}"#
        ))
    };
    let lines = [
        delta(r#"{"reasoning_content":"hm\ud83d"}"#),
        delta(r#"{"content":"\ude00\ud83d"}"#),
        piece(0, r#""[\"\ud83d""#),
        piece(1, r#""[\"\ud83d""#),
        piece(0, r#""\ude00\"]""#),
        piece(1, r#""\"]""#),
        delta(r#"{"content":"\ude00"}"#),
    ];
    let expected = [
        reasoning("hm\u{fffd}"),
        text("\u{fffd}\u{fffd}"),
        call("call_4_1", "", "[\"😀\"]"),
        call("call_4_2", "", "[\"\u{fffd}\"]"),
        text("\u{fffd}"),
    ];
    assert_eq!(parts_of_lines(&lines), expected);
}

/// What comes beside something that only the tolerant reading takes is taken, and once.
#[test]
fn a_line_is_taken_once() {
    let line = r#"{"choices":[{"delta":{"content":"one","tool_calls":[
        {"index":1.8e19,"id":"a","function":{"name":"f\ud800","arguments":"{}"}},
        {"index":-1,"id":"b","function":{"name":"g","arguments":"\ud83d\ude00\udc00"}},
        {"index":18446744073709551616,"function":{"arguments":{"x": [1e999, "\ud800"]}}},
        {"index":5000000000,"id":"c"}]}}],"a\ud800":1,"usage":null}"#;
    let expected = [
        text("one"),
        call("a", "f\u{fffd}", "{}"),
        call("b", "g", "😀\u{fffd}{\"x\": [1e999, \"\\ud800\"]}"),
        call("c", "", ""),
    ];
    assert_eq!(parts_of_lines(&[line]), expected);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let line =
        |bytes: &[u8]| [&br#"{"choices":[{"delta":{"content":""#[..], bytes, b"\"}}]}"].concat();
    let lines = [line(b"a\xff\xfeb\xc3"), line(b"\xed\xa0\xbd")];
    assert_eq!(parts_of_lines(&lines), [text(&format!("a{0}{0}b{0}{0}{0}{0}", '\u{fffd}'))]);
}

#[test]
fn content_in_parts_is_read() {
    let lines = [
        content(
            r#"[{"type":"text","text":"one \ud83d"},{"text":"\ude00"},"!",{"type":"output_text","text":""}]"#,
        ),
        content("[]"),
        content(r#"[{"type":"text","text":" two"}]"#),
        content("1.50"),
    ];
    assert_eq!(parts_of_lines(&lines), [text("one 😀! two1.50")]);
    // What is no text is missed, the rest is not.
    let mut accumulator = Accumulator::new(4, TAGGED);
    let mixed = content(r#"[{"type":"image_url","image_url":{}},{"type":"text","text":"seen"}]"#);
    assert_eq!(accumulator.take(mixed.as_bytes(), &mut Vec::new()), Taken::InPart);
    assert_eq!(accumulator.parts, [text("seen")]);
}

#[test]
fn errors_with_broken_text_are_errors() {
    for (line, message) in [
        (&b"{\"error\":{\"message\":\"no\xff\",\"code\":502}}"[..], "no\u{fffd}"),
        (br#"{"error":{"message":"no\ud800"}}"#, r#"{"message":"no\ud800"}"#),
    ] {
        let mut accumulator = Accumulator::new(1, TAGGED);
        assert_eq!(accumulator.take(line, &mut Vec::new()), Taken::Whole);
        assert_eq!(accumulator.told.unwrap().message, message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Text, cut anywhere, is the same text; arguments likewise.
    #[test]
    fn any_cut_gives_the_same_parts(pieces in proptest::collection::vec(".{0,8}", 1..12)) {
        let spoken: Vec<Value> = pieces.iter().map(|p| json!({"content": p})).collect();
        let whole = pieces.concat();
        let expected = if whole.is_empty() { vec![] } else { vec![text(&whole)] };
        prop_assert_eq!(parts(&spoken), expected);
        let first = calls(json!([{"index": 0, "id": "a", "function": {"name": "f"}}]));
        let rest = pieces.iter().map(|p| calls(json!([{"index": 0, "function": {"arguments": p}}])));
        let called: Vec<Value> = std::iter::once(first).chain(rest).collect();
        prop_assert_eq!(parts(&called), vec![call("a", "f", &whole)]);
    }
}

/// What the model thought and said, as events, and the content of the message they become.
fn content_of(parts: Vec<Part>) -> Option<String> {
    let bodies = parts.into_iter().map(|part| match part {
        Part::Reasoning { text, field, form, signature } => Body::Reasoning(Reasoning {
            request: 1,
            text,
            form,
            field,
            signature,
            interrupted: false,
        }),
        Part::Text(text) => Body::Message(AssistantText { request: 1, text, interrupted: false }),
        Part::ToolCall { id, name, arguments, .. } => Body::ToolCall(ToolCall {
            request: 1,
            call: 1,
            id,
            name,
            arguments,
            freeform: false,
            signature: None,
            malformed: None,
        }),
    });
    let transcript = transcript(bodies);
    match &transcript.turns().first()?.message {
        Message::Assistant { content, .. } => content.clone(),
        other => panic!("unexpected {other:?}"),
    }
}

fn thinking(think: ThinkTags, pieces: &[String], call_after: Option<usize>) -> Accumulator {
    let mut accumulator = Accumulator::new(1, Dialect { api: Api::Chat, think });
    for (number, piece) in pieces.iter().enumerate() {
        take(&mut accumulator, &json!({"choices": [{"delta": {"content": piece}}]}));
        if call_after == Some(number) {
            let call = calls(json!([{"index": 0, "id": "a", "function": {"name": "f"}}]));
            take(&mut accumulator, &json!({"choices": [{"delta": call}]}));
        }
    }
    accumulator.close(&mut Vec::new());
    accumulator
}

fn thought(think: ThinkTags, content: &str) -> Vec<Part> {
    thinking(think, &[content.to_owned()], None).parts
}

#[test]
fn a_thought_stands_at_the_very_start_or_is_none() {
    use ReasoningField::{Think, ThinkOpened};
    let inside = |text: &str| Part::reasoning(text, Think);
    for (content, expected) in [
        ("<think>a</think>b", vec![inside("a"), text("b")]),
        ("<think>\na\n</think>\n\nb", vec![inside("\na\n"), text("\n\nb")]),
        ("<think></think>", vec![inside("")]),
        ("<think>a</thin", vec![inside("a</thin")]),
        ("<think>a</think><think>b</think>", vec![inside("a"), text("<think>b</think>")]),
        (" <think>a</think>b", vec![text(" <think>a</think>b")]),
        ("<thin", vec![text("<thin")]),
        ("<thinking>a", vec![text("<thinking>a")]),
        ("a</think>b", vec![text("a</think>b")]),
    ] {
        assert_eq!(thought(ThinkTags::Tagged, content), expected, "{content}");
        assert_eq!(thought(ThinkTags::Plain, content), [text(content)]);
    }
    let opened = |text: &str| Part::reasoning(text, ThinkOpened);
    for (content, expected) in [
        ("a</think>b", vec![opened("a"), text("b")]),
        ("</think>b", vec![opened(""), text("b")]),
        ("<think>a</think>b", vec![opened("<think>a"), text("b")]),
        ("a", vec![opened("a")]),
    ] {
        assert_eq!(thought(ThinkTags::Opened, content), expected, "{content}");
    }
    assert!(thought(ThinkTags::Opened, "").is_empty());
}

#[test]
fn a_thought_goes_on_behind_a_call() {
    let pieces = ["<think>a".to_owned(), "b</think>c".to_owned()];
    let parts = thinking(ThinkTags::Tagged, &pieces, Some(0)).parts;
    let expected = [Part::reasoning("ab", ReasoningField::Think), call("a", "f", ""), text("c")];
    assert_eq!(parts, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Content → parts → the content of the message that goes back: the same, to the byte, however
    /// it was cut, and a call in the middle of it changes nothing. A reply that ends inside its
    /// thought gets the closing tag that it lacks.
    #[test]
    fn inline_thoughts_go_back_as_they_came(
        pieces in proptest::collection::vec(
            prop_oneof![Just("<think>"), Just("</think>"), Just("<"), Just("</th"), Just("ink>"),
                        Just("<thi"), Just("nk>"), Just("a\n"), Just("é𝄞"), Just("")]
                .prop_map(str::to_owned),
            0..10,
        ),
        think in prop_oneof![Just(ThinkTags::Plain), Just(ThinkTags::Tagged), Just(ThinkTags::Opened)],
        call_after in proptest::option::of(0_usize..10),
    ) {
        let content = pieces.concat();
        let parts = thinking(think, &pieces, call_after).parts;
        let one = thinking(think, std::slice::from_ref(&content), None).parts;
        let begins = match think {
            ThinkTags::Plain => false,
            ThinkTags::Tagged => content.starts_with("<think>"),
            ThinkTags::Opened => !content.is_empty(),
        };
        let is_closed = content.contains("</think>");
        let expected =
            if begins && !is_closed { format!("{content}</think>") } else { content.clone() };
        let expected = (!content.is_empty()).then_some(expected);
        prop_assert_eq!(content_of(parts), expected.clone());
        prop_assert_eq!(content_of(one), expected);
    }
}
