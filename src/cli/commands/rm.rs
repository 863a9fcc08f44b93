//! `limn rm`: delete recordings.

use record::Archive;
use serde_json::json;

use crate::args::RmArgs;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note};
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
    let mut out = Out::new();
    let mut had_checkpoints = false;
    for id in ids {
        let trees = Archive::open(&store.home, id).and_then(|archive| archive.trees());
        had_checkpoints |= trees.is_ok_and(|trees| !trees.is_empty());
        store.home.remove(id)?;
        if args.json {
            out.json(&json!({ "removed": id }));
        } else {
            note(&format!("removed {id}"));
        }
    }
    if had_checkpoints && !args.json {
        note("What only its checkpoints held goes with `limn store gc`.");
    }
    Ok(Exit::Completed)
}
