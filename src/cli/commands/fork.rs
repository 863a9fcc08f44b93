//! `limn fork`: a session that goes on from another one.

use serde_json::json;

use crate::args::ForkArgs;
use crate::error::{CliResult, Exit};
use crate::print::{Out, note};
use crate::store::Store;

pub(crate) fn run(args: &ForkArgs) -> CliResult {
    let store = Store::open()?;
    let from = store.home.find(&args.id)?;
    let id = record::fork(&store.home, from, args.at)?;
    let mut out = Out::new();
    if args.json {
        out.json(&json!({ "session": id, "parent": from, "at": args.at }));
    } else {
        out.line(&id.to_string());
        note(&format!("It goes on from {from}: limn resume {id}"));
    }
    Ok(Exit::Completed)
}
