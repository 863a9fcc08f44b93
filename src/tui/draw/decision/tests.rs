use trajectory::event::ApprovalDecision;

use crate::protocol::{Command, Update};
use crate::view::tests::Stage;

fn edit(path: &str, word: &str) -> String {
    let (old, new) = (format!("old {word}\n"), format!("new {word}\n"));
    serde_json::json!({ "file_path": path, "old_string": old, "new_string": new }).to_string()
}

fn three_edits(columns: u16, rows: u16) -> Stage {
    let mut stage = Stage::new(columns, rows);
    stage.prompt("go");
    for (call, word) in (1..).zip(["first", "second", "third"]) {
        stage.calls(call, "edit", &edit(&format!("src/{word}.rs"), word));
    }
    stage
}

#[test]
fn a_change_that_is_asked_about_is_on_the_screen_with_its_file() {
    let mut stage = three_edits(80, 14);
    stage.text();
    stage.view.update(Update::Decide(1));
    let text = stage.text();
    assert!(text.contains("+ new first") && text.contains("\n  src/first.rs\n"), "{text}");
    // What comes below it does not take its place.
    stage.says(&"words\n\n".repeat(20));
    assert!(stage.text().contains("+ new first"), "{}", stage.text());
    stage.press("<pagedown>");
    stage.press("y");
    assert!(stage.text().contains("words"));
    // Of one that has all its rows in sight, the end is followed after the answer.
    let mut stage = three_edits(80, 40);
    stage.view.update(Update::Decide(2));
    stage.text();
    stage.says(&"words\n\n".repeat(40)).says("the end");
    let text = stage.text();
    assert!(text.contains("+ new second") && !text.contains("the end"), "{text}");
    stage.press("y");
    assert!(stage.text().contains("the end"));
}

#[test]
fn a_question_is_not_asked_below_a_panel_that_hides_what_it_is_about() {
    let mut stage = three_edits(80, 24);
    stage.press("<f3>");
    assert!(stage.text().contains("Timeline"));
    stage.view.update(Update::Decide(3));
    let text = stage.text();
    assert!(text.contains("+ new third") && !text.contains("Timeline"), "{text}");
    stage.press("y");
    assert!(stage.text().contains("Timeline"));
}

#[test]
fn a_call_of_any_length_is_asked_about_with_its_file_first() {
    let mut stage = Stage::new(80, 24);
    let content = "x\n".repeat(300_000);
    let arguments = serde_json::json!({ "content": content, "file_path": "src/long.rs" });
    stage.prompt("go").calls(1, "write", &arguments.to_string());
    stage.view.update(Update::Decide(1));
    assert!(stage.text().contains("\n  file_path: src/long.rs\n"), "{}", stage.text());
}

#[test]
fn the_answers_stay_in_sight_and_a_rule_is_offered_whole_or_not_at_all() {
    for (words, is_offered) in [(3, true), (400, false)] {
        let mut stage = Stage::new(60, 16);
        stage.prompt("go").calls(1, "shell", r#"{"command":"make all"}"#);
        stage.view.update(Update::Decide(1));
        let rules = vec![format!("make {}", "word ".repeat(words))];
        stage.view.update(Update::Offer { call: 1, rules, reading: None });
        let text = stage.text();
        assert!(text.contains("allow once") && text.contains("make all"), "{text}");
        assert_eq!(text.contains("always, in this folder"), is_offered, "{text}");
        assert_eq!(stage.press("p").is_some(), is_offered);
    }
    // In the smallest terminal too.
    let mut stage = Stage::new(24, 8);
    let (old, new) = ("one\nsame\ntwo\n", "1\nsame\n2\n");
    let arguments =
        serde_json::json!({ "file_path": "a.rs", "old_string": old, "new_string": new });
    stage.prompt("go").calls(1, "edit", &arguments.to_string());
    stage.view.update(Update::Decide(1));
    let text = stage.text();
    for answer in ["y allow once", "n deny", "e edit", "a allow, mode auto", "space take"] {
        assert!(text.contains(answer), "{answer}: {text}");
    }
}

#[test]
fn a_reason_of_any_length_is_seen_where_it_is_written() {
    let mut stage = Stage::new(60, 20);
    stage.prompt("go").calls(1, "shell", r#"{"command":"make"}"#);
    stage.view.update(Update::Decide(1));
    stage.press("n");
    let reason = (0..60).map(|number| format!("word{number} ")).collect::<String>() + "the end";
    stage.press(&reason);
    let text = stage.text();
    assert!(text.contains("why not") && text.contains("the end"), "{text}");
    let screen = stage.screen();
    let (row, column) = screen.screen().cursor_position();
    let line = text.lines().nth(usize::from(row)).unwrap();
    assert!(line.ends_with("the end"), "{line}");
    assert_eq!(usize::from(column), line.chars().count());
    let told = stage.press("<enter>");
    let Some(Command::Decide { decision, reason: Some(told), .. }) = told else { panic!() };
    assert_eq!((decision, told), (ApprovalDecision::Denied, reason));
}
