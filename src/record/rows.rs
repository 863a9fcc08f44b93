//! What is handed to the recorder: events, and the rows beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trajectory::event::{Exit, OutputRef, Truncation};
use trajectory::{Body, EventId, QueryId, SessionId, Source, Usage};

/// A task in natural language, as it stood when the session began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Its name.
    pub id: QueryId,
    /// Queries of one group are never split between training and test.
    pub group_key: Option<String>,
    /// The task.
    pub text: String,
    /// Its parts, in order.
    pub subtasks: Vec<String>,
    /// What counts as done.
    pub criteria: Vec<String>,
    /// Where its workspace comes from.
    pub workspace: Option<String>,
    /// Where it comes from.
    pub source: Option<String>,
    /// The licence it comes under.
    pub licence: Option<String>,
    /// The command that checks the result.
    pub verifier: Option<String>,
}

/// The machine and the workspace as the session began. Values of environment variables only where
/// the user's allowlist names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Operating system and its version.
    pub os: String,
    /// Processor architecture.
    pub arch: String,
    /// The shell that commands run in.
    pub shell: Option<String>,
    /// The workspace's path.
    pub cwd: String,
    /// Where each tool that was looked for lies: paths, by the tool's name.
    pub toolchains: BTreeMap<String, String>,
    /// The commit that is checked out.
    pub git_commit: Option<String>,
    /// What differs from that commit, as a diff; kept as a blob.
    pub dirty_diff: Option<Vec<u8>>,
    /// Hash of the workspace's contents.
    pub tree_hash: Option<String>,
    /// The variables of the allowlist.
    pub env_allowlist: BTreeMap<String, String>,
    /// The locale.
    pub locale: Option<String>,
    /// The time zone.
    pub tz: Option<String>,
    /// A hash that tells which repository the workspace is of, whatever it is called here. Absent
    /// in the name of an environment that has none, so that older ones keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// A session that begins. None of it changes later.
#[derive(Clone, Debug)]
pub struct SessionStart {
    /// Its name.
    pub id: SessionId,
    /// The query of the pool it works on.
    pub query: Option<Query>,
    /// Where it runs.
    pub environment: Environment,
    /// limn's version.
    pub app_version: String,
    /// The settings in force, without secrets.
    pub config: Value,
    /// Who works with the model: a pseudonym.
    pub annotator: Option<String>,
    /// Kept out of datasets.
    pub private: bool,
    /// The session it was forked from, and the last event they share.
    pub parent: Option<(SessionId, EventId)>,
}

/// An event to be recorded; the recorder adds id, place and time.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// The round it belongs to, from 1; 0 before the first prompt.
    pub round: u32,
    /// Who caused it.
    pub source: Source,
    /// What happened.
    pub body: Body,
}

/// The highest number of each sort that a session has used so far; 0 when none. The next one is one
/// higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ordinals {
    /// Rounds.
    pub round: u32,
    /// Requests, those that left no event included.
    pub request: u32,
    /// Tool calls.
    pub call: u32,
    /// Executions.
    pub exec: u32,
}

/// What a commit survives once it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process.
    Relaxed,
    /// A power cut: the acknowledgement waits for an fsync.
    Durable,
}

/// What goes into one transaction.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Events, in order.
    pub events: Vec<NewEvent>,
    /// Rows, in order; written after the events.
    pub rows: Vec<Row>,
    /// Bytes that the events name by their BLAKE3: attachments. Each is stored once.
    pub blobs: Vec<Blob>,
}

/// Bytes with their name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    bytes: Arc<[u8]>,
    blake3: String,
}

impl Blob {
    /// Names some bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let blake3 = blob::Hash::of(&bytes).to_string();
        Self { bytes, blake3 }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their BLAKE3, hexadecimal.
    #[must_use]
    pub fn blake3(&self) -> &str {
        &self.blake3
    }
}

impl Write {
    /// One event and nothing else.
    #[must_use]
    pub fn event(round: u32, source: Source, body: impl Into<Body>) -> Self {
        let events = vec![NewEvent { round, source, body: body.into() }];
        Self { events, ..Self::default() }
    }
}

/// A row beside the events.
#[derive(Clone, Debug)]
pub enum Row {
    /// A request goes out.
    RequestStarted(Box<RequestStarted>),
    /// A request has been answered, or has failed. Its drafts go in the same transaction.
    RequestFinished(Box<RequestFinished>),
    /// An execution begins.
    ExecStarted(Box<ExecStarted>),
    /// An execution has ended.
    ExecFinished(Box<ExecFinished>),
    /// What the workspace was before an execution, and after it, is known.
    ExecTrees(Box<ExecTrees>),
    /// The terminal of an execution was given another size.
    ExecResized(Box<ExecResized>),
}

