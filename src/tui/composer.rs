//! Where the user writes: lines, characters as people count them, pastes, history.
//!
//! A large paste is kept aside and stands in the text as one character of a private range, drawn
//! as a chip: it is deleted like a character and sent whole.

mod history;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use self::history::Earlier;
use crate::text::{clean, kept, tab, tab_columns, thousands};

/// A paste with more lines or bytes becomes a chip.
const PASTE_LINES_MAX: usize = 8;
const PASTE_BYTES_MAX: usize = 2_000;

/// All that may be in the composer at once.
const BYTES_MAX: usize = 16 << 20;

/// The first of the characters that stand for pastes.
const CHIP_FIRST: u32 = 0xf_0000;
const CHIPS_MAX: u32 = 1_000;

/// How the words begin that stand for a picture.
const PICTURE: &str = "[image ";

/// What the keys do to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Left,
    Right,
    WordLeft,
    WordRight,
    Up,
    Down,
    Home,
    End,
    Backspace,
    Delete,
    DeleteWord,
    DeleteToStart,
    DeleteToEnd,
    /// To the beginning of the next word, as vim goes by words.
    NextWord,
    DeleteToNextWord,
    DeleteToWordEnd,
    /// The line, with what ends it.
    DeleteLine,
    PutBack,
    NewLine,
}

/// For whom what is written is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hand {
    /// For the model, or a command of the terminal.
    #[default]
    Model,
    /// A command of the user's own, in the sandbox.
    Inside,
    /// One outside it.
    Outside,
}

impl Hand {
    /// The sign before the text.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Model => "❯",
            Self::Inside => "!",
            Self::Outside => "!!",
        }
    }
}

/// A row of the text as it is drawn: pieces, and whether each is a chip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DrawnRow {
    pub(crate) pieces: Vec<(String, bool)>,
}

/// The text, where the caret is, and what was written before.
#[derive(Debug, Default)]
pub(crate) struct Composer {
    text: String,
    /// For whom it is. Only a key changes that: no text that comes from elsewhere is ever run.
    hand: Hand,
    /// A place between two characters, in bytes.
    caret: usize,
    chips: Vec<String>,
    history: Vec<(Hand, String)>,
    earlier: Earlier,
    /// Where in the history we are, and what was being written when we went there.
    recalled: Option<(usize, (Hand, String))>,
    deleted: String,
    /// Columns of the last drawing, for going up and down by rows.
    columns: usize,
}

impl Composer {
    /// The text as it is sent.
    pub(crate) fn content(&self) -> String {
        self.whole(&self.text)
    }

    /// A piece of the text, with its pastes in the place of what stands for them.
    fn whole(&self, text: &str) -> String {
        let mut content = String::with_capacity(text.len());
        for character in text.chars() {
            match self.chip(character) {
                Some(chip) => content.push_str(chip),
                None => content.push(character),
            }
        }
        content
    }

    /// The text with its chips as they stand.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// For whom it is.
    pub(crate) const fn hand(&self) -> Hand {
        self.hand
    }

    /// Takes a `!` that was typed before anything else; false where it is a letter like any other.
    pub(crate) fn take_bang(&mut self) -> bool {
        let next = match self.hand {
            _ if !self.text.is_empty() => return false,
            Hand::Model => Hand::Inside,
            Hand::Inside => Hand::Outside,
            Hand::Outside => return false,
        };
        self.hand = next;
        true
    }

    /// Replaces everything.
    pub(crate) fn set(&mut self, text: &str) {
        self.clear();
        self.paste(text);
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.chips.clear();
        self.hand = Hand::Model;
        self.caret = 0;
        self.recalled = None;
    }

    /// The same hand has written it anew, elsewhere.
    pub(crate) fn rewrite(&mut self, text: &str) {
        let hand = self.hand;
        self.clear();
        self.hand = hand;
        if text.len() > 64 << 10 {
            self.paste(text);
        } else {
            self.insert(text);
        }
    }

    /// Keeps a text to be put back by a key.
    pub(crate) fn put_aside(&mut self, text: &str) {
        text.clone_into(&mut self.deleted);
    }

    /// Takes the text out, and remembers it.
    pub(crate) fn take(&mut self) -> String {
        let content = self.content();
        self.remember(self.hand, &content);
        self.clear();
        content
    }

    /// Writes at the caret.
    pub(crate) fn insert(&mut self, text: &str) {
        let text: String = kept(text).chars().filter(|c| !is_private(*c)).collect();
        if self.text.len() + text.len() <= BYTES_MAX {
            self.text.insert_str(self.caret, &text);
            self.caret += text.len();
        }
    }

