use std::num::NonZero;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use trajectory::event::{
    ApprovalDecision, AssistantText, CallStatus, Ended, ErrorEvent, ErrorStage, Exit, Observation,
    Plan, PlanItem, PlanStatus, Prompt, Reasoning, ReasoningField, RoundEnded, ToolCall,
    ToolStarted,
};
use trajectory::{ApprovalMode, Body, Event, EventId, Progress, Recorded, RunId, Source, Usage};

use super::View;
use crate::canvas::Canvas;
use crate::protocol::{
    Answer, Command, Facts, Found, Order, Place, Play, Playback, Query, Recent, Update,
};
use crate::terminal::Screen;
use crate::theme::{Background, Depth};

/// A view, its keys and its screen, as a story.
pub(crate) struct Stage {
    pub(crate) view: View,
    seq: u64,
    size: (u16, u16),
    /// What happens from here on happened in another session.
    pub(crate) copied: bool,
}

impl Stage {
    pub(crate) fn new(columns: u16, rows: u16) -> Self {
        let facts = Facts {
            model: Some("mock-model".to_owned()),
            mode: ApprovalMode::Ask,
            sandbox: "off".to_owned(),
            window: Some(100_000),
            workspace: "~/work".to_owned(),
            version: "0.1.0".to_owned(),
            ..Facts::default()
        };
        let view = View::new(facts, Background::Dark, Depth::True);
        Self { view, seq: 0, size: (columns, rows), copied: false }
    }

    pub(crate) fn happens(&mut self, body: impl Into<Body>) -> &mut Self {
        self.told(body.into());
        self
    }

    /// Something is on record; what the view wants to know because of it.
    pub(crate) fn told(&mut self, body: Body) -> Option<Command> {
        let event = Event {
            id: EventId::new(),
            seq: self.seq,
            parent: None,
            run: RunId::new(),
            round: 1,
            source: Source::Harness,
            wall_ns: i64::try_from(self.seq).unwrap() * 500_000_000,
            mono_ns: 0,
            copied: self.copied,
            body,
        };
        self.seq += 1;
        #[allow(clippy::disallowed_methods, reason = "a story of what would be on record")]
        let event = Recorded::acknowledged(event);
        self.view.update(Update::Event(Box::new(event)))
    }

    pub(crate) fn prompt(&mut self, text: &str) -> &mut Self {
        self.happens(Prompt { text: text.to_owned(), ..Prompt::default() })
    }

    pub(crate) fn says(&mut self, text: &str) -> &mut Self {
        self.happens(AssistantText { request: 1, text: text.to_owned(), interrupted: false })
    }

    pub(crate) fn calls(&mut self, call: u32, name: &str, arguments: &str) -> &mut Self {
        self.happens(ToolCall {
            request: 1,
            call,
            id: String::new(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            freeform: false,
            signature: None,
            malformed: None,
        })
    }

    pub(crate) fn starts(&mut self, call: u32) -> &mut Self {
        self.happens(ToolStarted { call, exec: call })
    }

    pub(crate) fn prints(&mut self, exec: u32, bytes: &[u8]) -> &mut Self {
        self.view.progress(&Progress::Output { exec, bytes: bytes.into() });
        self
    }

    pub(crate) fn sees(&mut self, call: u32, shown: &str, code: Option<i32>) -> &mut Self {
        self.happens(Observation {
            call,
            status: CallStatus::Ok,
            shown: shown.to_owned(),
            exec: Some(call),
            exit: code.map(|code| Exit { code: Some(code), ..Exit::default() }),
            output: None,
            truncated: None,
            attachments: Vec::new(),
            duration_us: 1_200_000,
        })
    }

    pub(crate) fn ends(&mut self) -> &mut Self {
        let usage = Usage { input_tokens: 1_000, output_tokens: 234, ..Usage::default() };
        self.view.update(Update::Usage(usage));
        self.happens(RoundEnded { ended: Ended::Completed, usage });
        self.view.update(Update::RoundOver(Ended::Completed));
        self
    }

    /// Nothing is pressed for a while.
    pub(crate) fn waits(&mut self) -> &mut Self {
        self.view.tick(self.view.now_us + 1_000_000);
        self
    }

    pub(crate) fn writes(&mut self, text: &str) -> &mut Self {
        self.view.progress(&Progress::Text { request: 1, text: text.to_owned() });
        self
    }

    /// `text<enter>more<ctrl-c>`.
    pub(crate) fn press(&mut self, keys: &str) -> Option<Command> {
        let mut last = None;
        let mut rest = keys;
        while let Some(first) = rest.chars().next() {
            let named = rest.strip_prefix('<').and_then(|named| named.split_once('>'));
            let key = match named {
                Some((name, later)) => {
                    rest = later;
                    named_key(name)
                }
                None => {
                    rest = &rest[first.len_utf8()..];
                    KeyEvent::new(KeyCode::Char(first), KeyModifiers::NONE)
                }
            };
            last = self.view.press(key);
        }
        last
    }

    /// What is written to the terminal for a frame.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut canvas = Canvas::new(Screen::given(&mut bytes), self.size.into());
        crate::draw(&mut self.view, canvas.next());
        canvas.show(self.view.room.cursor).unwrap();
        drop(canvas);
        bytes
    }

