//! What stands before the parser so that hostile bytes cannot make it grow or spin.
//!
//! The parser keeps an operating-system command (`ESC ]`) whole, however long, and repeats a
//! character 65,535 times for eight bytes of input. This follows the stream just closely enough to
//! cut the one and to announce the other; both rules depend on the bytes alone, never on how they
//! were split into chunks.

use std::ops::Range;

/// Where in the stream the next byte stands.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Ground,
    Escape,
    Control,
    /// Inside an operating-system command of so many bytes.
    Command(usize),
}

/// A piece of the input for the parser.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes to pass on.
    Pass(Range<usize>),
    /// The last byte of a repeat: passed on alone, with a bound on what it repeats.
    Repeat(Range<usize>),
}

/// Follows escape sequences across chunks.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    state: State,
}

impl Filter {
    const COMMAND_BYTES_MAX: usize = 4_096;
    const ESCAPE: u8 = 0x1b;

    /// The next piece of `bytes` from `start` on; `None` when nothing is left to pass on.
    pub(crate) fn next(&mut self, bytes: &[u8], start: usize) -> Option<Piece> {
        let mut position = start;
        while let Some(&byte) = bytes.get(position) {
            match self.state {
                State::Ground => {
                    let rest = bytes.get(position..).unwrap_or_default();
                    match memchr::memchr(Self::ESCAPE, rest) {
                        Some(offset) => {
                            position += offset + 1;
                            self.state = State::Escape;
                        }
                        None => position = bytes.len(),
                    }
                    continue;
                }
                State::Escape => self.state = Self::after_escape(byte),
                State::Control => match byte {
                    b'b' => {
                        self.state = State::Ground;
                        if position > start {
                            // Come back for the `b` itself: it has to be passed on alone.
                            self.state = State::Control;
                            return Some(Piece::Pass(start..position));
                        }
                        return Some(Piece::Repeat(position..position + 1));
                    }
                    0x40..=0x7e | 0x18 | 0x1a => self.state = State::Ground,
                    Self::ESCAPE => self.state = State::Escape,
                    _ => {}
                },
                State::Command(length) => match byte {
                    0x07 | 0x18 | 0x1a => self.state = State::Ground,
                    Self::ESCAPE => self.state = State::Escape,
                    _ if length >= Self::COMMAND_BYTES_MAX => {
                        if position > start {
                            return Some(Piece::Pass(start..position));
                        }
                        return self.next(bytes, Self::command_end(bytes, position));
                    }
                    _ => self.state = State::Command(length + 1),
                },
            }
            position += 1;
        }
        (position > start).then_some(Piece::Pass(start..position))
    }

    fn after_escape(byte: u8) -> State {
        match byte {
            b'[' => State::Control,
            b']' => State::Command(0),
            0x18 | 0x1a | 0x20..=0x7e => State::Ground,
            _ => State::Escape,
        }
    }

    /// The first byte from `position` on that can end an operating-system command.
    fn command_end(bytes: &[u8], position: usize) -> usize {
        let rest = bytes.get(position..).unwrap_or_default();
        let end = rest.iter().position(|byte| matches!(byte, 0x07 | 0x18 | 0x1a | 0x1b));
        position + end.unwrap_or(rest.len())
    }
}
