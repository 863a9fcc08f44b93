//! A whole terminal, for looking at.

use std::fmt;

use alacritty_terminal::term::TermMode;

use crate::collector::Collector;
use crate::core::Core;
use crate::size::TerminalSize;
use crate::style::{Run, styled_rows, styled_screen};

/// Where the cursor is, counted from the upper left corner of the screen, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its row.
    pub row: u16,
    /// Its column.
    pub column: u16,
    /// Whether the program lets it be seen.
    pub visible: bool,
}

/// What the program on a terminal asked of its keyboard and its mouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The cursor keys' other sequences.
    pub application_cursor: bool,
    /// What is pasted is to be marked as such.
    pub bracketed_paste: bool,
    /// The mouse's buttons are told, in the form with numbers (SGR).
    pub mouse: bool,
}

/// A terminal: it is fed bytes and knows what stands on the screen.
pub struct Emulator {
    core: Core,
    size: TerminalSize,
}

impl Emulator {
    /// Rows of scrollback that any emulator may keep.
    const SCROLLBACK_ROWS_MAX: usize = 100_000;

    /// An empty terminal that keeps so many rows that scrolled off. The size is clamped.
    #[must_use]
    pub fn new(size: TerminalSize, scrollback_rows_max: usize) -> Self {
        let size = size.clamped();
        Self { core: Core::new(size, scrollback_rows_max.min(Self::SCROLLBACK_ROWS_MAX)), size }
    }

    /// Takes what a program printed, in pieces of any length.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.core.feed(bytes, None);
    }

    /// Changes the size, clamped; wrapped lines flow into the new width.
    pub fn resize(&mut self, size: TerminalSize) {
        self.size = size.clamped();
        self.core.resize(self.size);
    }

    /// The size as it is.
    #[must_use]
    pub fn size(&self) -> TerminalSize {
        self.size
    }

    /// Where the cursor is.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        let point = self.core.term().grid().cursor.point;
        Cursor {
            row: u16::try_from(point.line.0).unwrap_or(0),
            column: u16::try_from(point.column.0).unwrap_or(0),
            visible: self.core.term().mode().contains(TermMode::SHOW_CURSOR),
        }
    }

    /// Whether a full-screen program has the terminal.
    #[must_use]
    pub fn alternate_screen(&self) -> bool {
        self.core.alternate_screen()
    }

    /// The rows of the screen from the top, spaces at their ends left out.
    #[must_use]
    pub fn screen(&self) -> Vec<String> {
        self.core.screen()
    }

    /// Scrollback and screen with their colours, row by row: the last `rows_max`, without empty ones
    /// at the end. Each row is told in runs of one look, without blanks at its end.
    #[must_use]
    pub fn styled_rows(&self, rows_max: usize) -> Vec<Vec<Run>> {
        styled_rows(&self.core, rows_max)
    }

    /// The rows of the screen from the top with their colours, empty ones too. Each row is told in
    /// runs of one look, without blanks at its end.
    #[must_use]
    pub fn styled_screen(&self) -> Vec<Vec<Run>> {
        styled_screen(&self.core)
    }

    /// What its program asked of keyboard and mouse.
    #[must_use]
    pub fn wishes(&self) -> Wishes {
        let mode = self.core.term().mode();
        Wishes {
            application_cursor: mode.contains(TermMode::APP_CURSOR),
            bracketed_paste: mode.contains(TermMode::BRACKETED_PASTE),
            mouse: mode.intersects(TermMode::MOUSE_MODE) && mode.contains(TermMode::SGR_MOUSE),
        }
    }

    /// Scrollback and screen as lines: what the terminal wrapped is one line again, and empty
    /// lines at the end are left out.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut collector = Collector::new(usize::MAX);
        self.core.append_lines(&mut collector);
        let text = collector.finish().text;
        if text.is_empty() { Vec::new() } else { text.split('\n').map(str::to_owned).collect() }
    }

    /// What the terminal has answered to the program's questions since the last call: bytes for
    /// the program's input, at most a few KiB.
    pub fn take_replies(&mut self) -> Vec<u8> {
        self.core.take_replies()
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("size", &self.size)
            .field("cursor", &self.cursor())
            .finish_non_exhaustive()
    }
}
