//! The terminal itself: parser, grid, and the way rows leave it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line, Point};
use alacritty_terminal::term::{Config, Osc52, Term, TermMode};
use alacritty_terminal::vte::ansi::{Processor, Timeout};

use crate::collector::Collector;
use crate::filter::{Filter, Piece};
use crate::handler::Screen;
use crate::row::append_row;
use crate::size::TerminalSize;

/// Synchronized updates are shown as they come: holding them back needs a clock, and the result
/// is the same.
#[derive(Debug, Default)]
struct NoSynchronizedUpdates;

impl Timeout for NoSynchronizedUpdates {
    fn set_timeout(&mut self, _: Duration) {}

    fn clear_timeout(&mut self) {}

    fn pending_timeout(&self) -> bool {
        false
    }
}

/// Collects what the terminal answers to a program's questions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replies(Arc<Mutex<Vec<u8>>>);

impl Replies {
    /// A program that asks and never reads gets no more than this many bytes of answers.
    const BYTES_MAX: usize = 4_096;

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl EventListener for Replies {
    fn send_event(&self, event: Event) {
        let Event::PtyWrite(answer) = event else {
            return;
        };
        let mut replies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if replies.len() + answer.len() <= Self::BYTES_MAX {
            replies.extend_from_slice(answer.as_bytes());
        }
    }
}

/// For terminals whose rows are collected as they scroll off: the emulator must not drop any
/// before, and adds to this number.
pub(crate) const HISTORY_ROWS_MAX: usize = 1 << 30;

/// A terminal whose rows may leave it for good as they scroll off the screen.
pub(crate) struct Core {
    term: Term<Replies>,
    parser: Processor<NoSynchronizedUpdates>,
    filter: Filter,
    /// A character whose bytes have not all come: the parser depends on how they are split.
    partial: Vec<u8>,
    replies: Replies,
    /// The screen of a full-screen program as it was last taken.
    shown_screen: Vec<String>,
}

impl Core {
    pub(crate) fn new(size: TerminalSize, scrollback_lines_max: usize) -> Self {
        let replies = Replies::default();
        let config = Config {
            scrolling_history: scrollback_lines_max,
            osc52: Osc52::Disabled,
            ..Config::default()
        };
        Self {
            term: Term::new(config, &size.clamped(), replies.clone()),
            parser: Processor::new(),
            filter: Filter::default(),
            partial: Vec::new(),
            replies,
            shown_screen: Vec::new(),
        }
    }

    /// Takes what a program printed. With a collector, rows that scroll off go there.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut collector: Option<&mut Collector>) {
        let mut rest = bytes;
        while !self.partial.is_empty()
            && let Some((byte, later)) = rest.split_first()
        {
            let mut bytes = std::mem::take(&mut self.partial);
            bytes.push(*byte);
            rest = later;
            self.partial = bytes.split_off(bytes.len() - incomplete_suffix(&bytes));
            self.parse(&bytes, collector.as_deref_mut());
        }
        let (complete, partial) = rest.split_at(rest.len() - incomplete_suffix(rest));
        self.partial.extend_from_slice(partial);
        self.parse(complete, collector);
    }

    fn parse(&mut self, bytes: &[u8], mut collector: Option<&mut Collector>) {
        let mut start = 0;
        while let Some(next) = self.filter.next(bytes, start) {
            let (range, repeats) = match next {
                Piece::Pass(range) => (range, None),
                Piece::Repeat(range) => {
                    (range, Some(self.term.columns() * self.term.screen_lines()))
                }
            };
            start = range.end;
            let mut screen = Screen {
                term: &mut self.term,
                collector: collector.as_deref_mut(),
                repeats_left: repeats,
            };
            self.parser.advance(&mut screen, bytes.get(range).unwrap_or_default());
        }
    }

    pub(crate) fn resize(&mut self, size: TerminalSize) {
        self.term.resize(size.clamped());
    }

    pub(crate) fn term(&self) -> &Term<Replies> {
        &self.term
    }

    pub(crate) fn take_replies(&mut self) -> Vec<u8> {
        self.replies.take()
    }

    pub(crate) fn alternate_screen(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }

    /// The rows on the screen, each as a line.
    pub(crate) fn screen(&self) -> Vec<String> {
        let rows = i32::try_from(self.term.screen_lines()).unwrap_or(0);
        (0..rows)
            .map(|line| {
                let mut text = String::new();
                append_row(&self.term.grid()[Line(line)][..], &mut text);
                text.truncate(text.trim_end_matches([' ', '\t']).len());
                text
            })
            .collect()
    }

