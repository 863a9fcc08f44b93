//! `limn sessions`: what there is.

use std::collections::{BTreeSet, HashMap};

use record::{CatalogueRow, Excerpt, Found, Outcome, Search};
use serde_json::json;
use trajectory::SessionId;

use crate::args::ListArgs;
use crate::bill::{Bill, dollars};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, safe, thousands};
use crate::settings::{self, Catalogue};
use crate::store::{Store, moment};

/// Sessions in which words were found that are listed unless more are asked for.
const FOUND_MAX: usize = 50;

pub(crate) fn run(args: &ListArgs) -> CliResult {
    let store = Store::open()?;
    let said = Said::of(&store);
    let mut found = find(&store, args)?;
    let more = found.len().saturating_sub(shown_max(args).unwrap_or(usize::MAX));
    found.truncate(found.len() - more);
    // Costs are worth a glance, not a failure: without settings there is the table alone.
    let catalogue = Catalogue::of(&settings::user_file().unwrap_or_default(), None);
    let mut out = Out::new();
    if !args.json && !found.is_empty() {
        out.line(HEADER);
    }
    for Found { row, matches, excerpts } in &found {
        let cost = Bill::of_model(&catalogue, row.status.model.as_deref()).cost(&row.status.usage);
        if args.json {
            let mut object = object(row, &said, cost);
            if args.search.text.is_some() {
                object["matches"] = json!(matches);
                object["excerpts"] = excerpts.iter().map(excerpt_object).collect();
            }
            out.json(&object);
            continue;
        }
        out.line(&line(row, &said, cost));
        for excerpt in excerpts {
            out.line(&excerpt_line(excerpt));
        }
        if *matches > excerpts.len() {
            out.line(&format!("    and {} more", thousands((matches - excerpts.len()) as u64)));
        }
    }
    if !args.json && found.iter().any(|it| it.row.status.usage.total() > 0) {
        note(&format!("Costs by the table of models of {}, as it is now.", catalogue.date()));
    }
    if more > 0 && !args.json {
        let more = thousands(more as u64);
        note(&format!("{more} more sessions, older ones, are not listed: --limit N lists more."));
    }
    if found.is_empty() && !args.json {
        note(match args.search.is_nothing() {
            true => "No session yet. `limn demo` records one without a key.",
            false => "No session has all of that.",
        });
    }
    Ok(Exit::Completed)
}

/// How many sessions are listed. Where words stand nearly everywhere, nobody reads all the places.
fn shown_max(args: &ListArgs) -> Option<usize> {
    let is_long = args.search.text.is_some() && !args.json;
    args.limit.or(is_long.then_some(FOUND_MAX))
}

/// What was said about sessions. Where that cannot be read, nothing was.
#[derive(Default)]
struct Said {
    outcomes: HashMap<SessionId, String>,
    tags: HashMap<SessionId, BTreeSet<String>>,
}

impl Said {
    fn of(store: &Store) -> Self {
        let read = || -> Result<Self, CliError> {
            let library = store.library()?;
            Ok(Self { outcomes: library.answers("outcome")?, tags: library.tags()? })
        };
        read().unwrap_or_default()
    }

    fn outcome(&self, row: &CatalogueRow) -> Option<&str> {
        self.outcomes.get(&row.session).map(String::as_str)
    }

    fn tags(&self, row: &CatalogueRow) -> impl Iterator<Item = &str> {
        self.tags.get(&row.session).into_iter().flatten().map(String::as_str)
    }
}

/// What is looked for; every session when nothing is.
fn find(store: &Store, args: &ListArgs) -> Result<Vec<Found>, CliError> {
    let (args, shown_max) = (&args.search, shown_max(args));
    if args.is_nothing() {
        let every = |row| Found { row, matches: 0, excerpts: Vec::new() };
        return Ok(store.catalogue()?.into_iter().map(every).collect());
    }
    store.search(&Search {
        text: args.text.clone().unwrap_or_default(),
        parts: args.parts.clone(),
        file: args.file.clone(),
        tool: args.tool.clone(),
        model: args.model.clone(),
        since_ns: args.since,
        until_ns: args.until,
        outcome: args.outcome.map(Outcome::from),
        tags: args.tags.clone(),
        shown_max,
    })
}

fn excerpt_object(excerpt: &Excerpt) -> serde_json::Value {
    json!({
        "seq": excerpt.seq,
        "round": excerpt.round,
        "part": excerpt.part.as_str(),
        "text": excerpt.text,
    })
}

fn excerpt_line(excerpt: &Excerpt) -> String {
    let Excerpt { seq, round, part, text, .. } = excerpt;
    format!("    round {round}, event {seq}, {}: {}", part.as_str(), safe(text))
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

fn object(row: &CatalogueRow, said: &Said, cost: Option<f64>) -> serde_json::Value {
    let status = &row.status;
    json!({
        "id": row.session,
        "title": status.title,
        "model": status.model,
        "started_ns": status.started_ns,
        "last_ns": status.last_ns,
        "ended": status.ended,
        "live": row.live,
        "outcome": said.outcome(row),
        "tags": said.tags(row).collect::<Vec<_>>(),
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

fn line(row: &CatalogueRow, said: &Said, cost: Option<f64>) -> String {
    let id = row.session.to_string();
    if let Some(error) = &row.error {
        return format!("{id}  unreadable: {}", safe(error));
    }
    let status = &row.status;
    let tags: String = said.tags(row).map(|tag| format!(" #{tag}")).collect();
    format!(
        "{id}  {}  {:<11} {:<8} {:>6} {:>9} {:>9}  {}{}",
        moment(status.started_ns),
        state(row),
        said.outcome(row).unwrap_or("-"),
        status.calls,
        thousands(status.usage.total()),
        cost.map_or_else(|| "-".to_owned(), dollars),
        safe(status.title.as_deref().unwrap_or("(nothing asked)")),
        safe(&tags),
    )
}
