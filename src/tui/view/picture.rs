//! Pictures that go with a prompt: a path that was pasted or dropped, a file that was chosen with
//! `@`, or what the clipboard holds.
//!
//! Whether it is one only the driver can see. It answers with the words that stand for it in the
//! prompt; they are drawn as a chip, and the driver knows them again when the prompt is sent.

use super::View;
use crate::composer::Hand;
use crate::protocol::{Command, Query};

/// No path is longer.
const PATH_BYTES_MAX: usize = 4_096;

const ENDINGS: [&str; 5] = [".png", ".jpg", ".jpeg", ".gif", ".webp"];

/// The path of a picture that a terminal writes for a file that is dropped on it: bare, quoted, with
/// escaped blanks, or as an address.
pub(super) fn path_of(pasted: &str) -> Option<String> {
    let text = pasted.trim();
    if text.is_empty() || text.len() > PATH_BYTES_MAX || text.contains(['\n', '\r']) {
        return None;
    }
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let path = match quoted('\'').or_else(|| quoted('"')) {
        Some(path) => path.to_owned(),
        None => match text.strip_prefix("file://") {
            Some(path) => percent_decoded(path),
            None => text.replace("\\ ", " "),
        },
    };
    let lower = path.to_lowercase();
    ENDINGS.iter().any(|ending| lower.ends_with(ending)).then_some(path)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, later)) = rest.split_first() {
        let digits = later.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match decoded.filter(|_| *byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = later.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = later;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl View {
    /// The question whether what was written is a picture. In a command it is a path.
    pub(super) fn ask_for_picture(&self, written: &str) -> Option<Command> {
        let path = path_of(written).filter(|_| self.composer.hand() == Hand::Model)?;
        Some(Command::Ask(Query::Picture { written: written.to_owned(), path }))
    }

    /// The same of a file that was chosen, whose name stands behind an `@`.
    pub(super) fn ask_for_mentioned(&self, path: &str) -> Option<Command> {
        let (path, written) = (path_of(path)?, format!("@{path}"));
        Some(Command::Ask(Query::Picture { written, path }))
    }

    /// The driver has looked. What is no picture stays as it was written.
    pub(super) fn pictured(&mut self, written: Option<&str>, found: Result<String, String>) {
        match (found, written) {
            // Meanwhile a command is written.
            (Ok(_), _) if self.composer.hand() != Hand::Model => {}
            (Ok(words), written) => self.composer.put_chip(written, &words),
            (Err(problem), None) => self.say(problem),
            (Err(_), Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests;
