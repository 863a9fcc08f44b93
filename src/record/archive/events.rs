//! Events, read back.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use trajectory::{Body, Event, EventId, Recorded, RunId, Source};

use super::{Archive, bytes, count, id, optional_id, unreadable};
use crate::chain::Digest;
use crate::error::RecordError;
use crate::writer::{acknowledged, sql_integer};

/// An event as it is stored, of a known kind or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventRow {
    /// Its place.
    pub(crate) seq: u64,
    /// Its name.
    pub(crate) id: EventId,
    /// The event it follows.
    pub(crate) parent: Option<EventId>,
    /// The process that recorded it.
    pub(crate) run: RunId,
    /// Its round.
    pub(crate) round: u32,
    /// Its kind's name.
    pub(crate) kind: String,
    /// Its source's name.
    pub(crate) source: String,
    /// Wall clock, nanoseconds since the Unix epoch.
    pub(crate) wall_ns: i64,
    /// Monotonic clock, nanoseconds since the run began.
    pub(crate) mono_ns: u64,
    /// Its body's exact JSON; `None` once redacted.
    pub(crate) body: Option<String>,
    /// The nonce of its commitment; `None` once redacted.
    pub(crate) nonce: Option<Vec<u8>>,
    /// The commitment to its body.
    pub(crate) commitment: Digest,
    /// Whether it was copied from another session.
    pub(crate) copied: bool,
    /// The hash before it.
    pub(crate) prev_hash: Digest,
    /// Its hash.
    pub(crate) hash: Digest,
}

impl EventRow {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: count(row, "seq")?,
            id: id(row, "id", EventId::from_uuid)?,
            parent: optional_id(row, "parent_id", EventId::from_uuid)?,
            run: id(row, "run_id", RunId::from_uuid)?,
            round: row.get("round")?,
            kind: row.get("kind")?,
            source: row.get("source")?,
            wall_ns: row.get("wall_ns")?,
            mono_ns: count(row, "mono_ns")?,
            body: row.get("body")?,
            nonce: row.get("nonce")?,
            commitment: bytes(row, "commitment")?,
            copied: row.get("copied")?,
            prev_hash: bytes(row, "prev_hash")?,
            hash: bytes(row, "hash")?,
        })
    }

    /// The event; `None` when its body was redacted, or its kind or source is of a newer limn.
    ///
    /// # Errors
    /// When the body is not what its kind calls for.
    pub(crate) fn decode(&self) -> Result<Option<Event>, serde_json::Error> {
        let (Some(body), Some(source)) = (&self.body, Source::parse(&self.source)) else {
            return Ok(None);
        };
        Ok(Body::decode(&self.kind, body.as_bytes())?.map(|body| Event {
            id: self.id,
            seq: self.seq,
            parent: self.parent,
            run: self.run,
            round: self.round,
            source,
            wall_ns: self.wall_ns,
            mono_ns: self.mono_ns,
            copied: self.copied,
            body,
        }))
    }
}

impl Archive {
    /// All events that this version knows, in order.
    ///
    /// # Errors
    /// When the file cannot be read, or a body is damaged.
    pub fn events(&self) -> Result<Vec<Recorded<Event>>, RecordError> {
        self.events_from(0)
    }

    /// One event by its number; `None` when there is none, or this version does not know its kind.
    ///
    /// # Errors
    /// When the file cannot be read, or the body is damaged.
    pub fn event(&self, seq: u64) -> Result<Option<Recorded<Event>>, RecordError> {
        let row = self
            .connection
            .prepare_cached("SELECT * FROM event WHERE seq = ?")
            .and_then(|mut it| it.query_row([sql_integer(seq)], EventRow::read).optional())
            .map_err(self.failed())?;
        let event = row.map(|row| row.decode()).transpose().map_err(|error| {
            RecordError::damaged(&self.path, "a limn session", format!("event {seq}: {error}"))
        })?;
        Ok(event.flatten().map(acknowledged))
    }

    /// The events from a place on: how a follower keeps up with a live session.
    ///
    /// # Errors
    /// When the file cannot be read, or a body is damaged.
    pub fn events_from(&self, seq: u64) -> Result<Vec<Recorded<Event>>, RecordError> {
        read_events(&self.connection, &self.path, seq)
    }

    /// What the user wrote here, prompts and commands of their own, at most so many, the newest first.
    /// What was copied from another session is not among it.
    ///
    /// # Errors
    /// When the file cannot be read, or a body is damaged.
    pub fn wrote(&self, count_max: usize) -> Result<Vec<Recorded<Event>>, RecordError> {
        const WROTE: &str = "SELECT * FROM event WHERE kind IN ('prompt', 'user_command') \
                             AND NOT copied ORDER BY seq DESC LIMIT ?";
        let read = |statement: &mut rusqlite::CachedStatement<'_>| {
            let rows = statement.query_map([sql_integer(count_max as u64)], EventRow::read)?;
            rows.collect::<rusqlite::Result<Vec<EventRow>>>()
        };
        let rows = self.connection.prepare_cached(WROTE).and_then(|mut it| read(&mut it));
        let events = rows.map_err(self.failed())?.into_iter().map(|row| row.decode());
        let events: Result<Vec<Option<Event>>, _> = events.collect();
        let events = events.map_err(|error| {
            RecordError::damaged(&self.path, "a limn session", format!("an event: {error}"))
        })?;
        Ok(events.into_iter().flatten().map(acknowledged).collect())
    }
}

/// Hands over every event row from a place on, in order.
pub(crate) fn each_event(
    connection: &Connection,
    from_seq: u64,
    mut take: impl FnMut(EventRow) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM event WHERE seq >= ? ORDER BY seq")?;
    let mut rows = statement.query([sql_integer(from_seq)])?;
    while let Some(row) = rows.next()? {
        take(EventRow::read(row)?)?;
    }
    Ok(())
}

/// The events of known kinds from a place on, decoded.
pub(crate) fn read_events(
    connection: &Connection,
    path: &Path,
    from_seq: u64,
) -> Result<Vec<Recorded<Event>>, RecordError> {
    let mut events = Vec::new();
    let mut damage = None;
    each_event(connection, from_seq, |row| {
        match row.decode() {
            Ok(event) => events.extend(event.map(acknowledged)),
            Err(error) => {
                damage.get_or_insert(format!("event {} ({}): {error}", row.seq, row.kind));
            }
        }
        Ok(())
    })
    .map_err(|error| unreadable(path, &error))?;
    match damage {
        Some(problem) => Err(RecordError::damaged(path, "a limn session", problem)),
        None => Ok(events),
    }
}

/// The newest event row.
pub(crate) fn last_event(connection: &Connection) -> rusqlite::Result<Option<EventRow>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM event ORDER BY seq DESC LIMIT 1")?;
    let mut rows = statement.query([])?;
    rows.next()?.map(EventRow::read).transpose()
}
