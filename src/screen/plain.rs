//! The cheap path: lines of output that hold no escape sequence.
//!
//! A terminal is line-local for such lines: whatever carriage returns, backspaces and tabs do, they
//! do it within the rows of their own line. So a line of printable characters is its own text, and
//! any other line is emulated alone.

use unicode_width::UnicodeWidthChar;

use crate::collector::Collector;
use crate::core::{Core, HISTORY_ROWS_MAX};
use crate::size::TerminalSize;

/// Bytes that are looked at together: all of them are simple, or each line is looked at alone.
const BLOCK_BYTES: usize = 16 * 1024;
const TAB_WIDTH: usize = 8;

/// Whether output may be treated line by line: no escape, and every line feed comes after a
/// carriage return, so that every line begins in the first column. `before` is the byte before.
pub(crate) fn is_line_local(before: u8, bytes: &[u8]) -> bool {
    let Some(&first) = bytes.first() else {
        return true;
    };
    if memchr::memchr(0x1b, bytes).is_some() || (first == b'\n' && before != b'\r') {
        return false;
    }
    let pairs = bytes.iter().zip(bytes.iter().skip(1));
    // Without early exit, so that the compiler makes vector instructions of it.
    !pairs.fold(false, |bare, (before, byte)| bare | ((*byte == b'\n') & (*before != b'\r')))
}

/// Turns complete lines into text.
pub(crate) struct LineReader {
    size: TerminalSize,
    /// For the lines that have to be emulated; made when the first comes.
    emulator: Option<Box<Core>>,
}

impl LineReader {
    pub(crate) fn new(size: TerminalSize) -> Self {
        Self { size: size.clamped(), emulator: None }
    }

    /// Gives complete lines, each ended by `\r\n`, to the collector.
    pub(crate) fn read(&mut self, lines: &[u8], collector: &mut Collector) {
        let mut rest = lines;
        while !rest.is_empty() {
            let simple = if collector.is_flooded() {
                simple_prefix(rest, collector.line_chars_max())
            } else {
                0
            };
            let (run, others) = rest.split_at(simple);
            if simple > 0 {
                collector.push_simple_lines(run);
            }
            let block = block_end(others);
            let (block, later) = others.split_at(block);
            for line in block.split_inclusive(|byte| *byte == b'\n') {
                self.read_line(line, collector);
            }
            rest = later;
        }
    }

    /// Gives the line that the output ends in to the collector.
    pub(crate) fn read_last(&mut self, line: &[u8], collector: &mut Collector) {
        match plain_text(line, usize::from(self.size.columns)) {
            Some(text) => collector.append(text),
            None => {
                let mut emulator = Core::new(self.size, HISTORY_ROWS_MAX);
                emulator.feed(line, Some(collector));
                emulator.finish(collector);
            }
        }
    }

    fn read_line(&mut self, line: &[u8], collector: &mut Collector) {
        let content =
            line.len() - line.iter().rev().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let text = line.get(..content).unwrap_or_default();
        match plain_text(text, usize::from(self.size.columns)) {
            Some(text) => {
                collector.append(text);
                collector.end_line();
            }
            None => {
                let emulator = self
                    .emulator
                    .get_or_insert_with(|| Box::new(Core::new(self.size, HISTORY_ROWS_MAX)));
                emulator.feed(line, Some(collector));
                emulator.take_rows_above(collector);
            }
        }
    }
}

/// How many bytes of whole lines at the beginning are simple, in steps of a block.
fn simple_prefix(bytes: &[u8], line_chars_max: usize) -> usize {
    let mut end = 0;
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        let block = rest.get(..block_end(rest)).unwrap_or_default();
        if !is_simple(block, line_chars_max) {
            break;
        }
        end += block.len();
    }
    end
}

/// The end of the last whole line within a block, or of the first line if it is longer.
fn block_end(bytes: &[u8]) -> usize {
    if bytes.len() <= BLOCK_BYTES {
        return bytes.len();
    }
    let (block, rest) = bytes.split_at(BLOCK_BYTES);
    match memchr::memrchr(b'\n', block) {
        Some(last) => last + 1,
        None => memchr::memchr(b'\n', rest).map_or(bytes.len(), |next| BLOCK_BYTES + next + 1),
    }
}

/// Whether these lines are printable ASCII ended by `\r\n`, without spaces at their ends, and none
/// is too long.
fn is_simple(lines: &[u8], line_chars_max: usize) -> bool {
    let printable = |byte: u8| byte.wrapping_sub(b' ') < 0x7f - b' ';
    let end = |byte: u8| (byte == b'\r') | (byte == b'\n');
    let other = lines.iter().fold(false, |other, byte| other | !(printable(*byte) | end(*byte)));
    let pairs = lines.iter().zip(lines.iter().skip(1));
    let irregular = pairs.fold(false, |bad, (before, byte)| {
        bad | ((*byte == b'\n') != (*before == b'\r')) | ((*byte == b'\r') & (*before == b' '))
    });
    if other || irregular || !lines.ends_with(b"\r\n") {
        return false;
    }
    let mut rest = lines;
    while let Some(window) = rest.get(..line_chars_max) {
        let Some(last) = memchr::memrchr(b'\n', window) else {
            return false;
        };
        rest = rest.get(last + 1..).unwrap_or_default();
    }
    true
}

/// A line's text, where that is the line itself: printable characters that take room, and tabs
/// within the first row.
fn plain_text(line: &[u8], columns: usize) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    let ascii = line.iter().fold(true, |all, byte| all & (byte.wrapping_sub(b' ') < 0x7f - b' '));
    if ascii {
        return Some(text);
    }
    let mut column = 0;
    for c in text.chars() {
        column = match c {
            '\t' => (column / TAB_WIDTH + 1) * TAB_WIDTH,
            _ => column + c.width().filter(|width| *width > 0)?,
        };
        if c == '\t' && column >= columns {
            return None;
        }
    }
    Some(text)
}
