use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat::{Format, Heard};

use super::{Characters, Hearing, Speech, Stops};
use crate::server::Server;

fn server() -> Arc<Server> {
    let chat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures");
    let template: PathBuf = chat.join("templates/qwen3.jinja");
    Arc::new(Server::open(&chat.join("model"), Some(&template)).unwrap())
}

/// What is heard of a text that comes token by token.
fn hear(hearing: Hearing, text: &str) -> (Vec<Heard>, Speech) {
    let server = server();
    let ids = server.tokenizer().encode(text).unwrap().ids;
    let mut speech = Speech::new(server, hearing);
    let mut heard = Vec::new();
    for id in ids {
        heard.extend(speech.hear(id));
    }
    heard.extend(speech.end());
    (heard, speech)
}

fn text(heard: &[Heard]) -> String {
    let texts = heard.iter().filter_map(|heard| match heard {
        Heard::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_text_comes_in_whole_characters() {
    let said = "Grüße, 世界 🦀 \u{fffd} end";
    for plain in [true, false] {
        let (heard, _) = hear(Hearing { plain, ..Hearing::default() }, said);
        assert_eq!(text(&heard), said);
    }
}

#[test]
fn bytes_that_are_no_text_are_shown_as_such() {
    let mut characters = Characters::default();
    assert_eq!(characters.push(b"a\xf0\x9f"), "a");
    assert_eq!(characters.push(b"\xa6\x80b"), "🦀b");
    assert_eq!(characters.push(b"\xff\xfec\xe2"), "\u{fffd}\u{fffd}c");
    assert_eq!(characters.push(b"\x28"), "\u{fffd}(");
    assert_eq!(characters.push(b"\xe4\xb8"), "");
    assert_eq!(characters.end(), "\u{fffd}");
    assert_eq!(characters.end(), "");
}

#[test]
fn a_stop_text_is_found_across_tokens() {
    let stops = || vec!["STOP HERE".to_owned(), "ü!".to_owned()];
    let (heard, speech) = hear(
        Hearing { plain: true, stops: stops(), ..Hearing::default() },
        "Go on, STOP no, STOP HERE and never this",
    );
    assert_eq!(text(&heard), "Go on, STOP no, ");
    assert!(speech.is_over());
    let (heard, _) =
        hear(Hearing { plain: true, stops: stops(), ..Hearing::default() }, "Early STOP HER");
    assert_eq!(text(&heard), "Early STOP HER", "what did not become a stop is said");
}

#[test]
fn stops_hold_back_no_more_than_they_must() {
    let mut stops = Stops { texts: vec!["aab".to_owned(), "xy".to_owned()], held: String::new() };
    assert_eq!(stops.push("haa"), ("h".to_owned(), false));
    assert_eq!(stops.push("a"), ("a".to_owned(), false));
    assert_eq!(stops.push("cx"), ("aac".to_owned(), false));
    assert_eq!(stops.push("ü"), ("xü".to_owned(), false));
    assert_eq!(stops.push("aaby"), (String::new(), true));
}

#[test]
fn control_tokens_are_no_text() {
    let (heard, _) = hear(Hearing::default(), "one<|endoftext|> two<|im_start|>");
    assert_eq!(text(&heard), "one two");
}

#[test]
fn thoughts_and_calls_are_told_apart_and_counted() {
    let hearing = Hearing { format: Some(Format::Hermes), ..Hearing::default() };
    let said = "<think>\nHm, look.\n</think>\n\n<tool_call>\n{\"name\": \"look\", \"arguments\": {\"at\": 1}}\n</tool_call>";
    let (heard, speech) = hear(hearing, said);
    let thoughts: String = heard
        .iter()
        .filter_map(|heard| match heard {
            Heard::Reasoning(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(thoughts, "Hm, look.");
    assert!(heard.contains(&Heard::CallName { index: 0, name: "look".to_owned() }));
    assert!(speech.has_calls());
    let tokens = server().tokenizer().encode("<think>\nHm, look.\n").unwrap().ids.len();
    let counted = speech.reasoning_tokens();
    assert!(counted > 0 && counted <= tokens, "{counted} of {tokens}");
}

#[test]
fn where_one_call_is_wanted_the_second_ends_the_reply() {
    let call = "<tool_call>\n{\"name\": \"look\", \"arguments\": {}}\n</tool_call>";
    let hearing = Hearing { format: Some(Format::Hermes), one_call: true, ..Hearing::default() };
    let (heard, speech) = hear(hearing, &format!("{call}\n{call}"));
    let names = heard.iter().filter(|heard| matches!(heard, Heard::CallName { .. })).count();
    assert_eq!(names, 1);
    assert!(speech.is_over());
}
