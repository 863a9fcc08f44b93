//! The rows of executions and of what they print.

use blob::Hash;
use rusqlite::{OptionalExtension, params};
use serde_json::Value;

use super::start::json;
use super::{Writer, sql_integer};
use crate::output::{Direction, PartRow};
use crate::queue::Stamp;
use crate::rows::{ExecFinished, ExecResized, ExecStarted, ExecTrees};

/// Sizes that are kept of one terminal. Somebody who draws at the edge of a window makes a few dozen
/// in a second.
const SIZES_MAX: u32 = 2_000;

impl Writer {
    pub(super) fn insert_exec(&self, stamp: Stamp, row: &ExecStarted) -> rusqlite::Result<()> {
        let facts = &row.facts;
        self.connection
            .prepare_cached(
                "INSERT INTO tool_exec (exec, call, tool, argv, cwd, env_delta, policy, approval, \
                 approver, t_start_ns, tree_before, tree_after) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                row.exec,
                row.call,
                row.tool,
                json(&facts.argv)?,
                facts.cwd,
                optional_json(facts.env_delta.as_ref())?,
                optional_json(facts.policy.as_ref())?,
                facts.approval,
                facts.approver,
                stamp.wall_ns,
                facts.tree_before,
                facts.tree_after,
            ])
            .map(|_| ())
    }

    pub(super) fn finish_exec(&self, stamp: Stamp, row: &ExecFinished) -> rusqlite::Result<()> {
        let facts = &row.facts;
        let argv = if facts.argv.is_empty() { None } else { Some(json(&facts.argv)?) };
        let output = row.output.as_ref();
        let hash = output.and_then(|output| output.blake3.parse::<Hash>().ok());
        self.connection
            .prepare_cached(
                "UPDATE tool_exec SET t_end_ns = ?, exit_code = ?, signal = ?, timed_out = ?, \
                 output_hash = ?, output_bytes = ?, lines_omitted = ?, chars_omitted = ?, \
                 argv = coalesce(?, argv), cwd = coalesce(?, cwd), \
                 env_delta = coalesce(?, env_delta), policy = coalesce(?, policy), \
                 approval = coalesce(?, approval), approver = coalesce(?, approver), \
                 tree_before = coalesce(?, tree_before), tree_after = coalesce(?, tree_after) \
                 WHERE exec = ?",
            )?
            .execute(params![
                stamp.wall_ns,
                row.exit.and_then(|exit| exit.code),
                row.exit.and_then(|exit| exit.signal),
                row.exit.map(|exit| exit.timed_out),
                hash.as_ref().map(Hash::as_bytes),
                output.map(|output| sql_integer(output.bytes)),
                row.truncated.map(|truncated| sql_integer(truncated.lines_omitted)),
                row.truncated.map(|truncated| sql_integer(truncated.chars_omitted)),
                argv,
                facts.cwd,
                optional_json(facts.env_delta.as_ref())?,
                optional_json(facts.policy.as_ref())?,
                facts.approval,
                facts.approver,
                facts.tree_before,
                facts.tree_after,
                row.exec,
            ])
            .map(|_| ())
    }

    pub(super) fn set_trees(&self, row: &ExecTrees) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE tool_exec SET tree_after = coalesce(?, tree_after) WHERE exec = ?",
            )?
            .execute(params![row.after, row.exec])
            .map(|_| ())
    }

    pub(super) fn add_size(&self, row: &ExecResized) -> rusqlite::Result<()> {
        let size = row.size;
        self.connection
            .prepare_cached(
                "UPDATE tool_exec SET sizes = json_insert(coalesce(sizes, '[]'), '$[#]', \
                 json_array(?, ?, ?)) \
                 WHERE exec = ? AND json_array_length(coalesce(sizes, '[]')) < ?",
            )?
            .execute(params![sql_integer(size.at_us), size.columns, size.rows, row.exec, SIZES_MAX])
            .map(|_| ())
    }

    /// How many parts of an execution are on record, and how many bytes they hold.
    pub(super) fn parts_on_record(
        &self,
        exec: u32,
        direction: Direction,
    ) -> rusqlite::Result<(u32, u64)> {
        let last = self
            .connection
            .prepare_cached(
                "SELECT idx, offset, raw_len FROM output_part WHERE exec = ? AND direction = ? \
                 ORDER BY idx DESC LIMIT 1",
            )?
            .query_row(params![exec, direction.as_number()], |row| {
                let number = |column| row.get(column).map(|number: i64| number.unsigned_abs());
                let (idx, offset, raw_len): (u32, u64, u64) = (row.get(0)?, number(1)?, number(2)?);
                Ok((idx.saturating_add(1), offset.saturating_add(raw_len)))
            })
            .optional()?;
        Ok(last.unwrap_or_default())
    }

    /// Writes a part, or writes it again, longer.
    pub(super) fn insert_part(&self, part: &PartRow) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO output_part (exec, direction, idx, offset, raw_len, codec, data, \
                 marks) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
                 ON CONFLICT DO UPDATE SET raw_len = excluded.raw_len, codec = excluded.codec, \
                 data = excluded.data, marks = excluded.marks",
            )?
            .execute(params![
                part.exec,
                part.direction.as_number(),
                part.idx,
                sql_integer(part.offset),
                sql_integer(part.raw_len),
                part.codec.as_number(),
                part.data,
                part.marks,
            ])
            .map(|_| ())
    }
}

fn optional_json(value: Option<&Value>) -> rusqlite::Result<Option<String>> {
    value.map(json).transpose()
}
