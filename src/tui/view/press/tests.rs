use crate::protocol::{Command, Update};
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
