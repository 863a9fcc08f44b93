//! `limn sessions`: what there is.

use record::CatalogueRow;
use serde_json::json;

use crate::args::ListArgs;
use crate::bill::{Bill, dollars};
use crate::error::{CliResult, Exit};
use crate::print::{Out, note, safe, thousands};
use crate::settings::{self, Catalogue};
use crate::store::{Store, moment};

pub(crate) fn run(args: &ListArgs) -> CliResult {
    let store = Store::open()?;
    let rows = store.catalogue()?;
    let outcomes = store.library().and_then(|library| Ok(library.answers("outcome")?));
    let outcomes = outcomes.unwrap_or_default();
    // Costs are worth a glance, not a failure: without settings there is the table alone.
    let catalogue = Catalogue::of(&settings::user_file().unwrap_or_default(), None);
    let mut out = Out::new();
    if !args.json && !rows.is_empty() {
        out.line(HEADER);
    }
    for row in &rows {
        let outcome = outcomes.get(&row.session).map(String::as_str);
        let cost = Bill::of_model(&catalogue, row.status.model.as_deref()).cost(&row.status.usage);
        if args.json {
            out.json(&object(row, outcome, cost));
        } else {
            out.line(&line(row, outcome, cost));
        }
    }
    if !args.json && rows.iter().any(|row| row.status.usage.total() > 0) {
        note(&format!("Costs by the table of models of {}, as it is now.", catalogue.date()));
    }
    if rows.is_empty() && !args.json {
        note("No session yet. `limn demo` records one without a key.");
    }
    Ok(Exit::Completed)
}

/// Above the columns of [`fn@line`].
const HEADER: &str = "id                                    begun             ended       outcome   \
                      calls    tokens      cost  prompt";

fn state(row: &CatalogueRow) -> &str {
    match row.status.ended {
        _ if row.error.is_some() => "unreadable",
        _ if row.live => "live",
        Some(ended) => ended.as_str(),
        None => "open",
    }
}

fn object(row: &CatalogueRow, outcome: Option<&str>, cost: Option<f64>) -> serde_json::Value {
    let status = &row.status;
    json!({
        "id": row.session,
        "title": status.title,
        "model": status.model,
        "started_ns": status.started_ns,
        "last_ns": status.last_ns,
        "ended": status.ended,
        "live": row.live,
        "outcome": outcome,
        "rounds": status.rounds,
        "events": status.events,
        "calls": status.calls,
        "requests": status.requests,
        "usage": status.usage,
        "cost_usd": cost,
        "bytes": row.bytes,
        "private": status.private,
        "error": row.error,
    })
}

fn line(row: &CatalogueRow, outcome: Option<&str>, cost: Option<f64>) -> String {
    let id = row.session.to_string();
    if let Some(error) = &row.error {
        return format!("{id}  unreadable: {}", safe(error));
    }
    let status = &row.status;
    format!(
        "{id}  {}  {:<11} {:<8} {:>6} {:>9} {:>9}  {}",
        moment(status.started_ns),
        state(row),
        outcome.unwrap_or("-"),
        status.calls,
        thousands(status.usage.total()),
        cost.map_or_else(|| "-".to_owned(), dollars),
        safe(status.title.as_deref().unwrap_or("(nothing asked)")),
    )
}
