//! Exports of tokens, read again: what is trained, and how long the rows are.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use chat::Tokenizer;
use serde::Serialize;
use serde_json::Value;

use crate::error::DatasetError;
use crate::tokens::{FILE, Row, UNTRAINED};

/// A stretch of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its text: a token, or as many as it takes to make whole characters.
    pub text: String,
    /// Whether it is trained.
    pub trained: bool,
}

/// A row, as a person reads it.
#[derive(Clone, Debug)]
pub struct ReadRow {
    /// The session it comes from.
    pub session: String,
    /// The sample of the session, and the row of the sample.
    pub place: [usize; 2],
    /// How many tokens it has, and how many of them are trained.
    pub tokens: [usize; 2],
    /// Its text.
    pub pieces: Vec<Piece>,
}

/// How long the rows of an export are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// How many rows there are.
    pub rows: usize,
    /// Of how many sessions.
    pub sessions: usize,
    /// Tokens of all rows.
    pub tokens: usize,
    /// Those of them that are trained.
    pub trained: usize,
    /// Replies of which something is trained.
    pub replies: usize,
    /// The lengths of the rows in tokens, shortest first.
    pub lengths: Vec<usize>,
}

impl Stats {
    /// The length below which this share of the rows lies, in per cent; 0 without rows.
    #[must_use]
    pub fn length_at(&self, per_cent: usize) -> usize {
        let rank = (self.lengths.len() * per_cent).div_ceil(100).saturating_sub(1);
        self.lengths.get(rank).copied().unwrap_or(0)
    }

    /// How many rows are at least so long and shorter than twice that, for powers of two.
    #[must_use]
    pub fn histogram(&self) -> Vec<(usize, usize)> {
        let mut bins: Vec<(usize, usize)> = Vec::new();
        for length in &self.lengths {
            let from = length.checked_ilog2().map_or(0, |power| 1usize << power);
            match bins.last_mut() {
                Some((last, count)) if *last == from => *count += 1,
                _ => bins.push((from, 1)),
            }
        }
        bins
    }
}

/// Measures an export of tokens.
///
/// # Errors
/// When it is none, or cannot be read.
pub fn stats(folder: &Path) -> Result<Stats, DatasetError> {
    let mut stats = Stats::default();
    let mut sessions = std::collections::BTreeSet::new();
    each_row(folder, |row| {
        stats.rows += 1;
        stats.tokens += row.input_ids.len();
        stats.trained += trained(&row);
        stats.replies += row.replies.len();
        stats.lengths.push(row.input_ids.len());
        sessions.insert(row.session);
        Ok(true)
    })?;
    stats.sessions = sessions.len();
    stats.lengths.sort_unstable();
    Ok(stats)
}

/// Reads an export of tokens with the tokenizer it was made with. `take` answers whether to go on.
///
/// # Errors
/// When it is none, was made with another tokenizer, or cannot be read.
pub fn inspect(
    folder: &Path,
    tokenizer: &Tokenizer,
    take: &mut dyn FnMut(ReadRow) -> bool,
) -> Result<(), DatasetError> {
    open(folder)?;
    let Some(manifest) = manifest(folder) else {
        let what = "has no manifest.json that can be read".to_owned();
        return Err(DatasetError::NoExport { folder: folder.to_owned(), what });
    };
    if manifest["target"]["tokenizer"] != tokenizer.hash() {
        return Err(DatasetError::OtherTokenizer(folder.to_owned()));
    }
    each_row(folder, |row| {
        let tokens = [row.input_ids.len(), trained(&row)];
        let pieces = pieces(&row, tokenizer);
        let place = [row.sample, row.row];
        Ok(take(ReadRow { session: row.session, place, tokens, pieces }))
    })
}

fn manifest(folder: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(folder.join("manifest.json")).ok()?).ok()
}

/// Opens the tokens of an export; where there are none, what the folder is instead is said.
fn open(folder: &Path) -> Result<File, DatasetError> {
    let path = folder.join(FILE);
    File::open(&path).map_err(|error| {
        if error.kind() != ErrorKind::NotFound {
            return DatasetError::io("read", &path, error);
        }
        let format = manifest(folder).and_then(|it| it["format"].as_str().map(str::to_owned));
        let what = match format {
            Some(format) => format!("is an export of the format {format:?}: it has no {FILE}"),
            None => format!("is no export: it has no {FILE}"),
        };
        DatasetError::NoExport { folder: folder.to_owned(), what }
    })
}

fn trained(row: &Row) -> usize {
    row.labels.iter().filter(|label| **label != UNTRAINED).count()
}

fn each_row(
    folder: &Path,
    mut take: impl FnMut(Row) -> Result<bool, DatasetError>,
) -> Result<(), DatasetError> {
    let path = folder.join(FILE);
    let failed = |error| DatasetError::io("read", &path, error);
    let lines = BufReader::new(open(folder)?).lines();
    for (number, line) in lines.enumerate() {
        let no_row = || DatasetError::NoTokens { path: path.clone(), line: number + 1 };
        let row: Row = serde_json::from_str(&line.map_err(failed)?).map_err(|_| no_row())?;
        if row.labels.len() != row.input_ids.len() {
            return Err(no_row());
        }
        if !take(row)? {
            break;
        }
    }
    Ok(())
}

/// No character is more tokens than this; what is still none then is shown as it is.
const CHARACTER_TOKENS_MAX: usize = 8;

fn pieces(row: &Row, tokenizer: &Tokenizer) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let labels =
        row.input_ids.iter().zip(&row.labels).map(|(id, label)| (*id, *label != UNTRAINED));
    let mut labels = labels.peekable();
    while let Some((id, trained)) = labels.next() {
        open.push(id);
        let text = tokenizer.decode(&open).unwrap_or_default();
        let is_part = text.ends_with('\u{fffd}') && open.len() < CHARACTER_TOKENS_MAX;
        let goes_on = labels.peek().is_some_and(|(_, next)| *next == trained);
        if is_part && goes_on {
            continue;
        }
        pieces.push(Piece { text, trained });
        open.clear();
    }
    pieces
}