    pub(crate) fn screen(&mut self) -> vt100::Parser {
        let (columns, rows) = self.size;
        let size = |cells| NonZero::new(cells).unwrap();
        let mut parser = vt100::Parser::new(size(rows), size(columns), 0);
        parser.process(&self.bytes());
        parser
    }

    pub(crate) fn text(&mut self) -> String {
        let parser = self.screen();
        let rows = parser.screen().rows(0, self.size.0);
        rows.map(|row| row.trim_end().to_owned() + "\n").collect()
    }

    /// The text, and below it a letter for the look of each cell.
    pub(crate) fn picture(&mut self) -> String {
        let parser = self.screen();
        let screen = parser.screen();
        let mut looks: Vec<String> = Vec::new();
        let mut letters = String::new();
        for row in 0..self.size.1 {
            let mut line = String::new();
            for column in 0..self.size.0 {
                let Some(cell) = screen.cell(row, column) else { continue };
                let flags = [
                    (cell.bold(), " bold"),
                    (cell.italic(), " italic"),
                    (cell.underline(), " underline"),
                    (cell.inverse(), " inverse"),
                ];
                let flags: String =
                    flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
                let look = format!("{:?} on {:?}{flags}", cell.fgcolor(), cell.bgcolor());
                if look == "Default on Default" {
                    line.push('.');
                    continue;
                }
                let at = looks.iter().position(|it| *it == look).unwrap_or_else(|| {
                    looks.push(look);
                    looks.len() - 1
                });
                line.push(char::from(b'a' + u8::try_from(at % 26).unwrap()));
            }
            letters.push_str(line.trim_end_matches('.'));
            letters.push('\n');
        }
        let legend: String = looks
            .iter()
            .enumerate()
            .map(|(at, look)| {
                format!("{} {look}\n", char::from(b'a' + u8::try_from(at % 26).unwrap()))
            })
            .collect();
        let cursor = screen.cursor_position();
        format!("{}\n{letters}\n{legend}cursor {cursor:?}", self.text())
    }
}

fn named_key(name: &str) -> KeyEvent {
    let mut modifiers = KeyModifiers::NONE;
    let mut rest = name;
    for (word, modifier) in [
        ("ctrl-", KeyModifiers::CONTROL),
        ("alt-", KeyModifiers::ALT),
        ("shift-", KeyModifiers::SHIFT),
    ] {
        if let Some(later) = rest.strip_prefix(word) {
            modifiers |= modifier;
            rest = later;
        }
    }
    let code = match rest {
        "enter" => KeyCode::Enter,
        "tab" if modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        "tab" => KeyCode::Tab,
        "esc" => KeyCode::Esc,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        "f1" => KeyCode::F(1),
        "f3" => KeyCode::F(3),
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        letter => KeyCode::Char(letter.chars().next().unwrap()),
    };
    KeyEvent::new(code, modifiers)
}

const EDIT: &str = r#"{"file_path":"src/数.rs","old_string":"fn 一() {\n    1\n}\n","new_string":"fn 一() {\n    2\n}\n"}"#;

