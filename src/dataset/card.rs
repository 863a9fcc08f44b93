//! The dataset card: `README.md` as Hugging Face reads it, with its histograms as SVG beside it.
//!
//! The head of the card names the files of each part: without it the Hub would take the ledger and
//! the manifest for data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::error::DatasetError;
use crate::export::Format;
use crate::gates::Gate;
use crate::ledger::Ledger;
use crate::lines::{self, file_name};
use crate::stats::{self, Stats};
use crate::version::{FILE, Manifest};

/// The card and its pictures.
const NAMES: [&str; 3] = ["README.md", "tokens.svg", "steps.svg"];

/// Writes the card of an export that is being made.
pub(crate) fn write(
    folder: &Path,
    manifest: &Manifest,
    stats: &Stats,
    ledger: &Ledger,
) -> Result<(), DatasetError> {
    let pictures = [
        histogram_svg("tokens of a row", &stats.histogram()),
        histogram_svg("replies of a row", &stats.steps_histogram()),
    ];
    for (name, picture) in NAMES[1..].iter().zip(&pictures) {
        lines::write_whole(&folder.join(name), picture)?;
    }
    lines::write_whole(&folder.join(NAMES[0]), &text(manifest, stats, ledger))
}

/// The card of an export, made anew from what is in its folder.
///
/// # Errors
/// When it is no export, or cannot be read.
pub fn card(folder: &Path) -> Result<String, DatasetError> {
    let manifest = Manifest::read(folder)?;
    let path = folder.join("ledger.json");
    let read = std::fs::read(&path).map_err(|error| DatasetError::io("read", &path, error))?;
    let ledger = serde_json::from_slice(&read).map_err(|error| DatasetError::NoExport {
        folder: folder.to_owned(),
        what: format!("has a ledger.json that is none ({error})"),
    })?;
    Ok(text(&manifest, &stats::stats(folder)?, &ledger))
}

fn text(manifest: &Manifest, stats: &Stats, ledger: &Ledger) -> String {
    let mut card = front(manifest, stats);
    let name = manifest.recipe.name.as_deref().unwrap_or("Agent trajectories");
    let about = if stats.estimated { "about " } else { "" };
    let trained = match stats.trained {
        0 => String::new(),
        trained => format!(", {} of them trained", number(trained)),
    };
    let _ = write!(
        card,
        "# {}\n\n{} rows of {} sessions, {about}{} tokens{trained}, {} trained replies. Recorded \
         and exported by limn in the format `{}`; a row is a {}.\n",
        plain(name),
        number(stats.rows),
        number(stats.sessions),
        number(stats.tokens),
        number(stats.replies),
        manifest.format,
        manifest.target["rows"].as_str().unwrap_or("trajectory"),
    );
    lengths(&mut card, stats);
    for (title, counts) in [
        ("Parts (rows)", &stats.parts),
        ("Domains (sessions)", &stats.domains),
        ("Models (sessions)", &stats.models),
        ("Tools (calls)", &stats.tools),
        ("Reasoning (stretches, by form)", &stats.reasoning),
        ("Outcomes (sessions)", &stats.outcomes),
        ("Reviews (sessions)", &stats.reviews),
        ("Licences of the queries (sessions)", &stats.licences),
        ("Annotators (sessions)", &stats.annotators),
    ] {
        table(&mut card, title, counts);
    }
    gates(&mut card, manifest);
    losses(&mut card, ledger);
    recipe(&mut card, manifest);
    card
}

/// The head, in YAML: every text that comes from elsewhere is written as JSON, which is YAML.
fn front(manifest: &Manifest, stats: &Stats) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut front = "---\n".to_owned();
    if let Some(name) = &manifest.recipe.name {
        let _ = writeln!(front, "pretty_name: {}", quoted(name));
    }
    let licence = manifest.recipe.licence.as_deref().unwrap_or("unknown");
    let _ = writeln!(front, "license: {}", quoted(licence));
    let size = match stats.rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        _ => "n>1M",
    };
    let _ = write!(
        front,
        "task_categories:\n- text-generation\ntags:\n- agent\n- tool-use\nsize_categories:\n- {size}\n"
    );
    let parts: Vec<Option<&str>> = match stats.parts.len() {
        0 => vec![None],
        _ => stats
            .parts
            .iter()
            .filter(|(_, rows)| **rows > 0)
            .map(|(it, _)| Some(it.as_str()))
            .collect(),
    };
    front.push_str("configs:\n- config_name: default\n  data_files:\n");
    for part in parts {
        let (split, path) = (part.unwrap_or("train"), data_path(manifest, part));
        let _ = write!(front, "  - split: {split}\n    path: {path}\n");
    }
    front.push_str("---\n\n");
    front
}

