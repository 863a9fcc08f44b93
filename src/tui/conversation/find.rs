//! What is looked for in the conversation.
//!
//! Which blocks hold it their text says; only those that do are laid out, to find the row. So a
//! search in a long session costs a look at its text.

use super::{Context, Conversation};
use crate::entry::Entry;

/// Where something was found last, and what.
#[derive(Default)]
pub(super) struct Found {
    text: String,
    at: usize,
    row: usize,
}

impl Conversation {
    /// Goes to the next row that holds a text, in capitals or not; from the one end on to the other.
    pub(crate) fn find(&mut self, text: &str, up: bool, context: Context<'_>) -> bool {
        let wanted = text.to_lowercase();
        if let Some((at, row)) = self.next_in_chosen(&wanted, up, context) {
            return self.go_to_match(&wanted, at, row, context);
        }
        let fits = |entry: &Entry| entry.plain().to_lowercase().contains(&wanted);
        let found = self.search(up, fits, context).or_else(|| {
            let mut all = self.entries.iter();
            if up { all.rposition(&fits) } else { all.position(&fits) }
        });
        let Some(at) = found else { return false };
        // What is folded away is not seen.
        if let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.can_fold()) {
            entry.open = Some(true);
            entry.touch();
        }
        let rows = self.rows_with(&wanted, at, context);
        // None, where the rows break in the middle of it.
        let row = if up { rows.last() } else { rows.first() };
        self.go_to_match(&wanted, at, row.copied().unwrap_or(0), context)
    }

    fn go_to_match(&mut self, wanted: &str, at: usize, row: usize, context: Context<'_>) -> bool {
        self.found = Found { text: wanted.to_owned(), at, row };
        self.choose(at, context);
        self.show_row(at, row, context);
        true
    }

    /// The next row of the block where it was found last.
    fn next_in_chosen(
        &mut self,
        wanted: &str,
        up: bool,
        context: Context<'_>,
    ) -> Option<(usize, usize)> {
        let (at, last) = (self.found.at, self.found.row);
        if self.chosen != Some(at) || self.found.text != wanted {
            return None;
        }
        let rows = self.rows_with(wanted, at, context);
        let next = match up {
            true => rows.into_iter().rev().find(|row| *row < last),
            false => rows.into_iter().find(|row| *row > last),
        };
        next.map(|row| (at, row))
    }

    fn rows_with(&mut self, wanted: &str, at: usize, context: Context<'_>) -> Vec<usize> {
        let rows = self.lay_out(at, context).iter().enumerate();
        let holds = rows.filter(|(_, row)| row.to_string().to_lowercase().contains(wanted));
        holds.map(|(number, _)| number).collect()
    }
}
