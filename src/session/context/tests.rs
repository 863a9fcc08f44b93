use proptest::prelude::*;
use trajectory::event::{
    CallStatus, ConfigChanged, Observation, Plan, PlanItem, PlanStatus, Prompt, Steering, ToolCall,
    UserCommand,
};
use trajectory::{
    Body, Event, EventId, Message, RunId, Source, ToolEffect, ToolSpec, Transcript, Usage,
};

use super::{Context, Fit, Window};

/// A log that grows, and what is folded from it.
struct Story {
    transcript: Transcript,
    context: Context,
    seq: u64,
    call: u32,
    request: u32,
}

impl Story {
    fn new(window: u64) -> Self {
        let window = Window { tokens: Some(window), ..Window::default() };
        let mut story = Self {
            transcript: Transcript::default(),
            context: Context::new(window),
            seq: 0,
            call: 0,
            request: 0,
        };
        let tool = |name: &str, effect| ToolSpec {
            name: name.into(),
            description: String::new(),
            parameters: serde_json::json!({}),
            effect,
            grammar: None,
        };
        let tools = vec![tool("read", ToolEffect::ReadOnly), tool("write", ToolEffect::Writes)];
        let frame = ConfigChanged {
            system_prompt: Some("You are limn.".into()),
            tools: Some(tools),
            ..ConfigChanged::default()
        };
        story.emit(frame);
        story
    }

    fn emit(&mut self, body: impl Into<Body>) {
        let body = body.into();
        let event = Event {
            id: EventId::new(),
            seq: self.seq,
            parent: None,
            run: RunId::new(),
            round: 1,
            source: Source::Harness,
            wall_ns: 0,
            mono_ns: 0,
            copied: false,
            body,
        };
        self.seq += 1;
        self.transcript.apply(&event);
        self.context.apply(&event, &self.transcript);
    }

    fn prompt(&mut self, text: &str) {
        self.emit(Prompt { text: text.into(), attachments: Vec::new() });
    }

    /// The model is asked, makes a call, and sees this.
    fn step(&mut self, tool: &str, path: &str, shown: String) {
        self.transcript.asked();
        self.call += 1;
        self.request += 1;
        self.emit(ToolCall {
            request: self.request,
            call: self.call,
            id: format!("id{}", self.call),
            name: tool.into(),
            arguments: format!("{{\"file_path\":\"{path}\"}}"),
            malformed: None,
            freeform: false,
            signature: None,
        });
        self.emit(Observation {
            call: self.call,
            status: CallStatus::Ok,
            shown,
            exec: None,
            exit: None,
            output: None,
            truncated: None,
            attachments: Vec::new(),
            duration_us: 0,
        });
    }

    /// What the session does before a request is sent; how often the context was changed.
    fn make_fit(&mut self, words: Option<&str>) -> (usize, usize) {
        let (mut shortened, mut compacted) = (0, 0);
        loop {
            match self.context.fit(&self.transcript) {
                Fit::Fits => return (shortened, compacted),
                Fit::Shorten(edit) => {
                    shortened += 1;
                    self.emit(edit);
                }
                Fit::Overfull { .. } => {
                    assert_eq!(compacted, 0, "a compacted context is still too large");
                    compacted += 1;
                    self.transcript.asked();
                    let compaction = self.context.compaction(&self.transcript, None, words, false);
                    self.emit(compaction);
                }
            }
        }
    }

    fn tokens(&mut self) -> u64 {
        self.context.gauge.measure(&self.transcript)
    }

    fn messages(&self) -> Vec<String> {
        self.transcript.upcoming().map(|turn| turn.message.to_json()).collect()
    }
}

fn output(lines: usize) -> String {
    (0..lines).map(|line| format!("line {line}: something was printed here\n")).collect()
}

#[test]
fn old_outputs_are_shortened_in_batches_before_anything_is_summarised() {
    let mut story = Story::new(60_000);
    story.prompt("Go.");
    let mut batches = Vec::new();
    for step in 0..40 {
        story.step("read", "a.rs", output(300));
        if let (1, 0) = story.make_fit(None) {
            batches.push(step);
        }
        assert!(story.tokens() < 46_000);
    }
    assert!((2..=8).contains(&batches.len()), "the cache is broken too often: {batches:?}");
    let messages = story.messages();
    assert!(messages[3].contains("of this older output are left out"), "{}", messages[3]);
    assert!(messages[3].contains("line 0:") && messages[3].contains("line 299:"));
    assert!(!messages.last().unwrap().contains("left out"), "the latest is whole");
}

