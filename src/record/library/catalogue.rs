//! The catalogue: a line for each session file, looked at again only when the file has changed.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusqlite::TransactionBehavior::Immediate;
use rusqlite::{Row, Transaction, params};
use trajectory::{SessionId, Usage};

use super::{Library, ended, session_id};
use crate::archive::{Archive, Status};
use crate::connection::with_suffix;
use crate::error::RecordError;
use crate::home::Home;
use crate::writer::sql_integer;

/// A session in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueRow {
    /// The session.
    pub session: SessionId,
    /// Why its file cannot be read; then its status is empty.
    pub error: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// Its size on disk, bytes.
    pub bytes: u64,
    /// Whether a process is writing it right now.
    pub live: bool,
}

/// What tells whether a session file has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamps {
    file_len: i64,
    file_mtime_ns: i64,
    wal_len: i64,
    wal_mtime_ns: i64,
}

impl Stamps {
    fn of(path: &Path) -> Self {
        let wal = with_suffix(path, "-wal");
        let (file_len, file_mtime_ns) = len_and_mtime(fs::metadata(path).ok());
        let (wal_len, wal_mtime_ns) = match len_and_mtime(fs::metadata(wal).ok()) {
            // Readers make and remove an empty WAL: it says nothing.
            (0, _) => (0, 0),
            stamps => stamps,
        };
        Self { file_len, file_mtime_ns, wal_len, wal_mtime_ns }
    }

    fn bytes(self) -> u64 {
        u64::try_from(self.file_len.saturating_add(self.wal_len)).unwrap_or(0)
    }
}

fn len_and_mtime(metadata: Option<Metadata>) -> (i64, i64) {
    metadata.map_or((0, 0), |metadata| {
        let mtime_ns =
            metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        (sql_integer(metadata.len()), mtime_ns)
    })
}

impl Library {
    /// All sessions, newest first. A file that cannot be read is listed with its error and keeps
    /// no other from being listed.
    ///
    /// # Errors
    /// When the library or the folder of the sessions cannot be read.
    pub fn list(&self) -> Result<Vec<CatalogueRow>, RecordError> {
        let known = self.known().map_err(self.failed())?;
        let ids = self.home.session_ids()?;
        let mut changed = Vec::new();
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids.into_iter().rev() {
            let stamps = Stamps::of(&self.home.session_file(id));
            let row = match known.get(&id) {
                Some((old, row)) if *old == stamps => Some(row.clone()),
                _ => look(&self.home, id).inspect(|row| changed.push((stamps, row.clone()))),
            };
            rows.extend(row.map(|row| CatalogueRow {
                bytes: stamps.bytes(),
                live: self.home.is_live(id),
                ..row
            }));
        }
        let there: HashSet<SessionId> = rows.iter().map(|row| row.session).collect();
        let gone: Vec<SessionId> = known.into_keys().filter(|id| !there.contains(id)).collect();
        self.update(&changed, &gone).map_err(self.failed())?;
        Ok(rows)
    }

    /// All sessions, newest first, read from their files alone: for a home that cannot be written.
    ///
    /// # Errors
    /// When the folder of the sessions cannot be read.
    pub fn scan(home: &Home) -> Result<Vec<CatalogueRow>, RecordError> {
        Ok(home.session_ids()?.into_iter().rev().filter_map(|id| look(home, id)).collect())
    }

