//! The session itself, and where it stands.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;
use trajectory::event::{Ended, ModelChanged, Prompt, SessionEnded};
use trajectory::{DeviceId, EventId, QueryId, SessionId, Usage};

use super::{
    Archive, bytes, count, from_json, id, later_column, optional_count, optional_id, requests,
    unreadable,
};
use crate::chain::{Digest, Genesis};
use crate::error::RecordError;
use crate::rows::{Environment, Query};
use crate::writer::json;

/// The longest title, characters.
const TITLE_CHARS_MAX: usize = 80;

/// A session as it began.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    /// Its name.
    pub id: SessionId,
    /// The query of the pool it works on.
    pub query: Option<Query>,
    /// Where it ran.
    pub environment: Environment,
    /// The version of limn that began it.
    pub app_version: String,
    /// The settings in force.
    pub config: Value,
    /// Who worked with the model.
    pub annotator: Option<String>,
    /// Kept out of datasets.
    pub private: bool,
    /// The session it was forked from, and the last event they share.
    pub parent: Option<(SessionId, EventId)>,
    /// When it began: wall clock, nanoseconds since the Unix epoch.
    pub started_ns: i64,
    /// The device on which it began, the only one that appends to it.
    pub origin_device: DeviceId,
}

/// Where a session stands: the fold of its events that listings show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The first line of the first prompt.
    pub title: Option<String>,
    /// The model in use at the end.
    pub model: Option<String>,
    /// When it began: wall clock, nanoseconds since the Unix epoch.
    pub started_ns: i64,
    /// The last event's wall clock.
    pub last_ns: Option<i64>,
    /// How it ended; `None` while it is alive, and after a crash until recovery.
    pub ended: Option<Ended>,
    /// Rounds begun.
    pub rounds: u32,
    /// Events.
    pub events: u64,
    /// Tool calls.
    pub calls: u64,
    /// Requests, their repetitions included.
    pub requests: u64,
    /// Tokens of all requests.
    pub usage: Usage,
    /// Kept out of datasets.
    pub private: bool,
}

impl Archive {
    /// The session as it began.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn session(&self) -> Result<SessionRow, RecordError> {
        self.connection
            .query_row("SELECT * FROM session", [], |row| {
                Ok(SessionRow {
                    id: id(row, "id", SessionId::from_uuid)?,
                    query: match optional_id(row, "query_id", QueryId::from_uuid)? {
                        Some(query) => read_query(&self.connection, query)?,
                        None => None,
                    },
                    environment: self.environment(bytes(row, "environment")?)?,
                    app_version: row.get("app_version")?,
                    config: from_json(row, "config")?,
                    annotator: row.get("annotator")?,
                    private: row.get("private")?,
                    parent: parent(row)?,
                    started_ns: row.get("started_ns")?,
                    origin_device: id(row, "origin_device", DeviceId::from_uuid)?,
                })
            })
            .map_err(self.failed())
    }

    fn environment(&self, hash: Digest) -> rusqlite::Result<Environment> {
        self.connection.query_row("SELECT * FROM environment WHERE hash = ?", [hash], |row| {
            let diff: Option<Digest> = row.get("dirty_diff")?;
            let diff = diff.map(|hash| requests::blob(&self.connection, &hash)).transpose()?;
            Ok(Environment {
                os: row.get("os")?,
                arch: row.get("arch")?,
                shell: row.get("shell")?,
                cwd: row.get("cwd")?,
                toolchains: from_json(row, "toolchains")?,
                git_commit: row.get("git_commit")?,
                dirty_diff: diff.flatten(),
                tree_hash: row.get("tree_hash")?,
                env_allowlist: from_json(row, "env_allowlist")?,
                locale: row.get("locale")?,
                tz: row.get("tz")?,
                repository: later_column(row, "repository")?,
            })
        })
    }

    /// Where the session stands.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn status(&self) -> Result<Status, RecordError> {
        let read = || -> rusqlite::Result<Status> {
            let snapshot = self.connection.unchecked_transaction()?;
            let (started_ns, private) =
                snapshot.query_row("SELECT started_ns, private FROM session", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let counts = "SELECT count(*) AS events, max(wall_ns) AS last_ns, \
                          coalesce(max(round), 0) AS rounds, \
                          coalesce(sum(kind = 'tool_call'), 0) AS calls, \
                          (SELECT count(*) FROM llm_call) AS requests FROM event";
            let mut status = snapshot.query_row(counts, [], |row| {
                Ok(Status {
                    started_ns,
                    private,
                    last_ns: row.get("last_ns")?,
                    rounds: row.get("rounds")?,
                    events: count(row, "events")?,
                    calls: count(row, "calls")?,
                    requests: optional_count(row, "requests")?.unwrap_or(0),
                    ..Status::default()
                })
            })?;
            status.usage = requests::usage(&snapshot, "true", [])?;
            let prompt: Option<Prompt> = body(&snapshot, "kind = 'prompt' ORDER BY seq")?;
            status.title = prompt.map(|prompt| title(&prompt.text));
            let model: Option<ModelChanged> =
                body(&snapshot, "kind = 'model_changed' ORDER BY seq DESC")?;
            status.model = model.map(|model| model.model);
            let ended: Option<SessionEnded> = body(
                &snapshot,
                "kind = 'session_ended' AND NOT EXISTS (SELECT 1 FROM event AS later \
                 WHERE later.seq > event.seq AND later.kind <> 'redaction') ORDER BY seq DESC",
            )?;
            status.ended = ended.map(|ended| ended.ended);
            Ok(status)
        };
        read().map_err(self.failed())
    }
}

