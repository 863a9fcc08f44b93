//! A session on a real file, and when what happened in it.

use std::sync::Arc;

use record::{
    Durability, Environment, ExecFinished, ExecStarted, Home, Mark, OutputChunk, Recorder,
    RequestFinished, RequestStarted, Row, SessionStart, Write,
};
use tempfile::TempDir;
use trajectory::event::{
    AssistantText, CallStatus, Ended, Exit, Observation, Prompt, Reasoning, RoundEnded, ToolCall,
    ToolStarted, UserCommand,
};
use trajectory::{SessionId, Source, Usage};

use super::*;

/// Writes a session by hand.
struct Writer(Recorder);

impl Writer {
    async fn emit(&self, source: Source, bodies: Vec<Body>, rows: Vec<Row>) {
        let event = |body| record::NewEvent { round: 1, source, body };
        let events = bodies.into_iter().map(event).collect();
        let write = Write { events, rows, ..Write::default() };
        self.0.commit(write, Durability::Relaxed).await.unwrap();
    }

    /// A reply that took so long between its first byte and its last.
    async fn reply(&self, request: u32, took_us: u64, bodies: Vec<Body>) {
        let started = RequestStarted {
            request,
            attempt: 1,
            provider: "test".into(),
            model: "m".into(),
            api: "chat".into(),
            ..RequestStarted::default()
        };
        let write = Write { rows: vec![started.into()], ..Write::default() };
        self.0.commit(write, Durability::Relaxed).await.unwrap();
        let finished = RequestFinished {
            request,
            attempt: 1,
            http_status: Some(200),
            t_first_ns: Some(5_000_000),
            t_end_ns: 5_000_000 + took_us * 1_000,
            ..RequestFinished::default()
        };
        self.emit(Source::Model, bodies, vec![finished.into()]).await;
    }
}

fn message(request: u32, text: &str) -> Body {
    AssistantText { request, text: text.into(), interrupted: false }.into()
}

fn start() -> SessionStart {
    SessionStart {
        id: SessionId::new(),
        query: None,
        environment: Environment::default(),
        app_version: "1".into(),
        config: serde_json::Value::Null,
        annotator: None,
        private: false,
        parent: None,
    }
}

/// A prompt, a command that prints twice, an answer, and a second prompt.
pub(in crate::commands::play) async fn recorded() -> (TempDir, Archive) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("limn")).unwrap();
    let start = start();
    let id = start.id;
    let writer = Writer(Recorder::create(&home, start).unwrap());
    let prompt = |text: &str| vec![Prompt { text: text.into(), ..Prompt::default() }.into()];
    writer.emit(Source::User, prompt("first"), Vec::new()).await;
    let thought = Reasoning {
        request: 1,
        text: "数".repeat(10),
        form: trajectory::event::ReasoningForm::Full,
        field: ReasoningField::Think,
        signature: None,
        interrupted: false,
    };
    let call = ToolCall {
        request: 1,
        call: 1,
        id: "id".into(),
        name: "shell".into(),
        arguments: "{}".into(),
        freeform: false,
        signature: None,
        malformed: None,
    };
    let bodies = vec![thought.into(), message(1, &"word ".repeat(20)), call.into()];
    writer.reply(1, 2_000_000, bodies).await;
    let started =
        ExecStarted { exec: 1, call: Some(1), tool: "shell".into(), ..Default::default() };
    let body = ToolStarted { call: 1, exec: 1 };
    writer.emit(Source::Harness, vec![body.into()], vec![started.into()]).await;
    let marks = vec![Mark { dt_us: 40_000, len: 4 }, Mark { dt_us: 9_000_000, len: 4 }];
    let bytes = Arc::from(&b"one\ntwo\n"[..]);
    let chunk = OutputChunk { bytes, marks, direction: Direction::Out };
    writer.0.output(1, chunk).await.unwrap();
    let seen = Observation {
        call: 1,
        status: CallStatus::Ok,
        shown: "one\ntwo".into(),
        exec: Some(1),
        exit: Some(Exit { code: Some(0), ..Exit::default() }),
        output: None,
        truncated: None,
        attachments: Vec::new(),
        duration_us: 9_040_000,
    };
    let finished = ExecFinished { exec: 1, ..ExecFinished::default() };
    writer.emit(Source::Environment, vec![seen.into()], vec![finished.into()]).await;
    writer.reply(2, 0, vec![message(2, "done")]).await;
    let ended = RoundEnded { ended: Ended::Completed, usage: Usage::default() };
    writer.emit(Source::Harness, vec![ended.into()], Vec::new()).await;
    writer.emit(Source::User, prompt("second"), Vec::new()).await;
    writer.0.close().await.unwrap();
    (folder, Archive::open(&home, id).unwrap())
}

