//! `limn export`: recordings as datasets.

use std::collections::BTreeMap;

use chat::Dialect;
use dataset::{
    Consent, ExportReport, Files, Filter, Format, Gate, Manifest, Messages, Order, Recipe, Rows,
    Selection, SessionForm, Status, Target, Tokens, Trainer,
};
use record::Outcome;
use serde_json::json;

use crate::args::{
    ExportArgs, FilesArg, FilterArgs, FormatArg, RowsArg, StatusArg, TokensArgs, VersionArgs,
};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note, safe, thousands};
use crate::store::Store;

pub(crate) fn run(args: &ExportArgs) -> CliResult {
    let again = args.version.again.as_deref().map(Manifest::read).transpose()?;
    let target = target(args, again.as_ref())?;
    let store = Store::open()?;
    let order = match again {
        Some(manifest) => Order::again(&store.home, manifest)?,
        None => order(args, &store)?,
    };
    let report = dataset::export(&store.home, &order, &target, &args.out)?;
    if args.json {
        Out::new().json(&serde_json::to_value(&report).unwrap_or_default());
    } else {
        tell(&report);
    }
    Ok(Exit::Completed)
}

/// What is made: as it is asked for, or as the version was that is exported again.
fn target(args: &ExportArgs, again: Option<&Manifest>) -> Result<Target, CliError> {
    let (format, rows, tokens_max) = match again {
        Some(manifest) => {
            let is_round = manifest.target["rows"] == json!(Rows::Round);
            let rows = if is_round { Rows::Round } else { Rows::Trajectory };
            let max = manifest.target["tokens_max"].as_u64();
            (manifest.format()?, Some(rows), max.and_then(|max| usize::try_from(max).ok()))
        }
        None => {
            let Some(format) = args.format else {
                return Err(CliError::usage("Name a --format, or a version to export --again."));
            };
            let rows = args.rows.map(|rows| match rows {
                RowsArg::Trajectory => Rows::Trajectory,
                RowsArg::Round => Rows::Round,
            });
            (format.into(), rows, args.tokens.max_tokens)
        }
    };
    if args.rows.is_some() && matches!(format, Format::Bundle | Format::Sessions(_)) {
        let why = "This format has whole sessions, and no rows. Leave out --rows, or choose \
                   another --format.";
        return Err(CliError::usage(why));
    }
    if args.rows == Some(RowsArg::Round)
        && matches!(format, Format::Trainer(trainer) if trainer.trains_every_reply())
    {
        let why = "This format trains every reply, so that of rows by round only the first of each \
                   sample could be in it. Leave out --rows, or choose messages, tokens, openai, \
                   axolotl or slime.";
        return Err(CliError::usage(why));
    }
    if args.version.split.is_some() && format == Format::Bundle {
        let why = "A bundle has no parts. Leave out --split, or choose another --format.";
        return Err(CliError::usage(why));
    }
    let rows = rows.unwrap_or_default();
    let budget = || budget(&args.tokens, tokens_max);
    match format {
        Format::Messages => {
            Ok(Target::Messages(Messages { trainer: None, rows, budget: budget()? }))
        }
        Format::Trainer(trainer) => {
            Ok(Target::Messages(Messages { trainer: Some(trainer), rows, budget: budget()? }))
        }
        Format::Tokens => {
            let dialect = dialect(&args.tokens)?.ok_or_else(|| {
                CliError::usage("Tokens are those of one model. Name its folder with --tokenizer.")
            })?;
            Ok(Target::Tokens(Box::new(Tokens { dialect, tokens_max }), rows))
        }
        _ if args.tokens.tokenizer.is_some() => {
            let why = "Tokens are those of rows, and this format has none. Leave out --tokenizer, \
                       or choose another --format.";
            Err(CliError::usage(why))
        }
        Format::Bundle => Ok(Target::Bundle),
        Format::Sessions(form) => Ok(Target::Sessions(form)),
    }
}

/// The model that is named, if one is.
fn dialect(args: &TokensArgs) -> Result<Option<Dialect>, CliError> {
    let open = |model| Dialect::open(model, args.template.as_deref());
    let dialect = args.tokenizer.as_deref().map(open).transpose();
    dialect.map_err(|error| CliError::failed(error.to_string()))
}

