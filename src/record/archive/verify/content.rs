//! Blobs, requests and output: everything that is stored once and referred to.

use std::collections::{HashMap, HashSet};

use blob::{Hash, Hasher};
use rusqlite::Connection;
use trajectory::MessageDigest;
use trajectory::event::OutputRef;

use super::Problems;
use super::chain::Facts;
use crate::archive::outputs::{read_execs, read_part};
use crate::archive::requests::{added_hashes, blob, read_requests, unpack};
use crate::archive::{RequestRow, bytes, count, tokens};
use crate::chain::Digest;

/// Checks every table but the events.
pub(super) fn check(
    connection: &Connection,
    facts: &Facts,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    let blobs = check_blobs(connection, problems)?;
    check_requests(connection, facts, &blobs, problems)?;
    if let Some(problem) = tokens::problem(connection) {
        problems.add("tokens", problem);
    }
    check_outputs(connection, facts, problems)
}

/// Which blobs there are; `true` for those whose bytes are there and right.
type Blobs = HashMap<Digest, bool>;

fn check_blobs(connection: &Connection, problems: &mut Problems) -> rusqlite::Result<Blobs> {
    let redacted = connection.prepare("SELECT 1 FROM event WHERE kind = 'redaction'")?.exists([])?;
    let mut statement = connection.prepare("SELECT hash, codec, raw_len, data FROM blob")?;
    let mut rows = statement.query([])?;
    let mut blobs = Blobs::new();
    while let Some(row) = rows.next()? {
        let hash: Digest = bytes(row, "hash")?;
        let place = || format!("blob {}", Hash::from_bytes(hash));
        let sound = match unpack(row, "data") {
            Ok(Some(bytes)) => {
                let sound = *Hash::of(&bytes).as_bytes() == hash;
                problems.check(sound, place(), "its bytes do not match its hash");
                sound
            }
            Ok(None) => {
                problems.check(redacted, place(), "its bytes are gone, and no redaction says why");
                false
            }
            Err(error) => {
                problems.add(place(), error);
                false
            }
        };
        blobs.insert(hash, sound);
    }
    Ok(blobs)
}

fn check_requests(
    connection: &Connection,
    facts: &Facts,
    blobs: &Blobs,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    // After each message of the context, the digest up to there: a request that keeps most of its
    // predecessor costs what it adds.
    let mut digests: Vec<Option<MessageDigest>> = vec![Some(MessageDigest::default())];
    for request in read_requests(connection)? {
        let place = format!("request {}.{}", request.request, request.attempt);
        let known = digests.len() as u64 - 1;
        problems.check(request.kept <= known, &place, "it keeps more messages than there were");
        digests.truncate(usize::try_from(request.kept).unwrap_or(usize::MAX).saturating_add(1));
        for hash in added_hashes(connection, request.request, request.attempt)? {
            problems.check(blobs.contains_key(&hash), &place, "a message of it is missing");
            let sound = blobs.get(&hash) == Some(&true);
            let message = if sound { blob(connection, &hash)? } else { None };
            let text = message.and_then(|message| String::from_utf8(message).ok());
            let digest = digests.last().cloned().flatten().zip(text).map(|(mut digest, text)| {
                digest.push(&text);
                digest
            });
            digests.push(digest);
        }
        let messages = digests.len() as u64 - 1;
        let counted = messages == request.message_count;
        problems.check(
            counted,
            &place,
            format!("it has {messages} messages, not as many as it says"),
        );
        // After a redaction the digest is over what was really sent, and cannot be recomputed.
        if let Some(Some(digest)) = digests.last() {
            let same = digest.finish() == request.messages_digest;
            problems.check(same, &place, "its messages do not match their digest");
        }
        let head_known = request.head_seq < facts.events;
        problems.check(head_known, &place, "it was sent after an event that is not there");
        check_frame(connection, &request, blobs, &place, problems)?;
    }
    check_places(connection, problems)
}

