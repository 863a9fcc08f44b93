//! A session that goes on from another one.
//!
//! A fork is a recording of its own. It begins with the events of the other up to a point, marked as
//! copied: they are context, and nothing of them is trained again. What was sent, received and
//! printed then is in the original; of that a fork keeps only after which event each request was
//! sent, so that its context is what it was, byte for byte.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use trajectory::event::{Ended, Interruption, InterruptionCause, RoundEnded, SessionEnded};
use trajectory::{Body, Event, Recorded, RequestPoint, SessionId, Source, Usage};

use crate::archive::{Archive, genesis};
use crate::connection::{SESSION_FORMAT, open_to_write};
use crate::error::RecordError;
use crate::home::Home;
use crate::ledger::Ledger;
use crate::library::Library;
use crate::queue::Stamp;
use crate::rows::{Blob, Durability, NewEvent, SessionStart, Write};
use crate::writer::{Leftovers, Refusal, Writer};

/// Where a fork's configuration keeps when the requests before it were sent.
const POINTS: &str = "copied_requests";

/// Begins a session that shares the events of another one up to `at`, or all of them. What is in the
/// middle of something there is not: a point within a round ends it, and one at which a call has no
/// result yet is refused.
///
/// # Errors
/// When the other cannot be read, there is no such event, or the new one cannot be written.
pub fn fork(home: &Home, from: SessionId, at: Option<u64>) -> Result<SessionId, RecordError> {
    let archive = Archive::open(home, from)?;
    let mut events: Vec<Event> = archive.events()?.into_iter().map(Recorded::into_inner).collect();
    if let Some(at) = at {
        events.retain(|event| event.seq <= at);
    }
    let last = events.last().filter(|last| at.is_none_or(|at| last.seq == at));
    let refused = |problem: String| RecordError::Refused { id: from, problem };
    let Some(last) = last else {
        return Err(refused(format!("there is no event {}.", at.unwrap_or_default())));
    };
    let shared = (from, last.id);
    // Rewinds and summaries name events by their places, so the places have to stay.
    if events.iter().zip(0..).any(|(event, seq)| event.seq != seq) {
        return Err(refused(
            "some of its events were redacted, or are of a newer limn. Go on with the original \
             instead."
                .to_owned(),
        ));
    }
    if let Some(call) = open_calls(&events).first() {
        return Err(refused(format!(
            "call {call} has no result yet at that point. Fork after it, or before it was made."
        )));
    }
    let id = SessionId::new();
    let row = archive.session()?;
    let points = points_before(&archive.request_points()?, &events);
    let config = with_points(row.config, &points);
    let start = SessionStart {
        id,
        query: row.query,
        environment: row.environment,
        app_version: env!("CARGO_PKG_VERSION").to_owned(),
        config,
        annotator: row.annotator,
        private: row.private,
        parent: Some(shared),
    };
    keep_consent(home, from, id)?;
    write(home, start, &archive, &events)?;
    Ok(id)
}

/// Where the original may go, its copied events may, and nowhere else.
fn keep_consent(home: &Home, from: SessionId, id: SessionId) -> Result<(), RecordError> {
    let library = Library::open(home)?;
    let Some(said) = library.answer(from, "consent")? else { return Ok(()) };
    library.annotate(id, "consent", &said.value, &said.source, said.annotator.as_deref())
}

fn open_calls(events: &[Event]) -> BTreeSet<u32> {
    let mut open = BTreeSet::new();
    for event in events {
        match &event.body {
            Body::ToolCall(call) => drop(open.insert(call.call)),
            Body::Observation(seen) => drop(open.remove(&seen.call)),
            _ => {}
        }
    }
    open
}

