//! `limn store`: how much is stored, and deleting what no recording needs.

use std::collections::HashSet;
use std::time::Duration;

use record::{Archive, Home, RecordError};
use serde_json::json;
use workspace::{Collector, Hash};

use crate::args::{StoreGcArgs, StoreStatsArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, thousands};
use crate::store::Store;

/// A session that runs may not have recorded yet what it took a moment ago.
const GRACE_WHILE_LIVE: Duration = Duration::from_secs(3600);

pub(crate) fn stats(args: &StoreStatsArgs) -> CliResult {
    let store = Store::open()?;
    let sessions = store.home.session_ids()?;
    let mut session_bytes = 0;
    for id in &sessions {
        let metadata = std::fs::metadata(store.home.session_file(*id));
        session_bytes += metadata.map_or(0, |metadata| metadata.len());
    }
    let (blobs, blob_bytes) = workspace::size(store.home.path()).map_err(workspace::Error::from)?;
    let mut out = Out::new();
    if args.json {
        out.json(&json!({
            "sessions": sessions.len(),
            "session_bytes": session_bytes,
            "blobs": blobs,
            "blob_bytes": blob_bytes,
        }));
    } else {
        let line = |count: u64, what: &str, bytes: u64| {
            format!("{} {what}, {} bytes", thousands(count), thousands(bytes))
        };
        out.line(&line(sessions.len() as u64, "recordings", session_bytes));
        out.line(&line(blobs, "blobs of workspaces", blob_bytes));
    }
    Ok(Exit::Completed)
}

pub(crate) fn gc(args: &StoreGcArgs) -> CliResult {
    let store = Store::open()?;
    let collector = Collector::begin(store.home.path())?;
    let (named, is_live) = named(&store.home)?;
    let grace = Duration::from_secs(args.older_than);
    let grace = if is_live { grace.max(GRACE_WHILE_LIVE) } else { grace };
    let collected = collector.collect(named, grace)?;
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
        if collected.damaged > 0 {
            out.line(&format!(
                "{} checkpoints are damaged: a part of each is missing or not what it was",
                collected.damaged
            ));
        }
    }
    Ok(Exit::Completed)
}

/// The checkpoints that recordings name, and whether a session is running.
fn named(home: &Home) -> Result<(HashSet<Hash>, bool), CliError> {
    let mut named = HashSet::new();
    let mut is_live = false;
    for id in home.session_ids()? {
        is_live |= home.is_live(id);
        let trees = match Archive::open(home, id).and_then(|archive| archive.trees()) {
            Ok(trees) => trees,
            // It has not begun, or was deleted just now.
            Err(RecordError::Empty { .. } | RecordError::NotFound { .. }) => continue,
            Err(error) => {
                return Err(CliError::failed(format!(
                    "{error} Nothing was deleted, since nobody knows what that session needs; \
                     repair it, or delete it with `limn rm {id}`."
                )));
            }
        };
        named.extend(trees.iter().filter_map(|tree| tree.parse::<Hash>().ok()));
    }
    Ok((named, is_live))
}