    /// Gives every line, scrollback first, to the collector: rows that belong together as one.
    pub(crate) fn append_lines(&self, collector: &mut Collector) {
        let top = self.term.topmost_line().0;
        self.append_rows(top..=self.term.bottommost_line().0, collector);
        collector.end_line();
    }

    fn append_rows(&self, rows: impl Iterator<Item = i32>, collector: &mut Collector) {
        append_rows(&self.term, rows, collector);
    }

    /// Gives the rows above the cursor to the collector and leaves an empty screen. For a cursor
    /// that has just gone to the start of a new line: nothing of that row is lost.
    pub(crate) fn take_rows_above(&mut self, collector: &mut Collector) {
        let top = self.term.topmost_line().0;
        let cursor = self.term.grid().cursor.point.line.0;
        self.append_rows(top..cursor, collector);
        let grid = self.term.grid_mut();
        grid.clear_history();
        grid.reset_region(..);
        grid.cursor.point = Point::new(Line(0), Column(0));
        grid.cursor.input_needs_wrap = false;
    }

    /// Gives all that is left to the collector. The screen of a program that still has the whole
    /// terminal comes last, under a line that says so.
    pub(crate) fn finish(&mut self, collector: &mut Collector) {
        let snapshot = self.alternate_screen().then(|| self.screen());
        if snapshot.is_some() {
            self.term.swap_alt();
        }
        self.append_lines(collector);
        collector.drop_empty_lines();
        if let Some(rows) = snapshot.filter(|rows| *rows != self.shown_screen) {
            append_screen(&rows, collector);
        }
    }

    /// Gives all that is left to the collector, as [`Core::finish`] does, and goes on; the lines
    /// that stay on the screen and may be given again.
    pub(crate) fn take(&mut self, collector: &mut Collector) -> Vec<String> {
        // Looking at the screen below clears the one above it.
        let above = self.alternate_screen().then(|| (self.screen(), self.term.grid().clone()));
        if above.is_some() {
            self.term.swap_alt();
        }
        self.append_lines(collector);
        collector.drop_empty_lines();
        self.term.grid_mut().clear_history();
        let lines = self.screen_lines();
        match above {
            None => self.shown_screen.clear(),
            Some((rows, grid)) => {
                self.term.swap_alt();
                *self.term.grid_mut() = grid;
                if rows != self.shown_screen {
                    append_screen(&rows, collector);
                    self.shown_screen = rows;
                }
            }
        }
        lines
    }

    /// The rows on the screen as lines, those that the terminal wrapped joined, without empty ones
    /// at the end.
    fn screen_lines(&self) -> Vec<String> {
        let mut lines = vec![String::new()];
        for row in 0..=self.term.bottommost_line().0 {
            let Some(line) = lines.last_mut() else { break };
            if !append_row(&self.term.grid()[Line(row)][..], line) {
                lines.push(String::new());
            }
        }
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        lines
    }

    /// Whether something stands before the cursor in its row.
    pub(crate) fn is_prompting(&self) -> bool {
        let grid = self.term.grid();
        let point = grid.cursor.point;
        let mut before = String::new();
        append_row(&grid[point.line][..point.column], &mut before);
        grid.cursor.input_needs_wrap || !before.trim().is_empty()
    }
}

fn append_screen(rows: &[String], collector: &mut Collector) {
    let title = "[a full-screen program is running; its screen:]";
    for line in std::iter::once(title).chain(rows.iter().map(String::as_str)) {
        collector.append(line);
        collector.end_line();
    }
}

/// Gives rows to the collector, joining those that the terminal wrapped.
pub(crate) fn append_rows(
    term: &Term<Replies>,
    rows: impl Iterator<Item = i32>,
    collector: &mut Collector,
) {
    let mut text = String::new();
    for row in rows {
        text.clear();
        let goes_on = append_row(&term.grid()[Line(row)][..], &mut text);
        collector.append(&text);
        if !goes_on {
            collector.end_line();
        }
    }
}

/// How many bytes at the end begin a character that is not complete.
fn incomplete_suffix(bytes: &[u8]) -> usize {
    let lead = bytes.iter().rev().take(3).position(|byte| *byte >= 0xc2);
    let length = lead.map_or(0, |offset| offset + 1);
    let suffix = bytes.get(bytes.len() - length..).unwrap_or_default();
    match std::str::from_utf8(suffix) {
        Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => length,
        _ => 0,
    }
}
