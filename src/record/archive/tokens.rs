//! The token ids of replies, put together from their events.

use rusqlite::{Connection, params};
use trajectory::Body;
use trajectory::event::Sampled;

use super::requests::{blob, damaged};
use super::{Archive, EventRow};
use crate::error::RecordError;
use crate::tokens::{ReplyTokens, Unfold, put_back};

impl Archive {
    /// The tokens of every reply whose server gave them, in order; those that were redacted, and
    /// those of the session that this one was forked from, are not among them.
    ///
    /// # Errors
    /// When the file cannot be read, or the ids are damaged.
    pub fn reply_tokens(&self, take: &mut dyn FnMut(ReplyTokens)) -> Result<(), RecordError> {
        let mut take = |_: &Sampled, tokens| take(tokens);
        each(&self.connection, &mut take).map_err(self.failed())
    }

    /// A response with the ids of its prompt where they stood.
    pub(super) fn whole(
        &self,
        request: u32,
        attempt: u32,
        mut response: Vec<u8>,
    ) -> rusqlite::Result<Vec<u8>> {
        let last = "SELECT max(attempt) FROM llm_call WHERE request = ?";
        let last: u32 =
            self.connection.prepare_cached(last)?.query_row(params![request], |row| row.get(0))?;
        // Only a reply that counts has such an event, and that is the last attempt.
        if attempt == last {
            each(&self.connection, &mut |event, tokens| {
                if event.request == request
                    && let (Some(cut), Some(prompt)) = (event.cut, &tokens.prompt)
                {
                    put_back(&mut response, cut, prompt);
                }
            })?;
        }
        Ok(response)
    }
}

/// Hands over what every event says.
fn each(
    connection: &Connection,
    take: &mut dyn FnMut(&Sampled, ReplyTokens),
) -> rusqlite::Result<()> {
    let sql = "SELECT * FROM event WHERE kind = 'sampled' AND NOT copied ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut unfold = Unfold::default();
    while let Some(row) = rows.next()? {
        let row = EventRow::read(row)?;
        let place = |problem: &dyn std::fmt::Display| format!("event {}: {problem}", row.seq);
        let event = row.decode().map_err(|error| damaged(place(&error)))?;
        let Some(Body::Sampled(event)) = event.map(|event| event.body) else {
            // What was redacted is not what a later prompt goes on from.
            unfold.forget();
            continue;
        };
        let hash: blob::Hash =
            event.blake3.parse().map_err(|_| damaged(place(&"the name of its ids is none")))?;
        let bytes = blob(connection, hash.as_bytes())?;
        if bytes.is_none() && !is_there(connection, &hash)? {
            return Err(damaged(place(&"the ids of its tokens are missing")));
        }
        let tokens = unfold.next(&event, bytes.as_deref());
        if let Some(tokens) = tokens.map_err(|problem| damaged(place(&problem)))? {
            take(&event, tokens);
        }
    }
    Ok(())
}

/// Whether there are such bytes, redacted or not.
fn is_there(connection: &Connection, hash: &blob::Hash) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM blob WHERE hash = ?")?.exists([hash.as_bytes()])
}

/// What is wrong with the ids of replies; nothing, where they can be read.
pub(super) fn problem(connection: &Connection) -> Option<String> {
    each(connection, &mut |_, _| {}).err().map(|error| match error {
        rusqlite::Error::FromSqlConversionFailure(_, _, problem) => problem.to_string(),
        error => error.to_string(),
    })
}