/// What counts the tokens of rows that are written as messages.
fn budget(args: &TokensArgs, tokens_max: Option<usize>) -> Result<Option<Box<Tokens>>, CliError> {
    match (&args.tokenizer, tokens_max) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let why = "The tokens of its rows were counted. Name the same model with --tokenizer.";
            Err(CliError::usage(why))
        }
        (Some(_), None) => {
            let why = "Here a tokenizer counts, and nothing else. Say how many tokens a row may \
                       have with --max-tokens, or choose --format tokens.";
            Err(CliError::usage(why))
        }
        (Some(_), Some(_)) => {
            let tokens = |dialect| Box::new(Tokens { dialect, tokens_max });
            Ok(dialect(args)?.map(tokens))
        }
    }
}

impl From<FormatArg> for Format {
    fn from(arg: FormatArg) -> Self {
        match arg {
            FormatArg::Messages => Self::Messages,
            FormatArg::Openai => Self::Trainer(Trainer::Openai),
            FormatArg::Axolotl => Self::Trainer(Trainer::Axolotl),
            FormatArg::Slime => Self::Trainer(Trainer::Slime),
            FormatArg::Limi => Self::Trainer(Trainer::Limi),
            FormatArg::Llamafactory => Self::Trainer(Trainer::Llamafactory),
            FormatArg::Sharegpt => Self::Trainer(Trainer::Sharegpt),
            FormatArg::Atif => Self::Sessions(SessionForm::Atif),
            FormatArg::Traces => Self::Sessions(SessionForm::Traces),
            FormatArg::Tokens => Self::Tokens,
            FormatArg::Bundle => Self::Bundle,
        }
    }
}

fn order(args: &ExportArgs, store: &Store) -> Result<Order, CliError> {
    let filter = filter(&args.filter, store)?;
    let parent = args.version.parent.as_deref().map(Manifest::read).transpose()?;
    let mut recipe = recipe(&args.version, filter, parent.as_ref())?;
    recipe.files = files(args, recipe.files)?;
    // A bundle of a private session is a backup, if it is named.
    let as_backup = args.format == Some(FormatArg::Bundle);
    let catalogue = store.catalogue()?;
    let library = store.library()?;
    let selection = dataset::select(&store.home, &library, &catalogue, &recipe.filter, as_backup)?;
    for (id, error) in &selection.unreadable {
        if !recipe.filter.sessions.is_empty() {
            return Err(CliError::failed(error.clone()));
        }
        note(&format!("left out {id}: {}", safe(error)));
    }
    for id in &selection.private {
        note(&format!("{id} is private: pass its bundle on to nobody"));
    }
    if selection.chosen.is_empty() {
        return Err(nothing(&selection, catalogue.len(), recipe.filter.status));
    }
    Ok(Order { sessions: selection.chosen, recipe, parent: parent.map(|it| it.id), again: None })
}

/// What the files are: as they are asked for, or as before where the format can be that.
fn files(args: &ExportArgs, before: Files) -> Result<Files, CliError> {
    let can = args.format.is_some_and(|format| Format::from(format).has_columns());
    match args.files {
        Some(FilesArg::Parquet) if !can => {
            let why = "Only messages and tokens are written as Parquet. Leave out --files, or \
                       choose another --format.";
            Err(CliError::usage(why))
        }
        Some(FilesArg::Parquet) => Ok(Files::Parquet),
        None if can => Ok(before),
        Some(FilesArg::Jsonl) | None => Ok(Files::Jsonl),
    }
}

fn nothing(selection: &Selection, of: usize, status: Status) -> CliError {
    let why: Vec<String> =
        selection.left_out.iter().map(|(why, count)| format!("{count} {why}")).collect();
    let remedy = match status {
        _ if selection.left_out.is_empty() => "Record one with `limn exec`.",
        _ if !selection.left_out.contains_key("not marked so") => {
            "Ask for less, or see `limn sessions` for what there is."
        }
        Status::Success => {
            "Mark what succeeded with `limn annotate ID --outcome success`, or use `--status all`."
        }
        Status::Accepted => {
            "Accept what is good with `limn annotate ID --review accepted`, or use `--status all`."
        }
        Status::All => "Ask for another --outcome.",
    };
    let why = if why.is_empty() { String::new() } else { format!(", {}", why.join(", ")) };
    CliError::failed(format!("Nothing to export: of {of} sessions{why}. {remedy}"))
}

