//! Requests and their responses, byte for byte.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde_json::Value;
use trajectory::{RequestPoint, Usage};

use super::{Archive, BLOB_BYTES_MAX, count, from_json, optional_count};
use crate::chain::Digest;
use crate::error::RecordError;
use crate::fork;

/// A request on record.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRow {
    /// The n-th request of the session, from 1.
    pub request: u32,
    /// The n-th attempt of it, from 1.
    pub attempt: u32,
    /// The attempt that this one repeats.
    pub retry_of: Option<u32>,
    /// The provider's name.
    pub provider: String,
    /// The base URL.
    pub endpoint: Option<String>,
    /// The model that was asked for.
    pub model: String,
    /// The API form.
    pub api: String,
    /// Sampling parameters.
    pub params: Value,
    /// The last event that its context holds.
    pub head_seq: u64,
    /// How many leading messages it shares with the request before it.
    pub kept: u64,
    /// How many messages it has.
    pub message_count: u64,
    /// Digest over all its messages as they were sent.
    pub messages_digest: String,
    /// Digest over the messages of the transcript; formats before 2 have none.
    pub context_digest: Option<String>,
    /// Digest over its tools.
    pub tools_digest: String,
    /// When it went out: wall clock, nanoseconds since the Unix epoch.
    pub started_ns: i64,
    /// Its end, once it has one.
    pub end: Option<RequestEnd>,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestEnd {
    /// The status of the HTTP response.
    pub http_status: Option<u16>,
    /// The provider's id for the response.
    pub response_id: Option<String>,
    /// The model that said it answered.
    pub model_served: Option<String>,
    /// Why it stopped.
    pub finish_reason: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// Who counted them.
    pub usage_source: Option<String>,
    /// From the start to the first piece of the reply, nanoseconds.
    pub t_first_ns: Option<u64>,
    /// From the start to the end, nanoseconds; 0 when a crash cut it short.
    pub t_end_ns: u64,
}

impl RequestRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            request: row.get("request")?,
            attempt: row.get("attempt")?,
            retry_of: row.get("retry_of")?,
            provider: row.get("provider")?,
            endpoint: row.get("endpoint")?,
            model: row.get("model_requested")?,
            api: row.get("api")?,
            params: from_json(row, "params")?,
            head_seq: count(row, "head_seq")?,
            kept: count(row, "kept")?,
            message_count: count(row, "message_count")?,
            messages_digest: row.get("messages_digest")?,
            context_digest: match row.get("context_digest") {
                // A file of the first format, read as it is.
                Err(rusqlite::Error::InvalidColumnName(_)) => None,
                digest => digest?,
            },
            tools_digest: row.get("tools_digest")?,
            started_ns: row.get("t_start_ns")?,
            end: RequestEnd::read(row)?,
        })
    }
}

impl RequestEnd {
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let Some(t_end_ns) = optional_count(row, "t_end_ns")? else {
            return Ok(None);
        };
        let usage = match optional_count(row, "input_tokens")? {
            Some(input_tokens) => Some(Usage {
                input_tokens,
                output_tokens: optional_count(row, "output_tokens")?.unwrap_or(0),
                cached_tokens: optional_count(row, "cached_tokens")?.unwrap_or(0),
                reasoning_tokens: optional_count(row, "reasoning_tokens")?.unwrap_or(0),
            }),
            None => None,
        };
        Ok(Some(Self {
            http_status: row.get("http_status")?,
            response_id: row.get("response_id")?,
            model_served: row.get("model_served")?,
            finish_reason: row.get("finish_reason")?,
            error: row.get("error")?,
            usage,
            usage_source: row.get("usage_source")?,
            t_first_ns: optional_count(row, "t_first_ns")?,
            t_end_ns,
        }))
    }
}

