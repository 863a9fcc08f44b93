//! The one connection that writes a session: transactions, events, drafts, output.

mod execs;
mod requests;
mod start;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use start::{environment_hash, json};

use blob::{Encoder, Hash};
use rusqlite::{Connection, params};
use trajectory::{Event, EventId, Recorded, RunId, SessionId};

use crate::chain::{self, Digest, Link};
use crate::connection::{sync_new_file, uses_wal};
use crate::error::RecordError;
use crate::ledger::Ledger;
use crate::output::{OutputChunk, Outputs};
use crate::queue::{Piece, PieceKind, Stamp};
use crate::rows::{Durability, NewEvent, Row, Write};

/// Finished parts are written out at this much, bytes: memory stays small however fast a command
/// prints.
const SEALED_BYTES_MAX: usize = 1 << 20;

/// How long closing waits for readers before it leaves the WAL to them.
const CLOSE_PATIENCE: Duration = Duration::from_millis(50);

/// Why a commit did not happen.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It contradicts the record; the recorder goes on.
    Contradiction(RecordError),
    /// The file cannot be written; nothing more is recorded.
    Broken(RecordError),
}

/// The writer of a session.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: Connection,
    path: PathBuf,
    /// Device and number of the file as it was opened.
    inode: Option<(u64, u64)>,
    id: SessionId,
    pub(crate) run: RunId,
    pub(crate) ledger: Ledger,
    outputs: Outputs,
    drafts: Vec<Draft>,
    encoder: Encoder,
    /// Without a WAL, only FULL is safe.
    uses_wal: bool,
    /// The synchronous mode the connection is in; `None` before it is first set.
    is_full: Option<bool>,
    /// The file is new and has never been synced.
    is_unsynced: bool,
    /// When the events of the next commit happened in the session they are copied from; empty when
    /// they are this session's own.
    pub(crate) copied_ns: Vec<i64>,
}

/// What happens to the draft table next, in order.
#[derive(Debug)]
enum Draft {
    Piece(Piece),
    Void(u32),
}

/// What recovery does beside its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leftovers {
    /// They belong to a running session.
    Keep,
    /// Executions that run are lost, drafts are done with.
    Close,
}

/// What file a path leads to.
fn inode(path: &Path) -> Option<(u64, u64)> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

impl Writer {
    /// A writer for a connection that has the session's lock.
    pub(crate) fn new(
        connection: Connection,
        path: PathBuf,
        id: SessionId,
        ledger: Ledger,
    ) -> Result<Self, RecordError> {
        let uses_wal =
            uses_wal(&connection).map_err(|error| RecordError::sqlite("open", &path, &error))?;
        Ok(Self {
            connection,
            inode: inode(&path),
            path,
            id,
            run: RunId::new(),
            ledger,
            outputs: Outputs::default(),
            drafts: Vec::new(),
            encoder: Encoder::new(),
            uses_wal,
            is_full: None,
            is_unsynced: true,
            copied_ns: Vec::new(),
        })
    }

    fn broken(&self, error: &rusqlite::Error) -> RecordError {
        RecordError::sqlite("record in", &self.path, error).while_recording(self.id)
    }

