//! `limn rm`: delete recordings, and the checkpoints that only they need.

use std::collections::HashSet;

use record::Archive;
use serde_json::json;
use trajectory::SessionId;
use workspace::{Collector, Hash, Removed};

use super::store::named;
use crate::args::RmArgs;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, thousands};
use crate::store::Store;

pub(crate) fn run(args: &RmArgs) -> CliResult {
    let store = Store::open()?;
    // All of them are found before the first is deleted: a typing error costs nothing, and `last`
    // means what it meant when it was typed.
    let ids: Result<Vec<_>, CliError> =
        args.ids.iter().map(|id| store.home.find(id).map_err(CliError::from)).collect();
    let mut ids = ids?;
    ids.sort_unstable();
    ids.dedup();
    let mut trees = Trees::default();
    let mut out = Out::new();
    let removed = ids.into_iter().try_for_each(|id| -> Result<(), CliError> {
        let of_session = trees_of(&store, id);
        store.home.remove(id)?;
        match of_session {
            Some(of_session) => trees.gone.extend(of_session),
            None => trees.has_unknown = true,
        }
        if args.json {
            out.json(&json!({ "removed": id }));
        } else {
            note(&format!("removed {id}"));
        }
        Ok(())
    });
    // What was deleted before something went wrong takes its checkpoints with it all the same.
    let tidied = trees.remove(&store, args.json.then_some(&mut out));
    removed.and(tidied).and_then(|()| imports(&store)).map(|()| Exit::Completed)
}

/// Deletes what killed imports left: nobody knows of which recordings that is.
fn imports(store: &Store) -> Result<(), CliError> {
    match store.home.remove_dead_imports()? {
        0 => {}
        count => note(&format!("removed what killed imports had left: {count} files")),
    }
    Ok(())
}

/// The checkpoints that a recording names; none where it cannot be read.
fn trees_of(store: &Store, id: SessionId) -> Option<Vec<Hash>> {
    match Archive::open(&store.home, id).and_then(|archive| archive.trees()) {
        Ok(trees) => Some(trees.iter().filter_map(|tree| tree.parse().ok()).collect()),
        Err(record::RecordError::Empty { .. }) => Some(Vec::new()),
        Err(_) => None,
    }
}

/// The checkpoints of what was deleted.
#[derive(Default)]
struct Trees {
    gone: HashSet<Hash>,
    /// A recording could not be read.
    has_unknown: bool,
}

impl Trees {
    /// Deletes what only they held, and tells of it: as JSON where there is somewhere to print it.
    fn remove(&self, store: &Store, json: Option<&mut Out>) -> Result<(), CliError> {
        let result = match self.gone.is_empty() {
            true => Ok(Removed::default()),
            false => self.collect(store),
        };
        match (json, &result) {
            (Some(out), result) => {
                let all = Removed { waiting: self.gone.len() as u64, ..Removed::default() };
                let Removed { blobs, bytes, waiting } = *result.as_ref().unwrap_or(&all);
                out.json(&json!({
                    "blobs": blobs,
                    "bytes": bytes,
                    "waiting": waiting,
                    "unknown": self.has_unknown,
                }));
            }
            (None, Ok(removed)) => self.tell(removed),
            (None, Err(_)) => self.tell(&Removed::default()),
        }
        // The recordings are gone: whoever tries again finds nothing to delete.
        result.map(drop).map_err(|CliError { exit, message }| {
            let left = "What only the checkpoints of deleted recordings held is still there: after \
                        that, `limn store gc` deletes it.";
            CliError::new(exit, format!("{message} {left}"))
        })
    }

    fn collect(&self, store: &Store) -> Result<Removed, CliError> {
        let collector = Collector::begin(store.home.path())?;
        let (named, is_live) = named(&store.home)?;
        Ok(collector.remove(&self.gone, named, is_live)?)
    }

    fn tell(&self, removed: &Removed) {
        if self.has_unknown {
            note("What only its checkpoints held goes with `limn store gc`: it could not be read.");
        }
        if removed.blobs > 0 {
            note(&format!(
                "removed what only its checkpoints held: {} blobs, {} bytes",
                thousands(removed.blobs),
                thousands(removed.bytes)
            ));
        }
        if removed.waiting > 0 {
            note(
                "A session is running that may need checkpoints of the last hour: what only they \
                  hold goes with `limn store gc` later.",
            );
        }
    }
}
