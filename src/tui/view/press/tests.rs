use trajectory::Reading;

use crate::protocol::{Command, Query, Update};
use crate::view::tests::Stage;

fn asked(write: impl Fn(&mut Stage), wait_us: u64) -> Stage {
    let mut stage = Stage::new(70, 18);
    stage.prompt("go").calls(1, "shell", r#"{"command":"rm -rf build"}"#);
    stage.view.tick(5_000_000);
    write(&mut stage);
    stage.view.tick(5_000_000 + wait_us);
    stage.view.update(Update::Decide(1));
    stage
}

fn is_answered(stage: &mut Stage) -> bool {
    matches!(stage.press("y"), Some(Command::Decide { .. }))
}

#[test]
fn whoever_pastes_or_deletes_is_typing_too() {
    assert!(is_answered(&mut asked(|_| {}, 100_000)));
    let writes: [fn(&mut Stage); 5] = [
        |stage| drop(stage.view.paste("and then")),
        |stage| drop(stage.press("and then<ctrl-w><ctrl-w>")),
        |stage| drop(stage.press("a<backspace>")),
        |stage| drop(stage.press("<left>")),
        |stage| drop(stage.press("<tab>/need<backspace>")),
    ];
    for write in writes {
        assert!(!is_answered(&mut asked(write, 100_000)));
    }
}

#[test]
fn a_draft_that_is_thought_over_is_not_what_answers() {
    for draft in ["and then", "!"] {
        let mut stage = asked(|stage| drop(stage.press(draft)), 3_000_000);
        assert!(stage.text().contains("you were typing"));
        assert!(!is_answered(&mut stage));
        stage.view.tick(9_000_000);
        assert!(is_answered(&mut stage));
    }
}

#[test]
fn where_no_question_can_be_drawn_none_is_answered() {
    let mut stage = Stage::new(20, 5);
    stage.prompt("go").calls(1, "shell", r#"{"command":"rm -rf build"}"#);
    stage.view.update(Update::Decide(1));
    assert!(stage.text().contains("limn likes"));
    assert!(!is_answered(&mut stage) && stage.press("<enter>").is_none());
    let mut wider = Stage::new(70, 18);
    std::mem::swap(&mut stage.view, &mut wider.view);
    assert!(wider.text().contains("allow once"));
    assert!(is_answered(&mut wider));
}

#[test]
fn what_is_pasted_into_the_search_is_looked_for() {
    let mut stage = Stage::new(70, 18);
    stage.prompt("a needle").says("hay");
    stage.press("<tab>/");
    assert_eq!(stage.view.paste("needle\nand more"), None);
    assert!(stage.text().contains("search: needle\n"), "{}", stage.text());
    stage.press("<enter>");
    assert_eq!(stage.press("y"), Some(Command::Copy("a needle".into())));
    assert!(stage.view.composer.is_empty());
}

/// Many paragraphs, and a call that waits below them.
fn reading() -> Stage {
    let mut stage = Stage::new(60, 20);
    for number in 0..40 {
        stage.says(&format!("paragraph {number}"));
    }
    stage.calls(1, "shell", r#"{"command":"make"}"#);
    stage.text();
    stage
}

#[test]
fn whoever_reads_above_is_brought_to_a_question_and_back() {
    let mut stage = reading();
    stage.press("<pageup><pageup>");
    let before = stage.text();
    assert!(before.contains("paragraph 22") && !before.contains("make"), "{before}");
    stage.view.update(Update::Decide(1));
    assert!(stage.text().contains("● shell make"));
    assert!(is_answered(&mut stage));
    assert_eq!(stage.text(), before);
}

#[test]
fn whoever_reads_above_to_answer_a_question_goes_on_reading_there() {
    let mut stage = reading();
    stage.view.update(Update::Decide(1));
    stage.text();
    stage.press("<pageup><pageup>");
    let before = stage.text();
    assert!(before.contains("paragraph 22") && !before.contains("● shell make"), "{before}");
    assert!(is_answered(&mut stage));
    assert!(stage.text().contains("paragraph 22"), "{}", stage.text());
    assert!(!stage.view.conversation.follows());
    // Whoever stayed where they were follows the end again.
    let mut stage = reading();
    stage.view.update(Update::Decide(1));
    stage.text();
    assert!(is_answered(&mut stage));
    assert!(stage.view.conversation.follows());
}

#[test]
fn what_an_editor_leaves_lands_where_it_was_taken_from() {
    // A question comes up behind the editor: the prompt is still the prompt.
    let mut stage = asked(|_| {}, 0);
    let mut prompt = Stage::new(70, 18);
    prompt.prompt("go").calls(1, "shell", r#"{"command":"rm -rf build"}"#);
    prompt.view.tick(5_000_000);
    assert_eq!(prompt.press("half<ctrl-g>"), Some(Command::Edit("half".into())));
    prompt.view.tick(60_000_000);
    prompt.view.update(Update::Decide(1));
    prompt.view.edited(Ok("half a prompt\n".into()));
    assert_eq!(prompt.view.composer.text(), "half a prompt");
    // The last key in the editor is no answer.
    assert!(!is_answered(&mut prompt));
    // What was proposed is no longer asked about: nothing is lost, and nothing else is changed.
    assert_eq!(stage.press("e"), Some(Command::Edit("rm -rf build".into())));
    stage.calls(2, "shell", r#"{"command":"make"}"#);
    stage.view.update(Update::RoundOver(trajectory::event::Ended::Interrupted));
    stage.view.edited(Ok("rm -r build/tmp\n".into()));
    assert_eq!(stage.view.composer.text(), "");
    assert!(stage.text().contains("waits no more"));
    stage.press("<ctrl-y>");
    assert_eq!(stage.view.composer.text(), "rm -r build/tmp\n");
    // An editor that failed leaves nothing behind that the next text would fall into.
    let mut stage = asked(|_| {}, 0);
    assert_eq!(stage.press("e"), Some(Command::Edit("rm -rf build".into())));
    stage.view.edited(Err("The editor could not be used.".into()));
    assert!(stage.text().contains("could not be used") && stage.text().contains("rm -rf build"));
    stage.press("e");
    // What the other command would do is asked for.
    let amended = r#"{"command":"rm -r build/tmp; ls"}"#;
    let asked = stage.view.edited(Ok("rm -r build/tmp; ls\n".into()));
    assert_eq!(asked, Some(Command::Ask(Query::Offer(1, amended.into()))));
    let reading =
        Reading { runs: vec!["rm -r build/tmp".into(), "ls".into()], ..Reading::default() };
    stage.view.update(Update::Offer { call: 1, rules: Vec::new(), reading: Some(reading) });
    let text = stage.text();
    assert!(text.contains("allow as you wrote it"), "{text}");
    assert!(text.contains("runs    rm -r build/tmp · ls"), "{text}");
}

#[test]
fn tabs_are_copied_and_sent_as_tabs() {
    let makefile = "all:\n\tcc -o x x.c\n";
    let mut stage = Stage::new(70, 30);
    stage.says(&format!("```make\n{makefile}```"));
    let edit = serde_json::json!({ "file_path": "Makefile", "content": makefile });
    stage.calls(1, "write", &edit.to_string()).starts(1).sees(1, "all:\n\tdone", None);
    let text = stage.text();
    assert!(text.contains("▏     cc -o x x.c") || text.contains("▏ \u{20}   cc -o x"), "{text}");
    let copied = |command| match command {
        Some(Command::Copy(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(copied(stage.press("<tab>y")).contains("\n\tdone"));
    assert!(copied(stage.press("ky")).contains("\tcc -o x x.c"));
    stage.press("<tab>");
    stage.view.paste(makefile.trim_end());
    assert!(stage.text().contains("      cc -o x x.c"), "{}", stage.text());
    assert_eq!(stage.press("<enter>"), Some(Command::Submit(makefile.trim_end().into())));
}
