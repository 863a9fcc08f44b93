//! A session on a real file, written as a story and read back; and what the other tests share.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use trajectory::event::{
    AssistantText, CallStatus, ConfigChanged, Ended, Exit, ModelChanged, Observation, OutputRef,
    Prompt, Reasoning, ReasoningField, ReasoningForm, RoundEnded, SessionEnded, ToolCall,
    ToolStarted,
};
use trajectory::{Body, Event, Message, MessageDigest, SessionId, Source, Usage};

use crate::*;

/// A home in a folder that goes when the test does.
pub(crate) fn home() -> (TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("limn")).unwrap();
    (folder, home)
}

/// A home in memory, where the machine has such a place: for what is done hundreds of times and waits
/// for a disk each time.
pub(crate) fn home_in_memory() -> (TempDir, Home) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let home = Home::open(&folder.path().join("limn")).unwrap();
    (folder, home)
}

pub(crate) fn start(id: SessionId) -> SessionStart {
    SessionStart {
        id,
        query: Some(Query {
            id: trajectory::QueryId::new(),
            group_key: None,
            text: "write a game".into(),
            subtasks: vec!["draw the board".into()],
            criteria: Vec::new(),
            workspace: None,
            source: Some(String::new()),
            licence: None,
            verifier: None,
        }),
        environment: Environment {
            os: "linux".into(),
            arch: "x86_64".into(),
            cwd: "/work".into(),
            dirty_diff: Some(vec![0xff, 0, 1]),
            ..Environment::default()
        },
        app_version: "0.1.0".into(),
        config: json!({"model": "m", "b": 1, "a": null}),
        annotator: Some("fox".into()),
        private: false,
        parent: None,
    }
}

/// A session as an agent would write it.
pub(crate) struct Story {
    pub(crate) recorder: Recorder,
    pub(crate) events: Vec<Event>,
    pub(crate) bodies: Vec<String>,
    pub(crate) messages: Vec<String>,
    sent: usize,
    request: u32,
    call: u32,
    round: u32,
}

impl Story {
    pub(crate) fn begin(home: &Home) -> Self {
        Self::of(Recorder::create(home, start(SessionId::new())).unwrap())
    }

    pub(crate) fn of(recorder: Recorder) -> Self {
        Self {
            recorder,
            events: Vec::new(),
            bodies: Vec::new(),
            messages: Vec::new(),
            sent: 0,
            request: 0,
            call: 0,
            round: 0,
        }
    }

    /// Goes on where a session on record stands.
    pub(crate) fn resume(home: &Home, id: SessionId) -> Self {
        let Resumed { recorder, events, last } = Recorder::resume(home, id).unwrap();
        let mut story = Self::of(recorder);
        story.events = events.into_iter().map(trajectory::Recorded::into_inner).collect();
        (story.round, story.request, story.call) = (last.round, last.request, last.call);
        story
    }

    pub(crate) fn id(&self) -> SessionId {
        self.recorder.id()
    }

    pub(crate) async fn commit(&mut self, write: Write, durability: Durability) {
        let recorded = self.recorder.commit(write, durability).await.unwrap();
        self.events.extend(recorded.into_iter().map(trajectory::Recorded::into_inner));
    }

    pub(crate) async fn emit(&mut self, source: Source, body: impl Into<Body>) {
        self.commit(Write::event(self.round, source, body), Durability::Relaxed).await;
    }

    pub(crate) async fn prompt(&mut self, text: &str) {
        self.round += 1;
        self.emit(Source::User, Prompt { text: text.into(), ..Prompt::default() }).await;
        self.say(Message::User { content: text.into(), attachments: Vec::new() });
    }

    fn say(&mut self, message: Message) {
        self.messages.push(message.to_json());
    }

