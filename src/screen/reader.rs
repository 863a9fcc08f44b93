//! All that a command prints, turned into what a model reads of it.
//!
//! A reader starts on plain output: the last lines are held back as bytes, and older ones are
//! final, since without escape sequences nothing reaches above the line that is being written.
//! With the first byte that could reach further, the emulator takes over for good, starting with
//! the lines held back; at least as many are held back as the screen has rows, so that it finds
//! exactly the screen that it would have built from the beginning.
//!
//! A command that goes on for long is read in parts: [`Reader::take`] gives what is new since it
//! was called before. From then on the emulator runs, since what was given may change.

use std::fmt;

use alacritty_terminal::term::TermMode;

use crate::collector::Collector;
use crate::core::{Core, HISTORY_ROWS_MAX};
use crate::plain::{LineReader, is_line_local};
use crate::size::TerminalSize;
use crate::text::Text;

/// Reads the output of one command as it comes.
pub struct Reader {
    size: TerminalSize,
    chars_max: usize,
    collector: Collector,
    was_taken: bool,
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
            chars_max,
            collector: Collector::new(chars_max),
            was_taken: false,
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

    /// What is new since the last call: text that was printed or changed, from the first line on
    /// that is not as it was; of a full-screen program the screen, if it is another.
    pub fn take(&mut self) -> Text {
        self.emulate();
        let mut taken = std::mem::replace(&mut self.collector, Collector::new(self.chars_max));
        if let Mode::Emulated(core) = &mut self.mode {
            let lines = core.take(&mut taken);
            self.collector = Collector::after(self.chars_max, lines);
        }
        let was_taken = std::mem::replace(&mut self.was_taken, true);
        without_gap(taken.finish(), was_taken)
    }

    /// Whether a full-screen program has the terminal.
    #[must_use]
    pub fn alternate_screen(&self) -> bool {
        matches!(&self.mode, Mode::Emulated(core) if core.alternate_screen())
    }

    /// Whether a program asked for the cursor keys' other sequences.
    #[must_use]
    pub fn application_cursor(&self) -> bool {
        match &self.mode {
            Mode::Plain { .. } => false,
            Mode::Emulated(core) => core.term().mode().contains(TermMode::APP_CURSOR),
        }
    }

    /// Whether text stands before the cursor in its row, as a prompt does.
    #[must_use]
    pub fn is_prompting(&self) -> bool {
        match &self.mode {
            Mode::Plain { held, .. } => {
                let line = memchr::memrchr2(b'\n', b'\r', held).map_or(0, |last| last + 1);
                held.get(line..).is_some_and(|line| !line.trim_ascii().is_empty())
            }
            Mode::Emulated(core) => core.is_prompting(),
        }
    }

    /// The text of all that was fed, or of what is new since [`Reader::take`].
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
        without_gap(self.collector.finish(), self.was_taken)
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

/// The text without the empty lines that part it from what was taken before.
fn without_gap(mut text: Text, was_taken: bool) -> Text {
    if was_taken {
        text.text.drain(..text.text.len() - text.text.trim_start_matches('\n').len());
    }
    text
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
