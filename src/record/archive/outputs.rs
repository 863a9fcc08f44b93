//! Executions and what they printed.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use rusqlite::{Connection, Row, params};
use serde_json::Value;
use trajectory::event::{Exit, OutputRef, Truncation};

use super::requests::{damaged, unpack};
use super::{
    Archive, count, from_json, from_optional_json, later_column, optional_count, parse, unreadable,
};
use crate::chain::Digest;
use crate::error::RecordError;
use crate::output::{Direction, Mark, decode_marks};
use crate::rows::{ExecFacts, SizeChange};
use crate::writer::sql_integer;

/// Takes a part of an output: its bytes and their timing.
pub type TakePart<'a> = dyn FnMut(&[u8], &[Mark]) -> io::Result<()> + 'a;

/// An execution on record.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecRow {
    /// The n-th execution of the session, from 1.
    pub exec: u32,
    /// The call it ran; none when the user ran a command.
    pub call: Option<u32>,
    /// The tool.
    pub tool: String,
    /// How it was run.
    pub facts: ExecFacts,
    /// When it began: wall clock, nanoseconds since the Unix epoch.
    pub started_ns: i64,
    /// When it ended; `None` while it runs, or when it was lost.
    pub ended_ns: Option<i64>,
    /// limn died while it ran.
    pub lost: bool,
    /// How its process ended.
    pub exit: Option<Exit>,
    /// All that it printed.
    pub output: Option<OutputRef>,
    /// What the model was not shown of it.
    pub truncated: Option<Truncation>,
    /// The sizes that its terminal was given while it ran, in order.
    pub sizes: Vec<SizeChange>,
}

impl ExecRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let timed_out: Option<bool> = row.get("timed_out")?;
        let hash: Option<Digest> = row.get("output_hash")?;
        let lines = optional_count(row, "lines_omitted")?;
        let (code, signal) = (row.get("exit_code")?, row.get("signal")?);
        Ok(Self {
            exec: row.get("exec")?,
            call: row.get("call")?,
            tool: row.get("tool")?,
            facts: ExecFacts {
                argv: from_json(row, "argv")?,
                cwd: row.get("cwd")?,
                env_delta: from_optional_json::<Value>(row, "env_delta")?,
                policy: from_optional_json::<Value>(row, "policy")?,
                approval: row.get("approval")?,
                approver: row.get("approver")?,
                tree_before: row.get("tree_before")?,
                tree_after: row.get("tree_after")?,
            },
            started_ns: row.get("t_start_ns")?,
            ended_ns: row.get("t_end_ns")?,
            lost: row.get("lost")?,
            exit: timed_out.map(|timed_out| Exit { code, signal, timed_out }),
            output: match (hash, optional_count(row, "output_bytes")?) {
                (Some(hash), Some(bytes)) => {
                    Some(OutputRef { blake3: blob::Hash::from_bytes(hash).to_string(), bytes })
                }
                _ => None,
            },
            truncated: match (lines, optional_count(row, "chars_omitted")?) {
                (Some(lines_omitted), Some(chars_omitted)) => {
                    Some(Truncation { lines_omitted, chars_omitted })
                }
                _ => None,
            },
            sizes: sizes(row)?,
        })
    }
}

fn sizes(row: &Row<'_>) -> rusqlite::Result<Vec<SizeChange>> {
    let sizes: Option<Vec<(u64, u16, u16)>> =
        later_column::<String>(row, "sizes")?.map(|text| parse(&text)).transpose()?;
    let size = |(at_us, columns, rows)| SizeChange { at_us, columns, rows };
    Ok(sizes.unwrap_or_default().into_iter().map(size).collect())
}