/// The file of a part, or a pattern for those of its sessions.
fn data_path(manifest: &Manifest, part: Option<&str>) -> String {
    match manifest.format() {
        Ok(Format::Sessions(form)) => {
            let folder = part.map(|part| format!("{part}/")).unwrap_or_default();
            serde_json::Value::from(format!("{folder}*{}", form.ending())).to_string()
        }
        Ok(format) => file_name(format, manifest.recipe.files, part),
        Err(_) => String::new(),
    }
}

fn lengths(card: &mut String, stats: &Stats) {
    let row = |name: &str, lengths: &[usize]| {
        let [median, p95, longest] = [50, 95, 100].map(|share| number(stats::at(lengths, share)));
        format!("| {name} | {median} | {p95} | {longest} |\n")
    };
    let about = if stats.estimated { "tokens (estimated)" } else { "tokens" };
    let _ = write!(
        card,
        "\n## Rows\n\n| of a row | median | p95 | longest |\n| --- | ---: | ---: | ---: |\n{}{}\n\
         ![tokens of a row](tokens.svg)\n\n![replies of a row](steps.svg)\n",
        row(about, &stats.lengths),
        row("replies", &stats.steps),
    );
}

fn table(card: &mut String, title: &str, counts: &BTreeMap<String, u64>) {
    if counts.is_empty() {
        return;
    }
    let (what, of) = title.split_once(" (").unwrap_or((title, ""));
    let _ = write!(card, "\n## {what}\n\n| | {} |\n| --- | ---: |\n", of.trim_end_matches(')'));
    let mut rows: Vec<(&String, &u64)> = counts.iter().collect();
    rows.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    for (name, count) in rows {
        let _ = writeln!(card, "| {} | {} |", plain(name), thousands(*count));
    }
}

fn gates(card: &mut String, manifest: &Manifest) {
    card.push_str("\n## Gates\n\n| gate | sessions that failed it | |\n| --- | ---: | --- |\n");
    for gate in Gate::ALL {
        let found = manifest.gates.get(&gate);
        let count = found.map_or(0, |found| found.sessions.len());
        let what = match found.map(|found| found.waived.as_deref()) {
            None => String::new(),
            Some(Some(reason)) => format!("kept: {}", plain(reason)),
            Some(None) if gate == Gate::Budget => "the rows left out".to_owned(),
            Some(None) => "left out".to_owned(),
        };
        let _ = writeln!(card, "| {} | {} | {what} |", gate.as_str(), number(count));
    }
}

fn losses(card: &mut String, ledger: &Ledger) {
    card.push_str("\n## What the format could not hold\n\n");
    // What is told by its name in the ledger may be one thing to a reader.
    let mut by_note: BTreeMap<&str, u64> = BTreeMap::new();
    for loss in ledger.lost.values() {
        *by_note.entry(&loss.note).or_default() += loss.count;
    }
    for (note, count) in by_note {
        let _ = writeln!(card, "- {} × {}", thousands(count), plain(note));
    }
    for (why, count) in &ledger.untrained {
        let _ = writeln!(card, "- {} × without loss: {}", thousands(*count), plain(why));
    }
}

fn recipe(card: &mut String, manifest: &Manifest) {
    let recipe = serde_json::to_value(&manifest.recipe).unwrap_or_default();
    // Indented: nothing in it can end the block.
    let lines = format!("{recipe:#}\n{:#}", manifest.target);
    let block: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    let parent = manifest.parent.as_deref().unwrap_or("none");
    let _ = write!(
        card,
        "\n## Recipe\n\nThe version before this one: {}. `{FILE}` has the sessions, the hash of \
         every file, and the id of this version.\n\n{block}",
        plain(parent),
    );
}

/// A histogram as SVG, without a script or a font of its own.
fn histogram_svg(title: &str, bins: &[(usize, usize)]) -> String {
    const BAR_PX: usize = 320;
    const ROW_PX: usize = 22;
    let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let height = ROW_PX * (bins.len() + 1) + 8;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"520\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<title>{title}</title>\n\
         <text x=\"4\" y=\"16\" font-weight=\"bold\" fill=\"#777\">{title}</text>\n"
    );
    for (place, (from, count)) in bins.iter().enumerate() {
        let top = ROW_PX * (place + 1) + 4;
        let (width, base) = ((count * BAR_PX).div_ceil(most), top + 15);
        let _ = write!(
            svg,
            "<text x=\"100\" y=\"{base}\" text-anchor=\"end\" fill=\"#777\">≥ {}</text>\n\
             <rect x=\"108\" y=\"{}\" width=\"{width}\" height=\"{}\" fill=\"#4a90d9\"/>\n\
             <text x=\"{}\" y=\"{base}\" fill=\"#777\">{}</text>\n",
            number(*from),
            top + 2,
            ROW_PX - 4,
            114 + width,
            number(*count),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// A text from elsewhere inside Markdown: on one line, and nothing in it is markup.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() => plain.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#' | '!' | '~' | '&' => {
                plain.push('\\');
                plain.push(c);
            }
            c => plain.push(c),
        }
    }
    plain
}

fn number(number: usize) -> String {
    thousands(number as u64)
}

/// `12,345`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}