#[test]
fn what_matters_survives_a_compaction() {
    let mut story = Story::new(40_000);
    story.prompt("Port the parser to Rust. Never touch vendor/.");
    story.step("read", "src/parser.c", output(20));
    story.step("write", "src/parser.rs", "written".into());
    story.emit(Plan {
        items: vec![
            PlanItem { text: "read the old parser".into(), status: PlanStatus::Completed },
            PlanItem { text: "write the new one".into(), status: PlanStatus::InProgress },
        ],
    });
    story.emit(Steering { text: "Keep the error messages.".into() });
    let mut compactions = 0;
    for step in 0..100 {
        // Words of the user cannot be shortened, only summarised.
        story.prompt(&format!("Remark {step}: {}", "please mind this detail ".repeat(40)));
        story.step("read", &format!("src/file{step}.rs"), output(15));
        compactions += story.make_fit(Some("The lexer is done; the grammar is half done.")).1;
        assert!(story.tokens() < 33_000, "{}", story.tokens());
    }
    assert!((1..8).contains(&compactions), "{compactions}");
    let messages = story.messages();
    let Some(Message::User { content, .. }) =
        story.transcript.turns().get(1).map(|turn| &turn.message)
    else {
        panic!("{messages:?}")
    };
    for kept in [
        "Port the parser to Rust. Never touch vendor/.",
        "[x] read the old parser\n[>] write the new one",
        "changed: src/parser.rs",
        "The lexer is done; the grammar is half done.",
    ] {
        assert!(content.contains(kept), "{kept:?} is not in\n{content}");
    }
    assert!(messages[0].contains("You are limn."));
    assert!(messages.last().unwrap().contains("line 14"), "the latest turns stay");
}

#[test]
fn what_happens_while_a_summary_is_written_stays() {
    let mut story = Story::new(40_000);
    story.prompt("Go.");
    story.step("read", "a.rs", output(3));
    story.transcript.asked();
    story.emit(UserCommand {
        command: "make".into(),
        exec: 2,
        shown: "$ make\nbroken".into(),
        outside_sandbox: false,
        exit: None,
        duration_us: 0,
    });
    let compaction = story.context.compaction(&story.transcript, None, Some("One file."), true);
    story.emit(compaction);
    let messages = story.messages();
    let [_, summary, ran] = messages.as_slice() else { panic!("{messages:?}") };
    assert!(summary.contains("One file.") && ran.contains("broken"), "{messages:?}");
}

#[test]
fn the_providers_count_corrects_the_estimate() {
    let mut story = Story::new(1_000_000);
    story.prompt(&"word ".repeat(10_000));
    let estimate = story.tokens();
    story.context.sent(&story.transcript);
    story.context.counted(Usage { input_tokens: estimate * 2, ..Usage::default() });
    assert_eq!(story.tokens(), estimate * 2);
    // What is new is corrected as well.
    story.step("read", "a", output(1000));
    let grown = story.tokens() - estimate * 2;
    let mut plain = Story::new(1_000_000);
    plain.prompt("");
    let before = plain.tokens();
    plain.step("read", "a", output(1000));
    let expected = (plain.tokens() - before) * 2;
    assert!(grown.abs_diff(expected) <= expected / 100, "{grown} {expected}");
    // A count that leaves the cache out is not believed.
    story.context.sent(&story.transcript);
    story.context.counted(Usage { input_tokens: 7, ..Usage::default() });
    assert!(story.tokens() > estimate);
}

#[test]
fn without_a_window_nothing_is_done_until_the_server_refuses() {
    let mut story = Story::new(0);
    story.context = Context::new(Window::default());
    story.prompt("Go.");
    for _ in 0..50 {
        story.step("read", "a.rs", output(400));
    }
    assert_eq!(story.context.fit(&story.transcript), Fit::Fits);
    story.context.overflowed(&story.transcript, Some(50_000));
    let (shortened, compacted) = story.make_fit(None);
    assert!(shortened + compacted > 0);
    assert!(story.tokens() < 40_000, "{}", story.tokens());
}

#[test]
fn one_step_that_is_larger_than_the_window_is_squeezed() {
    let mut story = Story::new(20_000);
    story.prompt("Go.");
    for _ in 0..3 {
        story.step("read", "big.txt", output(5_000));
    }
    story.make_fit(Some("Three large files."));
    assert!(story.tokens() < 16_000, "{}", story.tokens());
}

#[test]
fn a_prompt_that_is_larger_than_the_window_is_cut_in_the_middle() {
    let mut story = Story::new(20_000);
    story.prompt(&format!("FIRST {} LAST", "word ".repeat(60_000)));
    assert!(matches!(story.context.fit(&story.transcript), Fit::Overfull { can_be_asked: false }));
    story.make_fit(None);
    let messages = story.messages();
    assert!(messages[1].contains("FIRST") && messages[1].contains("LAST"));
    assert!(story.tokens() < 16_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is said and seen, the next request fits, and no observation loses its call.
    #[test]
    fn the_context_always_fits(
        window in 8_000u64..60_000,
        steps in prop::collection::vec((0u8..4, 1usize..3000), 1..60),
    ) {
        let mut story = Story::new(window);
        story.prompt("Go.");
        for (kind, size) in steps {
            match kind {
                0 => story.prompt(&"mind this ".repeat(size / 2)),
                1 => story.step("write", &format!("f{size}"), "ok".into()),
                2 => story.emit(Steering { text: "and this ".repeat(size / 20) }),
                _ => story.step("read", &format!("f{size}"), output(size)),
            }
            story.make_fit((size % 2 == 0).then_some("In short: it goes on."));
            prop_assert!(story.tokens() <= window, "{} of {window}", story.tokens());
            let mut calls = Vec::new();
            for turn in story.transcript.turns() {
                match &turn.message {
                    Message::Assistant { tool_calls, .. } => {
                        calls.extend(tool_calls.iter().map(|call| call.id.clone()));
                    }
                    Message::Tool { tool_call_id, .. } => {
                        prop_assert!(calls.contains(tool_call_id));
                    }
                    _ => {}
                }
            }
        }
    }
}
