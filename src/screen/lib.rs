//! Terminal emulation: bytes to cells to text.
//!
//! [`Emulator`] is a whole terminal: it is fed what a program prints and knows what would be on
//! the screen. [`Reader`] turns all that a command prints into the bounded [`Text`] that a model
//! reads, with carriage returns and cursor movement resolved; it runs the same emulator where a
//! program moves its cursor, and a far cheaper path, with the same result, over plain lines.
//!
//! What a program prints is hostile: sizes are clamped, and scrollback, strings inside escape
//! sequences, repeats, stacked accents and replies are bounded. Titles, clipboard, hyperlinks and
//! palette changes are dropped. Absent here on purpose: any I/O, any clock, any drawing.

mod collector;
mod core;
mod emulator;
mod filter;
mod handler;
mod plain;
mod reader;
mod row;
mod size;
mod style;
mod text;

pub use emulator::{Cursor, Emulator, Wishes};
pub use reader::Reader;
pub use size::TerminalSize;
pub use style::{Colour, Look, Run};
pub use text::{Text, Truncation, thousands};

/// What a model is shown of a command's output unless somebody says otherwise, characters.
pub const TEXT_CHARS_MAX: usize = 16_000;

#[cfg(test)]
mod tests;