macro_rules! rows {
    ($($name:ident),+) => {
        $(impl From<$name> for Row {
            fn from(row: $name) -> Self {
                Self::$name(Box::new(row))
            }
        })+
    };
}

rows!(RequestStarted, RequestFinished, ExecStarted, ExecFinished, ExecTrees, ExecResized);

/// A request as it goes out. Its exact body is `body_head`, the messages joined by commas, and
/// `body_tail`; no header is ever part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestStarted {
    /// The n-th request of the session, from 1.
    pub request: u32,
    /// The n-th attempt of it, from 1.
    pub attempt: u32,
    /// The attempt that this one repeats.
    pub retry_of: Option<u32>,
    /// The provider's name.
    pub provider: String,
    /// The base URL, without credentials.
    pub endpoint: Option<String>,
    /// The model that is asked for.
    pub model: String,
    /// The API form, such as `chat`.
    pub api: String,
    /// Sampling parameters as they are sent; an object.
    pub params: Value,
    /// The last event that its context holds.
    pub head_seq: u64,
    /// How many leading messages it shares with the request recorded before it.
    pub kept: usize,
    /// The messages after those, as the exact JSON that is sent.
    pub added: Vec<String>,
    /// The body before the messages.
    pub body_head: String,
    /// The body after the messages.
    pub body_tail: String,
    /// [`trajectory::MessageDigest`] over all its messages as they are sent, hexadecimal.
    pub messages_digest: String,
    /// The same over the messages of the transcript, before they take the form of a provider.
    pub context_digest: Option<String>,
    /// A digest over its tools, hexadecimal.
    pub tools_digest: String,
}

/// A request's end. Times count from when its start was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestFinished {
    /// The request.
    pub request: u32,
    /// The attempt.
    pub attempt: u32,
    /// The status of the HTTP response.
    pub http_status: Option<u16>,
    /// The response as it was received: raw SSE, or whatever came. Empty when nothing came; `None`
    /// when nobody knows what came, as after a crash.
    pub response: Option<Vec<u8>>,
    /// The provider's id for it.
    pub response_id: Option<String>,
    /// The model that says it answered.
    pub model_served: Option<String>,
    /// Why it stopped.
    pub finish_reason: Option<String>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Tokens, if they were counted.
    pub usage: Option<Usage>,
    /// Who counted: `provider`, or an estimate's name.
    pub usage_source: Option<String>,
    /// From the start to the first piece of the reply, nanoseconds.
    pub t_first_ns: Option<u64>,
    /// From the start to the end, nanoseconds.
    pub t_end_ns: u64,
}

/// How something was run, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecFacts {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Where it ran.
    pub cwd: Option<String>,
    /// How its environment differed from the session's: an object, `null` for a variable removed.
    pub env_delta: Option<Value>,
    /// The sandbox policy in force.
    pub policy: Option<Value>,
    /// The decision that let it run, such as `allowed` or `amended`.
    pub approval: Option<String>,
    /// Who decided: `user`, `mode`, `rule`, `policy`.
    pub approver: Option<String>,
    /// Hash of the workspace before it.
    pub tree_before: Option<String>,
    /// Hash of the workspace after it.
    pub tree_after: Option<String>,
}

/// An execution as it begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecStarted {
    /// The n-th execution of the session, from 1.
    pub exec: u32,
    /// The call it runs; none when the user ran a command.
    pub call: Option<u32>,
    /// The tool.
    pub tool: String,
    /// What is known beforehand.
    pub facts: ExecFacts,
}

/// An execution's end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecFinished {
    /// The execution.
    pub exec: u32,
    /// How its process ended, when it was one.
    pub exit: Option<Exit>,
    /// All that it printed, when something was.
    pub output: Option<OutputRef>,
    /// What the model was not shown of it.
    pub truncated: Option<Truncation>,
    /// What became known only now; what is empty here leaves what was recorded at the start.
    pub facts: ExecFacts,
}

/// The workspace around an execution. It becomes known after the execution has ended: the next
/// request to the model does not wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecTrees {
    /// The execution.
    pub exec: u32,
    /// Hash of the workspace after it.
    pub after: Option<String>,
}

/// Another size of an execution's terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecResized {
    /// The execution.
    pub exec: u32,
    /// The size.
    pub size: SizeChange,
}

/// A size that a terminal was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeChange {
    /// When: microseconds since the execution began.
    pub at_us: u64,
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}