    /// Takes what was pasted.
    pub(crate) fn paste(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let is_short = text.len() <= PASTE_BYTES_MAX && text.lines().count() <= PASTE_LINES_MAX;
        let held: usize = self.chips.iter().map(String::len).sum();
        let number = u32::try_from(self.chips.len()).unwrap_or(CHIPS_MAX);
        if is_short || number >= CHIPS_MAX {
            return self.insert(&text);
        }
        let Some(mark) =
            char::from_u32(CHIP_FIRST + number).filter(|_| held + text.len() <= BYTES_MAX)
        else {
            return;
        };
        self.chips.push(text);
        self.text.insert(self.caret, mark);
        self.caret += mark.len_utf8();
    }

    /// Puts words in as a chip: in the place of what is written, or at the caret.
    pub(crate) fn put_chip(&mut self, written: Option<&str>, words: &str) {
        let number = u32::try_from(self.chips.len()).unwrap_or(CHIPS_MAX);
        let Some(mark) = char::from_u32(CHIP_FIRST + number).filter(|_| number < CHIPS_MAX) else {
            return;
        };
        let after = match written {
            // It is no longer there: somebody wrote on meanwhile.
            Some(written) => match self.before().rfind(written) {
                Some(at) => {
                    let end = at + written.len();
                    self.text.replace_range(at..end, "");
                    let after = self.caret - end;
                    self.caret = at;
                    after
                }
                None => return,
            },
            None => 0,
        };
        self.chips.push(clean(words));
        self.text.insert(self.caret, mark);
        self.caret += mark.len_utf8() + after;
        if !self.after().starts_with(char::is_whitespace) && after == 0 {
            self.insert(" ");
        }
    }

    fn chip(&self, mark: char) -> Option<&String> {
        let number = u32::from(mark).checked_sub(CHIP_FIRST)?;
        self.chips.get(usize::try_from(number).ok()?)
    }

    /// What a key does.
    pub(crate) fn edit(&mut self, edit: Edit) {
        match edit {
            Edit::Left => {
                self.caret -= self.before().graphemes(true).next_back().map_or(0, str::len);
            }
            Edit::Right => self.caret += self.after().graphemes(true).next().map_or(0, str::len),
            Edit::WordLeft => self.caret = self.word_left(),
            Edit::WordRight => self.caret = self.word_right(),
            Edit::Up => self.vertical(true),
            Edit::Down => self.vertical(false),
            Edit::Home => self.caret = self.line_start(),
            Edit::End => self.caret += self.after().find('\n').unwrap_or(self.after().len()),
            Edit::Backspace if self.text.is_empty() => {
                self.hand = match self.hand {
                    Hand::Outside => Hand::Inside,
                    Hand::Inside | Hand::Model => Hand::Model,
                };
            }
            Edit::Backspace => {
                // One mark of a letter, or the whole of what was composed, as people see it.
                let start =
                    self.caret - self.before().graphemes(true).next_back().map_or(0, str::len);
                self.delete(start, self.caret);
            }
            Edit::Delete => {
                let end = self.caret + self.after().graphemes(true).next().map_or(0, str::len);
                self.delete(self.caret, end);
            }
            Edit::DeleteWord => self.cut(self.word_left(), self.caret),
            Edit::DeleteToStart => self.cut(self.line_start(), self.caret),
            Edit::DeleteToEnd => {
                let end = self.caret + self.after().find('\n').unwrap_or(self.after().len());
                self.cut(self.caret, end);
            }
            Edit::NextWord => self.caret = self.next_word(),
            Edit::DeleteToNextWord => {
                // The last word of a line takes no line with it.
                let line = self.after().find('\n').unwrap_or(self.after().len());
                self.cut(self.caret, self.next_word().min(self.caret + line));
            }
            Edit::DeleteToWordEnd => self.cut(self.caret, self.word_right()),
            Edit::DeleteLine => self.delete_line(),
            Edit::PutBack => {
                let text = self.deleted.clone();
                self.paste(&text);
            }
            Edit::NewLine => self.insert("\n"),
        }
    }

