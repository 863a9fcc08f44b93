//! Which brackets have no partner.
//!
//! Tokens come from the grammar, so brackets in strings and comments do not count. When a brace
//! is missing, the count says so only at the end of the file; the indentation of the lines says
//! which it is: a closing brace further left than the line of its opening one closes another.

use tree_sitter::Tree;

use crate::check::quoted;
use crate::language::Language;

/// How deep brackets may be nested; beyond it nobody reads the answer.
const DEPTH_MAX: usize = 10_000;

/// How far back the beginning of a line is looked for, bytes.
const LINE_BYTES_MAX: usize = 1_000;

/// Opening and closing tokens. Grammars name tokens by their text.
const PAIRS: &[(&str, &str)] = &[
    ("(", ")"),
    ("[", "]"),
    ("{", "}"),
    ("${", "}"),
    ("$(", ")"),
    ("<(", ")"),
    (">(", ")"),
    ("if", "fi"),
    ("do", "done"),
    ("case", "esac"),
    ("string_start", "string_end"),
];

/// Tokens that open and close.
const QUOTES: &[&str] = &["\"", "`"];

struct Open {
    at: usize,
    kind: &'static str,
    indent: usize,
}

/// Where a bracket has no partner, each with the words for it.
pub(crate) fn unmatched(language: Language, tree: &Tree, source: &str) -> Vec<(usize, String)> {
    let mut matching = Matching { language, ..Matching::default() };
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        if node.child_count() == 0 {
            if !node.is_missing() {
                matching.take(node.kind(), node.start_byte(), source);
            }
        } else if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return matching.finish();
            }
        }
    }
}

/// Whether a token is one of those that are matched.
pub(crate) fn is_bracket(kind: &str) -> bool {
    QUOTES.contains(&kind) || PAIRS.iter().any(|(open, close)| [open, close].contains(&&kind))
}

struct Matching {
    language: Language,
    open: Vec<Open>,
    found: Vec<(usize, String)>,
    /// The innermost opening token whose closing one stood too far left.
    suspect: Option<(usize, &'static str)>,
}

impl Default for Matching {
    fn default() -> Self {
        Self { language: Language::Json, open: Vec::new(), found: Vec::new(), suspect: None }
    }
}

impl Matching {
    fn take(&mut self, kind: &str, at: usize, source: &str) {
        let is_bash = self.language == Language::Bash;
        if !is_bash && matches!(kind, "if" | "do" | "case" | "fi" | "done" | "esac") {
            return;
        }
        let counts_quotes = !matches!(self.language, Language::C | Language::Cpp);
        if let Some(quote) = QUOTES.iter().find(|quote| **quote == kind) {
            if self.open.last().is_some_and(|open| open.kind == kind) {
                self.open.pop();
            } else if counts_quotes {
                self.push(quote, at, source);
            }
        } else if let Some((open, _)) = PAIRS.iter().find(|(open, _)| *open == kind) {
            self.push(open, at, source);
        } else if PAIRS.iter().any(|(_, close)| *close == kind) {
            // The patterns of a `case` in bash end in a round one that nothing opened.
            let is_lone = is_bash
                && kind == ")"
                && !self.open.last().is_some_and(|open| open.is_closed_by(kind));
            if !is_lone {
                self.close(kind, at, source);
            }
        }
    }

    fn push(&mut self, kind: &'static str, at: usize, source: &str) {
        if self.open.len() < DEPTH_MAX {
            self.open.push(Open { at, kind, indent: indent(source, at).0 });
        }
    }

    fn close(&mut self, kind: &str, at: usize, source: &str) {
        let Some(partner) = self.open.iter().rposition(|open| open.is_closed_by(kind)) else {
            self.found.push((at, format!("unexpected {}", quoted(kind))));
            return;
        };
        for open in self.open.drain(partner + 1..) {
            self.found.push((open.at, not_closed(open.kind)));
        }
        if let Some(open) = self.open.pop() {
            let (indent, is_first) = indent(source, at);
            if is_first && indent < open.indent && self.suspect.is_none() {
                self.suspect = Some((open.at, open.kind));
            }
        }
    }

    fn finish(mut self) -> Vec<(usize, String)> {
        // What is open at the end may be closed by what belongs to another: the suspect's.
        let suspect = self
            .suspect
            .filter(|(_, kind)| self.open.last().is_some_and(|open| open.kind == *kind));
        if let Some((at, kind)) = suspect {
            self.open.pop();
            self.found.push((at, not_closed(kind)));
        }
        self.found.extend(self.open.iter().map(|open| (open.at, not_closed(open.kind))));
        self.found
    }
}

impl Open {
    fn is_closed_by(&self, close: &str) -> bool {
        PAIRS.contains(&(self.kind, close))
    }
}

fn not_closed(kind: &str) -> String {
    match kind {
        "string_start" | "\"" | "`" => "a string is not closed".to_owned(),
        kind => format!("{} is not closed", quoted(kind)),
    }
}

/// How far the line of a byte is indented, and whether the byte is the first on it.
fn indent(source: &str, at: usize) -> (usize, bool) {
    let before = source.as_bytes().get(at.saturating_sub(LINE_BYTES_MAX)..at).unwrap_or_default();
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let blank = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    (blank, blank == line.len())
}
