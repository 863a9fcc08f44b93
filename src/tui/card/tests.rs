use trajectory::event::{CallStatus, Exit, Observation, ToolCall};

use super::{Card, brief, brief_of_part};
use crate::theme::{Background, Depth, Theme};

fn call(name: &str, arguments: &str) -> Card {
    Card::recorded(&ToolCall {
        request: 1,
        call: 1,
        id: "c".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        freeform: false,
        signature: None,
        malformed: None,
    })
}

fn seen(shown: &str, code: Option<i32>) -> Observation {
    Observation {
        call: 1,
        status: CallStatus::Ok,
        shown: shown.to_owned(),
        exec: Some(1),
        exit: code.map(|code| Exit { code: Some(code), ..Exit::default() }),
        output: None,
        truncated: None,
        attachments: Vec::new(),
        duration_us: 1_200_000,
    }
}

fn text(card: &Card, open: bool) -> Vec<String> {
    let theme = Theme::new(Background::Dark, Depth::True);
    card.rows(40, open, 5_000_000, &theme).iter().map(ToString::to_string).collect()
}

#[test]
fn a_command_shows_its_output_while_it_runs_and_folds_behind_it() {
    let mut card = call("shell", r#"{"command":"make"}"#);
    card.start(1, 2_000_000);
    for line in 1..=20 {
        card.print(format!("line {line}\r\n").as_bytes());
    }
    card.print(b"\x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07\x1b[2Cx");
    let rows = text(&card, false);
    assert_eq!(rows.len(), 9);
    assert!(rows[0].starts_with("shell make ") && rows[0].ends_with("running 3 s"), "{rows:?}");
    assert_eq!(rows[8], "│ red   x");
    card.finish(&seen("…", Some(0)));
    let rows = text(&card, false);
    assert!(rows[0].ends_with("exit 0 · 1.2 s"), "{rows:?}");
    assert_eq!(rows[1..], ["│ ⋯ 18 more lines", "│ line 19", "│ line 20", "│ red   x"]);
    assert_eq!(text(&card, true).len(), 23);
}

#[test]
fn a_failure_shows_more_than_a_success() {
    let mut card = call("shell", r#"{"command":"make"}"#);
    let lines: Vec<String> = (1..=20).map(|line| format!("line {line}")).collect();
    card.finish(&seen(&lines.join("\n"), Some(2)));
    assert!(card.has_failed());
    assert_eq!(text(&card, false).len(), 14);
}

#[test]
fn arguments_are_told_in_a_line_even_while_they_are_written() {
    assert_eq!(brief(r#"{"timeout":3,"command":"ls\nrm"}"#), "ls");
    assert_eq!(brief("{}"), "");
    assert_eq!(brief_of_part(r#"{"file_path": "src/ma"#), "src/ma");
    assert_eq!(brief_of_part(r#"{"content":"a\nb"}"#), "a");
    assert_eq!(brief_of_part(r#"{"file_path":"src/a.rs","content":"x\ny"#), "src/a.rs");
    assert_eq!(brief_of_part(&format!(r#"{{"a":3,"b":[{}"#, "一,".repeat(1_000))), "");
}

#[test]
fn of_a_command_what_was_typed_and_printed_is_copied() {
    let mut card = call("shell", r#"{"command":"printf 'a\\nb'"}"#);
    card.finish(&seen("a\nb", Some(0)));
    assert_eq!(card.copied(), "printf 'a\\nb'\n\na\nb");
    let mut own = Card::own(1, "ls", false, 0);
    own.finish(&seen("x", Some(0)));
    assert_eq!(own.copied(), "ls\n\nx");
    let card = call("read", r#"{"path":"a.rs"}"#);
    assert_eq!(card.copied(), card.plain());
}