    fn before(&self) -> &str {
        self.text.get(..self.caret).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.caret..).unwrap_or_default()
    }

    fn line_start(&self) -> usize {
        self.before().rfind('\n').map_or(0, |at| at + 1)
    }

    fn word_left(&self) -> usize {
        let before = self.before().trim_end();
        before.unicode_word_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn word_right(&self) -> usize {
        let after = self.after();
        let word = after.unicode_word_indices().next();
        self.caret + word.map_or(after.len(), |(at, word)| at + word.len())
    }

    fn next_word(&self) -> usize {
        let mut words = self.after().unicode_word_indices();
        let next = words.find(|(at, _)| *at > 0).map(|(at, _)| at);
        self.caret + next.unwrap_or(self.after().len())
    }

    fn delete_line(&mut self) {
        let start = self.line_start();
        let end = self.caret + self.after().find('\n').unwrap_or(self.after().len());
        self.cut(start, end);
        if self.after().starts_with('\n') {
            self.delete(start, start + 1);
        } else if start > 0 {
            // The last one goes with the end of the one before.
            self.delete(start - 1, start);
            self.caret = self.line_start();
        }
    }

    fn delete(&mut self, start: usize, end: usize) {
        self.text.replace_range(start..end, "");
        self.caret = start;
    }

    fn cut(&mut self, start: usize, end: usize) {
        // Whole: what stands for a paste means nothing once the pastes are gone.
        self.deleted = self.whole(self.text.get(start..end).unwrap_or_default());
        self.delete(start, end);
    }

    /// The word at the caret that begins with `@`, without it.
    pub(crate) fn mention(&self) -> Option<&str> {
        let before = self.before();
        let start = before.rfind(char::is_whitespace).map_or(0, |at| {
            at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
        });
        before.get(start..)?.strip_prefix('@')
    }

    /// Puts a path in the place of that word.
    pub(crate) fn complete_mention(&mut self, path: &str) {
        if let Some(word) = self.mention() {
            let start = self.caret - word.len();
            self.delete(start, self.caret);
            self.insert(&format!("{path} "));
        }
    }

    /// Up or down a row; beyond the first or the last, through the history.
    fn vertical(&mut self, up: bool) {
        let places = self.places(if self.columns == 0 { usize::MAX } else { self.columns });
        let at = places.iter().rposition(|(byte, ..)| *byte <= self.caret);
        let Some((_, row, column)) = at.and_then(|at| places.get(at)).copied() else {
            return self.recall(up);
        };
        let last = places.last().map_or(0, |(_, row, _)| *row);
        if (up && row == 0) || (!up && row == last) {
            return self.recall(up);
        }
        let wanted = if up { row - 1 } else { row + 1 };
        let in_row = places.iter().filter(|(_, row, _)| *row == wanted);
        let nearest = in_row.min_by_key(|(_, _, at)| at.abs_diff(column));
        self.caret = nearest.map_or(self.caret, |(byte, ..)| *byte);
    }

    /// Every place where the caret can be: byte, row, column.
    fn places(&self, columns: usize) -> Vec<(usize, usize, usize)> {
        let mut places = Vec::new();
        let (mut row, mut column) = (0, 0);
        for (byte, grapheme) in self.text.grapheme_indices(true) {
            if grapheme != "\n" && column + self.width(grapheme, column) > columns && column > 0 {
                (row, column) = (row + 1, 0);
            }
            places.push((byte, row, column));
            (row, column) = match grapheme {
                "\n" => (row + 1, 0),
                _ => (row, column + self.width(grapheme, column)),
            };
        }
        if column >= columns {
            (row, column) = (row + 1, 0);
        }
        places.push((self.text.len(), row, column));
        places
    }

    fn width(&self, grapheme: &str, column: usize) -> usize {
        match grapheme.chars().next().and_then(|mark| self.chip(mark)) {
            Some(chip) => label(chip).width(),
            None if grapheme == "\t" => tab_columns(column),
            None => grapheme.width(),
        }
    }

    /// Its rows in so many columns, and the row and the column of the caret.
    pub(crate) fn draw(&mut self, columns: usize) -> (Vec<DrawnRow>, (usize, usize)) {
        self.columns = columns.max(1);
        let places = self.places(self.columns);
        let mut rows: Vec<DrawnRow> = Vec::new();
        let mut caret = (0, 0);
        for (byte, row, column) in &places {
            if rows.len() <= *row {
                rows.resize(row + 1, DrawnRow::default());
            }
            if *byte == self.caret {
                caret = (*row, *column);
            }
            let Some(grapheme) =
                self.text.get(*byte..).and_then(|rest| rest.graphemes(true).next())
            else {
                continue;
            };
            let chip =
                grapheme.chars().next().and_then(|mark| self.chip(mark)).map(|chip| label(chip));
            let is_chip = chip.is_some();
            let text = chip.unwrap_or_else(|| match grapheme {
                "\t" => tab(tab_columns(*column)),
                _ => grapheme.trim_end_matches('\n').to_owned(),
            });
            let Some(row) = rows.get_mut(*row) else { continue };
            match row.pieces.last_mut() {
                Some((last, false)) if !is_chip => last.push_str(&text),
                _ => row.pieces.push((text, is_chip)),
            }
        }
        (rows, caret)
    }
}

const fn is_private(character: char) -> bool {
    character as u32 >= CHIP_FIRST
}

/// Whether words stand in a prompt that a picture goes with.
pub(crate) fn has_picture(prompt: &str) -> bool {
    prompt.contains(PICTURE)
}

/// What a paste looks like.
fn label(paste: &str) -> String {
    let lines = paste.lines().count();
    if paste.starts_with(PICTURE) && lines == 1 {
        return paste.to_owned();
    }
    if lines > 1 {
        format!("[pasted {} lines]", thousands(lines as u64))
    } else {
        format!("[pasted {} characters]", thousands(paste.chars().count() as u64))
    }
}

#[cfg(test)]
mod tests;
