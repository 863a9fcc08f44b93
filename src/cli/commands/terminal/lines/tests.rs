use tokio::sync::mpsc;
use trajectory::event::ApprovalDecision;

use super::{Line, Lines, answer, prompt};

#[test]
fn only_a_whole_line_is_a_yes() {
    let allowed = |is_for_all| Some(Line::Answer(ApprovalDecision::Allowed, None, is_for_all));
    let denied = |why: Option<&str>| {
        Some(Line::Answer(ApprovalDecision::Denied, why.map(str::to_owned), false))
    };
    assert_eq!(answer("y"), allowed(false));
    assert_eq!(answer("yes"), allowed(false));
    assert_eq!(answer("a"), allowed(true));
    assert_eq!(answer("n"), denied(None));
    assert_eq!(answer("no not that one"), denied(Some("not that one")));
    for line in ["a new test should come first", "y but only once", "yes please", "", "all"] {
        assert_eq!(answer(line), None, "{line}");
    }
}

#[test]
fn what_is_meant_for_the_terminal_is_no_prompt() {
    for line in ["!rm -rf build", "! ls", "/model x", "/help", "/", ""] {
        assert_eq!(prompt(line), None, "{line}");
    }
    for line in ["/etc/hosts is what?", "what is /help?", "a new test should come first"] {
        assert_eq!(prompt(line), Some(Line::Prompt(line.to_owned())));
    }
    assert_eq!(prompt("/quit"), Some(Line::Leave));
}

#[test]
fn a_line_from_before_a_question_is_no_answer_to_it() {
    let (sender, lines) = mpsc::unbounded_channel();
    let mut lines = Lines { lines, is_asked: true };
    for line in ["a", "", "y"] {
        sender.send(line.to_owned()).unwrap();
    }
    lines.drop_early();
    sender.send("n".to_owned()).unwrap();
    assert_eq!(lines.lines.try_recv().as_deref(), Ok("n"));
}