impl Archive {
    /// The requests in the order they were sent.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn requests(&self) -> Result<Vec<RequestRow>, RecordError> {
        read_requests(&self.connection).map_err(self.failed())
    }

    /// When each request was sent, once for each however often it was repeated: what
    /// [`trajectory::samples`] cuts by. Those of the session that this one was forked from come
    /// first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn request_points(&self) -> Result<Vec<RequestPoint>, RecordError> {
        let read = || -> rusqlite::Result<Vec<RequestPoint>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT request, max(head_seq) AS head_seq FROM llm_call GROUP BY request \
                 ORDER BY request",
            )?;
            let points = statement.query_map([], |row| {
                Ok(RequestPoint { request: row.get("request")?, head_seq: count(row, "head_seq")? })
            })?;
            points.collect()
        };
        let mut points = self.copied_points()?;
        points.extend(read().map_err(self.failed())?);
        Ok(points)
    }

    /// When the requests were sent that went out before this session was forked from another one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn copied_points(&self) -> Result<Vec<RequestPoint>, RecordError> {
        let config = self
            .connection
            .query_row("SELECT config FROM session", [], |row| from_json(row, "config"));
        Ok(fork::points(&config.map_err(self.failed())?))
    }

    /// The exact body of a request.
    ///
    /// # Errors
    /// When there is no such request, or something of it is missing.
    pub fn request_body(&self, request: u32, attempt: u32) -> Result<Vec<u8>, RecordError> {
        let read = || -> rusqlite::Result<Vec<u8>> {
            let snapshot = self.connection.unchecked_transaction()?;
            let hashes = message_hashes(&snapshot, request, attempt)?;
            let messages: Vec<String> =
                hashes.iter().map(|hash| text(&snapshot, hash)).collect::<Result<_, _>>()?;
            let (head, tail): (Digest, Digest) = snapshot.query_row(
                "SELECT body_head, body_tail FROM llm_call WHERE request = ? AND attempt = ?",
                params![request, attempt],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let mut body = text(&snapshot, &head)?;
            body.push_str(&messages.join(","));
            body.push_str(&text(&snapshot, &tail)?);
            Ok(body.into_bytes())
        };
        read().map_err(self.no_request(request, attempt))
    }

    /// The response to a request, as it was received: empty when nothing came; `None` while it is
    /// on its way, when a crash took it, and once it is redacted. Ids of its prompt that are
    /// redacted are missing from it.
    ///
    /// # Errors
    /// When there is no such request, or the response is damaged.
    pub fn response(&self, request: u32, attempt: u32) -> Result<Option<Vec<u8>>, RecordError> {
        let read = || -> rusqlite::Result<Option<Vec<u8>>> {
            let hash: Option<Digest> = self.connection.query_row(
                "SELECT response FROM llm_call WHERE request = ? AND attempt = ?",
                params![request, attempt],
                |row| row.get(0),
            )?;
            let bytes = hash.map(|hash| blob(&self.connection, &hash)).transpose()?;
            bytes.flatten().map(|bytes| self.whole(request, attempt, bytes)).transpose()
        };
        read().map_err(self.no_request(request, attempt))
    }

    fn no_request(&self, request: u32, attempt: u32) -> impl Fn(rusqlite::Error) -> RecordError {
        move |error| match error {
            rusqlite::Error::QueryReturnedNoRows => RecordError::damaged(
                &self.path,
                "a limn session",
                format!("request {request}.{attempt}, or a part of it, is not in it"),
            ),
            error => self.failed()(error),
        }
    }
}

/// The request rows, in order.
pub(super) fn read_requests(connection: &Connection) -> rusqlite::Result<Vec<RequestRow>> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM llm_call ORDER BY request, attempt")?;
    let rows = statement.query_map([], RequestRow::read)?;
    rows.collect()
}

