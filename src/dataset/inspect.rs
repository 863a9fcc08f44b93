//! Exports of tokens, read again: what is trained, token by token.

use std::path::Path;

use chat::Tokenizer;

use crate::error::DatasetError;
use crate::export::Format;
use crate::lines::each_line;
use crate::tokens::{Row, UNTRAINED};
use crate::version::Manifest;

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
    let kind = (Format::Tokens, manifest.recipe.files);
    let mut goes_on = true;
    for name in manifest.row_files(Format::Tokens) {
        let path = folder.join(name);
        let mut number = 0;
        each_line(&path, kind, &mut |line| {
            number += 1;
            let bad = || DatasetError::BadRow { path: path.clone(), line: number };
            let row: Row = serde_json::from_str(&line).map_err(|_| bad())?;
            if row.labels.len() != row.input_ids.len() {
                return Err(bad());
            }
            goes_on = take(shown(row, tokenizer));
            Ok(goes_on)
        })?;
        if !goes_on {
            break;
        }
    }
    Ok(())
}

fn shown(row: Row, tokenizer: &Tokenizer) -> ReadRow {
    let trained = row.labels.iter().filter(|label| **label != UNTRAINED).count();
    let (place, tokens) = ([row.sample, row.row], [row.input_ids.len(), trained]);
    let pieces = pieces(&row, tokenizer);
    ReadRow { session: row.session, place, tokens, pieces }
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
