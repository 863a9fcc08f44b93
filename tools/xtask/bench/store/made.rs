//! Sessions to fill a store with: recorded by the recorder itself, step by step as an agent does it,
//! from the text of this repository.
//!
//! Each step is a request, a reply with its stream, a call, what it printed and what the model was
//! shown of it, in as many transactions as a real one has. What is left out is waiting: no model is
//! asked, no command runs, and nothing waits for the disk.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use chat::estimate;
use record::{
    Blob, Direction, Durability, Environment, ExecFacts, ExecFinished, ExecStarted, Home, Mark,
    NewEvent, OutputChunk, Recorder, RequestFinished, RequestStarted, Row, SessionStart, Write,
};
use serde_json::json;
use trajectory::event::{
    AssistantText, CallStatus, ConfigChanged, Ended, Exit, ModelChanged, Observation, OutputRef,
    Prompt, Reasoning, ReasoningField, ReasoningForm, RoundEnded, SessionEnded, ToolCall,
    ToolStarted,
};
use trajectory::{Body, MessageDigest, SessionId, Source, Usage};

use crate::process::root;

/// The most and the least bytes that a command prints.
const OUTPUT_BYTES: (u64, u64) = (600, 3_600);

/// Bytes of a thought.
const THOUGHT_BYTES: usize = 240;

/// Bytes of a piece of a reply's stream.
const PIECE_BYTES: usize = 5;

/// Bytes of system prompt and tools in each request.
const FRAME_BYTES: usize = 5_800;

/// Where sessions take their words from.
pub(super) struct Corpus(String);

impl Corpus {
    /// The sources and the documents of this repository.
    pub(super) fn read() -> Result<Self> {
        let mut text = String::new();
        for folder in ["src", "docs"] {
            gather(&root().join(folder), &mut text)?;
        }
        if text.len() < 1 << 20 {
            bail!("there is less than a megabyte of text below {}", root().display());
        }
        Ok(Self(text))
    }

    /// A piece of it; the same number gives the same piece.
    fn piece(&self, number: u64, bytes: usize) -> &str {
        let from = usize::try_from(scattered(number)).unwrap_or(0) % (self.0.len() - bytes);
        let (from, to) = (self.0.ceil_char_boundary(from), from + bytes);
        &self.0[from..self.0.ceil_char_boundary(to)]
    }
}

fn gather(folder: &Path, text: &mut String) -> Result<()> {
    let mut paths: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        let is_text = path.extension().is_some_and(|it| it == "rs" || it == "md");
        if path.is_dir() {
            gather(&path, text)?;
        } else if is_text {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Numbers in a row, far from each other (splitmix64).
const fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What came of recording one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) id: SessionId,
    /// Tokens of what the user, the model and the tools said, estimated.
    pub(super) tokens: u64,
    /// The longest that its WAL was.
    pub(super) wal_bytes_max: u64,
}

/// The word that stands in this session and in no other.
pub(super) fn word(number: u64) -> String {
    format!("quagmire{number:06}")
}

/// The session with this number in a store, begun.
pub(super) fn begin(home: &Home, number: u64) -> Result<Recorder> {
    let start = SessionStart {
        id: SessionId::new(),
        query: None,
        environment: Environment {
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            cwd: format!("/home/somebody/work/project-{}", number % 20),
            ..Environment::default()
        },
        app_version: env!("CARGO_PKG_VERSION").to_owned(),
        config: json!({ "model": "mock-model" }),
        annotator: None,
        private: false,
        parent: None,
    };
    Ok(Recorder::create(home, start)?)
}

/// Records a session of about so many tokens.
pub(super) async fn make(home: &Home, corpus: &Corpus, number: u64, tokens: u64) -> Result<Made> {
    let mut maker = Maker::begin(home, corpus, number).await?;
    while maker.made.tokens < tokens {
        maker.step().await?;
    }
    maker.end().await
}

/// Records a session of about so many events, none of them long.
pub(super) async fn make_long(home: &Home, corpus: &Corpus, events: u64) -> Result<Made> {
    let mut maker = Maker::begin(home, corpus, 0).await?;
    while maker.events < events {
        maker.step().await?;
    }
    maker.end().await
}

/// A session on its way.
struct Maker<'a> {
    corpus: &'a Corpus,
    recorder: Recorder,
    made: Made,
    number: u64,
    step: u32,
    /// Events so far.
    events: u64,
    digest: MessageDigest,
    /// Messages that no request has had yet, and how many have gone out.
    fresh: Vec<String>,
    sent: usize,
}