/// The messages of a request: of each message place, what the last request up to this one put
/// there, for as many as this one has.
fn message_hashes(
    connection: &Connection,
    request: u32,
    attempt: u32,
) -> rusqlite::Result<Vec<Digest>> {
    let mut rows = connection.prepare_cached(
        "SELECT request, attempt, kept, message_count FROM llm_call \
         WHERE (request, attempt) <= (?, ?) ORDER BY request, attempt",
    )?;
    let mut rows = rows.query(params![request, attempt])?;
    let mut hashes: Vec<Digest> = Vec::new();
    let mut found = false;
    while let Some(row) = rows.next()? {
        let (of_request, of_attempt): (u32, u32) = (row.get(0)?, row.get(1)?);
        hashes.truncate(usize::try_from(count(row, "kept")?).unwrap_or(usize::MAX));
        hashes.extend(added_hashes(connection, of_request, of_attempt)?);
        found = (of_request, of_attempt) == (request, attempt)
            && hashes.len() as u64 == count(row, "message_count")?;
    }
    if found { Ok(hashes) } else { Err(rusqlite::Error::QueryReturnedNoRows) }
}

/// The messages that a request added, in order.
pub(super) fn added_hashes(
    connection: &Connection,
    request: u32,
    attempt: u32,
) -> rusqlite::Result<Vec<Digest>> {
    let mut statement = connection.prepare_cached(
        "SELECT message FROM llm_call_message WHERE request = ? AND attempt = ? ORDER BY idx",
    )?;
    let hashes = statement.query_map(params![request, attempt], |row| row.get(0))?;
    hashes.collect()
}

/// The bytes of a blob row, checked against their hash.
pub(super) fn blob(connection: &Connection, hash: &Digest) -> rusqlite::Result<Option<Vec<u8>>> {
    let row = connection
        .prepare_cached("SELECT codec, raw_len, data FROM blob WHERE hash = ?")?
        .query_row([hash], |row| unpack(row, "data"))
        .optional()?;
    let Some(bytes) = row.flatten() else {
        return Ok(None);
    };
    if blob::Hash::of(&bytes).as_bytes() == hash {
        Ok(Some(bytes))
    } else {
        Err(damaged("a blob does not match its hash"))
    }
}

/// The bytes of a row with `codec`, `raw_len` and data; `None` once redacted.
pub(super) fn unpack(row: &Row<'_>, data: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let codec = blob::Codec::from_number(row.get("codec")?)
        .ok_or_else(|| damaged("an unknown way of packing"))?;
    let raw_len = count(row, "raw_len")?;
    let Some(data) = row.get_ref(data)?.as_blob_or_null()? else {
        return Ok(None);
    };
    blob::decode(codec, raw_len, data, BLOB_BYTES_MAX).map(Some).map_err(damaged)
}

pub(super) fn damaged(
    problem: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    let kind = rusqlite::types::Type::Blob;
    rusqlite::Error::FromSqlConversionFailure(0, kind, problem.into())
}

/// A blob that is text and has to be there.
fn text(connection: &Connection, hash: &Digest) -> rusqlite::Result<String> {
    let bytes = blob(connection, hash)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    String::from_utf8(bytes).map_err(damaged)
}

/// The tokens of the requests that fit a condition. Added up here and not by SQLite, whose sum of
/// absurd counts is an error: a sum that is full stays full.
pub(crate) fn usage(
    connection: &Connection,
    condition: &str,
    params: impl Params,
) -> rusqlite::Result<Usage> {
    let sql = format!(
        "SELECT input_tokens, output_tokens, cached_tokens, reasoning_tokens FROM llm_call \
         WHERE {condition}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let mut total = Usage::default();
    while let Some(row) = rows.next()? {
        let tokens = |column| optional_count(row, column).map(Option::unwrap_or_default);
        total += Usage {
            input_tokens: tokens("input_tokens")?,
            output_tokens: tokens("output_tokens")?,
            cached_tokens: tokens("cached_tokens")?,
            reasoning_tokens: tokens("reasoning_tokens")?,
        };
    }
    Ok(total)
}
