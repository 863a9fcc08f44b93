//! `limn export`: recordings as datasets.

use chat::Dialect;
use dataset::{ExportReport, Format, Rows, Target, Tokens, Trainer};
use record::{Library, Outcome, Review};
use trajectory::SessionId;

use crate::args::{ExportArgs, FormatArg, RowsArg, StatusArg};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, safe, thousands};
use crate::store::Store;

pub(crate) fn run(args: &ExportArgs) -> CliResult {
    let target = target(args)?;
    let store = Store::open()?;
    let chosen = choose(args, &store)?;
    let report = dataset::export(&store.home, &chosen, &target, &args.out)?;
    if args.json {
        Out::new().json(&serde_json::to_value(&report).unwrap_or_default());
    } else {
        tell(&report);
    }
    Ok(Exit::Completed)
}

fn target(args: &ExportArgs) -> Result<Target, CliError> {
    let rows = match args.rows {
        RowsArg::Trajectory => Rows::Trajectory,
        RowsArg::Round => Rows::Round,
    };
    match (args.format, &args.tokens.tokenizer) {
        (FormatArg::Messages, None) => Ok(Target::Messages(rows)),
        (FormatArg::Openai, None) => Ok(Target::Trainer(Trainer::Openai, rows)),
        (FormatArg::Axolotl, None) => Ok(Target::Trainer(Trainer::Axolotl, rows)),
        (FormatArg::Slime, None) => Ok(Target::Trainer(Trainer::Slime, rows)),
        (FormatArg::Limi, None) => Ok(Target::Trainer(Trainer::Limi, rows)),
        (FormatArg::Bundle, None) if rows == Rows::Trajectory => Ok(Target::Bundle),
        (FormatArg::Bundle, None) => {
            let why = "A bundle has no rows. Leave out --rows, or choose another --format.";
            Err(CliError::usage(why.to_owned()))
        }
        (FormatArg::Tokens, Some(model)) => {
            let dialect = Dialect::open(model, args.tokens.template.as_deref());
            let dialect = dialect.map_err(|error| CliError::failed(error.to_string()))?;
            let tokens_max = args.tokens.max_tokens;
            Ok(Target::Tokens(Box::new(Tokens { dialect, tokens_max }), rows))
        }
        (FormatArg::Tokens, None) => {
            let why = "Tokens are those of one model. Name its folder with --tokenizer.";
            Err(CliError::usage(why.to_owned()))
        }
        (_, Some(_)) => {
            let why =
                "Only --format tokens reads a tokenizer. Leave it out, or choose that format.";
            Err(CliError::usage(why.to_owned()))
        }
    }
}

/// The sessions that are meant. Of those that were not named, the ones that do not fit are left
/// out, and what cannot be read is said; one that was named and cannot be exported is an error.
fn choose(args: &ExportArgs, store: &Store) -> Result<Vec<SessionId>, CliError> {
    let named: Result<Vec<SessionId>, record::RecordError> =
        args.sessions.iter().map(|id| store.home.find(id)).collect();
    let named = named?;
    let library = store.library()?;
    let (mut chosen, mut private, mut unmarked, mut live) = (Vec::new(), 0, 0, 0);
    let rows = store.catalogue()?;
    for row in rows.iter().filter(|row| named.is_empty() || named.contains(&row.session)) {
        // A bundle of a private session is a backup, if it is named.
        let as_backup = args.format == FormatArg::Bundle && !named.is_empty();
        if let Some(error) = &row.error {
            if !named.is_empty() {
                return Err(CliError::failed(error.clone()));
            }
            note(&format!("left out {}: {}", row.session, safe(error)));
        } else if row.status.private && !as_backup {
            private += 1;
        } else if row.live {
            live += 1;
        } else if fits(args.status, row.session, &library)? {
            if row.status.private {
                note(&format!("{} is private: pass its bundle on to nobody", row.session));
            }
            chosen.push(row.session);
        } else {
            unmarked += 1;
        }
    }
    if chosen.is_empty() {
        let of =
            format!("{private} are private, {live} still being recorded, {unmarked} not marked so");
        return Err(CliError::failed(format!(
            "Nothing to export: of {} sessions {of}. {}",
            rows.len(),
            remedy(args.status)
        )));
    }
    Ok(chosen)
}

const fn remedy(status: StatusArg) -> &'static str {
    match status {
        StatusArg::Success => {
            "Mark what succeeded with `limn annotate ID --outcome success`, or use `--status all`."
        }
        StatusArg::Accepted => {
            "Accept what is good with `limn annotate ID --review accepted`, or use `--status all`."
        }
        StatusArg::All => "Record one with `limn exec`.",
    }
}

fn fits(status: StatusArg, id: SessionId, library: &Library) -> Result<bool, CliError> {
    Ok(match status {
        StatusArg::All => true,
        StatusArg::Success => {
            library.outcome(id)? == Some(Outcome::Success)
                && library.review(id)? != Some(Review::Rejected)
        }
        StatusArg::Accepted => library.review(id)? == Some(Review::Accepted),
    })
}

fn tell(report: &ExportReport) {
    let samples = match report.format {
        Format::Messages | Format::Trainer(_) => format!(", {} samples", report.samples),
        Format::Tokens => {
            let count = |what: &str| report.ledger.kept.get(what).copied().unwrap_or_default();
            format!(
                ", {} rows, {} tokens of which {} are trained",
                report.samples,
                thousands(count("tokens")),
                thousands(count("trained_tokens"))
            )
        }
        Format::Bundle => String::new(),
    };
    let (sessions, out) = (report.sessions, report.out.display());
    note(&format!("{sessions} sessions{samples} in {out}, read back and found whole"));
    for file in &report.files {
        note(&format!("  {:<44} {:>14} bytes", file.name, thousands(file.bytes)));
    }
    for row in &report.over_budget {
        let (sample, tokens) = (row.sample, thousands(row.tokens as u64));
        note(&format!("  too long: session {}, sample {sample}: {tokens} tokens", row.session));
    }
    for (what, loss) in &report.ledger.lost {
        note(&format!("  not kept: {} × {what}. {}", loss.count, loss.note));
    }
    for (why, count) in &report.ledger.untrained {
        note(&format!("  without loss: {count} × {why}"));
    }
}