impl<'a> Maker<'a> {
    async fn begin(home: &Home, corpus: &'a Corpus, number: u64) -> Result<Self> {
        let recorder = begin(home, number)?;
        let made = Made { id: recorder.id(), tokens: 0, wal_bytes_max: 0 };
        let mut maker = Self {
            corpus,
            recorder,
            made,
            number,
            step: 0,
            events: 0,
            digest: MessageDigest::default(),
            fresh: Vec::new(),
            sent: 0,
        };
        let system = maker.words(0, 1_000);
        let config =
            ConfigChanged { system_prompt: Some(system.clone()), ..ConfigChanged::default() };
        let model = ModelChanged {
            model: "mock-model".to_owned(),
            provider: "test".to_owned(),
            api: "chat".to_owned(),
            ..ModelChanged::default()
        };
        maker.emit(Source::Harness, vec![config.into(), model.into()], Vec::new()).await?;
        let wish = maker.words(1, 300);
        let text = format!("Task {number}, {}: see to this.\n{wish}", word(number));
        maker.counts(&text);
        maker.fresh.push(json!({ "role": "system", "content": system }).to_string());
        maker.fresh.push(json!({ "role": "user", "content": text }).to_string());
        let prompt = Prompt { text, ..Prompt::default() };
        maker.emit(Source::User, vec![prompt.into()], Vec::new()).await?;
        Ok(maker)
    }

    /// Some text, another one for each session, step and place.
    fn words(&self, place: u64, bytes: usize) -> String {
        let number = self.number << 24 | u64::from(self.step) << 4 | place;
        self.corpus.piece(number, bytes).to_owned()
    }

    fn counts(&mut self, text: &str) {
        self.made.tokens += estimate(text);
    }

    async fn emit(&mut self, source: Source, bodies: Vec<Body>, rows: Vec<Row>) -> Result<()> {
        let round = u32::from(bodies.first().is_none_or(|body| body.kind() != "config_changed"));
        self.events += bodies.len() as u64;
        let events = bodies.into_iter().map(|body| NewEvent { round, source, body }).collect();
        let write = Write { events, rows, ..Write::default() };
        self.recorder.commit(write, Durability::Relaxed).await?;
        let mut wal = self.recorder.path().as_os_str().to_owned();
        wal.push("-wal");
        let wal_bytes = fs::metadata(wal).map_or(0, |metadata| metadata.len());
        self.made.wal_bytes_max = self.made.wal_bytes_max.max(wal_bytes);
        Ok(())
    }

    /// A request with all that was said since the one before.
    async fn ask(&mut self) -> Result<()> {
        let added = std::mem::take(&mut self.fresh);
        added.iter().for_each(|message| self.digest.push(message));
        let kept = self.sent;
        self.sent += added.len();
        let tools = self.corpus.piece(0, FRAME_BYTES);
        let row = RequestStarted {
            request: self.step,
            attempt: 1,
            provider: "test".to_owned(),
            model: "mock-model".to_owned(),
            api: "chat".to_owned(),
            params: json!({}),
            head_seq: self.events - 1,
            kept,
            added,
            body_head: r#"{"model":"mock-model","messages":["#.to_owned(),
            body_tail: format!("],\"tools\":[{}],\"stream\":true}}", json!(tools)),
            messages_digest: self.digest.finish(),
            ..RequestStarted::default()
        };
        self.emit(Source::Harness, Vec::new(), vec![row.into()]).await
    }

    /// Thinks, and calls the shell; or says the last word.
    async fn reply(&mut self, call: Option<&str>) -> Result<()> {
        let (request, thought) = (self.step, self.words(2, THOUGHT_BYTES));
        self.counts(&thought);
        let mut bodies: Vec<Body> = vec![
            Reasoning {
                request,
                text: thought.clone(),
                form: ReasoningForm::Full,
                field: ReasoningField::ReasoningContent,
                signature: None,
                interrupted: false,
            }
            .into(),
        ];
        let mut message =
            json!({ "role": "assistant", "content": null, "reasoning_content": thought });
        if let Some(arguments) = call {
            self.counts(arguments);
            let function = json!({ "name": "shell", "arguments": arguments });
            message["tool_calls"] = json!([{ "id": format!("call_{request}"), "type": "function", "function": function }]);
            bodies.push(
                ToolCall {
                    request,
                    call: request,
                    id: format!("call_{request}"),
                    name: "shell".to_owned(),
                    arguments: arguments.to_owned(),
                    freeform: false,
                    signature: None,
                    malformed: None,
                }
                .into(),
            );
        } else {
            let text = self.words(3, THOUGHT_BYTES);
            self.counts(&text);
            bodies.push(AssistantText { request, text, interrupted: false }.into());
        }
        self.fresh.push(message.to_string());
        let response = stream(&thought, call);
        let finished = RequestFinished {
            request,
            attempt: 1,
            http_status: Some(200),
            response: Some(response.into_bytes()),
            finish_reason: Some("tool_calls".to_owned()),
            usage: Some(Usage {
                input_tokens: self.made.tokens,
                output_tokens: 100,
                ..Usage::default()
            }),
            usage_source: Some("provider".to_owned()),
            t_first_ns: Some(300_000_000),
            t_end_ns: 2_000_000_000,
            ..RequestFinished::default()
        };
        self.emit(Source::Model, bodies, vec![finished.into()]).await
    }