/// A round with a bit of everything.
pub(crate) fn round(columns: u16, rows: u16) -> Stage {
    let mut stage = Stage::new(columns, rows);
    stage.prompt("Fix the 数 please").happens(Reasoning {
        request: 1,
        text: "Let me look at it first.".to_owned(),
        form: trajectory::event::ReasoningForm::Full,
        field: ReasoningField::Reasoning,
        signature: None,
        interrupted: false,
    });
    stage.says("I'll **look** at `数.rs` first.");
    stage.calls(1, "shell", r#"{"command":"cargo test 一二三"}"#).starts(1);
    stage.prints(1, b"running\r\n\x1b[32mok\x1b[0m \xe4\xb8\x80\r\n").sees(
        1,
        "running\nok",
        Some(0),
    );
    stage.calls(2, "edit", EDIT).starts(2).sees(2, "done", None);
    let item = |text: &str, status| PlanItem { text: text.to_owned(), status };
    stage.happens(Plan {
        items: vec![item("look", PlanStatus::Completed), item("fix", PlanStatus::InProgress)],
    });
    stage.says("| 名 | n |\n|---|--:|\n| 一 | 12 |\n\nDone.").ends();
    stage
}

#[test]
fn a_round_in_eighty_columns() {
    insta::assert_snapshot!(round(80, 36).picture());
}

#[test]
fn a_round_in_a_wide_terminal() {
    insta::assert_snapshot!(round(120, 40).text());
}

#[test]
fn a_round_in_a_small_terminal() {
    insta::assert_snapshot!(round(40, 12).text());
}

#[test]
fn a_terminal_that_is_too_small_gets_a_polite_word() {
    assert_eq!(round(20, 5).text().lines().next().unwrap(), "limn likes 24 × 8.");
}

#[test]
fn the_first_screen_says_where_we_are() {
    let mut stage = Stage::new(60, 14);
    let recent =
        Recent { id: "1".into(), title: "一 thing".into(), when: "2026-11-23 17:04".into() };
    stage.view.facts.recent = vec![recent.clone()];
    insta::assert_snapshot!(stage.text());
    assert_eq!(stage.press("<down>"), Some(Command::Ask(Query::Sessions)));
    stage.view.update(Update::Answer(Answer::Sessions(vec![recent])));
    assert_eq!(stage.waits().press("<enter>"), Some(Command::Order(Order::Resume("1".into()))));
}

#[test]
fn words_are_found_in_all_recordings_and_gone_to() {
    let mut stage = Stage::new(80, 16);
    stage.prompt("first").says("nothing of note").ends();
    let asked = stage.press("/search \"lexer pan*\"<enter>");
    assert_eq!(asked, Some(Command::Ask(Query::Search("\"lexer pan*\"".into()))));
    assert!(stage.text().contains("Looking through the recordings"));
    let place = |seq, call| Place { session: "7".into(), seq, call };
    let found = |place, text: &str| Found {
        place,
        text: text.into(),
        about: "Why does it crash? · output · 2026-11-23 17:04".into(),
    };
    let hits = vec![
        found(place(1, None), "… of the lexer panics \u{1b}[2J when …"),
        found(place(3, Some(1)), "thread 'main' lexer panicked"),
    ];
    stage.view.update(Update::Answer(Answer::Found("\"lexer pan*\"".into(), hits)));
    stage.waits();
    insta::assert_snapshot!(stage.text());
    let taken = stage.press("<down><enter>");
    assert_eq!(taken, Some(Command::Order(Order::ResumeAt(place(3, Some(1))))));

    // Its output is long and was folded: it is shown where the word is.
    stage.view.update(Update::Cleared);
    let lines: Vec<String> = (0..200).map(|line| format!("line {line}")).collect();
    let output = format!("{}\nthread 'main' Lexer panicked\n{0}", lines.join("\n"));
    stage.seq = 0;
    let arguments = r#"{"command":"cargo run # lexer panics"}"#;
    stage.prompt("other").says("well").calls(1, "shell", arguments).starts(1);
    stage.sees(1, &output, Some(101)).ends();
    assert!(!stage.text().contains("Lexer panicked"));
    stage.view.update(Update::GoTo(place(3, Some(1))));
    assert!(stage.text().contains("Lexer panicked"), "{}", stage.text());
    // There is no other match above: round the end it is found again.
    stage.press("n");
    assert!(stage.text().contains("Lexer panicked"), "{}", stage.text());

    stage.view.update(Update::Answer(Answer::Found("zebra".into(), Vec::new())));
    assert!(stage.text().contains("No recording has these words"));
}

#[test]
fn what_is_being_written_is_replaced_by_what_is_recorded() {
    let mut stage = Stage::new(60, 14);
    stage.prompt("go").writes("Hello ").writes("wor");
    assert!(stage.text().contains("Hello wor"));
    stage.says("Hello world");
    let text = stage.text();
    assert!(text.contains("Hello world") && text.matches("Hello").count() == 1, "{text}");
}

#[test]
fn a_retry_takes_back_what_had_come() {
    let mut stage = Stage::new(70, 14);
    stage.prompt("go").writes("half an ans");
    let reason = "The server closed the stream. Asking again in 1.0 s (attempt 2 of 5).";
    stage.view.progress(&Progress::Retry { request: 1, reason: reason.to_owned() });
    let stage_error = ErrorStage::Model;
    stage.happens(ErrorEvent { stage: stage_error, message: reason.to_owned(), request: Some(1) });
    let text = stage.text();
    assert!(!text.contains("half an ans"), "{text}");
    assert_eq!(text.matches("Asking again").count(), 1, "{text}");
}

#[test]
fn prompts_wait_and_can_be_taken_back() {
    let mut stage = Stage::new(60, 14);
    assert_eq!(stage.press("one<enter>"), Some(Command::Submit("one".into())));
    stage.prompt("one");
    assert_eq!(stage.press("two<enter>"), None);
    assert_eq!(stage.press("three<enter>"), None);
    assert!(stage.text().contains("waits  two"));
    assert_eq!(stage.press("<esc>"), None);
    assert_eq!(stage.view.composer.text(), "three");
    let next = stage.view.update(Update::RoundOver(Ended::Completed));
    assert_eq!(next, Some(Command::Submit("two".into())));
}

#[test]
fn ctrl_c_stops_then_leaves() {
    let mut stage = Stage::new(60, 14);
    stage.press("go<enter>");
    assert_eq!(stage.press("<ctrl-c>"), Some(Command::Interrupt));
    assert_eq!(stage.press("<ctrl-c>"), Some(Command::Leave));
    let mut idle = Stage::new(60, 14);
    assert_eq!(idle.press("words<ctrl-c>"), None);
    assert!(idle.view.composer.is_empty());
    // What is typed in between is no second one in a row.
    assert_eq!(idle.press("other words<ctrl-c>"), None);
    assert!(idle.text().contains("Ctrl-C again leaves."));
    assert_eq!(idle.press("<ctrl-d>"), Some(Command::Leave));
}

#[test]
fn a_call_waits_for_a_word_and_a_reason_goes_with_a_no() {
    let mut stage = Stage::new(70, 18);
    stage.prompt("go").calls(1, "shell", r#"{"command":"rm -rf build"}"#);
    stage.view.update(Update::Decide(1));
    let text = stage.text();
    assert!(text.contains("May it? shell") && text.contains("rm -rf build"), "{text}");
    assert_eq!(stage.press("nnot that"), None);
    let told = stage.press("<enter>");
    let Some(Command::Decide { call: 1, decision, reason, .. }) = told else { panic!("{told:?}") };
    assert_eq!((decision, reason.as_deref()), (ApprovalDecision::Denied, Some("not that")));
    stage.view.update(Update::Decide(1));
    let told = stage.press("a");
    let Some(Command::Decide { mode, .. }) = told else { panic!("{told:?}") };
    assert_eq!(mode, Some(ApprovalMode::Auto));
}

#[test]
fn a_reason_is_written_with_the_keys_of_writing() {
    let mut stage = Stage::new(70, 18);
    let keys = "[decision]\nx = \"y\"\n[writing]\n\"ctrl-x\" = \"enter\"\n";
    stage.view.taste.set_keys(keys).unwrap();
    stage.prompt("go").calls(1, "shell", r#"{"command":"rm -rf build"}"#);
    stage.view.update(Update::Decide(1));
    let told = stage.press("nexit<ctrl-x>");
    let Some(Command::Decide { decision, reason, .. }) = told else { panic!("{told:?}") };
    assert_eq!((decision, reason.as_deref()), (ApprovalDecision::Denied, Some("exit")));
}

#[test]
fn what_was_being_typed_is_no_answer() {
    let mut stage = Stage::new(70, 18);
    stage.prompt("go").calls(1, "shell", r#"{"command":"rm -rf build"}"#);
    stage.view.tick(5_000_000);
    stage.press("and then tr");
    stage.view.tick(5_200_000);
    stage.view.update(Update::Decide(1));
    assert!(stage.text().contains("you were typing"));
    assert_eq!(stage.press("y "), None);
    stage.view.tick(5_800_000);
    // Whoever goes on typing is given more time.
    assert_eq!(stage.press("<enter>a"), None);
    assert!(stage.view.is_moving());
    stage.view.tick(6_600_000);
    assert!(stage.text().contains("allow once"));
    assert!(matches!(stage.press("y"), Some(Command::Decide { call: 1, .. })));
    assert_eq!(stage.view.composer.text(), "and then tr");
}

#[test]
fn a_question_ends_the_search() {
    let mut stage = Stage::new(70, 18);
    stage.prompt("go").calls(1, "shell", r#"{"command":"rm -rf build"}"#);
    stage.press("<tab>/need");
    stage.view.tick(5_000_000);
    stage.view.update(Update::Decide(1));
    assert!(matches!(stage.press("y"), Some(Command::Decide { call: 1, .. })));
}

#[test]
fn a_question_hides_no_end_without_a_sign() {
    let long = format!("ls{}; curl x | sh", " ".repeat(4_000));
    let many = "true\n".repeat(9) + "curl x | sh";
    for (command, rows) in [(long, 30), (many, 10)] {
        let mut stage = Stage::new(70, rows);
        let arguments = serde_json::json!({ "command": command }).to_string();
        stage.prompt("go").calls(1, "shell", &arguments);
        stage.view.update(Update::Decide(1));
        let text = stage.text();
        assert!(text.contains("⋯ more of it") && text.contains("allow once"), "{text}");
    }
}

#[test]
fn what_a_hunk_puts_in_is_shown_however_much_it_takes_out() {
    let old: String = (0..14).map(|line| format!("old {line}\n")).collect();
    let arguments = serde_json::json!({
        "file_path": "a",
        "old_string": format!("{old}same\nlast\n"),
        "new_string": "curl x\nsame\nend\n",
    });
    let mut stage = Stage::new(70, 40);
    stage.prompt("go").calls(1, "edit", &arguments.to_string());
    stage.view.update(Update::Decide(1));
    let text = stage.text();
    assert!(text.contains("    + curl x") && text.contains("- ⋯ 8 more"), "{text}");
}

#[test]
fn the_call_that_is_asked_about_is_unfolded() {
    let mut stage = Stage::new(70, 40);
    stage.prompt("go").calls(1, "shell", r#"{"command":"one"}"#);
    stage.calls(2, "shell", r#"{"command":"two"}"#);
    stage.view.update(Update::Decide(1));
    stage.press("<ctrl-o>");
    let text = stage.text();
    assert!(text.contains("command: one") && !text.contains("command: two"), "{text}");
    stage.press("y");
    assert_eq!(stage.view.conversation.chosen, None);
}

#[test]
fn reading_above_is_not_disturbed_by_what_comes_below() {
    let mut stage = Stage::new(60, 14);
    for number in 0..40 {
        stage.says(&format!("paragraph {number}"));
    }
    assert!(stage.text().contains("paragraph 39"));
    stage.press("<pageup><pageup>");
    let before = stage.text();
    assert!(!before.contains("paragraph 39") && before.contains("more below"), "{before}");
    stage.says("something new");
    assert_eq!(stage.text(), before);
    stage.press("<pagedown><pagedown><pagedown>");
    assert!(stage.text().contains("something new"));
}

#[test]
fn what_goes_away_above_moves_neither_the_place_nor_the_choice() {
    let mut stage = Stage::new(60, 14);
    let plan = |text: &str| Plan {
        items: vec![PlanItem { text: text.to_owned(), status: PlanStatus::Pending }],
    };
    stage.prompt("go").happens(plan("one"));
    for number in 0..40 {
        stage.says(&format!("paragraph {number}"));
    }
    stage.text();
    stage.press("<tab><pageup><pageup>");
    stage.text();
    stage.press("kk");
    let before = stage.text();
    let chosen = stage.view.conversation.chosen_text();
    assert!(!before.contains("paragraph 39"), "{before}");
    stage.happens(plan("two"));
    assert_eq!(stage.text(), before);
    assert_eq!(stage.view.conversation.chosen_text(), chosen);
}

#[test]
fn a_resize_storm_keeps_the_place_and_never_panics() {
    let mut stage = round(80, 24);
    for number in 0..30 {
        stage.says(&format!("# heading {number}\n\n- 一二三四五 `code` {}\n", "word ".repeat(30)));
    }
    stage.text();
    stage.press("<pageup><pageup><pageup>");
    for step in 0..200u16 {
        stage.size = (10 + step * 7 % 150, 3 + step * 5 % 60);
        stage.text();
        if step % 10 == 0 {
            stage.press("<shift-up><shift-down>");
        }
    }
    stage.size = (80, 24);
    assert!(!stage.text().is_empty());
}

#[test]
fn blocks_are_chosen_unfolded_copied_and_searched() {
    let mut stage = Stage::new(80, 30);
    stage.prompt("first").calls(1, "shell", r#"{"command":"make"}"#).starts(1);
    let lines: Vec<String> = (1..=9).map(|line| format!("line {line}")).collect();
    stage.sees(1, &lines.join("\n"), Some(0)).says("second needle");
    assert!(!stage.text().contains("line 1\n"));
    stage.press("<tab>");
    assert_eq!(stage.press("y"), Some(Command::Copy("second needle".into())));
    stage.press("k<enter>");
    assert!(stage.text().contains("line 1\n"));
    stage.press("/FIRST<enter>");
    assert_eq!(stage.press("y"), Some(Command::Copy("first".into())));
    stage.press("x");
    assert_eq!(stage.view.composer.text(), "x");
}

#[test]
fn commands_are_listed_and_wrong_ones_told() {
    let mut stage = Stage::new(80, 24);
    stage.press("/mo");
    let text = stage.text();
    assert!(text.contains("/model [NAME]") && text.contains("/mode read-only"), "{text}");
    assert_eq!(stage.press("<tab>"), None);
    assert_eq!(stage.view.composer.text(), "/model ");
    assert_eq!(stage.press("x<enter>"), Some(Command::Order(Order::Model("x".into()))));
    stage.press("/nonsense<enter>");
    assert!(stage.text().contains("There is no command /nonsense"));
    stage.press("<ctrl-u>");
    assert_eq!(
        stage.press("/etc/hosts is what?<enter>"),
        Some(Command::Submit("/etc/hosts is what?".into()))
    );
}

#[test]
fn a_file_is_asked_for_and_put_in() {
    let mut stage = Stage::new(80, 24);
    assert_eq!(stage.press("see @ma"), Some(Command::Ask(Query::Files("ma".into()))));
    let answer = Answer::Files("ma".into(), vec!["src/main.rs".into(), "Makefile".into()]);
    stage.view.update(Update::Answer(answer));
    assert!(stage.text().contains("Makefile"));
    stage.press("<down><enter>");
    assert_eq!(stage.view.composer.text(), "see @Makefile ");
}

#[test]
fn hostile_text_reaches_the_screen_as_text() {
    let mut stage = Stage::new(80, 24);
    let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}]52;c;aGk=\u{7}\u{9b}5;5Hx";
    stage.prompt(hostile).says(hostile).calls(1, hostile, hostile).starts(1);
    stage.prints(1, hostile.as_bytes()).sees(1, hostile, Some(1));
    stage.happens(ErrorEvent { stage: ErrorStage::Model, message: hostile.into(), request: None });
    stage.view.facts.model = Some("m".into());
    let bytes = stage.bytes();
    assert!(!bytes.windows(2).any(|it| it == b"\x1b]") && !bytes.contains(&7));
    assert!(stage.text().contains("sandbox off"));
}

#[test]
fn a_huge_line_and_a_flood_of_accents_are_drawn_at_once() {
    let mut stage = Stage::new(80, 24);
    stage.prompt("go").writes(&"x".repeat(5_000_000)).writes(&"\u{301}".repeat(1_000_000));
    assert!(stage.text().contains("xxxx"));
    stage.says(&"x".repeat(5_000_000));
    assert!(stage.text().contains("xxxx"));
    stage.calls(1, "shell", &format!(r#"{{"command":"{}"}}"#, "y".repeat(2_000_000)));
    assert!(stage.text().contains("yyyy"));
}

#[test]
fn help_has_every_key_and_closes() {
    let mut stage = Stage::new(100, 30);
    stage.press("<f1>");
    assert!(stage.text().contains("Everywhere"));
    stage.press(&"<pagedown>".repeat(20));
    assert!(stage.text().contains("/quit"));
    stage.press("<esc>");
    assert!(!stage.text().contains("Everywhere"));
}

#[test]
fn a_playback_takes_its_keys_and_nothing_is_asked() {
    let mut stage = Stage::new(80, 14);
    stage.prompt("go").says("going");
    let place = Playback {
        at_us: 61_000_000,
        length_us: 122_000_000,
        events: 2,
        events_all: 4,
        speed: 0.5,
        is_paused: true,
    };
    stage.view.update(Update::Playback(place));
    let text = stage.text();
    assert!(text.contains("⏸ 1:01 ━") && text.contains("─ 2:02  ×0.5  event 2 of 4"), "{text}");
    for (key, play) in [
        (" ", Play::Pause),
        (".", Play::Event { back: false }),
        ("[", Play::Round { back: true }),
        ("+", Play::Speed { faster: true }),
        ("7", Play::Tenths(7)),
    ] {
        assert_eq!(stage.press(key), Some(Command::Play(play)), "{key}");
    }
    // Nothing can be written, asked or switched; blocks can be chosen and searched as ever.
    for key in ["x", "<tab>", "<shift-tab>", "<f2>"] {
        assert!(!matches!(stage.press(key), Some(Command::Submit(_) | Command::Mode(_))), "{key}");
    }
    assert!(stage.view.paste("text").is_none() && stage.view.composer.is_empty());
    stage.press("k<enter>");
    assert_eq!(stage.press("q"), Some(Command::Leave));
    assert_eq!(stage.press("<ctrl-c>"), Some(Command::Leave));
}

#[test]
fn how_full_the_context_is_is_told_of_the_session_one_comes_back_to() {
    let usage = |tokens| Usage { input_tokens: tokens, ..Usage::default() };
    let mut stage = Stage::new(80, 24);
    stage.view.update(Update::Counted(vec![(1, usage(10_000)), (2, usage(50_000))]));
    let said = |stage: &mut Stage, request| {
        let text = "so".to_owned();
        stage.happens(AssistantText { request, text, interrupted: false });
    };
    stage.prompt("go");
    said(&mut stage, 1);
    said(&mut stage, 2);
    stage.view.update(Update::Recalled(Usage::default()));
    assert!(stage.text().contains("context 50 %"), "{}", stage.text());
    // What a summary or a way back leaves of it is known with the next request.
    stage.happens(trajectory::event::Rewind { to_seq: 1 });
    assert!(!stage.text().contains("context"), "{}", stage.text());
    said(&mut stage, 1);
    assert!(stage.text().contains("context 10 %"), "{}", stage.text());
}

#[test]
fn a_click_on_what_is_folded_unfolds_it() {
    let mut stage = Stage::new(80, 24);
    stage.prompt("go").calls(1, "shell", r#"{"command":"make"}"#).starts(1);
    let lines: Vec<String> = (1..=9).map(|line| format!("line {line}")).collect();
    stage.sees(1, &lines.join("\n"), Some(0));
    let text = stage.text();
    let row = text.lines().position(|line| line.contains("● shell make")).unwrap();
    let at = ratatui::layout::Position { x: 7, y: u16::try_from(row).unwrap() };
    stage.view.click(at);
    assert!(stage.text().contains("line 1\n"), "{}", stage.text());
    stage.view.click(at);
    assert!(!stage.text().contains("line 1\n"));
    // Elsewhere it does nothing.
    stage.view.click(ratatui::layout::Position { x: 7, y: 23 });
    assert!(!stage.text().contains("line 1\n"));
}
