//! A second reading of a shell line, to hold the grammar's against.
//!
//! The grammar of bash that editors use is wrong now and then, and whoever finds such a place
//! could hide a command in it. So what may be allowed without a question is read twice: by the
//! grammar, and by the rules of quoting below, which know few constructs and give up at any
//! other. Where a quote, a substitution, a comment or an operator begins or ends must be the same
//! in both. What is given up here is not wrong, it is only not allowed by a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tree_sitter::Node;

/// How deep substitutions may be nested.
const DEPTH_MAX: usize = 16;

/// What the rules of quoting make of a line.
#[derive(Default)]
struct Reading {
    /// Quotes, substitutions and comments, by their first byte: the end, and the node for it.
    pieces: BTreeMap<usize, (usize, &'static str)>,
    /// Bytes of operators that are not quoted.
    operators: BTreeSet<usize>,
    /// What ends a command, with the range of the substitution it lies in, if in any.
    ends: Vec<(usize, Option<Range<usize>>)>,
}

/// Why the two readings of a line differ, or one of them gave up; `None` when they agree.
pub(super) fn difference(root: Node<'_>, source: &str) -> Option<&'static str> {
    let mut reader =
        Reader { bytes: source.as_bytes(), at: 0, reading: Reading::default(), depth: 0 };
    let reading = match reader.commands(0, None) {
        Ok(()) => reader.reading,
        Err(why) => return Some(why),
    };
    let mut pieces = BTreeMap::new();
    let mut operators = BTreeSet::new();
    let mut cursor = root.walk();
    loop {
        let node = cursor.node();
        let range = node.byte_range();
        if PIECES.contains(&node.kind()) {
            pieces.insert(range.start, (range.end, node.kind()));
        }
        if node.kind() == "command" && splits(&reading, &range) {
            return Some("it is not clear where a command ends");
        }
        if is_operator(node) {
            operators.extend(range);
        }
        if node.kind() != "raw_string" && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                let agrees = pieces == reading.pieces && operators == reading.operators;
                return (!agrees).then_some("its quoting is unusual");
            }
        }
    }
}

/// Nodes whose range both readings must know.
const PIECES: &[&str] = &[
    "string",
    "raw_string",
    "command_substitution",
    "process_substitution",
    "expansion",
    "comment",
];

/// Whether a token is an operator to both. Line ends are not among them: the grammar takes some
/// for white space, so of them only [`splits`] is asked. Nor are the edges of a substitution,
/// which is a piece.
fn is_operator(token: Node<'_>) -> bool {
    let kind = token.kind();
    let is_edge = token.parent().is_some_and(|parent| {
        matches!(parent.kind(), "command_substitution" | "process_substitution")
    }) && (kind == ")" || kind.ends_with('('));
    !is_edge
        && token.child_count() == 0
        && !token.is_named()
        && !kind.is_empty()
        && kind.bytes().all(|byte| OPERATORS.contains(&byte))
}

const OPERATORS: &[u8] = b";&|<>()";