    pub(crate) async fn ask(&mut self) -> u32 {
        self.request += 1;
        let mut digest = MessageDigest::default();
        self.messages.iter().for_each(|message| digest.push(message));
        let row = RequestStarted {
            request: self.request,
            attempt: 1,
            provider: "test".into(),
            endpoint: Some("http://localhost:1/v1".into()),
            model: "m".into(),
            api: "chat".into(),
            params: json!({"temperature": 0.5}),
            head_seq: self.events.len().saturating_sub(1) as u64,
            kept: self.sent,
            added: self.messages[self.sent..].to_vec(),
            body_head: r#"{"model":"m","messages":["#.into(),
            body_tail: format!(r#"],"tools":[{}]}}"#, "\"tool\",".repeat(300) + "1"),
            messages_digest: digest.finish(),
            tools_digest: String::new(),
            ..RequestStarted::default()
        };
        let body = format!("{}{}{}", row.body_head, self.messages.join(","), row.body_tail);
        self.bodies.push(body);
        self.sent = self.messages.len();
        let write = Write { rows: vec![row.into()], ..Write::default() };
        self.commit(write, Durability::Relaxed).await;
        self.request
    }

    /// A reply with so many calls; returns their numbers.
    pub(crate) async fn reply(&mut self, text: &str, calls: u32) -> Vec<u32> {
        let request = self.request;
        let reasoning = Reasoning {
            request,
            text: format!("thinking of {text}"),
            form: ReasoningForm::Full,
            field: ReasoningField::ReasoningContent,
            signature: None,
            interrupted: false,
        };
        let text_part = AssistantText { request, text: text.into(), interrupted: false };
        let mut bodies: Vec<Body> = vec![reasoning.into(), text_part.into()];
        let numbers: Vec<u32> = (0..calls).map(|index| self.call + 1 + index).collect();
        self.call += calls;
        bodies.extend(numbers.iter().map(|call| {
            Body::from(ToolCall {
                request,
                call: *call,
                id: format!("id{call}"),
                name: "shell".into(),
                arguments: format!("{{\"command\": \"ls {call}\"}} not json \u{7}"),
                malformed: None,
                freeform: false,
                signature: None,
            })
        }));
        self.say(Message::Assistant {
            content: Some(text.into()),
            reasoning_content: None,
            reasoning: None,
            reasoning_details: None,
            tool_calls: Vec::new(),
        });
        let event = |body| NewEvent { round: self.round, source: Source::Model, body };
        let finished = RequestFinished {
            request,
            attempt: 1,
            http_status: Some(200),
            response: Some(format!("data: {text} {}\n\n", "x".repeat(3000)).into_bytes()),
            finish_reason: Some("stop".into()),
            usage: Some(Usage { input_tokens: 10, output_tokens: 2, ..Usage::default() }),
            t_end_ns: 5,
            ..RequestFinished::default()
        };
        let write = Write {
            events: bodies.into_iter().map(event).collect(),
            rows: vec![finished.into()],
            ..Write::default()
        };
        self.commit(write, Durability::Relaxed).await;
        numbers
    }

    /// A call starts; its number is the execution's too.
    pub(crate) async fn start(&mut self, call: u32) {
        let body = ToolStarted { call, exec: call };
        let started = ExecStarted {
            exec: call,
            call: Some(call),
            tool: "shell".into(),
            facts: ExecFacts { argv: vec!["sh".into(), "-c".into()], ..ExecFacts::default() },
        };
        let write =
            Write { rows: vec![started.into()], ..Write::event(self.round, Source::Harness, body) };
        self.commit(write, Durability::Durable).await;
    }

    pub(crate) async fn print(&self, exec: u32, bytes: &[u8]) {
        self.recorder.output(exec, chunk(bytes)).await.unwrap();
    }

    /// A call has printed this and ended.
    pub(crate) async fn observe(&mut self, call: u32, output: &[u8]) {
        let output =
            OutputRef { blake3: blob::Hash::of(output).to_string(), bytes: output.len() as u64 };
        let exit = Some(Exit { code: Some(0), signal: None, timed_out: false });
        let body = Observation {
            exec: Some(call),
            exit,
            output: Some(output.clone()),
            ..observation(call, CallStatus::Ok)
        };
        let finished =
            ExecFinished { exec: call, exit, output: Some(output), ..ExecFinished::default() };
        let write = Write {
            rows: vec![finished.into()],
            ..Write::event(self.round, Source::Environment, body)
        };
        self.commit(write, Durability::Relaxed).await;
        self.say(Message::Tool { tool_call_id: format!("id{call}"), content: "seen".into() });
    }

    pub(crate) async fn end_round(&mut self) {
        let body = RoundEnded { ended: Ended::Completed, usage: Usage::default() };
        let write = Write::event(self.round, Source::Harness, body);
        self.commit(write, Durability::Durable).await;
    }

    /// A whole round: a request with two calls, one that prints, one that does not, and an answer.
    pub(crate) async fn round(&mut self, text: &str) {
        self.prompt(text).await;
        self.ask().await;
        for call in self.reply("let me look", 2).await {
            self.start(call).await;
            let output = if call % 2 == 0 { Vec::new() } else { [0xff, b'\n', 0].repeat(2000) };
            self.print(call, &output).await;
            self.observe(call, &output).await;
        }
        self.ask().await;
        self.reply("done", 0).await;
        self.end_round().await;
    }

    pub(crate) async fn end(mut self) -> SessionId {
        self.emit(Source::Harness, SessionEnded { ended: Ended::Completed }).await;
        let id = self.id();
        self.recorder.close().await.unwrap();
        id
    }
}

pub(crate) fn observation(call: u32, status: CallStatus) -> Observation {
    Observation {
        call,
        status,
        shown: "seen".into(),
        exec: None,
        exit: None,
        output: None,
        truncated: None,
        attachments: Vec::new(),
        duration_us: 0,
    }
}

pub(crate) fn chunk(bytes: &[u8]) -> OutputChunk {
    let marks = vec![Mark { dt_us: 70_000, len: bytes.len() as u32 }];
    OutputChunk { bytes: Arc::from(bytes), marks, direction: Direction::Out }
}

pub(crate) fn sound(home: &Home, id: SessionId) -> Archive {
    let archive = Archive::open(home, id).unwrap();
    assert_eq!(archive.verify().unwrap(), []);
    archive
}

#[tokio::test]
async fn a_session_is_read_back_as_it_was_written() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    let config = ConfigChanged { system_prompt: Some("sys".into()), ..ConfigChanged::default() };
    story.emit(Source::Harness, config).await;
    let model = ModelChanged {
        model: "m".into(),
        provider: "test".into(),
        endpoint: None,
        api: "chat".into(),
        params: json!({"x": 1e22, "a": null}),
        ..ModelChanged::default()
    };
    story.emit(Source::Harness, model).await;
    story.round("  \nfirst line\nsecond").await;
    story.round("and again").await;
    let (events, bodies) = (story.events.clone(), story.bodies.clone());
    let id = story.end().await;

