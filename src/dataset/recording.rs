//! A recording as an export reads it: up to the event that a dataset version names, checked, and
//! cut into samples.

use record::{Archive, Home};
use trajectory::{
    Event, EventId, MessageDigest, Recorded, RequestPoint, Sample, SessionId, Transcript, samples,
};

use crate::error::DatasetError;
use crate::facts::Facts;
use crate::select::Chosen;

/// A session that is exported.
pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) archive: Archive,
    pub(crate) events: Vec<Event>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) facts: Facts,
}

impl Recording {
    pub(crate) fn open(home: &Home, chosen: &Chosen) -> Result<Self, DatasetError> {
        let archive = Archive::open(home, chosen.id)?;
        let mut events: Vec<Event> =
            archive.events()?.into_iter().map(Recorded::into_inner).collect();
        if let Some(head) = chosen.head {
            let place = events.iter().position(|event| event.id == head);
            events.truncate(place.ok_or_else(|| gone(chosen.id, head))? + 1);
        }
        // What was asked later is of a later version.
        let last = events.last().map_or(0, |event| event.seq);
        let points = archive.request_points()?;
        let points: Vec<RequestPoint> =
            points.into_iter().filter(|point| point.head_seq <= last).collect();
        check_contexts(chosen.id, &archive, &events, last)?;
        let samples = samples(&events, &points);
        let facts = Facts::of(chosen.id, &archive, &events, &chosen.said)?;
        Ok(Self { name: chosen.id.to_string(), archive, events, samples, facts })
    }

    /// A recording for a bundle, which takes it as it is: nothing is cut or checked here.
    pub(crate) fn open_whole(home: &Home, chosen: &Chosen) -> Result<Self, DatasetError> {
        let archive = Archive::open(home, chosen.id)?;
        let events: Vec<Event> = archive.events()?.into_iter().map(Recorded::into_inner).collect();
        if let Some(head) = chosen.head.filter(|head| events.last().map(|it| it.id) != Some(*head))
        {
            let session = chosen.id.to_string();
            let went_on = events.iter().any(|event| event.id == head);
            return Err(if went_on {
                DatasetError::WentOn { session }
            } else {
                gone(chosen.id, head)
            });
        }
        let facts = Facts::of(chosen.id, &archive, &events, &chosen.said)?;
        Ok(Self { name: chosen.id.to_string(), archive, events, samples: Vec::new(), facts })
    }

    /// When it began: seconds since the Unix epoch.
    pub(crate) fn began_s(&self) -> i64 {
        self.events.first().map_or(0, |event| event.wall_ns / 1_000_000_000)
    }
}

fn gone(session: SessionId, head: EventId) -> DatasetError {
    DatasetError::HeadGone { session: session.to_string(), head: head.to_string() }
}

/// Every request on record is what the fold over its events gives: what is exported is what was
/// sent.
fn check_contexts(
    id: SessionId,
    archive: &Archive,
    events: &[Event],
    last: u64,
) -> Result<(), DatasetError> {
    let mut transcript = Transcript::default();
    let mut events = events.iter().peekable();
    let (mut digest, mut hashed, mut revision) = (MessageDigest::default(), 0, 0);
    for point in archive.copied_points()? {
        while let Some(event) = events.next_if(|event| event.seq <= point.head_seq) {
            transcript.apply(event);
        }
        transcript.asked();
    }
    for request in archive.requests()?.into_iter().filter(|request| request.head_seq <= last) {
        while let Some(event) = events.next_if(|event| event.seq <= request.head_seq) {
            transcript.apply(event);
        }
        transcript.asked();
        if transcript.revision() != revision {
            (digest, hashed, revision) = (MessageDigest::default(), 0, transcript.revision());
        }
        // What was sent may have the form of a provider; older recordings know none but this one.
        let recorded = request.context_digest.as_ref().unwrap_or(&request.messages_digest);
        let turns = transcript.turns();
        for turn in turns.iter().skip(hashed).filter(|turn| turn.message.is_sendable()) {
            digest.push(&turn.message.to_json());
        }
        hashed = turns.len();
        if digest.finish() != *recorded {
            let session = id.to_string();
            return Err(DatasetError::ContextMismatch { session, request: request.request });
        }
    }
    Ok(())
}
