//! One row of cells as text.

use alacritty_terminal::term::cell::{Cell, Flags};

const TAB_WIDTH: usize = 8;

/// Appends a row's text and says whether the next row continues its line.
///
/// A row that goes on is given whole, since the spaces at its end lie in the middle of a line; any
/// other row ends with its last visible character. A tab comes back as a tab where the cells it
/// skipped are still empty, so that a Makefile reads as it was written.
pub(crate) fn append_row(cells: &[Cell], out: &mut String) -> bool {
    let goes_on = cells.last().is_some_and(|cell| cell.flags.contains(Flags::WRAPLINE));
    let end = if goes_on {
        cells.len()
    } else {
        cells.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1)
    };
    let mut column = 0;
    while let Some(cell) = cells.get(column).filter(|_| column < end) {
        column += 1;
        if cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
            continue;
        }
        if cell.c == '\t' {
            match tab_end(cells, column) {
                Some(next) => {
                    out.push('\t');
                    column = next;
                }
                None => out.push(' '),
            }
        } else {
            out.push(cell.c);
        }
        out.extend(cell.zerowidth().into_iter().flatten());
    }
    goes_on
}

/// Where a tab before `column` ends for a reader, unless something stands before that: then the
/// program had other tab stops, or wrote there later.
fn tab_end(cells: &[Cell], column: usize) -> Option<usize> {
    let next_stop = (column - 1) / TAB_WIDTH * TAB_WIDTH + TAB_WIDTH;
    let stop = next_stop.min(cells.len().saturating_sub(1)).max(column);
    let skipped = cells.get(column..stop)?;
    skipped
        .iter()
        .all(|cell| cell.c == ' ' && cell.zerowidth().is_none() && cell.flags.is_empty())
        .then_some(stop)
}

fn is_blank(cell: &Cell) -> bool {
    matches!(cell.c, ' ' | '\t') && cell.zerowidth().is_none_or(<[char]>::is_empty)
}
