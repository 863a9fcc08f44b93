//! Exports of tokens, read again: what is trained, token by token.

use std::io::{BufRead, BufReader};
use std::path::Path;

use chat::Tokenizer;

use crate::error::DatasetError;
use crate::export::Format;
use crate::tokens::{Row, UNTRAINED};
use crate::version::{self, Manifest};

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

/// Reads an export of tokens with the tokenizer it was made with. `take` answers whether to go on.
///
/// # Errors
/// When it is none, was made with another tokenizer, or cannot be read.
pub fn inspect(
    folder: &Path,
    tokenizer: &Tokenizer,
    take: &mut dyn FnMut(ReadRow) -> bool,
) -> Result<(), DatasetError> {
    let manifest = Manifest::read(folder)?;
    if manifest.format()? != Format::Tokens {
        let what = format!("is an export of the format {:?} and has no tokens", manifest.format);
        return Err(DatasetError::NoExport { folder: folder.to_owned(), what });
    }
    if manifest.target["tokenizer"] != tokenizer.hash() {
        return Err(DatasetError::OtherTokenizer(folder.to_owned()));
    }
    for name in manifest.row_files(Format::Tokens) {
        let path = folder.join(name);
        let failed = |error| DatasetError::io("read", &path, error);
        for (number, line) in BufReader::new(version::open(&path)?).lines().enumerate() {
            let bad = || DatasetError::BadRow { path: path.clone(), line: number + 1 };
            let row: Row = serde_json::from_str(&line.map_err(failed)?).map_err(|_| bad())?;
            if row.labels.len() != row.input_ids.len() {
                return Err(bad());
            }
            let trained = row.labels.iter().filter(|label| **label != UNTRAINED).count();
            let tokens = [row.input_ids.len(), trained];
            let (place, pieces) = ([row.sample, row.row], pieces(&row, tokenizer));
            if !take(ReadRow { session: row.session, place, tokens, pieces }) {
                return Ok(());
            }
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
