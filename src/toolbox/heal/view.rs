//! A text as it looks when some differences are not, and the way back to its bytes.
//!
//! A file and a piece are both seen through the same [`View`]; where the piece lies in the view
//! of the file, [`View::places`] answers with the bytes of the file. Line ends never count. A line
//! that is not UTF-8 is seen as it is.

use std::ops::Range;

use super::look_alike::{self, is_blank, is_invisible};

/// How many places of one piece are looked at.
const PLACES_MAX: usize = 1_000;

/// Differences that do not count. Each of the first three takes in those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ignored {
    /// White space at the end of a line.
    pub(crate) trailing: bool,
    /// White space at the beginning of a line.
    pub(crate) indentation: bool,
    /// How much white space there is inside a line, whether there is any beside a sign, and lines
    /// that are blank.
    pub(crate) spaces: bool,
    /// Which of several characters that look the same it is.
    pub(crate) look_alikes: bool,
}

impl Ignored {
    /// Nothing but line ends.
    pub(crate) const NOTHING: Self =
        Self { trailing: false, indentation: false, spaces: false, look_alikes: false };
    const TRAILING: Self = Self { trailing: true, ..Self::NOTHING };
    const INDENTATION: Self = Self { indentation: true, ..Self::TRAILING };
    /// All white space that is not between two words.
    pub(crate) const SPACES: Self = Self { spaces: true, ..Self::INDENTATION };

    /// The steps of healing, the safest first.
    pub(crate) const STEPS: [Self; 7] = [
        Self::NOTHING,
        Self::TRAILING,
        Self::INDENTATION,
        Self::SPACES,
        Self { look_alikes: true, ..Self::TRAILING },
        Self { look_alikes: true, ..Self::INDENTATION },
        Self { look_alikes: true, ..Self::SPACES },
    ];
    /// The last step.
    pub(crate) const ALL: Self = Self { look_alikes: true, ..Self::SPACES };

    /// What was ignored, in words.
    pub(crate) fn words(self) -> Option<&'static str> {
        let Self { trailing, indentation, spaces, look_alikes } = self;
        match (spaces, indentation, trailing, look_alikes) {
            (true, _, _, true) => Some("white space and look-alike characters"),
            (true, ..) => Some("white space"),
            (_, true, _, true) => Some("indentation and look-alike characters"),
            (_, true, ..) => Some("indentation"),
            (.., true) => Some("look-alike characters"),
            (_, _, true, _) => Some("trailing white space"),
            (false, false, false, false) => None,
        }
    }

    fn is_space(self, character: char) -> bool {
        matches!(character, ' ' | '\t' | '\u{b}' | '\u{c}')
            || (self.look_alikes && is_blank(character))
    }
}

/// Where a piece lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The bytes of the file.
    pub(crate) range: Range<usize>,
    /// They begin with a line.
    pub(crate) starts_line: bool,
}

/// A text seen through [`Ignored`].
pub(crate) struct View {
    text: Vec<u8>,
    /// For each byte of `text`: where the character it stands for begins and ends.
    starts: Vec<u32>,
    ends: Vec<u32>,
    ignored: Ignored,
    length: usize,
}

impl View {
    /// Sees a file, in which the last line has an end even if that is not written.
    pub(crate) fn of_file(content: &[u8], ignored: Ignored) -> Self {
        let mut view = Self::of_piece(content, ignored);
        if view.text.last().is_some_and(|last| *last != b'\n') {
            view.push(b"\n", content.len(), content.len());
        }
        view
    }

