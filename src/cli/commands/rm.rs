//! `limn rm`: delete recordings.

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
    for id in ids {
        store.home.remove(id)?;
        if args.json {
            out.json(&json!({ "removed": id }));
        } else {
            note(&format!("removed {id}"));
        }
    }
    Ok(Exit::Completed)
}
