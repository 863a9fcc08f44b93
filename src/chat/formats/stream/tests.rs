use proptest::prelude::*;
use serde_json::{Value, json};

use super::{THINK, THOUGHT};
use crate::formats::{Format, Heard, ReplyReader, Said, TAGS};

const ALL: [Format; 4] = [Format::Hermes, Format::Llama3, Format::Glm, Format::DeepSeek];

fn tools() -> Vec<Value> {
    vec![json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object",
        "properties": {"s": {"type": "string"}, "n": {}}}}})]
}

/// What is heard of each piece, and at the end.
fn heard(format: Option<Format>, thinking: bool, pieces: &[&str]) -> Vec<Vec<Heard>> {
    let mut reader = ReplyReader::new(format, thinking, &tools());
    let mut heard: Vec<_> = pieces.iter().map(|piece| reader.push(piece)).collect();
    heard.push(reader.end());
    heard
}

fn said(format: Option<Format>, thinking: bool, pieces: &[&str]) -> Said {
    let parts: Vec<Heard> = heard(format, thinking, pieces).into_iter().flatten().collect();
    let has_thought = parts.iter().any(|part| matches!(part, Heard::Reasoning(_)));
    Said::of(parts, has_thought)
}

fn text(text: &str) -> Vec<Heard> {
    vec![Heard::Text(text.to_owned())]
}

fn reasoning(text: &str) -> Vec<Heard> {
    vec![Heard::Reasoning(text.to_owned())]
}

fn call(index: usize, arguments: &str) -> Vec<Heard> {
    let name = Heard::CallName { index, name: "f".to_owned() };
    vec![name, Heard::CallArguments { index, delta: arguments.to_owned() }]
}

#[test]
fn text_is_heard_at_once_but_for_what_may_become_a_tag() {
    let pieces = ["I look", " <", "b> <tool", "s>.", "\n", "\nThen"];
    let expected = [
        text("I look"),
        text(" "),
        text("<b> "),
        text("<tools>."),
        vec![],
        text("\n\nThen"),
        vec![],
    ];
    assert_eq!(heard(Some(Format::Hermes), false, &pieces), expected);
}

#[test]
fn thoughts_come_first_and_their_tags_are_not_heard() {
    let pieces = ["<thi", "nk>\nSo", ".\n", "</think", ">\n", "\nYes", "."];
    let expected =
        [vec![], reasoning("So"), reasoning("."), vec![], vec![], text("Yes"), text("."), vec![]];
    assert_eq!(heard(None, false, &pieces), expected);
    assert_eq!(heard(Some(Format::Hermes), false, &pieces), expected);
    assert_eq!(
        heard(Some(Format::Hermes), true, &pieces[1..2])[0],
        vec![Heard::Reasoning("nk>\nSo".to_owned())]
    );
}

#[test]
fn a_call_is_heard_when_it_is_whole() {
    let pieces = [
        "I look.\n<tool_call>\n{\"name\": \"f\", ",
        "\"arguments\": {\"s\": \"</tool_call>\"}",
        "}\n</tool_call>",
        "\n<tool_call>{\"name\": \"f\"}</tool_call>\n",
    ];
    let expected =
        [text("I look."), vec![], call(0, "{\"s\": \"</tool_call>\"}"), call(1, "{}"), vec![]];
    assert_eq!(heard(Some(Format::Hermes), false, &pieces), expected);
}

#[test]
fn what_is_no_call_is_heard_as_soon_as_that_is_clear() {
    let pieces = ["The tag <tool_call>", " begins", " one."];
    let expected = [text("The tag "), text("<tool_call> begins"), text(" one."), vec![]];
    assert_eq!(heard(Some(Format::Hermes), false, &pieces), expected);
    let pieces = ["{\"a\": 1", "}", " is JSON."];
    let expected = [vec![], text("{\"a\": 1}"), text(" is JSON."), vec![]];
    assert_eq!(heard(Some(Format::Llama3), false, &pieces), expected);
}

#[test]
fn without_a_format_tags_of_calls_are_text() {
    let reply = "<tool_call>{\"name\": \"f\"}</tool_call>\n";
    assert_eq!(heard(None, false, &[reply]), [text(reply), vec![]]);
}

#[test]
fn a_call_of_a_bound_reply_is_heard_as_it_is_written() {
    let mut reader = ReplyReader::new(Some(Format::Hermes), false, &tools()).bound();
    let mut push = |piece: &str| reader.push(piece);
    let arguments = |delta: &str| Heard::CallArguments { index: 0, delta: delta.to_owned() };
    assert_eq!(push("So.\n<tool_call>\n{\"name\": \"f"), text("So."));
    assert_eq!(push("\", \"arguments\": "), []);
    assert_eq!(
        push("{\"s\":"),
        [Heard::CallName { index: 0, name: "f".to_owned() }, arguments("{\"s\":")]
    );
    assert_eq!(push(" \"}</tool_call>"), [arguments(" \"}</tool_call>")]);
    assert_eq!(push("\\\"\"}}\n</tool"), [arguments("\\\"\"}")]);
    assert_eq!(push("_call>\n"), []);
    assert_eq!(push("Then."), text("\n\nThen."));
    assert_eq!(reader.end(), []);
}