/// What stands around the messages, and the response; and that no credential is in it.
fn check_frame(
    connection: &Connection,
    request: &RequestRow,
    blobs: &Blobs,
    place: &str,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    let sql = "SELECT body_head, body_tail, response FROM llm_call \
               WHERE request = ? AND attempt = ?";
    let (head, tail, response): (Digest, Digest, Option<Digest>) =
        connection.prepare_cached(sql)?.query_row([request.request, request.attempt], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let mut frame = request.params.to_string();
    for hash in [head, tail] {
        problems.check(blobs.contains_key(&hash), place, "a part of its body is missing");
        if blobs.get(&hash) == Some(&true)
            && let Some(bytes) = blob(connection, &hash)?
        {
            frame.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    if let Some(response) = response {
        problems.check(blobs.contains_key(&response), place, "its response is missing");
    }
    let endpoint = request.endpoint.as_deref().unwrap_or_default();
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    problems.check(!authority.contains('@'), place, "its endpoint holds a credential");
    // Tool descriptions may speak of headers; what would be one has a colon or a token after it.
    let keyed =
        ["authorization\":", "authorization:", "bearer sk-", "\"api_key\":", "\"api-key\":"];
    let frame = frame.to_ascii_lowercase();
    let leaks = keyed.iter().any(|key| frame.contains(key));
    problems.check(!leaks, place, "its stored body holds a credential");
    Ok(())
}

/// That added messages stand where they say, and belong to a request.
fn check_places(connection: &Connection, problems: &mut Problems) -> rusqlite::Result<()> {
    let astray: i64 = connection.query_row(
        "SELECT count(*) FROM (SELECT m.idx - row_number() OVER \
         (PARTITION BY m.request, m.attempt ORDER BY m.idx) + 1 AS base, c.kept AS kept \
         FROM llm_call_message AS m LEFT JOIN llm_call AS c USING (request, attempt)) \
         WHERE kept IS NULL OR base <> kept",
        [],
        |row| row.get(0),
    )?;
    problems.check(astray == 0, "requests", format!("{astray} messages are out of place"));
    Ok(())
}

fn check_outputs(
    connection: &Connection,
    facts: &Facts,
    problems: &mut Problems,
) -> rusqlite::Result<()> {
    let found = read_outputs(connection, problems)?;
    for (exec, said) in &facts.outputs {
        agree(*exec, said, "its observation", &found, problems);
    }
    let mut known = HashSet::new();
    for exec in read_execs(connection)? {
        known.insert(exec.exec);
        if let Some(said) = &exec.output {
            agree(exec.exec, said, "its row", &found, problems);
        }
    }
    for exec in found.keys() {
        let place = format!("output {exec}");
        problems.check(known.contains(exec), place, "its execution is not on record");
    }
    Ok(())
}

/// The hash and the length of what an execution printed; no hash once part of it was redacted.
type Found = (Option<Hash>, u64);

fn agree(
    exec: u32,
    said: &OutputRef,
    by: &str,
    found: &HashMap<u32, Found>,
    problems: &mut Problems,
) {
    let nothing = (Some(Hash::of(b"")), 0);
    let (hash, bytes) = found.get(&exec).copied().unwrap_or(nothing);
    let place = format!("output {exec}");
    let long = bytes == said.bytes;
    let said_bytes = said.bytes;
    problems.check(long, &place, format!("{bytes} bytes are there; {by} says {said_bytes}"));
    if let Some(hash) = hash {
        let same = !long || hash.to_string() == said.blake3;
        problems.check(same, &place, format!("it is not what {by} says"));
    }
}

fn read_outputs(
    connection: &Connection,
    problems: &mut Problems,
) -> rusqlite::Result<HashMap<u32, Found>> {
    let sql = "SELECT * FROM output_part ORDER BY exec, direction, idx";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut found = HashMap::new();
    let mut stream = Stream::default();
    while let Some(row) = rows.next()? {
        let key: (u32, u8) = (row.get("exec")?, row.get("direction")?);
        if stream.key != Some(key) {
            std::mem::replace(&mut stream, Stream::of(key)).end(&mut found);
        }
        let place = format!("output {}", key.0);
        let idx = count(row, "idx")?;
        problems.check(idx == stream.parts, &place, format!("part {} is missing", stream.parts));
        stream.parts = idx.saturating_add(1);
        let raw_len = count(row, "raw_len")?;
        let redacted = row.get_ref("data")? == rusqlite::types::ValueRef::Null;
        match read_part(row) {
            Ok((offset, bytes, marks)) => {
                problems.check(offset == stream.len, &place, format!("part {idx} is out of place"));
                let timed: u64 = marks.iter().map(|mark| u64::from(mark.len)).sum();
                let problem = format!("the timing of part {idx} covers {timed} of {raw_len} bytes");
                problems.check(timed == raw_len, &place, problem);
                stream.hasher.update(&bytes);
            }
            Err(error) => problems.add(&place, format!("part {idx}: {error}")),
        }
        stream.redacted |= redacted;
        stream.len = stream.len.saturating_add(raw_len);
    }
    stream.end(&mut found);
    Ok(found)
}

/// One direction of one execution's terminal.
#[derive(Default)]
struct Stream {
    key: Option<(u32, u8)>,
    hasher: Hasher,
    parts: u64,
    len: u64,
    redacted: bool,
}

impl Stream {
    fn of(key: (u32, u8)) -> Self {
        Self { key: Some(key), ..Self::default() }
    }

    /// Notes what was printed; what was typed has no hash to agree with.
    fn end(self, found: &mut HashMap<u32, Found>) {
        if let Some((exec, 0)) = self.key {
            let hash = (!self.redacted).then(|| self.hasher.finish());
            found.insert(exec, (hash, self.len));
        }
    }
}
