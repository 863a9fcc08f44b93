//! Tables: columns as wide as they need, narrower where the terminal is.

use ratatui::text::{Line, Span};

use crate::text::wrap;
use crate::theme::Theme;

/// No column is made narrower.
const COLUMN_MIN: usize = 4;

/// More columns are not drawn.
const COLUMNS_MAX: usize = 30;

type Cell = Vec<Span<'static>>;

/// A table; its first row is the heading.
#[derive(Debug, Default)]
pub(super) struct Table {
    is_right: Vec<bool>,
    rows: Vec<Vec<Cell>>,
    row: Vec<Cell>,
}

impl Table {
    pub(super) fn new(is_right: Vec<bool>) -> Self {
        Self { is_right, ..Self::default() }
    }

    pub(super) fn cell(&mut self, cell: Cell) {
        if self.row.len() < COLUMNS_MAX {
            self.row.push(cell);
        }
    }

    pub(super) fn end_row(&mut self) {
        self.rows.push(std::mem::take(&mut self.row));
    }

    pub(super) fn rows(&self, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let widths = self.widths(columns);
        let mut lines = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            lines.extend(self.row_lines(row, &widths, theme));
            if number == 0 {
                let parts: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
                lines.push(Line::styled(parts.join("─┼─"), theme.faint));
            }
        }
        lines
    }

    /// As wide as the longest cell; the widest give way until all fit.
    fn widths(&self, columns: usize) -> Vec<usize> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |cell: &Cell| cell.iter().map(Span::width).sum::<usize>();
        let natural = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(width).max().unwrap_or(0).max(1)
        };
        let mut widths: Vec<usize> = (0..count).map(natural).collect();
        let room = columns.saturating_sub(count.saturating_sub(1) * 3);
        while widths.iter().sum::<usize>() > room {
            let Some(widest) = widths.iter_mut().max().filter(|width| **width > COLUMN_MIN) else {
                break;
            };
            *widest -= 1;
        }
        widths
    }

    fn row_lines(&self, row: &[Cell], widths: &[usize], theme: &Theme) -> Vec<Line<'static>> {
        let empty = Vec::new();
        let cells: Vec<Vec<Line<'static>>> = widths
            .iter()
            .enumerate()
            .map(|(column, width)| wrap(row.get(column).unwrap_or(&empty), *width, &[]))
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        let line = |at: usize| {
            let mut spans = Vec::new();
            for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
                if column > 0 {
                    spans.push(Span::styled(" │ ", theme.faint));
                }
                let part = cell.get(at).cloned().unwrap_or_default();
                let pad = Span::raw(" ".repeat(width.saturating_sub(part.width())));
                if self.is_right.get(column) == Some(&true) {
                    spans.push(pad);
                    spans.extend(part.spans);
                } else {
                    spans.extend(part.spans);
                    spans.push(pad);
                }
            }
            Line::from(spans)
        };
        (0..height).map(line).collect()
    }
}
