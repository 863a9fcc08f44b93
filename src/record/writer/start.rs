//! The rows a session begins with.

use blob::Hash;
use rusqlite::params;
use serde::Serialize;
use trajectory::{DeviceId, QueryId};

use super::Writer;
use crate::error::RecordError;
use crate::queue::Stamp;
use crate::rows::{Durability, Environment, Query, SessionStart};

impl Writer {
    /// Writes what a session begins with: itself, its query, its environment, its first run.
    pub(crate) fn begin(
        &mut self,
        stamp: Stamp,
        device: DeviceId,
        start: &SessionStart,
    ) -> Result<(), RecordError> {
        self.transaction(Durability::Relaxed, |writer| {
            if let Some(query) = &start.query {
                writer.insert_query(query)?;
            }
            let environment = writer.insert_environment(&start.environment)?;
            writer
                .connection
                .prepare_cached(
                    "INSERT INTO session (id, query_id, environment, app_version, config, \
                     annotator, private, parent_session, fork_event, started_ns, origin_device) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    start.id.as_bytes(),
                    start.query.as_ref().map(|query| query.id).as_ref().map(QueryId::as_bytes),
                    environment.as_bytes(),
                    start.app_version,
                    json(&start.config)?,
                    start.annotator,
                    start.private,
                    start.parent.as_ref().map(|(session, _)| session.as_bytes()),
                    start.parent.as_ref().map(|(_, event)| event.as_bytes()),
                    stamp.wall_ns,
                    device.as_bytes(),
                ])?;
            writer.insert_run(stamp, &start.app_version)
        })
        .map_err(|error| self.broken(&error))
    }

    /// Notes that another process writes from here on.
    pub(crate) fn begin_run(&mut self, stamp: Stamp) -> Result<(), RecordError> {
        self.transaction(Durability::Relaxed, |writer| {
            writer.insert_run(stamp, env!("CARGO_PKG_VERSION"))
        })
        .map_err(|error| self.broken(&error))
    }

    /// Once for each run.
    pub(super) fn insert_run(&self, stamp: Stamp, app_version: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO run (idx, id, app_version, started_ns) \
                 SELECT coalesce(max(idx), 0) + 1, ?, ?, ? FROM run",
            )?
            .execute(params![self.run.as_bytes(), app_version, stamp.wall_ns])
            .map(|_| ())
    }

    fn insert_query(&self, query: &Query) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO query (id, group_key, text, subtasks, criteria, workspace, source, \
                 licence, verifier) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                query.id.as_bytes(),
                query.group_key,
                query.text,
                json(&query.subtasks)?,
                json(&query.criteria)?,
                query.workspace,
                query.source,
                query.licence,
                query.verifier,
            ])
            .map(|_| ())
    }

    fn insert_environment(&mut self, environment: &Environment) -> rusqlite::Result<Hash> {
        let dirty_diff = match &environment.dirty_diff {
            Some(diff) => Some(self.put_blob(diff)?),
            None => None,
        };
        let hash = environment_hash(environment)?;
        self.connection
            .prepare_cached(
                "INSERT INTO environment (hash, os, arch, shell, cwd, toolchains, git_commit, \
                 dirty_diff, tree_hash, env_allowlist, locale, tz, repository) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                hash.as_bytes(),
                environment.os,
                environment.arch,
                environment.shell,
                environment.cwd,
                json(&environment.toolchains)?,
                environment.git_commit,
                dirty_diff.as_ref().map(Hash::as_bytes),
                environment.tree_hash,
                json(&environment.env_allowlist)?,
                environment.locale,
                environment.tz,
                environment.repository,
            ])?;
        Ok(hash)
    }
}

/// The environment's name: the hash of its JSON, the diff in it replaced by the diff's hash.
pub(crate) fn environment_hash(environment: &Environment) -> rusqlite::Result<Hash> {
    let diff = environment.dirty_diff.as_ref().map(|diff| Hash::of(diff).as_bytes().to_vec());
    let named = Environment { dirty_diff: diff, ..environment.clone() };
    Ok(Hash::of(json(&named)?.as_bytes()))
}

/// JSON for a text column.
pub(crate) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