    let archive = sound(&home, id);
    let back: Vec<Event> =
        archive.events().unwrap().into_iter().map(|event| (*event).clone()).collect();
    assert_eq!(back[..events.len()], events);
    assert_eq!(archive.events_from(events.len() as u64).unwrap().len(), 1);
    for (index, body) in bodies.iter().enumerate() {
        let rebuilt = archive.request_body(index as u32 + 1, 1).unwrap();
        assert_eq!(String::from_utf8(rebuilt).unwrap(), *body);
    }
    assert!(archive.response(1, 1).unwrap().unwrap().starts_with(b"data: let me look"));
    assert!(archive.request_body(99, 1).is_err());
    let points = archive.request_points().unwrap();
    assert_eq!(points.len(), bodies.len());
    assert_eq!(points[0].head_seq, 2);
    let mut output = Vec::new();
    assert_eq!(archive.output(1, &mut output).unwrap(), 6000);
    assert_eq!(output, [0xff, b'\n', 0].repeat(2000));
    let execs = archive.execs().unwrap();
    assert_eq!(execs.len(), 4);
    assert_eq!(execs[0].exit, Some(Exit { code: Some(0), signal: None, timed_out: false }));
    assert_eq!(execs[0].facts.argv, ["sh", "-c"]);

    let session = archive.session().unwrap();
    let wanted = start(id);
    assert_eq!(session.environment, wanted.environment);
    assert_eq!(session.config.to_string(), wanted.config.to_string());
    let query = session.query.unwrap();
    assert_eq!((query.source, query.licence), (Some(String::new()), None));
    let status = archive.status().unwrap();
    assert_eq!(status.title.as_deref(), Some("first line"));
    assert_eq!(status.model.as_deref(), Some("m"));
    assert_eq!(status.ended, Some(Ended::Completed));
    assert_eq!((status.rounds, status.calls, status.requests), (2, 4, 4));
    assert_eq!(status.usage.input_tokens, 40);
}