    /// Runs work in a transaction: all of it or nothing.
    fn transaction<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let full = durability == Durability::Durable || !self.uses_wal;
        if self.is_full != Some(full) {
            let mode = if full { "FULL" } else { "NORMAL" };
            self.connection.pragma_update(None, "synchronous", mode)?;
            self.is_full = Some(full);
        }
        if durability == Durability::Durable && self.uses_wal && self.is_unsynced {
            // What this transaction adds to has to be there after a power cut, too.
            sync_new_file(&self.connection, self.path.parent().unwrap_or(&self.path))?;
            self.is_unsynced = false;
        }
        self.execute("BEGIN IMMEDIATE")?;
        let result = work(self).and_then(|value| self.execute("COMMIT").map(|()| value));
        if result.is_err() {
            // SQLite may have rolled back already; the first error is the one that counts.
            let _ = self.execute("ROLLBACK");
        }
        result
    }

    /// That the file is still where it can be found again: one that was deleted or replaced takes
    /// every commit, and keeps none.
    fn check_still_there(&self) -> Result<(), Refusal> {
        if self.inode.is_none() || inode(&self.path) == self.inode {
            return Ok(());
        }
        Err(Refusal::Broken(RecordError::Storage {
            doing: "record in",
            path: self.path.clone(),
            problem: "the file was deleted or replaced while it was written".to_owned(),
            hint: "Nothing that happens from here on would be kept: begin a new session."
                .to_owned(),
        }))
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    /// Takes a piece of a reply; it is written by the next flush or commit.
    pub(crate) fn draft(&mut self, piece: Piece) {
        self.drafts.push(Draft::Piece(piece));
    }

    /// The pieces of a request so far are void.
    pub(crate) fn void(&mut self, request: u32) {
        self.drafts
            .retain(|draft| !matches!(draft, Draft::Piece(piece) if piece.request == request));
        self.drafts.push(Draft::Void(request));
    }

    /// Takes output; written by the next flush or commit, or at once when much has gathered.
    pub(crate) fn output(&mut self, exec: u32, chunk: &OutputChunk) -> Result<(), RecordError> {
        if !self.outputs.knows(exec, chunk.direction) {
            let (idx, offset) =
                self.parts_on_record(exec, chunk.direction).map_err(|error| self.broken(&error))?;
            self.outputs.begin(exec, chunk.direction, idx, offset);
        }
        self.outputs.push(exec, chunk);
        if self.outputs.sealed_bytes() >= SEALED_BYTES_MAX {
            return self.flush();
        }
        Ok(())
    }

    /// Writes the drafts and the output that have gathered.
    pub(crate) fn flush(&mut self) -> Result<(), RecordError> {
        if self.drafts.is_empty() && self.outputs.is_clean() {
            return Ok(());
        }
        self.transaction(Durability::Relaxed, Self::write_gathered)
            .map_err(|error| self.broken(&error))
    }

    /// One transaction: what has gathered, then the events, then the rows.
    pub(crate) fn commit(
        &mut self,
        stamp: Stamp,
        write: &Write,
        durability: Durability,
        leftovers: Leftovers,
    ) -> Result<Vec<Recorded<Event>>, Refusal> {
        self.check_still_there()?;
        let change = self.ledger.admit(write).map_err(|problem| {
            Refusal::Contradiction(RecordError::Refused { id: self.id, problem })
        })?;
        let links = self.chain(stamp, &write.events).map_err(|problem| {
            Refusal::Contradiction(RecordError::Refused { id: self.id, problem })
        })?;
        let nothing = write.events.is_empty() && write.rows.is_empty();
        self.transaction(durability, |writer| {
            writer.write_gathered()?;
            for blob in &write.blobs {
                writer.put_blob(blob.bytes())?;
            }
            for link in &links {
                writer.insert_event(link)?;
            }
            for row in &write.rows {
                writer.insert_row(stamp, row)?;
            }
            if leftovers == Leftovers::Close {
                writer.insert_run(stamp, env!("CARGO_PKG_VERSION"))?;
                writer
                    .execute("UPDATE tool_exec SET lost = 1 WHERE t_end_ns IS NULL AND lost = 0")?;
                writer.execute("DELETE FROM draft")?;
            }
            if nothing && durability == Durability::Durable {
                // A transaction that writes no row syncs nothing.
                writer
                    .connection
                    .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('synced_ns', ?)")?
                    .execute([stamp.wall_ns.to_string()])?;
            }
            Ok(())
        })
        .map_err(|error| Refusal::Broken(self.broken(&error)))?;
        let mut events = Vec::with_capacity(links.len());
        if let Some(last) = links.last() {
            self.ledger.head = last.hash;
            self.ledger.last_id = Some(last.event.id);
            self.ledger.next_seq = last.event.seq + 1;
        }
        events.extend(links.into_iter().map(|link| link.event));
        self.ledger.settle(change, &events);
        for row in &write.rows {
            if let Row::ExecFinished(row) = row {
                self.outputs.forget(row.exec);
            }
        }
        Ok(events.into_iter().map(acknowledged).collect())
    }

    fn write_gathered(&mut self) -> rusqlite::Result<()> {
        for draft in std::mem::take(&mut self.drafts) {
            match draft {
                Draft::Piece(piece) => self.insert_draft(&piece)?,
                Draft::Void(request) => self.delete_drafts(request)?,
            }
        }
        for part in self.outputs.take() {
            self.insert_part(&part)?;
        }
        Ok(())
    }

    fn insert_draft(&self, piece: &Piece) -> rusqlite::Result<()> {
        let (kind, field, call_index) = match piece.kind {
            PieceKind::Reasoning(field) => ("reasoning", Some(field.as_str()), None),
            PieceKind::Text => ("text", None, None),
            PieceKind::ToolCall(index) => ("tool_call", None, Some(index)),
        };
        self.connection
            .prepare_cached(
                "INSERT INTO draft (request, kind, field, call_index, name, text) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![piece.request, kind, field, call_index, piece.name, piece.text])
            .map(|_| ())
    }

    fn delete_drafts(&self, request: u32) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("DELETE FROM draft WHERE request = ?")?
            .execute([request])
            .map(|_| ())
    }

    /// The events with their places, times, ids and hashes.
    fn chain(&self, stamp: Stamp, events: &[NewEvent]) -> Result<Vec<Chained>, String> {
        let mut parent = self.ledger.last_id;
        let mut prev_hash = self.ledger.head;
        let mut chained = Vec::with_capacity(events.len());
        for (index, (seq, new)) in (self.ledger.next_seq..).zip(events).enumerate() {
            let copied_ns = self.copied_ns.get(index).copied();
            let body_json =
                serde_json::to_string(&new.body).map_err(|error| format!("{error}."))?;
            let mut nonce = [0; 16];
            getrandom::fill(&mut nonce).map_err(|error| format!("no randomness: {error}."))?;
            let event = Event {
                id: EventId::new(),
                seq,
                parent,
                run: self.run,
                round: new.round,
                source: new.source,
                wall_ns: copied_ns.unwrap_or(stamp.wall_ns),
                mono_ns: stamp.mono_ns,
                copied: copied_ns.is_some(),
                body: new.body.clone(),
            };
            let commitment = chain::commitment(&nonce, body_json.as_bytes());
            let link = Chained::new(event, body_json, nonce, commitment, prev_hash);
            parent = Some(link.event.id);
            prev_hash = link.hash;
            chained.push(link);
        }
        Ok(chained)
    }

    fn insert_event(&self, link: &Chained) -> rusqlite::Result<()> {
        let event = &link.event;
        self.connection
            .prepare_cached(
                "INSERT INTO event (seq, id, parent_id, run_id, round, kind, source, wall_ns, \
                 mono_ns, body, nonce, commitment, copied, prev_hash, hash) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                sql_integer(event.seq),
                event.id.as_bytes(),
                event.parent.as_ref().map(EventId::as_bytes),
                event.run.as_bytes(),
                event.round,
                event.body.kind(),
                event.source.as_str(),
                event.wall_ns,
                sql_integer(event.mono_ns),
                link.body_json,
                link.nonce,
                link.commitment,
                event.copied,
                link.prev_hash,
                link.hash,
            ])
            .map(|_| ())
    }

    fn insert_row(&mut self, stamp: Stamp, row: &Row) -> rusqlite::Result<()> {
        match row {
            Row::RequestStarted(row) => self.insert_request(stamp, row),
            Row::RequestFinished(row) => self.finish_request(row),
            Row::ExecStarted(row) => self.insert_exec(stamp, row),
            Row::ExecFinished(row) => self.finish_exec(stamp, row),
            Row::ExecTrees(row) => self.set_trees(row),
            Row::ExecResized(row) => self.add_size(row),
        }
    }

    /// Stores bytes once, under their hash.
    fn put_blob(&mut self, bytes: &[u8]) -> rusqlite::Result<Hash> {
        let hash = Hash::of(bytes);
        let known = self
            .connection
            .prepare_cached("SELECT 1 FROM blob WHERE hash = ?")?
            .exists([hash.as_bytes()])?;
        if !known {
            let packed = self.encoder.encode(bytes);
            self.connection
                .prepare_cached(
                    "INSERT INTO blob (hash, codec, raw_len, data) VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    hash.as_bytes(),
                    packed.codec.as_number(),
                    sql_integer(packed.raw_len),
                    packed.data,
                ])?;
        }
        Ok(hash)
    }

    /// Writes the WAL back into the file and closes it.
    pub(crate) fn close(mut self) -> Result<(), RecordError> {
        self.flush()?;
        let tidy = || -> rusqlite::Result<()> {
            if self.uses_wal {
                // The checkpoint syncs what matters.
                self.connection.pragma_update(None, "synchronous", "NORMAL")?;
            }
            self.connection.execute_batch("PRAGMA incremental_vacuum;")?;
            if self.uses_wal {
                // A reader may keep the WAL in use; then the next one to close does this, and nobody
                // waits for it here.
                self.connection.busy_timeout(CLOSE_PATIENCE)?;
                self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            }
            Ok(())
        };
        tidy().map_err(|error| self.broken(&error))?;
        let Self { connection, path, id, .. } = self;
        connection
            .close()
            .map_err(|(_, error)| RecordError::sqlite("close", &path, &error).while_recording(id))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// An event on its way into its row.
#[derive(Debug)]
struct Chained {
    event: Event,
    body_json: String,
    nonce: [u8; 16],
    commitment: Digest,
    prev_hash: Digest,
    hash: Digest,
}

impl Chained {
    fn new(
        event: Event,
        body_json: String,
        nonce: [u8; 16],
        commitment: Digest,
        prev_hash: Digest,
    ) -> Self {
        let link = Link {
            prev_hash,
            id: event.id,
            seq: event.seq,
            parent: event.parent,
            run: event.run,
            round: event.round,
            kind: event.body.kind(),
            source: event.source.as_str(),
            wall_ns: event.wall_ns,
            mono_ns: event.mono_ns,
            copied: event.copied,
            commitment,
        };
        let hash = link.hash();
        Self { event, body_json, nonce, commitment, prev_hash, hash }
    }
}

/// The proof that an event is on record.
#[allow(clippy::disallowed_methods, reason = "this is the recorder")]
pub(crate) const fn acknowledged(event: Event) -> Recorded<Event> {
    Recorded::acknowledged(event)
}

/// SQLite's integers are signed; none of our counts comes near the limit.
pub(crate) fn sql_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
