//! The session's row and its events: identity, order, time, hashes, calls and their results.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension};
use trajectory::event::OutputRef;
use trajectory::{Body, EventId, RunId};

use super::Problems;
use crate::archive::events::each_event;
use crate::archive::{Archive, EventRow};
use crate::chain::{self, Digest, Link};
use crate::error::RecordError;
use crate::writer::environment_hash;

/// What the events say that the other tables have to agree with.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// How many events there are.
    pub(super) events: u64,
    /// What executions printed, as their observations say.
    pub(super) outputs: BTreeMap<u32, OutputRef>,
}

/// The walk over the events.
struct Walk<'a> {
    problems: &'a mut Problems,
    facts: Facts,
    prev_hash: Digest,
    seen: HashSet<EventId>,
    runs: HashSet<RunId>,
    clocks: HashMap<RunId, u64>,
    /// Calls, and whether they have their result.
    calls: BTreeMap<u32, bool>,
    /// Bodies that cannot be read here: calls cannot be paired with certainty.
    has_unread: bool,
}

/// Checks the session's row and all events.
pub(super) fn check(
    archive: &Archive,
    connection: &Connection,
    problems: &mut Problems,
) -> rusqlite::Result<Facts> {
    let genesis = check_session(archive, connection, problems)?;
    let mut walk = Walk {
        problems,
        facts: Facts::default(),
        prev_hash: genesis,
        seen: HashSet::new(),
        runs: runs(connection)?,
        clocks: HashMap::new(),
        calls: BTreeMap::new(),
        has_unread: false,
    };
    each_event(connection, 0, |row| {
        walk.row(&row);
        Ok(())
    })?;
    Ok(walk.facts)
}

/// The row of the session and what it refers to; what the first event follows.
fn check_session(
    archive: &Archive,
    connection: &Connection,
    problems: &mut Problems,
) -> rusqlite::Result<Digest> {
    let sessions: i64 =
        connection.query_row("SELECT count(*) FROM session", [], |row| row.get(0))?;
    problems.check(sessions == 1, "session", format!("there are {sessions} of them"));
    match archive.session() {
        Ok(session) => {
            let stored: Option<Digest> = connection
                .query_row("SELECT environment FROM session", [], |row| row.get(0))
                .optional()?;
            let computed = environment_hash(&session.environment)?;
            let same = stored.as_ref() == Some(computed.as_bytes());
            problems.check(same, "environment", "it does not match its hash");
        }
        Err(error) => problems.add("session", error),
    }
    match super::super::genesis(connection, archive.path()) {
        Ok(genesis) => Ok(genesis),
        Err(RecordError::Damaged { problem, .. }) => Err(super::super::requests::damaged(problem)),
        Err(error) => Err(super::super::requests::damaged(error.to_string())),
    }
}

fn runs(connection: &Connection) -> rusqlite::Result<HashSet<RunId>> {
    let mut statement = connection.prepare("SELECT id FROM run")?;
    let runs = statement.query_map([], |row| super::super::id(row, "id", RunId::from_uuid))?;
    runs.collect()
}

impl Walk<'_> {
    fn row(&mut self, row: &EventRow) {
        let place = format!("event {}", row.seq);
        let expected = self.facts.events;
        let in_place = row.seq == expected;
        self.problems.check(in_place, &place, format!("it should be event {expected}"));
        self.facts.events += 1;
        match &row.parent {
            None => self.problems.check(expected == 0, &place, "it follows nothing"),
            Some(parent) => {
                let known = self.seen.contains(parent);
                self.problems.check(known, &place, "it follows an event that is not before it");
            }
        }
        self.seen.insert(row.id);
        self.problems.check(self.runs.contains(&row.run), &place, "its run is not on record");
        let clock = self.clocks.entry(row.run).or_insert(0);
        let went_back = row.mono_ns < *clock;
        *clock = row.mono_ns;
        self.problems.check(!went_back, &place, "its monotonic clock goes back");
        self.hashes(row, &place);
        self.body(row, &place);
    }

    fn hashes(&mut self, row: &EventRow, place: &str) {
        self.problems.check(row.prev_hash == self.prev_hash, place, "the hash chain is broken");
        let link = Link {
            prev_hash: row.prev_hash,
            id: row.id,
            seq: row.seq,
            parent: row.parent,
            run: row.run,
            round: row.round,
            kind: &row.kind,
            source: &row.source,
            wall_ns: row.wall_ns,
            mono_ns: row.mono_ns,
            copied: row.copied,
            commitment: row.commitment,
        };
        self.problems.check(link.hash() == row.hash, place, "it does not match its hash");
        self.prev_hash = row.hash;
        match (&row.nonce, &row.body) {
            (Some(nonce), Some(body)) => {
                let holds = chain::commitment(nonce, body.as_bytes()) == row.commitment;
                self.problems.check(holds, place, "its body does not match its commitment");
            }
            (None, None) => {}
            _ => self.problems.add(place, "body and nonce are redacted only together"),
        }
    }

    fn body(&mut self, row: &EventRow, place: &str) {
        match row.decode() {
            Ok(Some(event)) => {
                self.event(&event.body, place);
                // What was printed before a fork is in the original.
                if !event.copied {
                    self.output(&event.body);
                }
            }
            // Redacted, or from a source that a newer limn knows.
            Ok(None) => {
                self.has_unread |= row.body.is_none() || Body::KINDS.contains(&row.kind.as_str());
            }
            Err(error) => {
                let kind = &row.kind;
                self.problems.add(place, format!("its body is not that of {kind:?}: {error}"));
            }
        }
    }

    fn event(&mut self, body: &Body, place: &str) {
        match body {
            Body::ToolCall(call) => {
                let new = self.calls.insert(call.call, false).is_none();
                self.problems.check(new, place, format!("call {} is made twice", call.call));
            }
            Body::ToolStarted(started) => {
                let waits = self.has_unread || self.calls.get(&started.call) == Some(&false);
                let call = started.call;
                self.problems.check(waits, place, format!("call {call} starts but is not open"));
            }
            Body::Observation(observation) => {
                let call = observation.call;
                let answered = self.calls.insert(call, true);
                let once = answered == Some(false) || (answered.is_none() && self.has_unread);
                let problem = match answered {
                    Some(_) => format!("call {call} has two results"),
                    None => format!("call {call} has a result but was never made"),
                };
                self.problems.check(once, place, problem);
            }
            Body::RoundEnded(_) if !self.has_unread => {
                let open = self.calls.values().filter(|answered| !**answered).count();
                let problem = format!("the round ends while {open} calls have no result");
                self.problems.check(open == 0, place, problem);
            }
            _ => {}
        }
    }

    fn output(&mut self, body: &Body) {
        let (exec, output) = match body {
            Body::Observation(observation) => (observation.exec, &observation.output),
            Body::BackgroundExit(exit) => (Some(exit.exec), &exit.output),
            _ => return,
        };
        if let (Some(exec), Some(output)) = (exec, output) {
            self.facts.outputs.insert(exec, output.clone());
        }
    }
}
