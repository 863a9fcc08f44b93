//! Reasoning, as rows, while it comes.
//!
//! What stands in a row that is full stays there. Only the last word may still grow, so a piece
//! costs what it is long, whatever came before it, and the rows are the same as those of the whole
//! text.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::text::Rows;
use crate::theme::Theme;

/// A word that is longer is laid out in pieces.
const OPEN_BYTES_MAX: usize = 4 << 10;

/// Reasoning that is laid out as it comes.
pub(crate) struct Thought {
    columns: usize,
    rows: Rows,
    style: Style,
    /// The word, or the blanks, that may go on.
    open: String,
}

/// The rows of a whole text.
pub(crate) fn render(text: &str, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut thought = Thought::new(columns, theme);
    thought.push(text);
    let mut rows = thought.rows.done().to_vec();
    rows.extend(thought.open_rows());
    rows
}

impl Thought {
    pub(crate) fn new(columns: usize, theme: &Theme) -> Self {
        let mut rows = Rows::new(columns, &[Span::styled("│ ", theme.faint)]);
        rows.begin_row();
        Self { columns, rows, style: theme.reasoning, open: String::new() }
    }

    /// Takes the next piece; it must be clean.
    pub(crate) fn push(&mut self, piece: &str) {
        for (number, part) in piece.split('\n').enumerate() {
            if number > 0 {
                self.settle(self.open.len());
                self.rows.end_row();
            }
            self.open.push_str(part);
            let last = self.open.chars().next_back();
            let is_blank = last == Some(' ');
            let before = self.open.trim_end_matches(|c: char| (c == ' ') == is_blank);
            let whole = match (last, self.open.len() > OPEN_BYTES_MAX) {
                (Some('\t'), _) | (_, true) => self.open.len(),
                _ => before.len(),
            };
            self.settle(whole);
        }
    }

    fn settle(&mut self, end: usize) {
        let rest = self.open.split_off(end);
        let whole = std::mem::replace(&mut self.open, rest);
        self.rows.push(&whole, self.style);
    }

    /// For how many columns it lays out.
    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// The rows that stay as they are.
    pub(crate) fn done(&self) -> &[Line<'static>] {
        self.rows.done()
    }

    /// The rows of what may change yet.
    pub(crate) fn open_rows(&self) -> Vec<Line<'static>> {
        let mut rest = self.rows.rest();
        rest.push(&self.open, self.style);
        let is_bare = rest.is_bare();
        let mut rows = rest.finish();
        rows.truncate(rows.len() - usize::from(is_bare));
        rows
    }
}

#[cfg(test)]
mod tests;
