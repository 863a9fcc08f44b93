//! `limn import`: recordings from elsewhere.

use serde_json::json;

use crate::args::ImportBundleArgs;
use crate::error::{CliResult, Exit};
use crate::print::{Out, note};
use crate::store::Store;

pub(crate) fn run(args: &ImportBundleArgs) -> CliResult {
    let store = Store::open()?;
    let mut out = Out::new();
    for path in &args.paths {
        let imported = dataset::import_bundle(&store.home, path)?;
        if args.json {
            out.json(&json!({
                "path": path, "session": imported.id, "already_here": imported.already_here,
            }));
        } else if imported.already_here {
            note(&format!("{} was here already, the same to the last event", imported.id));
        } else {
            note(&format!("imported {}", imported.id));
        }
    }
    Ok(Exit::Completed)
}