    /// Runs a command that prints a piece of the repository.
    async fn step(&mut self) -> Result<()> {
        self.step += 1;
        let (exec, number) = (self.step, self.number << 24 | u64::from(self.step));
        self.ask().await?;
        let command = format!("sed -n '{exec},{}p' src/part_{}.rs", exec + 60, number % 97);
        let arguments =
            json!({ "command": command, "file_path": format!("src/part_{}.rs", number % 97) });
        self.reply(Some(&arguments.to_string())).await?;
        let facts = ExecFacts {
            argv: vec!["bash".to_owned(), "-c".to_owned(), command],
            ..ExecFacts::default()
        };
        let started = ExecStarted { exec, call: Some(exec), tool: "shell".to_owned(), facts };
        let body = ToolStarted { call: exec, exec };
        self.emit(Source::Harness, vec![body.into()], vec![started.into()]).await?;
        let (least, most) = OUTPUT_BYTES;
        let bytes = usize::try_from(least + scattered(number) % (most - least)).unwrap_or(0);
        let shown = self.words(4, bytes);
        self.counts(&shown);
        let printed = Blob::new(shown.replace('\n', "\r\n").into_bytes());
        self.print(exec, &printed).await?;
        let output =
            OutputRef { blake3: printed.blake3().to_owned(), bytes: printed.bytes().len() as u64 };
        let exit = Some(Exit { code: Some(0), signal: None, timed_out: false });
        let message = json!({
            "role": "tool", "tool_call_id": format!("call_{exec}"), "content": shown,
        });
        self.fresh.push(message.to_string());
        let body = Observation {
            call: exec,
            status: CallStatus::Ok,
            shown,
            exec: Some(exec),
            exit,
            output: Some(output.clone()),
            truncated: None,
            attachments: Vec::new(),
            duration_us: 12_000,
        };
        let finished = ExecFinished { exec, exit, output: Some(output), ..ExecFinished::default() };
        self.emit(Source::Environment, vec![body.into()], vec![finished.into()]).await
    }

    /// Line by line, as a terminal brings it.
    async fn print(&self, exec: u32, printed: &Blob) -> Result<()> {
        let lines = printed.bytes().split_inclusive(|byte| *byte == b'\n');
        let mark = |line: &[u8]| Mark { dt_us: 150, len: u32::try_from(line.len()).unwrap_or(0) };
        let marks = lines.map(mark).collect();
        let bytes = Arc::from(printed.bytes());
        let chunk = OutputChunk { bytes, marks, direction: Direction::Out };
        Ok(self.recorder.output(exec, chunk).await?)
    }

    async fn end(mut self) -> Result<Made> {
        self.step += 1;
        self.ask().await?;
        self.reply(None).await?;
        let ended = Ended::Completed;
        let bodies = vec![
            RoundEnded { ended, usage: Usage::default() }.into(),
            SessionEnded { ended }.into(),
        ];
        self.emit(Source::Harness, bodies, Vec::new()).await?;
        self.recorder.close().await?;
        Ok(self.made)
    }
}

/// A reply as servers send it: a line of JSON for each few letters.
fn stream(thought: &str, arguments: Option<&str>) -> String {
    let mut lines = String::new();
    let mut say = |delta: serde_json::Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": null });
        let chunk = json!({
            "id": "chatcmpl-7f3a", "object": "chat.completion.chunk", "created": 1_760_000_000,
            "model": "mock-model", "choices": [choice],
        });
        lines.push_str(&format!("data: {chunk}\n\n"));
    };
    for piece in pieces(thought) {
        say(json!({ "reasoning_content": piece }));
    }
    for piece in arguments.into_iter().flat_map(pieces) {
        let function = json!({ "arguments": piece });
        say(json!({ "tool_calls": [{ "index": 0, "function": function }] }));
    }
    lines + "data: [DONE]\n\n"
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, later) = rest.split_at(rest.ceil_char_boundary(PIECE_BYTES));
        rest = later;
        (!piece.is_empty()).then_some(piece)
    })
}
