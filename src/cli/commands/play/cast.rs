//! What commands printed, as an asciicast: <https://docs.asciinema.org/manual/asciicast/v3/>.
//!
//! There is one terminal in a cast, and each command had its own: they come one after the other,
//! each behind a line that names it, and what ran beside others is told after them. It has the size
//! that the command's own had, from moment to moment. Time is told as the pause before each piece.

use std::collections::BTreeMap;
use std::io::{self, Write};

use record::Direction;
use sandbox::TerminalSize;
use serde_json::json;

use super::timeline::{Timeline, What};

/// Before each command: out of the other screen, colours and modes as they were at first.
const FRESH: &str = "\x1b[?1049l\x1b[!p\x1b[0m\x1b[?25h";

/// An execution in a cast.
pub(super) struct Shown {
    pub(super) exec: u32,
    /// What stands on the line above it.
    pub(super) title: String,
    /// How it ended, where that is known.
    pub(super) status: Option<i32>,
}

/// Writes the executions, in this order.
pub(super) fn write(
    out: &mut dyn Write,
    timeline: &Timeline,
    shown: &[Shown],
    title: &str,
    began_s: i64,
) -> io::Result<()> {
    let usual = TerminalSize::default();
    let header = json!({
        "version": 3,
        "term": { "cols": usual.columns, "rows": usual.rows, "type": "xterm-256color" },
        "timestamp": began_s,
        "title": title,
    });
    writeln!(out, "{header}")?;
    let mut now_us = 0;
    let mut pause_until = |at_us: u64| {
        let pause_us = at_us.saturating_sub(now_us);
        now_us = now_us.max(at_us);
        pause_us
    };
    let mut passed = passed(timeline);
    let mut size = usual;
    for Shown { exec, title, .. } in shown {
        let pieces = passed.remove(exec).unwrap_or_default();
        let Some((first_us, _)) = pieces.first() else { continue };
        piece(out, pause_until(*first_us), "m", title)?;
        if size != usual {
            // The one before left it as it was given to it last.
            size = usual;
            piece(out, 0, "r", &size_of(size))?;
        }
        piece(out, 0, "o", &format!("{FRESH}\r\n\x1b[1m$ {title}\x1b[0m\r\n"))?;
        let mut texts: BTreeMap<Direction, Text> = BTreeMap::new();
        for (at_us, passed) in pieces {
            match passed {
                Passed::Bytes(way, bytes) => {
                    let text = texts.entry(way).or_default().take(bytes);
                    piece(out, pause_until(at_us), code(way), &text)?;
                }
                Passed::Size(now) => {
                    size = now;
                    piece(out, pause_until(at_us), "r", &size_of(size))?;
                }
            }
        }
        for (way, mut text) in texts {
            piece(out, 0, code(way), &text.rest())?;
        }
    }
    // There is one status in a cast: that of several commands would be none of them.
    if let [Shown { status: Some(status), .. }] = shown {
        piece(out, 0, "x", &status.to_string())?;
    }
    Ok(())
}

/// What happened to a terminal.
enum Passed<'a> {
    /// Bytes, and which way they went.
    Bytes(Direction, &'a [u8]),
    /// It was given another size.
    Size(TerminalSize),
}

/// What happened to each terminal, and when.
fn passed(timeline: &Timeline) -> BTreeMap<u32, Vec<(u64, Passed<'_>)>> {
    let mut passed: BTreeMap<u32, Vec<(u64, Passed<'_>)>> = BTreeMap::new();
    for moment in &timeline.moments {
        let bytes = |exec, way, from, to| {
            (exec, Passed::Bytes(way, timeline.bytes_of(exec, way, from, to)))
        };
        let (exec, what) = match moment.what {
            What::Output { exec, from, to } => bytes(exec, Direction::Out, from, to),
            What::Typed { exec, by, from, to } => bytes(exec, by, from, to),
            What::Resized { exec, columns, rows } => {
                (exec, Passed::Size(TerminalSize { columns, rows }))
            }
            _ => continue,
        };
        passed.entry(exec).or_default().push((moment.at_us, what));
    }
    passed
}

/// A size as it stands in a cast.
fn size_of(size: TerminalSize) -> String {
    format!("{}x{}", size.columns, size.rows)
}

/// The letter of what was printed, and of what was typed.
const fn code(way: Direction) -> &'static str {
    match way {
        Direction::Out => "o",
        Direction::In | Direction::ByUser => "i",
    }
}

/// A line of the cast: the pause before it in seconds, its kind, its text.
fn piece(out: &mut dyn Write, pause_us: u64, kind: &str, text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    // Written by hand, since a number with a fixed count of digits is what players expect.
    let (seconds, rest) = (pause_us / 1_000_000, pause_us % 1_000_000);
    writeln!(out, "[{seconds}.{rest:06}, \"{kind}\", {}]", json!(text))
}

/// Bytes on their way to be text: a character that is cut in two waits for its other half.
#[derive(Default)]
struct Text {
    half: Vec<u8>,
}

impl Text {
    fn take(&mut self, bytes: &[u8]) -> String {
        self.half.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.half);
        let mut text = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let wrong = chunk.invalid();
            let is_half = std::str::from_utf8(wrong).is_err_and(|it| it.error_len().is_none());
            if is_half && chunks.peek().is_none() {
                self.half = wrong.to_vec();
            } else if !wrong.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.half)).into_owned()
    }
}

#[cfg(test)]
mod tests;