#[test]
fn a_bound_call_that_is_cut_short_has_what_there_was_of_it() {
    let pieces = [
        (Format::Hermes, "<tool_call>{\"name\": \"f\", \"arguments\": {\"s\": \"ab"),
        (Format::Llama3, "{\"name\": \"f\", \"parameters\": {\"s\": \"ab"),
        (Format::DeepSeek, "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"s\": \"ab"),
    ];
    for (format, piece) in pieces {
        let mut reader = ReplyReader::new(Some(format), false, &tools()).bound();
        let mut heard = reader.push(piece);
        heard.extend(reader.end());
        assert_eq!(heard, call(0, "{\"s\": \"ab"), "{format:?}");
    }
}

/// A piece of a reply: what formats are made of, whole calls, and words.
fn parts() -> impl Strategy<Value = String> {
    let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": \"</tool_call>é\\\"\"}}\n</tool_call>";
    let deep = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"n\": [1, \"```\"]}\n```<｜tool▁call▁end｜>";
    let plain = "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"n\": 1}<｜tool▁call▁end｜>";
    let glm = "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>{ </tool_call></arg_value>\n<arg_key>n</arg_key>\n<arg_value>[\"</arg_value>\"]</arg_value>\n</tool_call>";
    let tags = [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁calls▁end｜>",
        "<|python_tag|>",
        "```json",
        "{\"name\": \"f\"}",
        "{\"name\": \"f\", \"parameters\": {\"n\": {}}}",
        "{",
        "}",
        "\"",
        ";",
        "\n",
        " ",
        "<",
        "f",
        "日本",
        call,
        deep,
        plain,
        glm,
    ];
    prop::sample::select(tags.to_vec()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// However a reply is cut, the same is heard, and it is what the whole of it reads as.
    #[test]
    fn cuts_change_nothing(
        parts in prop::collection::vec(parts(), 0..9),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        thinking in any::<bool>(),
    ) {
        let reply = parts.concat();
        let mut places: Vec<usize> =
            cuts.iter().map(|cut| reply.floor_char_boundary(cut.index(reply.len() + 1))).collect();
        places.extend([0, reply.len()]);
        places.sort_unstable();
        let pieces: Vec<&str> =
            places.windows(2).map(|ends| &reply[ends[0]..ends[1]]).collect();
        for format in ALL {
            let whole = format.read(&reply, thinking, &tools());
            let mut cut = said(Some(format), thinking, &pieces);
            if whole.reasoning.as_deref() == Some("") {
                cut.reasoning.get_or_insert_default();
            }
            prop_assert_eq!(cut, whole, "{:?}", format);
        }
        prop_assert_eq!(said(None, thinking, &pieces), said(None, thinking, &[&reply]));
    }

    /// A whole reply that a grammar let through is heard as it reads, however it is cut.
    #[test]
    fn bound_replies_are_heard_as_they_read(
        arguments in prop::collection::vec("[a-z{}\\[\\]<> é\\\\\"]{0,12}", 0..4),
        said in "([a-z<]{1,8}\n?)?",
        thoughts in prop::option::of("[a-z<\n]{0,8}"),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let calls: Vec<String> = arguments.iter().map(|text| json!({"s": text}).to_string()).collect();
        let wrapped = |before: &str, after: &str, between: &str| {
            let calls: Vec<String> = calls.iter().map(|call| format!("{before}{call}{after}")).collect();
            calls.join(between)
        };
        let deep = wrapped("<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n", "\n```<｜tool▁call▁end｜>", "\n");
        let plain = wrapped("<｜tool▁call▁begin｜>f<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "");
        let around = |calls: String| match calls.is_empty() {
            true => calls,
            false => format!("<｜tool▁calls▁begin｜>{calls}<｜tool▁calls▁end｜>"),
        };
        let replies = [
            (Format::Hermes, said.clone() + &wrapped("<tool_call>\n{\"name\": \"f\", \"arguments\": ", "}\n</tool_call>", "\n")),
            (Format::Llama3, wrapped("{\"name\": \"f\", \"parameters\": ", "}", "; ")),
            (Format::DeepSeek, said.clone() + &around(deep)),
            (Format::DeepSeek, said.clone() + &around(plain)),
        ];
        for (format, reply) in replies {
            let reply = match &thoughts {
                Some(thoughts) => format!("<think>{thoughts}</think>\n\n{reply}"),
                None => reply,
            };
            let mut places: Vec<usize> =
                cuts.iter().map(|cut| reply.floor_char_boundary(cut.index(reply.len() + 1))).collect();
            places.extend([0, reply.len()]);
            places.sort_unstable();
            let mut reader = ReplyReader::new(Some(format), false, &tools()).bound();
            let mut heard: Vec<Heard> =
                places.windows(2).flat_map(|ends| reader.push(&reply[ends[0]..ends[1]])).collect();
            heard.extend(reader.end());
            let whole = format.read(&reply, false, &tools());
            prop_assert_eq!(whole.calls.len(), calls.len());
            prop_assert_eq!(Said::of(heard, thoughts.is_some()), whole, "{:?}", reply);
        }
    }

    /// What is no call is text, every byte of it.
    #[test]
    fn nothing_of_a_text_is_lost(parts in prop::collection::vec(parts(), 0..9)) {
        let reply = parts.concat();
        for format in ALL {
            let said = format.read(&reply, false, &tools());
            if said.calls.is_empty() && said.reasoning.is_none() {
                prop_assert_eq!(said.text, reply.clone());
            }
        }
    }
}

#[test]
fn the_tags_that_a_reply_is_searched_for_are_listed() {
    for format in ALL {
        let mut tags = format.tags().iter().copied().chain([format.closes()]);
        assert!(tags.all(|tag| TAGS.contains(&tag)), "{format:?}");
    }
    assert!(TAGS.contains(&THINK) && TAGS.contains(&THOUGHT));
}