fn write(
    home: &Home,
    start: SessionStart,
    archive: &Archive,
    events: &[Event],
) -> Result<(), RecordError> {
    let _lock = home.lock(start.id)?;
    let path = home.session_file(start.id);
    let stamp = Stamp::now(Instant::now());
    let connection = open_to_write(&path, SESSION_FORMAT)?;
    let mut writer = Writer::new(connection, path.clone(), start.id, Ledger::default())?;
    writer.begin(stamp, home.device(), &start)?;
    writer.ledger.head = genesis(writer.connection(), &path)?;
    let copied = Write {
        events: events.iter().map(copy).collect(),
        blobs: attachments(archive, events)?,
        ..Write::default()
    };
    let own = Write { events: ends(events), ..Write::default() };
    let admitted = |result: Result<Vec<Recorded<Event>>, Refusal>| match result {
        Ok(_) => Ok(()),
        Err(Refusal::Contradiction(error) | Refusal::Broken(error)) => Err(error),
    };
    writer.copied_ns = events.iter().map(|event| event.wall_ns).collect();
    admitted(writer.commit(stamp, &copied, Durability::Relaxed, Leftovers::Keep))?;
    writer.copied_ns.clear();
    admitted(writer.commit(stamp, &own, Durability::Durable, Leftovers::Keep))?;
    writer.close()
}

fn copy(event: &Event) -> NewEvent {
    NewEvent { round: event.round, source: event.source, body: event.body.clone() }
}

/// What ends the copied part in order.
fn ends(events: &[Event]) -> Vec<NewEvent> {
    let round = events.iter().map(|event| event.round).max().unwrap_or(0);
    let is_open = events.iter().rev().find_map(|event| match &event.body {
        Body::Prompt(_) => Some(true),
        Body::RoundEnded(_) => Some(false),
        _ => None,
    });
    let mut bodies: Vec<Body> = Vec::new();
    let mut ended = events.iter().rev().find_map(|event| match &event.body {
        Body::RoundEnded(round) => Some(round.ended),
        _ => None,
    });
    if is_open == Some(true) {
        let (cause, usage) = (InterruptionCause::User, Usage::default());
        bodies.push(Interruption { cause }.into());
        bodies.push(RoundEnded { ended: Ended::Interrupted, usage }.into());
        ended = Some(Ended::Interrupted);
    }
    bodies.push(SessionEnded { ended: ended.unwrap_or(Ended::Completed) }.into());
    let event = |body: Body| NewEvent { round, source: Source::Harness, body };
    bodies.into_iter().map(event).collect()
}

/// The bytes that the copied events name.
fn attachments(archive: &Archive, events: &[Event]) -> Result<Vec<Blob>, RecordError> {
    let named: BTreeSet<&str> = events
        .iter()
        .flat_map(|event| event.body.attachments())
        .map(|attachment| attachment.blake3.as_str())
        .collect();
    let mut blobs = Vec::new();
    for blake3 in named {
        // What was redacted there is not here either.
        blobs.extend(archive.attachment(blake3)?.map(Blob::new));
    }
    Ok(blobs)
}

/// The requests that the shared events tell of. One that left no event changed nothing either, and
/// its number is free: the fork goes on from the numbers in its events.
fn points_before(points: &[RequestPoint], events: &[Event]) -> Vec<RequestPoint> {
    let head = events.last().map_or(0, |last| last.seq);
    let numbers = events.iter().filter_map(|event| match &event.body {
        Body::Reasoning(part) => Some(part.request),
        Body::Message(part) => Some(part.request),
        Body::ToolCall(call) => Some(call.request),
        Body::Compaction(compaction) => compaction.request,
        Body::Error(error) => error.request,
        _ => None,
    });
    let last = numbers.max().unwrap_or(0);
    let is_before = |point: &&RequestPoint| point.head_seq < head && point.request <= last;
    points.iter().filter(is_before).copied().collect()
}

fn with_points(config: Value, points: &[RequestPoint]) -> Value {
    let points: Vec<Value> =
        points.iter().map(|point| json!([point.request, point.head_seq])).collect();
    match config {
        Value::Object(mut fields) => {
            fields.insert(POINTS.to_owned(), points.into());
            Value::Object(fields)
        }
        other => json!({ "config": other, POINTS: points }),
    }
}

/// When the requests before a fork were sent, from its configuration; nothing in a session that is
/// none.
pub(crate) fn points(config: &Value) -> Vec<RequestPoint> {
    let point = |point: &Value| {
        let request = u32::try_from(point.get(0)?.as_u64()?).ok()?;
        Some(RequestPoint { request, head_seq: point.get(1)?.as_u64()? })
    };
    let points = config.get(POINTS).and_then(Value::as_array);
    points.map(|points| points.iter().filter_map(point).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
