use trajectory::Usage;
use trajectory::event::Ended;

use super::super::outcome::{Call, Check, Key, Outcome, Side, Step};
use super::*;

fn call(name: &str, arguments: &str, verdict: &str) -> Call {
    Call { name: name.to_owned(), arguments: arguments.to_owned(), verdict: verdict.to_owned() }
}

pub(in super::super) fn outcome(side: Side, passed: Option<bool>, steps: Vec<Step>) -> Outcome {
    Outcome {
        key: Key { query: "greet".to_owned(), repeat: 1, side },
        model: "m".to_owned(),
        task: String::new(),
        session: None,
        ended: Some(Ended::Completed),
        reached: true,
        error: None,
        check: passed.map(|passed| Check { passed, exit: Some(i32::from(!passed)) }),
        usage: Usage { input_tokens: 12_345, output_tokens: 67, ..Usage::default() },
        cost_usd: None,
        seconds: 3.21,
        steps,
    }
}

/// One that looks, writes and answers, and one that only answers.
fn both() -> [Outcome; 2] {
    let long = "The user wants a file that greets. First I look at what there is, so that nothing \
                of theirs is overwritten, and then I write it in one go and read it again.";
    let first = vec![
        Step {
            reasoning: long.to_owned(),
            text: "I look first.".to_owned(),
            calls: vec![call("list", "{}", "done")],
        },
        Step {
            calls: vec![
                call("write", "{\"path\":\"hello.txt\",\"content\":\"Hello,\\nworld\"}", "done"),
                call("shell", "{\"command\":\"cat hello.txt\"}", "exit 0 after 0.1 s"),
            ],
            ..Step::default()
        },
        Step { text: "It is done: 漢字 🦀.\n\n- one\n- two".to_owned(), ..Step::default() },
    ];
    let hostile = "\u{1b}[31mI cannot.\u{7}\tReally.".to_owned();
    let mut second = outcome(Side::B, Some(false), vec![Step { text: hostile, ..Step::default() }]);
    second.error = Some("The server sent half an answer.".to_owned());
    [outcome(Side::A, Some(true), first), second]
}

fn shown(columns: usize) -> String {
    let [a, b] = both();
    let of = |letter, model, outcome| Column {
        head: head(letter, model),
        outcome: Some(outcome),
        has_check: true,
    };
    side_by_side(&[of("A", "local:first-run", &a), of("B", "gpt-5", &b)], columns).join("\n")
}

#[test]
fn two_trajectories_stand_side_by_side() {
    insta::assert_snapshot!(shown(100));
}

#[test]
fn where_it_is_narrow_they_stand_one_above_the_other() {
    insta::assert_snapshot!(shown(44));
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_escape_gets_through() {
    for columns in [20, 21, 44, 89, 90, 91, 120, 500] {
        for line in shown(columns).lines() {
            assert!(line.width() <= columns.min(COLUMNS_MAX), "{columns}: {line:?}");
            assert!(!line.contains('\u{1b}') && !line.contains('\u{7}'), "{line:?}");
        }
    }
}

#[test]
fn one_that_was_not_run_yet_leaves_room() {
    let [a, _] = both();
    let left = Column { head: "A  m".to_owned(), outcome: Some(&a), has_check: true };
    let right = Column { head: "B  n".to_owned(), outcome: None, has_check: true };
    let lines = side_by_side(&[left, right], 100);
    assert!(lines.iter().any(|line| line.contains("not run yet")), "{lines:?}");
}

#[test]
fn words_that_are_too_long_are_broken_and_texts_that_are_too_long_cut() {
    let broken = wrapped("aaaa bb cccccccccccccc d   ", "", 8, 9);
    assert_eq!(broken, ["aaaa bb", "cccccccc", "cccccc d"]);
    assert_eq!(wrapped("漢字漢字漢字", "", 9, 9), ["漢字漢字", "漢字"]);
    let cut = wrapped("one two three four five six", "~ ", 12, 2);
    assert_eq!(cut, ["~ one two", "  three fou…"]);
}