    /// Sees a piece of text.
    pub(crate) fn of_piece(content: &[u8], ignored: Ignored) -> Self {
        let mut view = Self {
            text: Vec::with_capacity(content.len()),
            starts: Vec::with_capacity(content.len()),
            ends: Vec::with_capacity(content.len()),
            ignored,
            length: content.len(),
        };
        let mut at = 0;
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            let body = line.strip_suffix(b"\n").unwrap_or(line);
            let ended = body.len() < line.len();
            let body = if ended { body.strip_suffix(b"\r").unwrap_or(body) } else { body };
            let is_there = view.push_line(body, at);
            if ended && is_there {
                view.push(b"\n", at + body.len(), at + line.len());
            }
            at += line.len();
        }
        view
    }

    /// What is seen.
    pub(super) fn into_seen(self) -> Vec<u8> {
        self.text
    }

    /// The lines that are seen, with the bytes they stand for.
    pub(crate) fn lines(&self) -> Vec<(&[u8], Range<usize>)> {
        let mut at = 0;
        let lines = self.text.split(|byte| *byte == b'\n').map(|line| {
            let first = self.starts.get(at).map_or(self.length, |start| *start as usize);
            at += line.len();
            let last = at.checked_sub(1).filter(|_| !line.is_empty());
            let end = last.and_then(|last| self.ends.get(last)).map_or(first, |end| *end as usize);
            at += 1;
            (line, first..end)
        });
        lines.collect()
    }

    /// Where a piece lies in this file of which `content` are the bytes. Two places may overlap.
    /// A piece that begins with blanks does not lie in the middle of blanks.
    pub(crate) fn places(&self, content: &[u8], piece: &Self) -> Vec<Place> {
        let (Some(first), Some(last)) = (piece.text.first(), piece.text.last()) else {
            return Vec::new();
        };
        // Blanks that were left away stood between the piece and what is beside it.
        let starts_line = piece.starts.first().is_some_and(|start| *start > 0);
        let ends_line = piece.ends.last().is_some_and(|end| (*end as usize) < piece.length);
        let finder = memchr::memmem::Finder::new(&piece.text);
        let mut places: Vec<Place> = Vec::new();
        let mut from = 0;
        while let Some(at) = finder.find(self.text.get(from..).unwrap_or_default()) {
            let start = from + at;
            let end = start + piece.text.len();
            from = start + 1;
            let before = start.checked_sub(1).and_then(|at| self.text.get(at)).copied();
            let after = self.text.get(end).copied();
            let is_whole = self.is_boundary(start)
                && self.is_boundary(end)
                && (!starts_line || before.is_none_or(|byte| byte == b'\n'))
                && (!ends_line || after.is_none_or(|byte| byte == b'\n'))
                && !(self.ignored.trailing && joins(before, Some(*first)))
                && !(self.ignored.trailing && joins(Some(*last), after));
            if is_whole && !(is_blank_byte(*first) && before.is_some_and(is_blank_byte)) {
                places.extend(self.place(content, start, end));
            }
            if places.len() >= PLACES_MAX {
                break;
            }
        }
        places
    }

    fn place(&self, content: &[u8], start: usize, end: usize) -> Option<Place> {
        let mut first = *self.starts.get(start)? as usize;
        let last = *self.ends.get(end.checked_sub(1)?)? as usize;
        let line = content.get(..first)?.iter().rposition(|byte| *byte == b'\n');
        let line = line.map_or(0, |at| at + 1);
        let starts_line =
            start.checked_sub(1).is_none_or(|before| self.text.get(before) == Some(&b'\n'));
        if self.ignored.indentation && starts_line {
            first = if line == 0 { first.min(byte_order_mark(content)) } else { line };
        }
        Some(Place { range: first..last, starts_line })
    }

    /// Whether a character of the text begins here, or one ends.
    fn is_boundary(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.starts.get(before));
        before.is_none() || before != self.starts.get(at)
    }

    fn push(&mut self, seen: &[u8], start: usize, end: usize) {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.text.extend_from_slice(seen);
        self.starts.resize(self.text.len(), offset(start));
        self.ends.resize(self.text.len(), offset(end));
    }

    /// Adds a line without its end; false when nothing is seen of it.
    fn push_line(&mut self, line: &[u8], at: usize) -> bool {
        let ignored = self.ignored;
        let text = match std::str::from_utf8(line) {
            Ok(text) if ignored.trailing => text,
            _ => {
                for (number, byte) in line.iter().enumerate() {
                    self.push(&[*byte], at + number, at + number + 1);
                }
                return true;
            }
        };
        let is_space = |character: char| ignored.is_space(character);
        let text = text.trim_end_matches(is_space);
        let body = if ignored.indentation { text.trim_start_matches(is_space) } else { text };
        if body.is_empty() {
            return !ignored.spaces;
        }
        self.push_body(body, at + text.len() - body.len());
        true
    }

    fn push_body(&mut self, body: &str, at: usize) {
        let ignored = self.ignored;
        // Where white space began that may or may not count.
        let mut gap = None;
        let mut rest = body.char_indices().peekable();
        while let Some((from, character)) = rest.next() {
            if ignored.spaces && ignored.is_space(character) && !is_invisible(character) {
                gap = gap.or(Some(at + from));
                continue;
            }
            while ignored.look_alikes
                && !character.is_ascii_control()
                && rest.next_if(|(_, next)| look_alike::continues(*next)).is_some()
            {}
            let end = rest.peek().map_or(body.len(), |(next, _)| *next);
            let cluster = body.get(from..end).unwrap_or_default();
            let composed;
            let seen = if !ignored.look_alikes || cluster.is_ascii() {
                cluster
            } else if let Some(plain) = look_alike::plain(character) {
                plain
            } else {
                composed = look_alike::composed(cluster);
                &composed
            };
            if let Some(gap) = gap.take()
                && joins(self.text.last().copied(), seen.bytes().next())
            {
                self.push(b" ", gap, at + from);
            }
            self.push(seen.as_bytes(), at + from, at + end);
        }
    }
}

/// Whether two bytes side by side would be read as one word.
fn joins(before: Option<u8>, after: Option<u8>) -> bool {
    let in_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    before.is_some_and(in_word) && after.is_some_and(in_word)
}

fn is_blank_byte(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// How long the mark is with which some files begin.
fn byte_order_mark(content: &[u8]) -> usize {
    if content.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}