impl Archive {
    /// The executions in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn execs(&self) -> Result<Vec<ExecRow>, RecordError> {
        read_execs(&self.connection).map_err(self.failed())
    }

    /// The executions that have not ended, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn running(&self) -> Result<Vec<ExecRow>, RecordError> {
        let read = || -> rusqlite::Result<Vec<ExecRow>> {
            let mut statement = self.connection.prepare_cached(
                "SELECT * FROM tool_exec WHERE t_end_ns IS NULL AND NOT lost ORDER BY exec",
            )?;
            let rows = statement.query_map([], ExecRow::read)?;
            rows.collect()
        };
        read().map_err(self.failed())
    }

    /// What an execution printed from a byte on, as far as it is in the file: its end, where that is
    /// more than `bytes_max`. With it comes the number of the byte behind it.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged.
    pub fn output_from(
        &self,
        exec: u32,
        from: u64,
        bytes_max: u64,
    ) -> Result<(Vec<u8>, u64), RecordError> {
        let read = || -> rusqlite::Result<(Vec<u8>, u64)> {
            let snapshot = self.connection.unchecked_transaction()?;
            let of = params![exec, Direction::Out.as_number()];
            let end = snapshot
                .prepare_cached(
                    "SELECT coalesce(max(offset + raw_len), 0) AS end FROM output_part \
                     WHERE exec = ? AND direction = ?",
                )?
                .query_row(of, |row| count(row, "end"))?;
            let start = from.max(end.saturating_sub(bytes_max));
            let mut statement = snapshot.prepare_cached(
                "SELECT * FROM output_part WHERE exec = ?1 AND direction = ?2 \
                 AND offset + raw_len > ?3 ORDER BY idx",
            )?;
            let start_sql = sql_integer(start);
            let mut rows = statement.query(params![exec, Direction::Out.as_number(), start_sql])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let (offset, bytes, _) = read_part(row)?;
                let shown = usize::try_from(start.saturating_sub(offset)).unwrap_or(usize::MAX);
                all.extend_from_slice(bytes.get(shown..).unwrap_or_default());
            }
            Ok((all, end.max(from)))
        };
        read().map_err(self.failed())
    }

    /// Every state of the workspace that the recording names, in hexadecimal: those of executions
    /// and those of checkpoints, of kinds that this version does not know too.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn trees(&self) -> Result<BTreeSet<String>, RecordError> {
        let read = || -> rusqlite::Result<BTreeSet<String>> {
            // Each table is gone through once: a collection asks this of every recording.
            let mut statement = self.connection.prepare_cached(
                "SELECT tree_before AS one, tree_after AS other FROM tool_exec UNION ALL \
                 SELECT json_extract(body, '$.tree'), json_extract(body, '$.restored') FROM event \
                 WHERE kind = 'checkpoint'",
            )?;
            let mut rows = statement.query([])?;
            let mut trees = BTreeSet::new();
            while let Some(row) = rows.next()? {
                trees.extend(row.get::<_, Option<String>>("one")?);
                trees.extend(row.get::<_, Option<String>>("other")?);
            }
            Ok(trees)
        };
        read().map_err(self.failed())
    }

    /// Copies all that an execution printed; returns how many bytes that is.
    ///
    /// # Errors
    /// When the file is damaged, or the other end takes no more.
    pub fn output(&self, exec: u32, out: &mut dyn io::Write) -> Result<u64, RecordError> {
        let mut total = 0;
        self.output_parts(exec, Direction::Out, &mut |bytes, _| {
            total += bytes.len() as u64;
            out.write_all(bytes)
        })?;
        Ok(total)
    }

    /// Hands over an execution's terminal part by part, each with its timing.
    ///
    /// # Errors
    /// When the file is damaged, or `take` fails.
    pub fn output_parts(
        &self,
        exec: u32,
        direction: Direction,
        take: &mut TakePart<'_>,
    ) -> Result<(), RecordError> {
        copy_output(&self.connection, &self.path, exec, direction, take)
    }
}

/// The execution rows, in order.
pub(super) fn read_execs(connection: &Connection) -> rusqlite::Result<Vec<ExecRow>> {
    let mut statement = connection.prepare_cached("SELECT * FROM tool_exec ORDER BY exec")?;
    let rows = statement.query_map([], ExecRow::read)?;
    rows.collect()
}

/// Hands over the parts of an execution in order.
pub(crate) fn copy_output(
    connection: &Connection,
    path: &Path,
    exec: u32,
    direction: Direction,
    take: &mut TakePart<'_>,
) -> Result<(), RecordError> {
    let failed = |error| unreadable(path, &error);
    let mut statement = connection
        .prepare_cached("SELECT * FROM output_part WHERE exec = ? AND direction = ? ORDER BY idx")
        .map_err(failed)?;
    let mut rows = statement.query(params![exec, direction.as_number()]).map_err(failed)?;
    let mut expected = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let (offset, bytes, marks) = read_part(row).map_err(failed)?;
        if offset != expected {
            let problem = format!("output {exec} has a gap at byte {expected}");
            return Err(RecordError::damaged(path, "a limn session", problem));
        }
        // A redacted part keeps its length: what follows keeps its place.
        expected = count(row, "raw_len").map_err(failed)?.saturating_add(expected);
        take(&bytes, &marks)
            .map_err(|error| RecordError::io("copy the output in", path, &error))?;
    }
    Ok(())
}

pub(super) fn read_part(row: &Row<'_>) -> rusqlite::Result<(u64, Vec<u8>, Vec<Mark>)> {
    let bytes = unpack(row, "data")?.unwrap_or_default();
    let marks = decode_marks(row.get_ref("marks")?.as_blob()?)
        .ok_or_else(|| damaged("the timing of an output is damaged"))?;
    Ok((count(row, "offset")?, bytes, marks))
}