fn filter(args: &FilterArgs, store: &Store) -> Result<Filter, CliError> {
    let sessions: Result<_, record::RecordError> =
        args.sessions.iter().map(|id| store.home.find(id)).collect();
    let status = match (args.status, args.outcome) {
        (Some(StatusArg::Success), _) | (None, None) => Status::Success,
        (Some(StatusArg::Accepted), _) => Status::Accepted,
        (Some(StatusArg::All), _) | (None, Some(_)) => Status::All,
    };
    let filter = Filter {
        status,
        sessions: sessions?,
        outcome: args.outcome.map(|outcome| Outcome::from(outcome).as_str().to_owned()),
        tags: args.tags.clone(),
        without_tags: args.without_tags.clone(),
        domains: args.domains.clone(),
        models: args.models.clone(),
        annotators: args.annotators.clone(),
        since_ns: args.since,
        until_ns: args.until,
        consent: args.consent.map(Consent::from),
        ..Filter::default()
    };
    let Some(folder) = &args.workspace else { return Ok(filter) };
    // A workspace that is gone has the path that it had.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    Ok(filter.in_workspace(store.home.device(), &folder.canonicalize().unwrap_or(folder)))
}

/// What the version before it was made with, and what is given instead.
fn recipe(
    args: &VersionArgs,
    filter: Filter,
    parent: Option<&Manifest>,
) -> Result<Recipe, CliError> {
    let mut recipe = parent.map(|parent| parent.recipe.clone()).unwrap_or_default();
    recipe.filter = filter;
    if let Some(splits) = &args.split {
        recipe.splits.clone_from(splits);
        recipe.splits.seed = args.seed.unwrap_or_default();
    }
    for waiver in &args.waivers {
        recipe.waived.add(waiver).map_err(CliError::usage)?;
    }
    recipe.name = args.name.clone().or(recipe.name);
    recipe.licence = args.licence.clone().or(recipe.licence);
    Ok(recipe)
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
        Format::Bundle | Format::Sessions(_) => String::new(),
    };
    let (sessions, out) = (report.sessions, report.out.display());
    note(&format!("{sessions} sessions{samples} in {out}, read back and found whole"));
    for (part, rows) in &report.parts {
        note(&format!("  {part}: {} rows", thousands(*rows)));
    }
    for file in &report.files {
        note(&format!("  {:<44} {:>14} bytes", file.name, thousands(file.bytes)));
    }
    for (gate, found) in &report.gates {
        tell_gate(*gate, &found.sessions, found.waived.as_deref());
    }
    for row in &report.over_budget {
        let (sample, tokens) = (row.sample, thousands(row.tokens as u64));
        note(&format!("  too long: session {}, sample {sample}: {tokens} tokens", row.session));
    }
    tell_losses(report);
    for (why, count) in &report.ledger.untrained {
        note(&format!("  without loss: {count} × {why}"));
    }
    note(&format!("  version {}", report.id));
}

/// What was not kept, a line for each thing that is said of it.
fn tell_losses(report: &ExportReport) {
    let mut by_note: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
    for (what, loss) in &report.ledger.lost {
        by_note.entry(&loss.note).or_default().push((what, loss.count));
    }
    for (about, counts) in by_note {
        let named: Vec<String> = match counts.as_slice() {
            [(what, count)] => vec![format!("{count} × {what}")],
            many => many.iter().map(|(what, count)| format!("{what} {count}")).collect(),
        };
        note(&format!("  not kept: {}. {about}", named.join(", ")));
    }
}

/// How many sessions a gate names before it says how many more there are.
const NAMED_MAX: usize = 5;

fn tell_gate(gate: Gate, sessions: &[String], waived: Option<&str>) {
    let mut named = sessions.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if sessions.len() > NAMED_MAX {
        named += &format!(" and {} more", sessions.len() - NAMED_MAX);
    }
    let (name, about, count) = (gate.as_str(), gate.about(), sessions.len());
    note(&match waived {
        Some(reason) => {
            format!("  kept although {name} ({}): {count} sessions: {named}", safe(reason))
        }
        None if gate == Gate::Budget => {
            format!("  rows left out, {name}: {count} sessions: {named}")
        }
        None => format!(
            "  left out, {name}: {count} sessions: {named}. {about} Keep them with --waive \
             {name}=REASON."
        ),
    });
}
