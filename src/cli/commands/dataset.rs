//! `limn dataset`: what is in an export.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use chat::Tokenizer;
use dataset::{Manifest, Piece, ReadRow};
use serde_json::json;

use crate::args::{CardArgs, DiffArgs, InspectArgs, StatsArgs, VerifyArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, safe, thousands};

/// Two shades for what is trained, so that tokens can be told apart; a faint one for the rest.
const TRAINED: [&str; 2] = ["\u{1b}[30;42m", "\u{1b}[30;102m"];
const UNTRAINED: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// How wide the longest bar of a histogram is.
const BAR_COLUMNS: usize = 40;

pub(crate) fn inspect(args: &InspectArgs) -> CliResult {
    let tokenizer = Tokenizer::of_model(&args.tokenizer);
    let tokenizer = tokenizer.map_err(|error| CliError::failed(error.to_string()))?;
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut out = Out::new();
    let mut number = 0;
    dataset::inspect(&args.dir, &tokenizer, &mut |row| {
        number += 1;
        if args.row.is_none_or(|wanted| wanted == number) {
            show(&row, number, colours, &mut out);
        }
        !out.is_gone() && args.row.is_none_or(|wanted| number != wanted)
    })?;
    if let Some(wanted) = args.row.filter(|wanted| !(1..=number).contains(wanted)) {
        let place = args.dir.display();
        return Err(CliError::failed(match number {
            0 => {
                format!("There is no row {wanted}: {place} has none. See its ledger.json for why.")
            }
            _ => format!("There is no row {wanted} in {place}. Name one from 1 to {number}."),
        }));
    }
    Ok(Exit::Completed)
}

fn show(row: &ReadRow, number: usize, colours: bool, out: &mut Out) {
    let ([sample, place], [tokens, trained]) = (row.place, row.tokens);
    let (tokens, trained) = (thousands(tokens as u64), thousands(trained as u64));
    let session = safe(&row.session);
    out.line(&format!(
        "row {number}: session {session}, sample {sample}, row {place}: {tokens} tokens, {trained} trained"
    ));
    let mut shade = 0;
    let mut before = false;
    for Piece { text, trained } in &row.pieces {
        if colours {
            shade = (shade + 1) % TRAINED.len();
            // A line end that is trained is seen; a colour that goes on past it fills the line.
            let (colour, end) = if *trained { (TRAINED[shade], "↵") } else { (UNTRAINED, "") };
            let text = safe(text).replace('\n', &format!("{end}{PLAIN}\n{colour}"));
            out.text(&format!("{colour}{text}{PLAIN}"));
        } else {
            // Without colours, what is trained stands between signs.
            let sign = match (before, *trained) {
                (false, true) => "⟦",
                (true, false) => "⟧",
                _ => "",
            };
            out.text(sign);
            out.text(&safe(text));
        }
        before = *trained;
    }
    out.line(if before && !colours { "⟧" } else { "" });
}

pub(crate) fn stats(args: &StatsArgs) -> CliResult {
    let stats = dataset::stats(&args.dir)?;
    let hashes = hashes(&Manifest::read(&args.dir)?);
    let mut out = Out::new();
    if args.json {
        let mut all = serde_json::to_value(&stats).unwrap_or_default();
        all["hashes"] = json!(hashes);
        out.json(&all);
        return Ok(Exit::Completed);
    }
    let count = |number: usize| thousands(number as u64);
    let (rows, sessions) = (of(stats.rows, "row"), of(stats.sessions, "session"));
    out.line(&format!("{rows} of {sessions}"));
    let (tokens, replies) = (count(stats.tokens), count(stats.replies));
    out.line(&if stats.estimated {
        format!("about {tokens} tokens, {replies} trained replies")
    } else {
        let share = 100 * stats.trained / stats.tokens.max(1);
        format!("{tokens} tokens, {} trained ({share} %), {replies} replies", count(stats.trained))
    });
    let lengths = [50, 95, 100].map(|per_cent| count(stats.length_at(per_cent)));
    out.line(&format!(
        "a row: median {}, p95 {}, longest {} tokens",
        lengths[0], lengths[1], lengths[2]
    ));
    draw(&mut out, "tokens", &stats.histogram());
    draw(&mut out, "replies", &stats.steps_histogram());
    for (what, counts) in [
        ("parts", &stats.parts),
        ("domains", &stats.domains),
        ("models", &stats.models),
        ("tools", &stats.tools),
        ("reasoning", &stats.reasoning),
        ("outcomes", &stats.outcomes),
        ("reviews", &stats.reviews),
        ("licences", &stats.licences),
        ("annotators", &stats.annotators),
    ] {
        list(&mut out, what, counts);
    }
    for (what, hash) in &hashes {
        out.line(&format!("{what:<11} {}", safe(hash)));
    }
    Ok(Exit::Completed)
}