/// Whether a command of the grammar goes on behind what ends one.
fn splits(reading: &Reading, command: &Range<usize>) -> bool {
    reading.ends.iter().any(|(at, inside)| {
        let is_inside = inside
            .as_ref()
            .is_some_and(|inside| command.start <= inside.start && inside.end <= command.end);
        command.contains(at) && !is_inside
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    reading: Reading,
    depth: usize,
}

type Read = Result<(), &'static str>;

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Reads commands up to the byte that closes them, or the end of the line. What began at
    /// `from` is closed by it.
    fn commands(&mut self, from: usize, close: Option<u8>) -> Read {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it is nested too deep");
        }
        let mut ends = Vec::new();
        let mut parentheses = 0;
        loop {
            let (at, byte) = (self.at, self.peek(0));
            if at >= self.bytes.len() {
                if close.is_some() {
                    return Err("something is not closed");
                }
                break;
            }
            if Some(byte) == close && parentheses == 0 {
                self.at += 1;
                break;
            }
            match byte {
                b'\n' | b';' | b'|' | b'(' | b')' | b'&' => {
                    let is_duplicate = byte == b'&' && self.is_part_of_redirection();
                    if !is_duplicate {
                        ends.push(at);
                    }
                    match byte {
                        b'(' => parentheses += 1,
                        b')' if parentheses == 0 => {}
                        b')' => parentheses -= 1,
                        _ => {}
                    }
                    if byte == b'(' && self.peek(1) == b'(' {
                        return Err("it does arithmetic");
                    }
                    if byte != b'\n' {
                        self.reading.operators.insert(at);
                    }
                    self.at += 1;
                }
                _ => self.word_piece(close)?,
            }
        }
        self.depth -= 1;
        let inside = close.map(|_| from..self.at);
        self.reading.ends.extend(ends.into_iter().map(|at| (at, inside.clone())));
        Ok(())
    }

    /// `>&`, `<&` and `&>`, which redirect.
    fn is_part_of_redirection(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.bytes.get(at));
        matches!(before, Some(b'>' | b'<')) || self.peek(1) == b'>'
    }

    /// What is no operator, outside of quotes.
    fn word_piece(&mut self, close: Option<u8>) -> Read {
        let at = self.at;
        match self.peek(0) {
            b' ' | b'\t' => self.at += 1,
            b'\\' => {
                let before = at.checked_sub(1).and_then(|at| self.bytes.get(at));
                let continues = self.peek(1) == b'\n' && matches!(before, Some(b' ' | b'\t'));
                if !continues && !self.peek(1).is_ascii_graphic() {
                    return Err("it has an unusual backslash");
                }
                self.at += 2;
            }
            b'\'' => {
                self.at += 1;
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                let length = rest.iter().position(|byte| *byte == b'\'');
                self.at += length.ok_or("a quote is not closed")? + 1;
                self.piece(at, "raw_string");
            }
            b'"' => self.double_quoted()?,
            b'$' => self.dollar(false)?,
            b'`' if close == Some(b'`') => return Err("backticks are nested"),
            b'`' => self.backticks()?,
            b'<' | b'>' => self.redirection()?,
            b'#' if self.begins_word() => {
                let rest = self.bytes.get(at..).unwrap_or_default();
                self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                self.piece(at, "comment");
            }
            byte if byte.is_ascii_graphic() => self.at += 1,
            _ => return Err("it has a character that does not show"),
        }
        Ok(())
    }

    fn piece(&mut self, from: usize, node: &'static str) {
        self.reading.pieces.insert(from, (self.at, node));
    }

    fn begins_word(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.bytes.get(at));
        matches!(before, None | Some(b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')'))
    }

    fn redirection(&mut self) -> Read {
        let at = self.at;
        let direction = self.peek(0);
        if self.peek(1) == b'(' {
            self.at += 2;
            self.commands(at, Some(b')'))?;
            self.piece(at, "process_substitution");
            return Ok(());
        }
        let mut length = 1;
        while self.peek(length) == direction {
            length += 1;
        }
        if direction == b'<' && length == 2 {
            return Err("it has a here-document");
        }
        if direction == b'<' && self.peek(1) == b'>' {
            return Err("it opens a file to read and write");
        }
        self.reading.operators.extend(at..at + length);
        self.at += length;
        if self.peek(0) == b'|' {
            // `>|` redirects, it is no pipe.
            self.reading.operators.insert(self.at);
            self.at += 1;
        }
        Ok(())
    }

    fn backticks(&mut self) -> Read {
        let at = self.at;
        self.at += 1;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'`').ok_or("a quote is not closed")?;
        if rest.get(..length).unwrap_or_default().contains(&b'\\') {
            return Err("it has a backslash in backticks");
        }
        self.commands(at, Some(b'`'))?;
        self.piece(at, "command_substitution");
        Ok(())
    }

    fn double_quoted(&mut self) -> Read {
        let at = self.at;
        self.at += 1;
        loop {
            if self.at >= self.bytes.len() {
                return Err("a quote is not closed");
            }
            match self.peek(0) {
                b'"' => break,
                b'\\' => self.at += 2,
                b'$' => self.dollar(true)?,
                b'`' => self.backticks()?,
                byte if byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t') => {
                    return Err("it has a character that does not show");
                }
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.piece(at, "string");
        Ok(())
    }

    fn dollar(&mut self, quoted: bool) -> Read {
        let at = self.at;
        match self.peek(1) {
            b'(' if self.peek(2) == b'(' => Err("it does arithmetic"),
            b'[' => Err("it does arithmetic"),
            b'(' => {
                self.at += 2;
                self.commands(at, Some(b')'))?;
                self.piece(at, "command_substitution");
                Ok(())
            }
            b'{' => {
                let rest = self.bytes.get(at + 2..).unwrap_or_default();
                let length = rest.iter().position(|byte| *byte == b'}');
                let length = length.ok_or("something is not closed")?;
                if !is_simple_expansion(rest.get(..length).unwrap_or_default()) {
                    return Err("a variable is expanded in an unusual way");
                }
                self.at += length + 3;
                self.piece(at, "expansion");
                Ok(())
            }
            b'\'' | b'"' if !quoted => Err("it has a quote behind a dollar"),
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }
}

/// `NAME`, or `NAME` with what stands in for it, or what is cut off, in harmless letters.
/// Subscripts, offsets and `@P` run what a variable holds.
fn is_simple_expansion(text: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let name = text.iter().take_while(|byte| is_name(byte)).count();
    let rest = text.get(name..).unwrap_or_default();
    let is_operator = match rest {
        [] | [b'-' | b'+' | b'#' | b'%', ..] => true,
        [b':', next, ..] => matches!(next, b'-' | b'+'),
        _ => false,
    };
    name > 0 && is_operator && rest.iter().all(|byte| is_name(byte) || b":-+#%./*,".contains(byte))
}