    /// Makes the catalogue and the index of words anew from the session files, telling how many of how
    /// many are done; all sessions, newest first.
    ///
    /// # Errors
    /// When the library cannot be written.
    pub fn rebuild(
        &self,
        tell: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<CatalogueRow>, RecordError> {
        self.connection.execute("DELETE FROM catalogue", []).map_err(self.failed())?;
        self.forget_words().map_err(self.failed())?;
        let rows = self.list()?;
        self.follow(&rows, tell)?;
        Ok(rows)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> RecordError + Copy + '_ {
        |error| RecordError::sqlite("keep the catalogue in", &self.path, &error)
    }

    fn known(&self) -> rusqlite::Result<HashMap<SessionId, (Stamps, CatalogueRow)>> {
        let mut statement = self.connection.prepare_cached("SELECT * FROM catalogue")?;
        let rows = statement.query_map([], |row| {
            let stamps = Stamps {
                file_len: row.get("file_len")?,
                file_mtime_ns: row.get("file_mtime_ns")?,
                wal_len: row.get("wal_len")?,
                wal_mtime_ns: row.get("wal_mtime_ns")?,
            };
            let row = read(row)?;
            Ok((row.session, (stamps, row)))
        })?;
        rows.collect()
    }

    fn update(
        &self,
        changed: &[(Stamps, CatalogueRow)],
        gone: &[SessionId],
    ) -> rusqlite::Result<()> {
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let transaction = Transaction::new_unchecked(&self.connection, Immediate)?;
        for id in gone {
            transaction
                .prepare_cached("DELETE FROM catalogue WHERE session = ?")?
                .execute([id.as_bytes()])?;
        }
        let mut insert = transaction.prepare_cached(
            "INSERT OR REPLACE INTO catalogue (session, file_len, file_mtime_ns, wal_len, \
             wal_mtime_ns, error, title, model, started_ns, last_ns, ended, rounds, events, \
             calls, requests, input_tokens, output_tokens, cached_tokens, reasoning_tokens, \
             private) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        // Of one that was deleted meanwhile nothing comes back.
        let is_there = |id: SessionId| self.home.session_file(id).exists();
        for (stamps, row) in changed.iter().filter(|(_, row)| is_there(row.session)) {
            let status = &row.status;
            insert.execute(params![
                row.session.as_bytes(),
                stamps.file_len,
                stamps.file_mtime_ns,
                stamps.wal_len,
                stamps.wal_mtime_ns,
                row.error,
                status.title,
                status.model,
                status.started_ns,
                status.last_ns,
                status.ended.map(trajectory::event::Ended::as_str),
                status.rounds,
                sql_integer(status.events),
                sql_integer(status.calls),
                sql_integer(status.requests),
                sql_integer(status.usage.input_tokens),
                sql_integer(status.usage.output_tokens),
                sql_integer(status.usage.cached_tokens),
                sql_integer(status.usage.reasoning_tokens),
                status.private,
            ])?;
        }
        drop(insert);
        transaction.commit()
    }
}

/// What a session's file says now; `None` when its process died before there was a session.
fn look(home: &Home, id: SessionId) -> Option<CatalogueRow> {
    let bytes = Stamps::of(&home.session_file(id)).bytes();
    let (status, error) = match Archive::open(home, id).and_then(|archive| archive.status()) {
        Ok(status) => (status, None),
        Err(RecordError::Empty { .. }) => return None,
        Err(error) => (Status::default(), Some(error.to_string())),
    };
    Some(CatalogueRow { session: id, error, status, bytes, live: home.is_live(id) })
}

fn read(row: &Row<'_>) -> rusqlite::Result<CatalogueRow> {
    let number = |column| -> rusqlite::Result<u64> {
        Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
    };
    let word: Option<String> = row.get("ended")?;
    Ok(CatalogueRow {
        session: session_id(row, "session")?,
        error: row.get("error")?,
        status: Status {
            title: row.get("title")?,
            model: row.get("model")?,
            started_ns: row.get("started_ns")?,
            last_ns: row.get("last_ns")?,
            ended: ended(word.as_deref()),
            rounds: row.get("rounds")?,
            events: number("events")?,
            calls: number("calls")?,
            requests: number("requests")?,
            usage: Usage {
                input_tokens: number("input_tokens")?,
                output_tokens: number("output_tokens")?,
                cached_tokens: number("cached_tokens")?,
                reasoning_tokens: number("reasoning_tokens")?,
            },
            private: row.get("private")?,
        },
        bytes: 0,
        live: false,
    })
}