/// So many of something, in words.
fn of(count: usize, what: &str) -> String {
    format!("{} {what}{}", thousands(count as u64), if count == 1 { "" } else { "s" })
}

/// What names a version, and what it was made with.
fn hashes(manifest: &Manifest) -> BTreeMap<&'static str, String> {
    let of = |key: &'static str| Some((key, manifest.target[key].as_str()?.to_owned()));
    let made_with = ["tokenizer", "template"].into_iter().filter_map(of);
    [("version", manifest.id.clone())].into_iter().chain(made_with).collect()
}

fn draw(out: &mut Out, of: &str, bins: &[(usize, usize)]) {
    let most = bins.iter().map(|(_, rows)| *rows).max().unwrap_or(0).max(1);
    for (from, rows) in bins {
        let bar = "█".repeat((rows * BAR_COLUMNS).div_ceil(most));
        let [first, last, rows] =
            [*from, (from * 2).saturating_sub(1).max(*from), *rows].map(|it| thousands(it as u64));
        let range = if first == last { first } else { format!("{first} to {last}") };
        out.line(&format!("{range:>20} {of} {rows:>7} {bar}"));
    }
}

/// The most frequent first, on a line that stays readable.
fn list(out: &mut Out, what: &str, counts: &BTreeMap<String, u64>) {
    const LISTED_MAX: usize = 12;
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let more = counts.len().saturating_sub(LISTED_MAX);
    let shown = counts.iter().take(LISTED_MAX);
    let mut words: Vec<String> =
        shown.map(|(name, count)| format!("{} {}", safe(name), thousands(**count))).collect();
    if more > 0 {
        words.push(format!("{more} more"));
    }
    if !words.is_empty() {
        out.line(&format!("{what:<11} {}", words.join(", ")));
    }
}

pub(crate) fn verify(args: &VerifyArgs) -> CliResult {
    let wrong = dataset::verify(&args.dir)?;
    let manifest = Manifest::read(&args.dir)?;
    if args.json {
        let (id, ok) = (&manifest.id, wrong.is_empty());
        Out::new().json(&json!({ "id": id, "ok": ok, "wrong": wrong }));
    } else {
        wrong.iter().for_each(|what| note(&safe(what)));
    }
    if wrong.is_empty() {
        let (files, rows) = (manifest.files.len(), thousands(manifest.samples as u64));
        note(&format!("whole: {files} files, {rows} rows, version {}", safe(&manifest.id)));
        return Ok(Exit::Completed);
    }
    Err(CliError::failed(format!(
        "{} is not what was exported. Export it again with `limn export --again`.",
        args.dir.display()
    )))
}

pub(crate) fn diff(args: &DiffArgs) -> CliResult {
    let differs = dataset::diff(&args.before, &args.after)?;
    let mut out = Out::new();
    if args.json {
        out.json(&serde_json::to_value(&differs).unwrap_or_default());
        return Ok(Exit::Completed);
    }
    if differs.ids[0] == differs.ids[1] {
        out.line("the same version");
        return Ok(Exit::Completed);
    }
    if differs.is_child {
        out.line("the second comes after the first");
    }
    let rows = differs.rows.map(|rows| thousands(rows as u64));
    out.line(&format!("rows: {} before, {} after", rows[0], rows[1]));
    for (what, these) in [
        ("session added", &differs.added),
        ("session gone", &differs.removed),
        ("session went on", &differs.went_on),
        ("session in another part", &differs.moved),
        ("file", &differs.files),
    ] {
        these.iter().for_each(|it| out.line(&format!("{what}: {}", safe(it))));
    }
    for (key, [before, after]) in &differs.recipe {
        out.line(&safe(&format!("{key}: {before} before, {after} after")));
    }
    Ok(Exit::Completed)
}

pub(crate) fn card(args: &CardArgs) -> CliResult {
    Out::new().text(&safe(&dataset::card(&args.dir)?));
    Ok(Exit::Completed)
}
