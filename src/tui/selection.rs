//! What is marked with the mouse, on the screen as it is drawn.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use unicode_width::UnicodeWidthStr;

/// From where to where, in the order in which it was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) from: Position,
    pub(crate) to: Position,
    /// The part of the screen where it was begun: what stands beside that is not meant.
    pub(crate) area: Rect,
    /// Whether the button is still held.
    pub(crate) is_open: bool,
}

/// A tab, as it is drawn: blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tab {
    /// Its first cell.
    pub(crate) at: Position,
    pub(crate) columns: u16,
}

impl Selection {
    /// Its rows: the row, and the first and the last column in it.
    fn rows(self, buffer: &Buffer) -> impl Iterator<Item = (u16, u16, u16)> {
        let area = self.area.intersection(*buffer.area());
        let (last, bottom) = (area.right().saturating_sub(1), area.bottom().saturating_sub(1));
        let within = |at: Position| {
            let (x, y) = (at.x.min(last).max(area.x), at.y.min(bottom).max(area.y));
            Position { x, y }
        };
        let key = |position: Position| (position.y, position.x);
        let (from, to) = (within(self.from), within(self.to));
        let (start, end) = if key(from) <= key(to) { (from, to) } else { (to, from) };
        // Both halves of a wide character are the character.
        let before = Position { x: start.x.saturating_sub(1), y: start.y };
        let is_wide = |cell: &Cell| cell.symbol().width() > 1;
        let is_half = start.x > area.x && buffer.cell(before).is_some_and(is_wide);
        let start = if is_half { before } else { start };
        (start.y..=end.y).filter(move |_| !area.is_empty()).map(move |y| {
            let first = if y == start.y { start.x } else { area.x };
            (y, first, if y == end.y { end.x.min(last) } else { last })
        })
    }

    /// Shows it.
    pub(crate) fn mark(self, buffer: &mut Buffer) {
        let style = Style::new().add_modifier(Modifier::REVERSED);
        let rows: Vec<(u16, u16, u16)> = self.rows(buffer).collect();
        for (y, first, last) in rows {
            for x in first..=last {
                if let Some(cell) = buffer.cell_mut(Position { x, y }) {
                    cell.set_style(style);
                }
            }
        }
    }

    /// Its text, with the tabs that are drawn as blanks, and without blanks at the ends of rows.
    pub(crate) fn text(self, buffer: &Buffer, tabs: &[Tab]) -> String {
        let mut lines = Vec::new();
        for (y, first, last) in self.rows(buffer) {
            let mut line = String::new();
            let mut x = first;
            while x <= last {
                if let Some(tab) = tabs.iter().find(|tab| tab.at == (Position { x, y })) {
                    line.push('\t');
                    x += tab.columns;
                    continue;
                }
                let symbol = buffer.cell(Position { x, y }).map_or(" ", Cell::symbol);
                line.push_str(symbol);
                // Behind a wide character stands a cell that is no blank.
                x += u16::try_from(symbol.width().max(1)).unwrap_or(1);
            }
            lines.push(line.trim_end().to_owned());
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests;
