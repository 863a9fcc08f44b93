//! Recovery: what a crash left open is closed, in one transaction, and said to be so.
//!
//! A reply that was arriving becomes an interrupted reply; a call that ran is lost in the crash,
//! one that had not started is cancelled; the round is interrupted. Killed in the middle, recovery
//! has done nothing; done twice, it does nothing the second time.

use std::path::Path;

use blob::Hasher;
use rusqlite::Connection;
use trajectory::event::{
    AssistantText, BackgroundExit, CallStatus, Ended, Exit, Interruption, InterruptionCause,
    Observation, OutputRef, Reasoning, ReasoningForm, RoundEnded, SessionEnded, UserCommand,
};
use trajectory::{Body, Source, Usage};

use crate::archive::{self, Draft, copy_output, each_event, read_drafts, unreadable};
use crate::error::RecordError;
use crate::ledger::{CallState, LastRequest, Ledger};
use crate::output::Direction;
use crate::queue::Stamp;
use crate::rows::{Durability, NewEvent, RequestFinished, Row, Write};
use crate::writer::{Leftovers, Refusal, Writer, sql_integer};

/// What follows recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The session goes on.
    Resume,
    /// Nobody goes on with it: it has ended.
    Close,
}

/// Where a session on record stands.
pub(crate) fn ledger(connection: &Connection, path: &Path) -> Result<Ledger, RecordError> {
    let failed = |error| RecordError::sqlite("read", path, &error);
    let mut ledger = Ledger::new(archive::genesis(connection, path)?);
    each_event(connection, 0, |row| {
        ledger.replay(&row);
        Ok(())
    })
    .map_err(|error| unreadable(path, &error))?;
    if let Some(last) = archive::last_event(connection).map_err(failed)? {
        ledger.next_seq = last.seq + 1;
        ledger.last_id = Some(last.id);
        ledger.head = last.hash;
    }
    read_requests(connection, &mut ledger).map_err(failed)?;
    read_execs(connection, &mut ledger).map_err(failed)?;
    ledger.settle_unread_results();
    Ok(ledger)
}

fn read_requests(connection: &Connection, ledger: &mut Ledger) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT request, attempt, message_count, t_end_ns IS NULL FROM llm_call \
         ORDER BY request, attempt",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (request, attempt) = (row.get(0)?, row.get(1)?);
        let messages = usize::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        ledger.set_last_request(LastRequest { request, attempt, messages });
        if row.get(3)? {
            ledger.open_requests.insert((request, attempt));
        }
    }
    Ok(())
}

fn read_execs(connection: &Connection, ledger: &mut Ledger) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare("SELECT exec, call, t_end_ns IS NULL AND lost = 0 FROM tool_exec")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        ledger.replay_exec(row.get(0)?, row.get(1)?, row.get(2)?);
    }
    Ok(())
}

/// Writes what closes the session; false when nothing was open.
pub(crate) fn close_what_is_open(
    writer: &mut Writer,
    stamp: Stamp,
    aim: Aim,
) -> Result<bool, RecordError> {
    let path = writer.path().to_owned();
    let failed = |error| RecordError::sqlite("recover", &path, &error);
    let drafts = read_drafts(writer.connection()).map_err(failed)?;
    let running = writer.ledger.execs.values().any(|running| *running);
    let mut bodies = replies(writer, &drafts).map_err(failed)?;
    bodies.extend(results(writer)?);
    bodies.extend(lost_jobs(writer)?);
    bodies.extend(lost_commands(writer).map_err(failed)?);
    if let Some(prompt_seq) = writer.ledger.open_prompt_seq {
        let usage = usage_since(writer.connection(), prompt_seq).map_err(failed)?;
        let cause = InterruptionCause::Crash;
        bodies.push((Source::Harness, Interruption { cause }.into()));
        let round_ended = RoundEnded { ended: Ended::Interrupted, usage };
        bodies.push((Source::Harness, round_ended.into()));
    }
    if aim == Aim::Close && !writer.ledger.ended {
        let session_ended = SessionEnded { ended: Ended::Interrupted };
        bodies.push((Source::Harness, session_ended.into()));
    }
    let rows: Vec<Row> = writer.ledger.open_requests.iter().map(lost_request).collect();
    if bodies.is_empty() && rows.is_empty() && drafts.is_empty() && !running {
        return Ok(false);
    }
    let round = writer.ledger.last.round;
    let event = |(source, body)| NewEvent { round, source, body };
    let events = bodies.into_iter().map(event).collect();
    let write = Write { events, rows, ..Write::default() };
    match writer.commit(stamp, &write, Durability::Durable, Leftovers::Close) {
        Ok(_) => {}
        Err(Refusal::Contradiction(error) | Refusal::Broken(error)) => return Err(error),
    }
    for running in writer.ledger.execs.values_mut() {
        *running = false;
    }
    Ok(true)
}

fn lost_request(&(request, attempt): &(u32, u32)) -> Row {
    let error = Some("interrupted by a crash".to_owned());
    RequestFinished { request, attempt, error, ..RequestFinished::default() }.into()
}

/// Drafts as interrupted replies. A tool call that had not arrived whole is not a call.
fn replies(writer: &Writer, drafts: &[Draft]) -> rusqlite::Result<Vec<(Source, Body)>> {
    let mut replied = writer.connection().prepare(
        "SELECT 1 FROM event WHERE kind IN ('reasoning', 'message', 'tool_call') \
         AND CASE WHEN json_valid(body) THEN json_extract(body, '$.request') END = ?",
    )?;
    let mut bodies = Vec::new();
    for draft in drafts {
        let (request, text) = (draft.request, draft.text.clone());
        if text.is_empty() || replied.exists([request])? {
            continue;
        }
        let body: Body = match draft.kind.as_str() {
            "reasoning" => Reasoning {
                request,
                text,
                form: ReasoningForm::Full,
                field: draft.field.unwrap_or_default(),
                signature: None,
                interrupted: true,
            }
            .into(),
            "text" => AssistantText { request, text, interrupted: true }.into(),
            _ => continue,
        };
        bodies.push((Source::Model, body));
    }
    Ok(bodies)
}

