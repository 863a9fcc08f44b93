//! How large a terminal is.

use alacritty_terminal::grid::Dimensions;

/// The size of a terminal in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl TerminalSize {
    const CELLS_MIN: u16 = 2;
    const COLUMNS_MAX: u16 = 1_000;
    const ROWS_MAX: u16 = 500;

    /// The nearest size that a terminal may have: 2 × 2 to 1,000 × 500. The emulator panics on
    /// less and takes memory in proportion.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            columns: self.columns.clamp(Self::CELLS_MIN, Self::COLUMNS_MAX),
            rows: self.rows.clamp(Self::CELLS_MIN, Self::ROWS_MAX),
        }
    }
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { columns: 120, rows: 40 }
    }
}

impl Dimensions for TerminalSize {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }

    fn screen_lines(&self) -> usize {
        usize::from(self.rows)
    }

    fn columns(&self) -> usize {
        usize::from(self.columns)
    }
}
