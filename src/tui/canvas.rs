//! What stands on the terminal, and what is to stand there next.
//!
//! Most frames differ from the one before in a row or two. A row that is the same costs one comparison,
//! and only what differs in the others is written.

use std::io::{self, Write};
use std::iter::zip;

use ratatui::backend::{Backend, ClearType, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell, CellWidth};
use ratatui::layout::{Position, Rect, Size};

use crate::terminal::Screen;

/// The cells of a terminal, twice.
pub(crate) struct Canvas<W: Write> {
    screen: Screen<W>,
    backend: CrosstermBackend<Screen<W>>,
    shown: Buffer,
    next: Buffer,
}

impl<W: Write> Canvas<W> {
    /// A canvas on a screen that is blank.
    pub(crate) fn new(screen: Screen<W>, size: Size) -> Self {
        let blank = Buffer::empty(Rect::from((Position::ORIGIN, size)));
        let backend = CrosstermBackend::new(screen.clone());
        Self { screen, backend, shown: blank.clone(), next: blank }
    }

    pub(crate) const fn size(&self) -> Size {
        Size { width: self.next.area.width, height: self.next.area.height }
    }

    /// What is to be shown next; blank at first.
    pub(crate) const fn next(&mut self) -> &mut Buffer {
        &mut self.next
    }

    /// Shows it, with the cursor at a place or none, in one write.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn show(&mut self, cursor: Option<Position>) -> io::Result<()> {
        self.screen.begin_frame();
        let width = usize::from(self.next.area.width).max(1);
        let rows = zip(self.shown.content.chunks(width), self.next.content.chunks(width));
        let differences = (0..)
            .zip(rows)
            .filter(|(_, (shown, next))| {
                !zip(*shown, *next).all(|(shown, next)| is_same(shown, next))
            })
            .flat_map(|(y, (shown, next))| differences(shown, next).map(move |(x, it)| (x, y, it)));
        self.backend.draw(differences)?;
        match cursor {
            Some(at) => {
                self.backend.show_cursor()?;
                self.backend.set_cursor_position(at)?;
            }
            None => self.backend.hide_cursor()?,
        }
        self.screen.end_frame()
    }

    /// What was shown is what the next frame is compared with.
    pub(crate) fn turn(&mut self) {
        std::mem::swap(&mut self.shown, &mut self.next);
        self.next.reset();
    }

    /// The screen is blank, and may have another size.
    pub(crate) fn forget(&mut self, size: Size) {
        let area = Rect::from((Position::ORIGIN, size));
        for buffer in [&mut self.shown, &mut self.next] {
            buffer.resize(area);
            buffer.reset();
        }
    }

    /// Makes it blank; with the frame that follows, in one write.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn clear(&mut self, size: Size) -> io::Result<()> {
        self.screen.begin_frame();
        self.forget(size);
        self.backend.clear_region(ClearType::All)
    }
}

/// The cells of a row that have to be written, with their columns.
fn differences<'a>(shown: &'a [Cell], next: &'a [Cell]) -> impl Iterator<Item = (u16, &'a Cell)> {
    // So many of the next cells are covered by a character of the frame to be, or were by one that may
    // be gone.
    let (mut covered, mut stale) = (0, 0);
    (0..).zip(zip(shown, next)).filter_map(move |(x, (shown, next))| {
        let is_written = covered == 0 && (stale > 0 || !is_same(shown, next));
        stale = stale.max(width(shown)).saturating_sub(1);
        covered = if covered > 0 { covered - 1 } else { width(next).saturating_sub(1) };
        is_written.then_some((x, next))
    })
}

/// Whether two cells look the same. Nearly all that are compared do, and hold one byte.
fn is_same(one: &Cell, other: &Cell) -> bool {
    one.modifier == other.modifier
        && one.fg == other.fg
        && one.bg == other.bg
        && match (one.symbol().as_bytes(), other.symbol().as_bytes()) {
            ([one], [other]) => one == other,
            (one, other) => one == other,
        }
}

/// Columns of what stands in a cell.
fn width(cell: &Cell) -> u16 {
    if cell.symbol().len() == 1 { 1 } else { cell.cell_width() }
}

#[cfg(test)]
mod tests;
