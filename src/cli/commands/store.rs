//! `limn store`: how much is stored, deleting what no recording needs, and making anew what can be
//! made from recordings.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::thread;
use std::time::Duration;

use record::{Archive, Home, RecordError};
use serde_json::json;
use trajectory::SessionId;
use workspace::{Collector, Hash};

use super::doctor::{self, Check};
use crate::args::{StoreBackupArgs, StoreCheckArgs, StoreGcArgs, StoreRebuildArgs, StoreStatsArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, Progress, note, thousands};
use crate::store::Store;

/// A session that runs may not have recorded yet what it took a moment ago.
const GRACE_WHILE_LIVE: Duration = Duration::from_secs(3600);

pub(crate) fn stats(args: &StoreStatsArgs) -> CliResult {
    let store = Store::open()?;
    let sessions = store.home.session_ids()?;
    let mut session_bytes = 0;
    for id in &sessions {
        session_bytes += with_wal(&store.home.session_file(*id));
    }
    let library_bytes = with_wal(&store.home.path().join("limn.db"));
    let (blobs, blob_bytes) = workspace::size(store.home.path()).map_err(workspace::Error::from)?;
    let mut out = Out::new();
    if args.json {
        out.json(&json!({
            "sessions": sessions.len(),
            "session_bytes": session_bytes,
            "library_bytes": library_bytes,
            "blobs": blobs,
            "blob_bytes": blob_bytes,
        }));
    } else {
        let line = |count: u64, what: &str, bytes: u64| {
            format!("{} {what}, {} bytes", thousands(count), thousands(bytes))
        };
        out.line(&line(sessions.len() as u64, "recordings", session_bytes));
        out.line(&line(blobs, "blobs of workspaces", blob_bytes));
        out.line(&format!(
            "annotations and the index of words, {} bytes",
            thousands(library_bytes)
        ));
    }
    Ok(Exit::Completed)
}

/// Bytes of a database on disk, with what has not been folded into it yet.
fn with_wal(file: &Path) -> u64 {
    let mut wal = file.as_os_str().to_owned();
    wal.push("-wal");
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    length(file) + length(Path::new(&wal))
}

pub(crate) fn gc(args: &StoreGcArgs) -> CliResult {
    let store = Store::open()?;
    let collector = Collector::begin(store.home.path())?;
    let (named, is_live) = named(&store.home)?;
    let grace = Duration::from_secs(args.older_than);
    let grace = if is_live { grace.max(GRACE_WHILE_LIVE) } else { grace };
    let collected = collector.collect(named, grace)?;
    let imports = store.home.remove_dead_imports()?;
    let mut out = Out::new();
    let swept = collected.swept;
    if args.json {
        out.json(&json!({
            "checkpoints": collected.checkpoints,
            "absent": collected.absent,
            "damaged": collected.damaged,
            "kept": swept.kept,
            "kept_bytes": swept.kept_bytes,
            "removed": swept.removed,
            "removed_bytes": swept.removed_bytes,
            "snapshots_removed": collected.snapshots,
            "imports_removed": imports,
        }));
    } else {
        out.line(&format!(
            "deleted {} blobs ({} bytes) and {} expanded copies; {} checkpoints keep {} blobs ({} \
             bytes)",
            thousands(swept.removed),
            thousands(swept.removed_bytes),
            thousands(collected.snapshots),
            thousands(collected.checkpoints),
            thousands(swept.kept),
            thousands(swept.kept_bytes),
        ));
        if imports > 0 {
            out.line(&format!("deleted what killed imports had left: {imports} files"));
        }
        if collected.damaged > 0 {
            out.line(&format!(
                "{} checkpoints are damaged: a part of each is missing or not what it was",
                collected.damaged
            ));
        }
    }
    Ok(Exit::Completed)
}

pub(crate) fn check(args: &StoreCheckArgs) -> CliResult {
    let store = Store::open()?;
    let mut checks = doctor::recordings(&store.home)?;
    let (blobs, wrong) = workspace::check(store.home.path()).map_err(workspace::Error::from)?;
    let name = "workspaces";
    checks.push(match wrong.is_empty() {
        true => Check::good(name, format!("{} blobs are what they were", thousands(blobs))),
        false => {
            let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            let fix = "Checkpoints that need them cannot be restored whole.";
            Check::bad(name, told.join(" "), Some(fix))
        }
    });
    Ok(doctor::tell(&checks, args.json))
}

