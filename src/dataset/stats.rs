//! How much is in an export, and what: counted while it is read back, or later from its folder.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::DatasetError;
use crate::export::Format;
use crate::facts::Facts;
use crate::lines::each_line;
use crate::sessions::SessionForm;
use crate::tokens::UNTRAINED;
use crate::version::{Files, Manifest};

/// What is counted of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowFacts {
    /// Its tokens; estimated where it is not made of tokens.
    pub(crate) tokens: usize,
    /// Those of them that are trained, where that can be told.
    pub(crate) trained: usize,
    /// Replies of which something is trained.
    pub(crate) replies: usize,
    /// Replies in all.
    pub(crate) steps: usize,
}

/// How much is in an export, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// How many rows there are.
    pub rows: usize,
    /// Of how many sessions.
    pub sessions: usize,
    /// How many rows each part has, where there are parts.
    pub parts: BTreeMap<String, u64>,
    /// Whether the numbers of tokens are a guess: the form has no tokens.
    pub estimated: bool,
    /// Tokens of all rows.
    pub tokens: usize,
    /// Those of them that are trained; 0 in forms without tokens.
    pub trained: usize,
    /// Replies of which something is trained.
    pub replies: usize,
    /// The lengths of the rows in tokens, shortest first.
    pub lengths: Vec<usize>,
    /// The lengths of the rows in replies, shortest first.
    pub steps: Vec<usize>,
    /// Sessions by what they belong to.
    pub domains: BTreeMap<String, u64>,
    /// Sessions by model.
    pub models: BTreeMap<String, u64>,
    /// Calls by tool.
    pub tools: BTreeMap<String, u64>,
    /// Stretches of reasoning by their form.
    pub reasoning: BTreeMap<String, u64>,
    /// Sessions by the licence of their query.
    pub licences: BTreeMap<String, u64>,
    /// Sessions by who worked with the model.
    pub annotators: BTreeMap<String, u64>,
    /// Sessions by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Sessions by review.
    pub reviews: BTreeMap<String, u64>,
}

impl Stats {
    /// Counts rows and the sessions they come from.
    pub(crate) fn of(format: Format, sessions: &[Facts], rows: &[RowFacts]) -> Self {
        let mut stats = Self {
            rows: rows.len(),
            sessions: sessions.len(),
            estimated: format != Format::Tokens,
            ..Self::default()
        };
        for row in rows {
            stats.tokens += row.tokens;
            stats.trained += row.trained;
            stats.replies += row.replies;
            stats.lengths.push(row.tokens);
            stats.steps.push(row.steps);
        }
        stats.lengths.sort_unstable();
        stats.steps.sort_unstable();
        for session in sessions {
            stats.add(session);
        }
        stats
    }

    fn add(&mut self, facts: &Facts) {
        let one = |counts: &mut BTreeMap<String, u64>, word: Option<&str>| {
            *counts.entry(word.unwrap_or("unknown").to_owned()).or_default() += 1;
        };
        if let Some(part) = &facts.split {
            *self.parts.entry(part.clone()).or_default() += facts.rows as u64;
        }
        one(&mut self.domains, facts.domain.as_deref());
        one(&mut self.licences, facts.licence.as_deref());
        one(&mut self.annotators, facts.annotator.as_deref());
        one(&mut self.outcomes, facts.outcome.as_deref());
        one(&mut self.reviews, facts.review.as_deref().or(Some("none")));
        facts.models.iter().for_each(|model| one(&mut self.models, Some(model)));
        for (name, count) in &facts.tools {
            *self.tools.entry(name.clone()).or_default() += count;
        }
        for (form, count) in &facts.reasoning {
            *self.reasoning.entry(form.clone()).or_default() += count;
        }
    }

    /// The length in tokens below which this share of the rows lies, in per cent; 0 without rows.
    #[must_use]
    pub fn length_at(&self, per_cent: usize) -> usize {
        at(&self.lengths, per_cent)
    }

    /// How many rows are at least so many tokens long and shorter than twice that, for powers of
    /// two.
    #[must_use]
    pub fn histogram(&self) -> Vec<(usize, usize)> {
        bins(&self.lengths)
    }

    /// The same for replies.
    #[must_use]
    pub fn steps_histogram(&self) -> Vec<(usize, usize)> {
        bins(&self.steps)
    }
}

