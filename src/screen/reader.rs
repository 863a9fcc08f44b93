//! All that a command prints, turned into what a model reads of it.
//!
//! A reader starts on plain output: the last lines are held back as bytes, and older ones are
//! final, since without escape sequences nothing reaches above the line that is being written.
//! With the first byte that could reach further, the emulator takes over for good, starting with
//! the lines held back; at least as many are held back as the screen has rows, so that it finds
//! exactly the screen that it would have built from the beginning.

use std::fmt;

use crate::collector::Collector;
use crate::core::{Core, HISTORY_ROWS_MAX};
use crate::plain::{LineReader, is_line_local};
use crate::size::TerminalSize;
use crate::text::Text;

/// Reads the output of one command as it comes.
pub struct Reader {
    size: TerminalSize,
    collector: Collector,
    mode: Mode,
    /// How much is held back before older lines are read, bytes.
    held_bytes_max: usize,
}

enum Mode {
    Plain { lines: LineReader, held: Vec<u8> },
    Emulated(Box<Core>),
}

impl Reader {
    const HELD_BYTES_MAX: usize = 512 * 1024;

    /// A reader for a terminal of this size (clamped) whose text will have about `chars_max`
    /// characters at most; see [`crate::TEXT_CHARS_MAX`].
    #[must_use]
    pub fn new(size: TerminalSize, chars_max: usize) -> Self {
        Self::holding(size, chars_max, Self::HELD_BYTES_MAX)
    }

    pub(crate) fn holding(size: TerminalSize, chars_max: usize, held_bytes_max: usize) -> Self {
        let size = size.clamped();
        Self {
            size,
            collector: Collector::new(chars_max),
            mode: Mode::Plain { lines: LineReader::new(size), held: Vec::new() },
            held_bytes_max,
        }
    }

    /// Takes the next bytes of the output, in pieces of any length.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.mode {
            Mode::Plain { held, .. } => {
                let before = held.last().copied().unwrap_or(b'\r');
                if !is_line_local(before, bytes) {
                    self.emulate();
                    return self.feed(bytes);
                }
                for piece in bytes.chunks(self.held_bytes_max / 2) {
                    self.hold(piece);
                }
            }
            Mode::Emulated(core) => core.feed(bytes, Some(&mut self.collector)),
        }
    }

    /// The terminal has another size from here on (clamped).
    pub fn resize(&mut self, size: TerminalSize) {
        self.emulate();
        self.size = size.clamped();
        if let Mode::Emulated(core) = &mut self.mode {
            core.resize(self.size);
        }
    }

    /// What the terminal has answered to the program's questions since the last call: bytes for
    /// the program's input, at most a few KiB.
    pub fn take_replies(&mut self) -> Vec<u8> {
        match &mut self.mode {
            Mode::Plain { .. } => Vec::new(),
            Mode::Emulated(core) => core.take_replies(),
        }
    }

    /// The text of all that was fed.
    #[must_use]
    pub fn finish(mut self) -> Text {
        match &mut self.mode {
            Mode::Plain { lines, held } => {
                let complete = memchr::memrchr(b'\n', held).map_or(0, |last| last + 1);
                let (complete, last) = held.split_at(complete);
                lines.read(complete, &mut self.collector);
                lines.read_last(last, &mut self.collector);
            }
            Mode::Emulated(core) => core.finish(&mut self.collector),
        }
        self.collector.finish()
    }

    /// Holds plain bytes back, and reads older lines when there is too much.
    fn hold(&mut self, bytes: &[u8]) {
        let Mode::Plain { lines, held } = &mut self.mode else {
            return self.feed(bytes);
        };
        if held.len() + bytes.len() > self.held_bytes_max {
            let end = older_lines(held, usize::from(self.size.rows));
            lines.read(held.get(..end).unwrap_or_default(), &mut self.collector);
            held.drain(..end);
        }
        let line_start = memchr::memrchr(b'\n', held).map_or(0, |last| last + 1);
        let line_bytes = held.len() - line_start;
        // A line this long is emulated, so that it need not be held.
        if line_bytes > self.held_bytes_max / 4 || held.len() + bytes.len() > self.held_bytes_max {
            self.emulate();
            return self.feed(bytes);
        }
        held.extend_from_slice(bytes);
    }

    /// Lets the emulator take over.
    fn emulate(&mut self) {
        let Mode::Plain { lines, held } = &mut self.mode else {
            return;
        };
        let end = older_lines(held, usize::from(self.size.rows));
        let (older, screen) = held.split_at(end);
        lines.read(older, &mut self.collector);
        let mut core = Box::new(Core::new(self.size, HISTORY_ROWS_MAX));
        core.feed(screen, Some(&mut self.collector));
        self.mode = Mode::Emulated(core);
    }
}

/// The end of the lines that are above the screen, whatever the screen's rows hold.
fn older_lines(held: &[u8], rows: usize) -> usize {
    memchr::memrchr_iter(b'\n', held).nth(rows).map_or(0, |line_end| line_end + 1)
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let emulated = matches!(self.mode, Mode::Emulated(_));
        f.debug_struct("Reader")
            .field("size", &self.size)
            .field("emulated", &emulated)
            .finish_non_exhaustive()
    }
}
