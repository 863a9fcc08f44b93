use ratatui::layout::Position;
use trajectory::Hand;
use trajectory::event::{
    ApprovalDecision, ApprovalEvent, AssistantText, BackgroundExit, ChangeKind, DecidedBy, Ended,
    Exit, FileChange, RoundEnded,
};
use trajectory::{Body, Usage};

use super::super::tests::{Stage, round};
use crate::protocol::{Answer, Command, Found, Order, Place, Query, Recent, Update};

fn change(path: &str, kind: ChangeKind, diff: Option<&str>) -> FileChange {
    FileChange { path: path.to_owned(), change: kind, diff: diff.map(str::to_owned) }
}

/// A command that goes on in the background.
fn job(stage: &mut Stage) {
    stage.prompt("go").calls(1, "shell", r#"{"command":"vim 数.rs"}"#).starts(1);
    stage.prints(1, b"\x1b[?1049h\x1b[2J\x1b[Hhello \x1b[31mred\x1b[0m").sees(1, "vim", None);
}

#[test]
fn the_timeline_stands_beside_the_conversation() {
    let mut stage = round(130, 30);
    stage.press("<f3>");
    insta::assert_snapshot!(stage.text());
    // What a reply took, where it is known.
    let usage = Usage { input_tokens: 12_000, output_tokens: 34, ..Usage::default() };
    stage.view.update(Update::Usage(usage));
    stage.happens(AssistantText { request: 9, text: "more".to_owned(), interrupted: false });
    let text = stage.text();
    assert!(text.contains("+34") && text.contains("12.0k"), "{text}");
    assert!(text.contains("request 9: 12,000 in (0 cached), 34 out"), "{text}");
}

#[test]
fn in_a_narrow_terminal_it_takes_the_conversations_place() {
    let mut stage = round(80, 24);
    stage.press("<f3>");
    let text = stage.text();
    assert!(text.contains("Timeline") && !text.contains("I'll look at"), "{text}");
    stage.press("<esc>typed");
    assert!(stage.text().contains("❯ typed"));
    stage.press("<f3><f3>");
    assert!(!stage.text().contains("Timeline"));
}

#[test]
fn enter_goes_to_the_action_in_the_conversation() {
    let mut stage = Stage::new(130, 20);
    for number in 0..60 {
        stage.prompt(&format!("question {number}")).says(&format!("answer {number}")).ends();
    }
    stage.press("<f3>g<down><enter>");
    let chosen = stage.view.conversation.chosen_text();
    assert_eq!(chosen.as_deref(), Some("answer 0"));
    assert!(stage.text().contains("question 0"));
}

#[test]
fn what_gets_no_loss_is_told_from_what_does() {
    let mut stage = Stage::new(130, 30);
    stage.prompt("go").says("yes").calls(1, "shell", r#"{"command":"rm"}"#);
    stage.happens(ApprovalEvent {
        call: 1,
        decision: ApprovalDecision::Denied,
        by: DecidedBy::User,
        reason: None,
        arguments: None,
    });
    stage.press("<f3>");
    let text = stage.text();
    assert!(text.contains("● message") && text.contains("○ tool call"), "{text}");
    stage.press("<up>");
    assert!(stage.text().contains("not trained: denied"));
    // What is private is never trained.
    stage.view.facts.is_private = true;
    assert!(stage.text().contains("private: not trained"));
}

#[test]
fn changes_are_asked_for_looked_at_and_taken_back() {
    let mut stage = Stage::new(130, 24);
    stage.prompt("go");
    assert_eq!(stage.press("<f3><right>"), Some(Command::Ask(Query::Changes)));
    let diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+\u{1b}[31mtwo\n";
    let files = vec![
        change("src/数.rs", ChangeKind::Modified, Some(diff)),
        change("new\u{1b}]0;owned\u{7}", ChangeKind::Created, None),
    ];
    stage.view.update(Update::Answer(Answer::Changes(Ok(files))));
    let text = stage.text();
    assert!(text.contains("M src/数.rs") && text.contains("- one") && text.contains("+ ␛[31mtwo"));
    assert!(text.contains("A new␛]0;owned␇"), "{text}");
    // Not while a round is under way, and not without being asked once more.
    assert_eq!(stage.press("r"), None);
    assert!(stage.text().contains("A round is under way"));
    stage.ends();
    stage.press("r");
    assert!(stage.text().contains("Take src/数.rs back"));
    assert_eq!(stage.press("n"), None);
    stage.press("r");
    assert_eq!(stage.press("y"), Some(Command::Order(Order::Revert("src/数.rs".into()))));
}

#[test]
fn what_is_open_is_compared_again_when_something_happened() {
    let mut stage = Stage::new(130, 24);
    stage.press("<f3><right>");
    stage.view.update(Update::Answer(Answer::Changes(Ok(Vec::new()))));
    assert!(stage.text().contains("Every file is as it was"));
    assert!(stage.told(stage_end()).is_some_and(|it| it == Command::Ask(Query::Changes)));
    // One question at a time; what changed meanwhile is asked for after its answer.
    assert_eq!(stage.told(stage_end()), None);
    let mut answered = || stage.view.update(Update::Answer(Answer::Changes(Ok(Vec::new()))));
    assert_eq!(answered(), Some(Command::Ask(Query::Changes)));
    assert_eq!(answered(), None);
}

fn stage_end() -> Body {
    RoundEnded { ended: Ended::Completed, usage: Usage::default() }.into()
}

#[test]
fn a_command_is_attached_to_typed_into_and_left() {
    let mut stage = Stage::new(100, 24);
    job(&mut stage);
    stage.press("<f3><left><left>");
    assert!(stage.text().contains("background"), "{}", stage.text());
    stage.press("<enter>");
    let picture = stage.picture();
    insta::assert_snapshot!(picture);
    let size = Hand::Resize { exec: 1, columns: 100, rows: 23 };
    assert_eq!(stage.view.fit(), Some(Command::Hand(size)));
    assert_eq!(stage.view.fit(), None);
    let typed = |bytes: &[u8]| Some(Command::Hand(Hand::Type { exec: 1, bytes: bytes.into() }));
    assert_eq!(stage.press("x"), typed(b"x"));
    // Nothing is kept back for limn itself but the one key.
    assert_eq!(stage.press("<ctrl-c>"), typed(b"\x03"));
    assert_eq!(stage.press("<f1>"), typed(b"\x1bOP"));
    assert_eq!(stage.view.paste("a\nb"), typed(b"a\rb"));
    let usual = Hand::Resize { exec: 1, columns: 120, rows: 40 };
    assert_eq!(stage.press("<ctrl-]>"), Some(Command::Hand(usual)));
    assert!(stage.text().contains("Terminals 1"));
}

#[test]
fn a_question_is_not_answered_by_what_is_typed_into_a_command() {
    let mut stage = Stage::new(100, 24);
    job(&mut stage);
    stage.calls(2, "shell", r#"{"command":"rm -rf build"}"#);
    stage.press("<f3><left><left><enter>");
    stage.view.tick(5_000_000);
    stage.view.update(Update::Decide(2));
    assert!(stage.text().contains("a call waits for you"));
    assert!(matches!(stage.press("y"), Some(Command::Hand(Hand::Type { exec: 1, .. }))));
    stage.press("<ctrl-]>");
    assert!(stage.text().contains("May it? shell"));
    // What follows at once was meant for the command.
    assert_eq!(stage.press("y"), None);
    stage.view.tick(5_800_000);
    assert!(matches!(stage.press("y"), Some(Command::Decide { call: 2, .. })));
}

#[test]
fn what_is_typed_into_a_command_that_ends_goes_nowhere_else() {
    for waits in [false, true] {
        let mut stage = Stage::new(100, 24);
        job(&mut stage);
        stage.calls(2, "shell", r#"{"command":"rm -rf build"}"#);
        stage.press("<f3><left><left><enter>");
        stage.view.tick(5_000_000);
        stage.press("hun");
        if waits {
            stage.view.update(Update::Decide(2));
        }
        stage.view.tick(5_900_000);
        job_ends(&mut stage);
        assert_eq!(stage.press("ya<enter>"), None);
        assert!(stage.view.decision.is_some() == waits && stage.view.composer.is_empty());
        // Whoever types on is given more time.
        stage.view.tick(6_500_000);
        assert_eq!(stage.press("y"), None);
        stage.view.tick(7_300_000);
        let told = stage.press("y");
        assert_eq!(matches!(told, Some(Command::Decide { call: 2, .. })), waits, "{told:?}");
        assert_eq!(stage.view.composer.text(), if waits { "" } else { "y" });
    }
}

fn job_ends(stage: &mut Stage) {
    stage.happens(BackgroundExit {
        exec: 1,
        exit: Exit { code: Some(0), ..Exit::default() },
        output: None,
        shown: String::new(),
    });
}

#[test]
fn a_command_that_ends_gives_the_keyboard_back() {
    let mut stage = Stage::new(100, 24);
    job(&mut stage);
    stage.press("<f3><left><left><enter>");
    job_ends(&mut stage);
    assert!(stage.text().contains("The command has ended."));
    assert!(stage.text().contains("exit 0"));
}

#[test]
fn a_command_is_ended_after_a_second_key() {
    let mut stage = Stage::new(100, 24);
    job(&mut stage);
    stage.press("<f3><left><left>x");
    assert!(stage.text().contains("End job 1?"));
    assert_eq!(stage.press("y"), Some(Command::Hand(Hand::Stop { exec: 1 })));
}

#[test]
fn a_command_of_ones_own_can_be_attached_to() {
    let mut stage = Stage::new(100, 24);
    let command = "vim notes".to_owned();
    stage.view.update(Update::OwnStarted { exec: 3, command, outside: false });
    stage.press("<f3><left><left>");
    assert!(stage.text().contains("vim notes"), "{}", stage.text());
    stage.press("<enter>");
    assert!(matches!(stage.press("x"), Some(Command::Hand(Hand::Type { exec: 3, .. }))));
}

#[test]
fn the_plan_has_a_page_of_its_own() {
    let mut stage = round(130, 24);
    stage.press("/panel plan<enter>");
    let text = stage.text();
    assert!(text.contains("☑ look") && text.contains("f3 close"), "{text}");
}

/// A frame looks at what it shows: of ten times as many actions it looks at no more.
#[test]
fn a_frame_of_five_thousand_actions_has_the_rows_it_shows() {
    let mut stage = Stage::new(130, 30);
    for number in 0..2_500 {
        stage.prompt(&format!("q {number}")).says(&format!("a {number}"));
    }
    stage.press("<f3>");
    assert!(stage.text().contains("a 2499"));
    stage.press("g");
    assert!(stage.text().contains("q 0"));
    stage.press("<pagedown><pagedown>G");
    assert!(stage.text().contains("5,000 of 5,000"));
}

/// What a terminal would obey: a title, a clearing, the clipboard, a cursor game of eight bits, a
/// direction override, and letters under a tower of marks.
const HOSTILE: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}]52;c;aGk=\u{7}\u{9b}5;5H\u{202e}x\u{301}\u{301}\u{301}";

#[test]
fn hostile_text_is_text_wherever_it_is_shown() {
    let mut stage = Stage::new(130, 30);
    let arguments = serde_json::json!({ "command": HOSTILE }).to_string();
    stage.prompt(HOSTILE).says(HOSTILE).calls(1, "shell", &arguments).starts(1);
    stage.prints(1, HOSTILE.as_bytes()).sees(1, HOSTILE, None).ends();
    stage.happens(trajectory::event::ModelChanged {
        model: HOSTILE.to_owned(),
        ..trajectory::event::ModelChanged::default()
    });
    let item = trajectory::event::PlanItem {
        text: HOSTILE.to_owned(),
        status: trajectory::event::PlanStatus::Pending,
    };
    stage.happens(trajectory::event::Plan { items: vec![item] });
    let recent = Recent { id: "1".to_owned(), title: HOSTILE.to_owned(), when: HOSTILE.to_owned() };
    let files = vec![change(HOSTILE, ChangeKind::Modified, Some(HOSTILE))];
    let mut told = Vec::new();
    for keys in ["<f3>", "<right>", "<right>", "<right>"] {
        stage.press(keys);
        stage.view.update(Update::Answer(Answer::Changes(Ok(files.clone()))));
        told.push((keys, stage.bytes()));
    }
    stage.press("<right><right>r");
    told.push(("revert", stage.bytes()));
    stage.press("n<right><enter>");
    assert!(stage.text().contains("gives the keyboard back"));
    told.push(("attached", stage.bytes()));
    stage.press("<ctrl-]>");
    stage.view.update(Update::Answer(Answer::Sessions(vec![recent])));
    told.push(("sessions", stage.bytes()));
    let place = Place { session: HOSTILE.to_owned(), seq: 0, call: None };
    let found = Found { place, text: HOSTILE.to_owned(), about: HOSTILE.to_owned() };
    stage.view.update(Update::Answer(Answer::Found(HOSTILE.to_owned(), vec![found])));
    told.push(("found", stage.bytes()));
    stage.view.update(Update::Answer(Answer::Files(String::new(), vec![HOSTILE.to_owned()])));
    stage.view.update(Update::Sandbox(HOSTILE.to_owned()));
    stage.view.update(Update::Said(HOSTILE.to_owned()));
    stage.view.update(Update::Failed(HOSTILE.to_owned()));
    told.push(("remarks", stage.bytes()));
    for (place, bytes) in told {
        let has = |wanted: &[u8]| bytes.windows(wanted.len()).any(|it| it == wanted);
        let clean = !has(b"\x1b]") && !has(b"\x07") && !has(b"\x1b[2J") && !has(b"\xc2\x9b");
        assert!(clean && !has("\u{202e}".as_bytes()), "{place}");
    }
}

#[test]
fn a_line_of_five_million_letters_and_a_flood_of_marks_cost_what_they_show() {
    let mut stage = Stage::new(130, 30);
    let long = "x".repeat(5_000_000);
    let flood = format!("y{}", "\u{301}".repeat(1_000_000));
    stage.prompt(&long).says(&flood);
    let arguments = serde_json::json!({ "command": long }).to_string();
    stage.calls(1, "shell", &arguments).starts(1);
    stage.prints(1, flood.as_bytes()).prints(1, b"\xff\xfe\xc3");
    stage.press("<f3>");
    assert!(stage.text().contains("xxxx"));
    stage.press("<right>");
    let diff = format!("@@ -1 +1 @@\n-{long}\n+{flood}\n");
    let files = vec![change(&long, ChangeKind::Modified, Some(&diff))];
    stage.view.update(Update::Answer(Answer::Changes(Ok(files))));
    assert!(stage.text().contains("- xxxx"));
    stage.press("<right><enter>");
    let text = stage.text();
    assert!(text.contains('y') && text.contains("job 1"), "{text}");
}

#[test]
fn a_click_into_a_command_folds_nothing_behind_it() {
    let mut stage = Stage::new(100, 24);
    job(&mut stage);
    stage.press("<f3><left><left>");
    let shown = stage.text();
    stage.press("<enter>");
    stage.text();
    for y in 0..24 {
        stage.view.click(Position { x: 0, y });
    }
    stage.press("<ctrl-]>");
    assert_eq!(stage.text(), shown);
    // What is marked ends where the panel begins.
    let (left, right) = (Position { x: 2, y: 2 }, Position { x: 98, y: 2 });
    let (left, right) = (stage.view.area_of(left), stage.view.area_of(right));
    assert!(left.right() <= right.x && !left.is_empty() && !right.is_empty());
}