pub(crate) fn at(sorted: &[usize], per_cent: usize) -> usize {
    let rank = (sorted.len() * per_cent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or(0)
}

/// Counts by powers of two, those without any between the first and the last included.
fn bins(sorted: &[usize]) -> Vec<(usize, usize)> {
    let from = |length: &usize| length.checked_ilog2().map_or(0, |power| 1usize << power);
    let mut bins: Vec<(usize, usize)> = Vec::new();
    for from in sorted.iter().map(from) {
        while let Some((last, _)) = bins.last().filter(|(last, _)| *last < from) {
            bins.push(((last * 2).max(1), 0));
        }
        match bins.last_mut() {
            Some((_, count)) => *count += 1,
            None => bins.push((from, 1)),
        }
    }
    bins
}

/// Measures an export.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn stats(folder: &Path) -> Result<Stats, DatasetError> {
    let manifest = Manifest::read(folder)?;
    let format = manifest.format()?;
    let mut rows = Vec::new();
    for name in manifest.row_files(format) {
        let path = folder.join(name);
        match format {
            Format::Sessions(form) => rows.push(of_session(form, &path)?),
            _ => of_lines(&path, (format, manifest.recipe.files), &mut rows)?,
        }
    }
    Ok(Stats::of(format, &manifest.sessions, &rows))
}

fn of_lines(
    path: &Path,
    kind: (Format, Files),
    rows: &mut Vec<RowFacts>,
) -> Result<(), DatasetError> {
    let mut number = 0;
    each_line(path, kind, &mut |line| {
        number += 1;
        let bad = |_| DatasetError::BadRow { path: path.to_owned(), line: number };
        rows.push(read(kind.0, &line).map_err(bad)?);
        Ok(true)
    })
}

fn of_session(form: SessionForm, path: &Path) -> Result<RowFacts, DatasetError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| DatasetError::io("read", path, error))?;
    form.read(&text).map_err(|_| DatasetError::BadRow { path: path.to_owned(), line: 1 })
}

/// What is counted of a row, once it is found sound.
pub(crate) fn read(format: Format, line: &str) -> Result<RowFacts, &'static str> {
    if format == Format::Tokens {
        return of_tokens(line);
    }
    let row: Value = serde_json::from_str(line).map_err(|_| "a row is no JSON")?;
    let of = |key: &str| row[key].as_array();
    let messages = of("messages").or_else(|| of("conversations"));
    let messages = messages.ok_or("a row has no messages")?;
    let is_reply = |message: &&Value| {
        let who = message.get("role").or_else(|| message.get("from")).and_then(Value::as_str);
        matches!(who, Some("assistant" | "gpt" | "function_call"))
    };
    let steps = messages.iter().filter(is_reply).count();
    let replies = match (format, of("train")) {
        (Format::Messages, Some(train)) if train.len() == messages.len() => {
            train.iter().filter(|train| **train == true).count()
        }
        (Format::Messages, _) => return Err("a row has not one `train` for each message"),
        _ => {
            let mark = |message: &Value| {
                let marks = ["weight", "train", "step_loss_mask"];
                marks.iter().find_map(|key| message.get(key).cloned())
            };
            let is_trained =
                |message: &&Value| mark(message).is_none_or(|mark| mark == 1 || mark == true);
            messages.iter().filter(is_reply).filter(is_trained).count()
        }
    };
    let tokens = chat::estimate(&row.to_string());
    Ok(RowFacts {
        tokens: usize::try_from(tokens).unwrap_or(usize::MAX),
        trained: 0,
        replies,
        steps,
    })
}

/// What is read of a row of tokens: it may have very many.
#[derive(Deserialize)]
struct TokensRow {
    input_ids: Vec<u32>,
    labels: Vec<i64>,
    replies: Vec<TokensReply>,
}

#[derive(Deserialize)]
struct TokensReply {
    tokens: [usize; 2],
}

fn of_tokens(line: &str) -> Result<RowFacts, &'static str> {
    let wrong = "the labels of a row are not its trained ids";
    let row: TokensRow = serde_json::from_str(line).map_err(|_| wrong)?;
    let mut in_reply = vec![false; row.input_ids.len()];
    for TokensReply { tokens: [from, to] } in &row.replies {
        in_reply.get_mut(*from..*to).ok_or(wrong)?.fill(true);
    }
    if row.labels.len() != row.input_ids.len() {
        return Err(wrong);
    }
    let mut trained = 0;
    for ((id, label), in_reply) in row.input_ids.iter().zip(&row.labels).zip(&in_reply) {
        if *label != UNTRAINED {
            if i64::from(*id) != *label || !in_reply {
                return Err(wrong);
            }
            trained += 1;
        }
    }
    let replies = row.replies.len();
    Ok(RowFacts { tokens: row.input_ids.len(), trained, replies, steps: replies })
}
