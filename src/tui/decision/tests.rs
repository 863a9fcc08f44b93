use trajectory::event::ApprovalDecision;

use super::Decision;
use crate::keys::Choice;
use crate::protocol::Command;

const EDIT: &str =
    r#"{"file_path":"a","old_string":"1\n2\n3\n4\n5\n","new_string":"one\n2\nthree\n4\nfive\n"}"#;

fn decided(decision: &mut Decision, choices: &[Choice]) -> (ApprovalDecision, Option<String>) {
    let answers: Vec<Command> =
        choices.iter().filter_map(|choice| decision.answer(*choice)).collect();
    match answers.as_slice() {
        [Command::Decide { decision, arguments, .. }] => (*decision, arguments.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_hunk_of_three_is_taken() {
    let mut decision = Decision::new(1, "edit", EDIT);
    assert_eq!(decision.hunks().len(), 3);
    let choices = [Choice::Hunk, Choice::NextHunk, Choice::NextHunk, Choice::Hunk, Choice::Allow];
    let (decided, arguments) = decided(&mut decision, &choices);
    assert_eq!(decided, ApprovalDecision::Amended);
    let arguments = arguments.unwrap();
    assert!(arguments.contains(r#""new_string":"1\n2\nthree\n4\n5\n""#), "{arguments}");
    assert!(arguments.starts_with(r#"{"file_path":"a""#));
}

#[test]
fn all_is_a_plain_yes_and_none_a_no() {
    let all = decided(&mut Decision::new(1, "edit", EDIT), &[Choice::Allow]);
    assert_eq!(all, (ApprovalDecision::Allowed, None));
    let mut decision = Decision::new(1, "edit", EDIT);
    let out = [Choice::Hunk, Choice::NextHunk, Choice::Hunk, Choice::NextHunk, Choice::Hunk];
    out.iter().for_each(|choice| assert!(decision.answer(*choice).is_none()));
    assert_eq!(decided(&mut decision, &[Choice::Allow]).0, ApprovalDecision::Denied);
}

#[test]
fn a_command_is_taken_whole() {
    let mut decision = Decision::new(2, "shell", r#"{"command":"rm -rf x","timeout_ms":3}"#);
    assert_eq!(decision.text, "rm -rf x\ntimeout_ms: 3");
    assert_eq!(decided(&mut decision, &[Choice::Hunk, Choice::Allow]).0, ApprovalDecision::Allowed);
}

#[test]
fn nothing_that_is_asked_for_is_left_untold() {
    let call = r#"{"command":"make","workdir":"../other","timeout_ms":3}"#;
    assert_eq!(Decision::new(1, "shell", call).text, "make\nworkdir: ../other\ntimeout_ms: 3");
    let edit = r#"{"file_path":"a","old_string":"1","new_string":"2","replace_all":true}"#;
    let decision = Decision::new(1, "edit", edit);
    assert!(decision.change.is_some());
    assert_eq!(decision.text, "replace_all: true");
    assert_eq!(Decision::new(1, "other", r#"{"command":3}"#).text, "command: 3");
}

#[test]
fn what_is_proposed_is_written_on_before_it_runs() {
    let mut decision = Decision::new(1, "shell", r#"{"command":"rm -r build","timeout_ms":5}"#);
    assert_eq!(decision.answer(Choice::Edit), Some(Command::Edit("rm -r build".into())));
    assert!(decision.edited("rm -r build/tmp\n"));
    assert_eq!(decision.text, "rm -r build/tmp\ntimeout_ms: 5");
    let (decided, arguments) = decided(&mut decision, &[Choice::Allow]);
    let arguments: serde_json::Value = serde_json::from_str(&arguments.unwrap()).unwrap();
    assert_eq!(decided, ApprovalDecision::Amended);
    assert_eq!(arguments, serde_json::json!({"command": "rm -r build/tmp", "timeout_ms": 5}));
}

#[test]
fn the_users_version_of_an_edit_has_hunks_too() {
    let mut decision = Decision::new(1, "edit", EDIT);
    decision.answer(Choice::Edit);
    assert!(decision.edited("one\n2\n3\n4\nFIVE\n"));
    assert_eq!(decision.hunks().len(), 2);
    let (decided, arguments) = decided(&mut decision, &[Choice::Hunk, Choice::Allow]);
    assert_eq!(decided, ApprovalDecision::Amended);
    assert!(arguments.unwrap().contains(r#""new_string":"1\n2\n3\n4\nFIVE\n""#));
}

#[test]
fn an_editor_that_changes_nothing_changes_nothing() {
    let mut decision = Decision::new(1, "shell", r#"{"command":"make"}"#);
    decision.answer(Choice::Edit);
    assert!(decision.edited("make\n"));
    assert_eq!(decided(&mut decision, &[Choice::Allow]), (ApprovalDecision::Allowed, None));
    let mut decision = Decision::new(1, "grep", r#"{"pattern":"x"}"#);
    assert_eq!(
        decision.answer(Choice::Edit),
        Some(Command::Edit("{\n  \"pattern\": \"x\"\n}".into()))
    );
    assert!(!decision.edited("{\"pattern\":"));
    assert_eq!(decided(&mut decision, &[Choice::Allow]), (ApprovalDecision::Allowed, None));
}

#[test]
fn the_like_of_it_is_allowed_for_good_where_a_rule_is_offered() {
    let mut decision = Decision::new(1, "shell", r#"{"command":"cargo test --lib"}"#);
    assert_eq!(decision.answer(Choice::AllowAlways), None);
    decision.offered(&["cargo test *".into()], None);
    assert_eq!(decision.answer(Choice::AllowAlways), None);
    decision.is_offered = true;
    let Some(Command::Decide { decision: ApprovalDecision::Allowed, always, reason, .. }) =
        decision.answer(Choice::AllowAlways)
    else {
        panic!("not allowed");
    };
    assert_eq!(always, ["cargo test *"]);
    assert_eq!(reason.as_deref(), Some("Always here: cargo test *."));
    // The rule is of what was proposed, not of what the user made of it.
    decision.answer(Choice::Edit);
    decision.edited("cargo clean");
    assert_eq!(decision.answer(Choice::AllowAlways), None);
}
