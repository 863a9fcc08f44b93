//! The hash chain over the events of a session.
//!
//! An event's commitment is BLAKE3 over its nonce and body; its hash is BLAKE3 over the hash
//! before it, its header and its commitment. A redaction drops nonce and body: nobody can guess
//! the body from the commitment, and the chain still verifies. The first event follows the hash of
//! the session's row.

use trajectory::{DeviceId, EventId, QueryId, RunId, SessionId};

const SESSION_DOMAIN: &[u8] = b"limn session 1\0";
const EVENT_DOMAIN: &[u8] = b"limn event 1\0";

/// 32 bytes of BLAKE3.
pub(crate) type Digest = [u8; 32];

/// What a body and its nonce are kept as in the chain.
pub(crate) fn commitment(nonce: &[u8], body: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(nonce);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

/// Everything the row of a session says: none of it changes once the first event follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Genesis<'a> {
    /// The session's id.
    pub(crate) id: SessionId,
    /// The device on which it began.
    pub(crate) device: DeviceId,
    /// When it began: wall clock, nanoseconds since the Unix epoch.
    pub(crate) started_ns: i64,
    /// The session it was forked from, and the last event they share.
    pub(crate) parent: Option<(SessionId, EventId)>,
    /// limn's version.
    pub(crate) app_version: &'a str,
    /// The settings, as the exact JSON that is stored.
    pub(crate) config: &'a str,
    /// Who works with the model.
    pub(crate) annotator: Option<&'a str>,
    /// Whether it is kept out of datasets.
    pub(crate) private: bool,
    /// The query's id, and the hash of its row.
    pub(crate) query: Option<(QueryId, Digest)>,
    /// The hash of its environment.
    pub(crate) environment: Digest,
}

impl Genesis<'_> {
    /// What the first event follows. Encoded like a link.
    pub(crate) fn hash(&self) -> Digest {
        let mut bytes = SESSION_DOMAIN.to_vec();
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.device.as_bytes());
        bytes.extend(self.started_ns.to_le_bytes());
        bytes.push(u8::from(self.parent.is_some()));
        if let Some((session, event)) = self.parent {
            bytes.extend(session.as_bytes());
            bytes.extend(event.as_bytes());
        }
        put_text(&mut bytes, self.app_version);
        put_text(&mut bytes, self.config);
        bytes.push(u8::from(self.annotator.is_some()));
        if let Some(annotator) = self.annotator {
            put_text(&mut bytes, annotator);
        }
        bytes.push(u8::from(self.private));
        bytes.push(u8::from(self.query.is_some()));
        if let Some((query, hash)) = self.query {
            bytes.extend(query.as_bytes());
            bytes.extend(hash);
        }
        bytes.extend(self.environment);
        *blake3::hash(&bytes).as_bytes()
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Everything an event's hash stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    /// The hash of the event before, or the genesis.
    pub(crate) prev_hash: Digest,
    /// The event's id.
    pub(crate) id: EventId,
    /// Its place.
    pub(crate) seq: u64,
    /// The event it follows.
    pub(crate) parent: Option<EventId>,
    /// The process that recorded it.
    pub(crate) run: RunId,
    /// Its round.
    pub(crate) round: u32,
    /// Its kind's name.
    pub(crate) kind: &'a str,
    /// Its source's name.
    pub(crate) source: &'a str,
    /// Wall clock, nanoseconds since the Unix epoch.
    pub(crate) wall_ns: i64,
    /// Monotonic clock, nanoseconds since the run began.
    pub(crate) mono_ns: u64,
    /// Whether it was copied from another session.
    pub(crate) copied: bool,
    /// The commitment to its body.
    pub(crate) commitment: Digest,
}

impl Link<'_> {
    /// The canonical encoding: fixed-width little-endian numbers; text after its length; an
    /// optional id after a byte that says whether it is there. No two links share one.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(EVENT_DOMAIN);
        bytes.extend(self.prev_hash);
        bytes.extend(self.id.as_bytes());
        bytes.extend(self.seq.to_le_bytes());
        bytes.push(u8::from(self.parent.is_some()));
        if let Some(parent) = self.parent {
            bytes.extend(parent.as_bytes());
        }
        bytes.extend(self.run.as_bytes());
        bytes.extend(self.round.to_le_bytes());
        for text in [self.kind, self.source] {
            put_text(&mut bytes, text);
        }
        bytes.extend(self.wall_ns.to_le_bytes());
        bytes.extend(self.mono_ns.to_le_bytes());
        bytes.push(u8::from(self.copied));
        bytes.extend(self.commitment);
        bytes
    }

    /// The event's hash.
    pub(crate) fn hash(&self) -> Digest {
        *blake3::hash(&self.encode()).as_bytes()
    }
}

#[cfg(test)]
mod tests;
