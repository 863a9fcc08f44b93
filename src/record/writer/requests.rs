//! The rows of requests: what was sent as references to messages that are stored once, what came
//! back as it came.

use blob::Hash;
use rusqlite::params;

use super::start::json;
use super::{Writer, sql_integer};
use crate::queue::Stamp;
use crate::rows::{RequestFinished, RequestStarted};

impl Writer {
    pub(super) fn insert_request(
        &mut self,
        stamp: Stamp,
        row: &RequestStarted,
    ) -> rusqlite::Result<()> {
        let body_head = self.put_blob(row.body_head.as_bytes())?;
        let body_tail = self.put_blob(row.body_tail.as_bytes())?;
        for (place, message) in row.added.iter().enumerate() {
            let hash = self.put_blob(message.as_bytes())?;
            self.connection
                .prepare_cached(
                    "INSERT INTO llm_call_message (request, attempt, idx, message) \
                     VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    row.request,
                    row.attempt,
                    sql_integer((row.kept + place) as u64),
                    hash.as_bytes(),
                ])?;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO llm_call (request, attempt, retry_of, provider, endpoint, \
                 model_requested, api, params, head_seq, kept, message_count, body_head, \
                 body_tail, messages_digest, context_digest, tools_digest, t_start_ns) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                row.request,
                row.attempt,
                row.retry_of,
                row.provider,
                row.endpoint,
                row.model,
                row.api,
                json(&row.params)?,
                sql_integer(row.head_seq),
                sql_integer(row.kept as u64),
                sql_integer((row.kept + row.added.len()) as u64),
                body_head.as_bytes(),
                body_tail.as_bytes(),
                row.messages_digest,
                row.context_digest,
                row.tools_digest,
                stamp.wall_ns,
            ])
            .map(|_| ())
    }

    pub(super) fn finish_request(&mut self, row: &RequestFinished) -> rusqlite::Result<()> {
        let response = match &row.response {
            Some(response) => Some(self.put_blob(response)?),
            None => None,
        };
        let usage = row.usage.as_ref();
        self.connection
            .prepare_cached(
                "UPDATE llm_call SET t_first_ns = ?, t_end_ns = ?, http_status = ?, \
                 response = ?, response_id = ?, model_served = ?, finish_reason = ?, error = ?, \
                 input_tokens = ?, output_tokens = ?, cached_tokens = ?, reasoning_tokens = ?, \
                 usage_source = ? WHERE request = ? AND attempt = ?",
            )?
            .execute(params![
                row.t_first_ns.map(sql_integer),
                sql_integer(row.t_end_ns),
                row.http_status,
                response.as_ref().map(Hash::as_bytes),
                row.response_id,
                row.model_served,
                row.finish_reason,
                row.error,
                usage.map(|usage| sql_integer(usage.input_tokens)),
                usage.map(|usage| sql_integer(usage.output_tokens)),
                usage.map(|usage| sql_integer(usage.cached_tokens)),
                usage.map(|usage| sql_integer(usage.reasoning_tokens)),
                row.usage_source,
                row.request,
                row.attempt,
            ])?;
        self.delete_drafts(row.request)
    }
}