/// The body of the first event that fits, if it can be read.
fn body<T: serde::de::DeserializeOwned>(
    connection: &Connection,
    condition: &str,
) -> rusqlite::Result<Option<T>> {
    let sql = format!("SELECT body FROM event WHERE {condition} LIMIT 1");
    let body: Option<Option<String>> =
        connection.query_row(&sql, [], |row| row.get(0)).optional()?;
    Ok(body.flatten().and_then(|body| serde_json::from_str(&body).ok()))
}

/// A prompt as a line of a listing.
fn title(prompt: &str) -> String {
    let line = prompt.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut title: String =
        line.chars().filter(|char| !char.is_control()).take(TITLE_CHARS_MAX).collect();
    if line.chars().count() > TITLE_CHARS_MAX {
        title.pop();
        title.push('…');
    }
    title
}

fn parent(row: &Row<'_>) -> rusqlite::Result<Option<(SessionId, EventId)>> {
    let session = optional_id(row, "parent_session", SessionId::from_uuid)?;
    let event = optional_id(row, "fork_event", EventId::from_uuid)?;
    Ok(session.zip(event))
}

/// The session of a file.
pub(super) fn session_id(connection: &Connection, path: &Path) -> Result<SessionId, RecordError> {
    one(connection, path, |row| id(row, "id", SessionId::from_uuid))
}

/// Where the session of a file began.
pub(crate) fn origin_device(connection: &Connection, path: &Path) -> Result<DeviceId, RecordError> {
    one(connection, path, |row| id(row, "origin_device", DeviceId::from_uuid))
}

/// What the first event of the session follows in the chain.
pub(crate) fn genesis(connection: &Connection, path: &Path) -> Result<Digest, RecordError> {
    one(connection, path, |row| {
        let query = match optional_id(row, "query_id", QueryId::from_uuid)? {
            Some(id) => Some((id, query_hash(read_query(connection, id)?.as_ref())?)),
            None => None,
        };
        let (app_version, config): (String, String) = (row.get("app_version")?, row.get("config")?);
        let annotator: Option<String> = row.get("annotator")?;
        let genesis = Genesis {
            id: id(row, "id", SessionId::from_uuid)?,
            device: id(row, "origin_device", DeviceId::from_uuid)?,
            started_ns: row.get("started_ns")?,
            parent: parent(row)?,
            app_version: &app_version,
            config: &config,
            annotator: annotator.as_deref(),
            private: row.get("private")?,
            query,
            environment: bytes(row, "environment")?,
        };
        Ok(genesis.hash())
    })
}

fn read_query(connection: &Connection, wanted: QueryId) -> rusqlite::Result<Option<Query>> {
    connection
        .query_row("SELECT * FROM query WHERE id = ?", [wanted.as_bytes()], |row| {
            Ok(Query {
                id: id(row, "id", QueryId::from_uuid)?,
                group_key: row.get("group_key")?,
                text: row.get("text")?,
                subtasks: from_json(row, "subtasks")?,
                criteria: from_json(row, "criteria")?,
                workspace: row.get("workspace")?,
                source: row.get("source")?,
                licence: row.get("licence")?,
                verifier: row.get("verifier")?,
            })
        })
        .optional()
}

/// The hash of a query's JSON; of `null` where its row is missing, which is nobody's.
fn query_hash(query: Option<&Query>) -> rusqlite::Result<Digest> {
    Ok(*blob::Hash::of(json(&query)?.as_bytes()).as_bytes())
}

/// Something of the one row of `session`.
fn one<T>(
    connection: &Connection,
    path: &Path,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<T, RecordError> {
    match connection.query_row("SELECT * FROM session", [], read) {
        Ok(value) => Ok(value),
        Err(rusqlite::Error::QueryReturnedNoRows) => {
            Err(RecordError::Empty { path: path.to_owned() })
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}