#[tokio::test]
async fn everything_has_its_moment() {
    let (_folder, archive) = recorded().await;
    let mut timeline = Timeline::read(&archive, false).unwrap();
    assert!(timeline.moments.is_sorted_by_key(|moment| moment.at_us));
    let event = |kind: &str| {
        let is_it = |moment: &&Moment| match moment.what {
            What::Event(index) => timeline.events[index].body.kind() == kind,
            _ => false,
        };
        timeline.moments.iter().position(|moment| is_it(&moment)).unwrap()
    };
    let at = |index: usize| timeline.moments[index].at_us;
    // The words of a reply come after what was before it and before it is on record, in order.
    let words: Vec<(u64, String, bool)> = timeline
        .moments
        .iter()
        .filter_map(|moment| match &moment.what {
            What::Words(Progress::Reasoning { text, .. }) => {
                Some((moment.at_us, text.clone(), true))
            }
            What::Words(Progress::Text { text, .. }) => Some((moment.at_us, text.clone(), false)),
            _ => None,
        })
        .collect();
    let told = |thought: bool| -> String {
        words.iter().filter(|it| it.2 == thought).map(|it| it.1.as_str()).collect()
    };
    assert_eq!(told(true), "数".repeat(10));
    assert_eq!(told(false), "word ".repeat(20) + "done");
    assert!(words[0].2 && words[0].0 >= at(event("prompt")));
    assert!(words.iter().all(|it| it.0 <= at(event("round_ended"))));
    // What was printed, when it was.
    let printed: Vec<(u64, &[u8])> = timeline
        .moments
        .iter()
        .filter_map(|moment| match moment.what {
            What::Output { exec, from, to } => {
                Some((moment.at_us, timeline.output(exec, from, to)))
            }
            _ => None,
        })
        .collect();
    let started = at(event("tool_started"));
    assert_eq!(printed, [(started + 40_000, &b"one\n"[..]), (started + 9_040_000, &b"two\n"[..])]);
    let before = timeline.length_us();
    timeline.cap_pauses(100_000);
    assert!(timeline.length_us() < before && timeline.length_us() < 9_000_000);
    let pauses = timeline.moments.windows(2).map(|pair| pair[1].at_us - pair[0].at_us);
    assert!(pauses.max().unwrap() <= 100_000);
}

#[test]
fn a_reply_is_spread_over_its_time() {
    let text = "word ".repeat(100);
    let part = |field| Part { request: 1, field, text: &text };
    let (from, to) = (1_000_000, 3_000_000);
    let parts = [(from, to, part(Some(ReasoningField::Think))), (from, to, part(None))];
    let mut pieces = Vec::new();
    spread(&parts, &mut pieces);
    assert!((55..65).contains(&pieces.len()), "{}", pieces.len());
    assert_eq!(pieces[0].at_us, from);
    assert!(pieces.is_sorted_by_key(|piece| piece.at_us) && pieces.last().unwrap().at_us < to);
    let halfway =
        pieces.iter().position(|piece| matches!(piece.what, What::Words(Progress::Text { .. })));
    assert_eq!(pieces[halfway.unwrap()].at_us, 2_000_000);
}

#[tokio::test]
async fn a_command_of_the_users_printed_before_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("limn")).unwrap();
    let start = start();
    let id = start.id;
    let writer = Writer(Recorder::create(&home, start).unwrap());
    let prompt = Prompt { text: "first".into(), ..Prompt::default() };
    writer.emit(Source::User, vec![prompt.into()], Vec::new()).await;
    let started = ExecStarted { exec: 1, tool: "user_command".into(), ..Default::default() };
    writer.emit(Source::User, Vec::new(), vec![started.into()]).await;
    let marks = vec![Mark { dt_us: 0, len: 4 }];
    let bytes = Arc::from(&b"one\n"[..]);
    writer.0.output(1, OutputChunk { bytes, marks, direction: Direction::Out }).await.unwrap();
    let ran = UserCommand {
        command: "echo one".into(),
        exec: 1,
        shown: "one".into(),
        outside_sandbox: false,
        exit: None,
        // Longer than anything here takes: it began when the session did.
        duration_us: 3_600_000_000,
    };
    let finished = ExecFinished { exec: 1, ..ExecFinished::default() };
    writer.emit(Source::User, vec![ran.into()], vec![finished.into()]).await;
    writer.0.close().await.unwrap();
    let timeline = Timeline::read(&Archive::open(&home, id).unwrap(), false).unwrap();
    let place = |wanted: fn(&What) -> bool| {
        timeline.moments.iter().position(|moment| wanted(&moment.what)).unwrap()
    };
    let began = place(|what| matches!(what, What::Began(_)));
    let printed = place(|what| matches!(what, What::Output { .. }));
    let ended = place(|what| matches!(what, What::Event(1)));
    assert!(began < printed && printed < ended, "{:?}", timeline.moments);
}