/// A result for each call that has none.
fn results(writer: &Writer) -> Result<Vec<(Source, Body)>, RecordError> {
    let mut bodies = Vec::new();
    for call in &writer.ledger.open_calls {
        let exec = match writer.ledger.calls.get(call) {
            Some(CallState::Started(exec)) => Some(*exec),
            _ => None,
        };
        let output = match exec {
            Some(exec) => output_on_disk(writer, exec)?,
            None => None,
        };
        let (status, shown) = match (exec, &output) {
            (None, _) => (CallStatus::Cancelled, NEVER_STARTED.to_owned()),
            (Some(_), None) => (CallStatus::LostInCrash, LOST.to_owned()),
            (Some(_), Some(output)) => {
                let bytes = output.bytes;
                (CallStatus::LostInCrash, format!("{LOST} It had printed {bytes} bytes by then."))
            }
        };
        let observation = Observation {
            call: *call,
            status,
            shown,
            exec,
            exit: None,
            output,
            truncated: None,
            attachments: Vec::new(),
            duration_us: 0,
        };
        bodies.push((Source::Harness, observation.into()));
    }
    Ok(bodies)
}

/// That commands are gone which went on after their calls were answered.
fn lost_jobs(writer: &Writer) -> Result<Vec<(Source, Body)>, RecordError> {
    let read = || -> rusqlite::Result<Vec<u32>> {
        let mut statement = writer.connection().prepare(
            "SELECT exec FROM tool_exec AS lost WHERE t_end_ns IS NULL AND lost = 0 \
             AND (call IS NOT NULL OR EXISTS ( \
                 SELECT 1 FROM event WHERE kind = 'user_command' AND json_valid(body) \
                 AND json_extract(body, '$.exec') = lost.exec)) \
             ORDER BY exec",
        )?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let running = read().map_err(|error| RecordError::sqlite("recover", writer.path(), &error))?;
    let calls = writer.ledger.open_calls.iter().filter_map(|call| writer.ledger.calls.get(call));
    let of_open_calls: Vec<u32> = calls
        .filter_map(|state| match state {
            CallState::Started(exec) => Some(*exec),
            CallState::Called | CallState::Answered => None,
        })
        .collect();
    let mut bodies = Vec::new();
    for exec in running.into_iter().filter(|exec| !of_open_calls.contains(exec)) {
        let output = output_on_disk(writer, exec)?;
        let shown = format!("[job {exec} is gone: limn died while it ran]");
        let exit = Exit::default();
        bodies.push((Source::Environment, BackgroundExit { exec, exit, output, shown }.into()));
    }
    Ok(bodies)
}

/// That commands of the user's own are gone, of which no event tells yet.
fn lost_commands(writer: &Writer) -> rusqlite::Result<Vec<(Source, Body)>> {
    let mut statement = writer.connection().prepare(
        "SELECT exec, argv, policy FROM tool_exec AS lost \
         WHERE t_end_ns IS NULL AND lost = 0 AND call IS NULL AND NOT EXISTS ( \
             SELECT 1 FROM event WHERE kind = 'user_command' AND json_valid(body) \
             AND json_extract(body, '$.exec') = lost.exec) \
         ORDER BY exec",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(2)?))
    })?;
    let body = |(exec, argv, policy): (u32, Option<String>, Option<String>)| {
        let argv: Vec<String> =
            argv.and_then(|argv| serde_json::from_str(&argv).ok()).unwrap_or_default();
        let command = argv.last().cloned().unwrap_or_default();
        let policy: Option<serde_json::Value> =
            policy.and_then(|policy| serde_json::from_str(&policy).ok());
        let outside = policy.as_ref().and_then(|policy| policy.get("outside")?.as_bool());
        let outside_sandbox = outside.unwrap_or_default();
        let place = if outside_sandbox { " outside the sandbox" } else { "" };
        let shown = format!("[The user ran a command{place}.]\n$ {command}\n[{LOST}]");
        let lost =
            UserCommand { command, exec, shown, outside_sandbox, exit: None, duration_us: 0 };
        (Source::User, lost.into())
    };
    rows.map(|row| row.map(body)).collect()
}

const NEVER_STARTED: &str = "limn died before this started: it did not run.";
const LOST: &str = "limn died while this ran. Whether it finished, and what it changed, is \
                    unknown: check before you go on.";

/// What an execution had printed as far as it is on record.
fn output_on_disk(writer: &Writer, exec: u32) -> Result<Option<OutputRef>, RecordError> {
    let mut hasher = Hasher::default();
    let mut bytes = 0;
    copy_output(writer.connection(), writer.path(), exec, Direction::Out, &mut |part, _| {
        hasher.update(part);
        bytes += part.len() as u64;
        Ok(())
    })?;
    Ok((bytes > 0).then(|| OutputRef { blake3: hasher.finish().to_string(), bytes }))
}

/// The tokens of the requests since an event.
fn usage_since(connection: &Connection, seq: u64) -> rusqlite::Result<Usage> {
    archive::usage(connection, "head_seq >= ?", [sql_integer(seq)])
}

#[cfg(test)]
mod tests;