#[tokio::test]
async fn commits_keep_the_order_in_which_they_were_queued() {
    let (_folder, home) = home();
    let recorder = Recorder::create(&home, start(SessionId::new())).unwrap();
    let acks: Vec<Ack> = (0..500)
        .map(|number| {
            let body = Prompt { text: number.to_string(), ..Prompt::default() };
            let durability =
                if number % 50 == 0 { Durability::Durable } else { Durability::Relaxed };
            recorder.commit_beside(Write::event(1, Source::User, body), durability)
        })
        .collect();
    for (number, ack) in acks.into_iter().enumerate() {
        let events = ack.await.unwrap();
        assert_eq!(events[0].seq, number as u64);
        let Body::Prompt(prompt) = &events[0].body else { panic!("{events:?}") };
        assert_eq!(prompt.text, number.to_string());
    }
    let id = recorder.id();
    drop(recorder);
    assert_eq!(sound(&home, id).events().unwrap().len(), 500);
}

/// The last part of a trickle is rewritten, not followed by thousands of small ones; and what was
/// dropped without `close` is on record.
#[tokio::test]
async fn a_trickle_of_output_leaves_few_rows() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("go").await;
    story.ask().await;
    story.reply("x", 1).await;
    story.start(1).await;
    let mut all = Vec::new();
    for line in 0..1000 {
        let line = format!("line {line}\n").into_bytes();
        story.print(1, &line).await;
        all.extend_from_slice(&line);
        if all.len() % 7 == 0 {
            // An empty commit flushes what is queued.
            story.commit(Write::default(), Durability::Relaxed).await;
        }
    }
    story.observe(1, &all).await;
    story.end_round().await;
    let id = story.id();
    drop(story);
    let archive = sound(&home, id);
    let parts: i64 = archive
        .connection()
        .query_row("SELECT count(*) FROM output_part", [], |row| row.get(0))
        .unwrap();
    assert!(parts <= 4, "{parts} parts for {} bytes", all.len());
    let mut marks = Vec::new();
    archive
        .output_parts(1, Direction::Out, &mut |_, part| {
            marks.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
    assert_eq!(marks.len(), 1000);
    assert_eq!(marks[999], Mark { dt_us: 70_000, len: 9 });
}

/// Twice the requests take twice the room, although each holds all messages before it.
#[tokio::test]
async fn storage_is_linear_in_the_requests() {
    let mut sizes = Vec::new();
    for rounds in [20_u32, 40, 80] {
        let (_folder, home) = home();
        let mut story = Story::begin(&home);
        for round in 0..rounds {
            story.round(&format!("round {round}: {}", "word ".repeat(100))).await;
        }
        let id = story.end().await;
        sizes.push(std::fs::metadata(home.session_file(id)).unwrap().len());
    }
    let (first, second) = (sizes[1] - sizes[0], (sizes[2] - sizes[1]) / 2);
    assert!(second <= first + first / 4, "{sizes:?}");
}
