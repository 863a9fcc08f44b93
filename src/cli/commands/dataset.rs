//! `limn dataset`: what is in an export.

use std::io::IsTerminal;

use chat::Tokenizer;
use dataset::{Piece, ReadRow};

use crate::args::{InspectArgs, StatsArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, safe, thousands};

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
            let colour = if *trained { TRAINED[shade] } else { UNTRAINED };
            // A colour that goes on past the end of a line fills the rest of it.
            let text = safe(text).replace('\n', &format!("{PLAIN}\n{colour}"));
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
    let mut out = Out::new();
    if args.json {
        out.json(&serde_json::to_value(&stats).unwrap_or_default());
        return Ok(Exit::Completed);
    }
    let count = |number: usize| thousands(number as u64);
    let share = 100 * stats.trained / stats.tokens.max(1);
    out.line(&format!("{} rows of {} sessions", count(stats.rows), count(stats.sessions)));
    out.line(&format!(
        "{} tokens, {} trained ({share} %), {} replies",
        count(stats.tokens),
        count(stats.trained),
        count(stats.replies)
    ));
    let lengths = [50, 95, 100].map(|per_cent| count(stats.length_at(per_cent)));
    out.line(&format!("a row: median {}, p95 {}, longest {}", lengths[0], lengths[1], lengths[2]));
    let bins = stats.histogram();
    let most = bins.iter().map(|(_, rows)| *rows).max().unwrap_or(1);
    for (from, rows) in bins {
        let bar = "█".repeat((rows * BAR_COLUMNS).div_ceil(most));
        out.line(&format!("{:>10} tokens and more {:>7} {bar}", count(from), count(rows)));
    }
    Ok(Exit::Completed)
}