pub(crate) fn backup(args: &StoreBackupArgs) -> CliResult {
    let done = Store::open()?.home.back_up_to(&args.dir)?;
    let mut out = Out::new();
    if args.json {
        let unreadable: Vec<_> = done.unreadable.iter().map(|(id, _)| id).collect();
        out.json(&json!({
            "copied": done.copied,
            "unchanged": done.unchanged,
            "unreadable": unreadable,
            "only_there": done.only_there,
            "blobs": done.blobs,
            "blob_bytes": done.blob_bytes,
        }));
    } else {
        out.line(&format!(
            "copied {} recordings and {} blobs of workspaces ({} bytes); {} recordings were there \
             already",
            thousands(done.copied),
            thousands(done.blobs),
            thousands(done.blob_bytes),
            thousands(done.unchanged),
        ));
        if done.only_there > 0 {
            let count = thousands(done.only_there);
            out.line(&format!("{count} recordings are only there, since they were deleted here"));
        }
    }
    for (id, problem) in &done.unreadable {
        note(&format!("left out {id}: {problem}"));
    }
    Ok(if done.unreadable.is_empty() { Exit::Completed } else { Exit::Failed })
}

pub(crate) fn rebuild(args: &StoreRebuildArgs) -> CliResult {
    let mut progress = Progress::of("indexing recordings");
    let mut tell = |done, all| progress.tell(done, all);
    let rows = Store::open()?.library()?.rebuild(&mut tell)?;
    let unreadable = rows.iter().filter(|row| row.error.is_some()).count();
    let mut out = Out::new();
    if args.json {
        out.json(&json!({ "sessions": rows.len(), "unreadable": unreadable }));
    } else {
        out.line(&format!("made the catalogue of {} sessions anew", thousands(rows.len() as u64)));
        if unreadable > 0 {
            out.line(&format!(
                "{unreadable} of them cannot be read: `limn doctor --store` says why"
            ));
        }
    }
    Ok(Exit::Completed)
}

/// The checkpoints that recordings name, and whether a session is running.
pub(super) fn named(home: &Home) -> Result<(HashSet<Hash>, bool), CliError> {
    let ids = home.session_ids()?;
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // To open a recording takes longer than to read what it names: every core opens some.
    let some = ids.len().div_ceil(cores).max(1);
    let read: Vec<_> = thread::scope(|scope| {
        let readers: Vec<_> =
            ids.chunks(some).map(|ids| scope.spawn(|| named_by(home, ids))).collect();
        readers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut named = HashSet::new();
    let mut is_live = false;
    for some in read {
        let failed = |_| CliError::failed("Reading failed inside limn; please report this.");
        let (trees, is_written) = some.map_err(failed)??;
        named.extend(trees);
        is_live |= is_written;
    }
    Ok((named, is_live))
}

/// The same of these recordings alone.
fn named_by(home: &Home, ids: &[SessionId]) -> Result<(HashSet<Hash>, bool), CliError> {
    let mut named = HashSet::new();
    let mut is_live = false;
    for id in ids {
        let is_written = home.is_live(*id);
        is_live |= is_written;
        let trees = match trees(home, *id, is_written) {
            Ok(Some(trees)) => trees,
            Ok(None) => {
                return Err(CliError::failed(format!(
                    "Session {id} is just beginning, and may go on from checkpoints of another \
                     one. No blob was deleted; try again in a moment."
                )));
            }
            Err(error) => {
                return Err(CliError::failed(format!(
                    "{error} No blob was deleted, since nobody knows what that session needs; repair \
                     it, or delete it with `limn rm {id}`."
                )));
            }
        };
        named.extend(trees.iter().filter_map(|tree| tree.parse::<Hash>().ok()));
    }
    Ok((named, is_live))
}

/// The checkpoints that a recording names; `None` of one that is just being made and may be about
/// to copy events that name some.
fn trees(
    home: &Home,
    id: SessionId,
    is_written: bool,
) -> Result<Option<BTreeSet<String>>, RecordError> {
    let archive = match Archive::open(home, id) {
        // Nobody began it, or not yet.
        Err(RecordError::Empty { .. }) => return Ok((!is_written).then(BTreeSet::new)),
        // It was deleted just now.
        Err(RecordError::NotFound { .. }) => return Ok(Some(BTreeSet::new())),
        archive => archive?,
    };
    // A fork's copied events come all at once.
    let is_fork = is_written && archive.session()?.parent.is_some();
    if is_fork && archive.status()?.events == 0 {
        return Ok(None);
    }
    archive.trees().map(Some)
}
