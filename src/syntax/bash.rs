//! The commands that a shell line would run, as far as reading it can tell.
//!
//! For rules that allow or deny commands, so a line is taken for what it might do at worst. All
//! commands are found wherever they stand: in lists, pipes, substitutions, conditions, loops,
//! behind `env`, `sudo`, `xargs` and their like, in `bash -c`. What cannot be known, or is read in
//! two ways ([`agree`]), makes the line opaque: then the commands that were found are still
//! worth denying, but nothing may be allowed.
//!
//! Absent: what programs do with their arguments, values of variables, functions' calls.

mod agree;
mod wrapper;

use tree_sitter::Node;

use crate::language::Language;
use crate::parse::parse;

/// The longest line that is read, bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// How many commands a line may have.
const COMMANDS_MAX: usize = 1_000;
/// How often `bash -c` and wrappers may be nested.
const NESTING_MAX: usize = 8;

/// What a line would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Each simple command, wherever it stands.
    pub commands: Vec<SimpleCommand>,
    /// Files that redirections write to; descriptors and `/dev/null` are none.
    pub writes: Vec<Word>,
    /// Why it cannot be known what else the line does; `None` when this is all of it.
    pub opaque: Option<&'static str>,
}

/// A program or builtin with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleCommand {
    /// The name and the arguments; never empty.
    pub words: Vec<Word>,
    /// It only runs another one, which is in the list too, as it is: `nohup`, `timeout`.
    pub is_wrapper: bool,
}

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Exactly this text.
    Literal(String),
    /// One or more words, or none: a variable, a pattern of file names, what a command prints.
    Unknown,
}

impl Word {
    /// The text, when it is known.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::Unknown => None,
        }
    }
}

/// The commands that a line of bash would run.
#[must_use]
pub fn commands(line: &str) -> Line {
    let mut found = Line::default();
    read(line, 0, &mut found);
    found
}

impl Line {
    fn hide(&mut self, why: &'static str) {
        self.opaque.get_or_insert(why);
    }
}

fn read(line: &str, depth: usize, found: &mut Line) {
    if line.contains('\0') {
        found.hide("it has a NUL character");
    }
    if depth > NESTING_MAX || line.len() > LINE_BYTES_MAX {
        return found.hide("it is too long or nested too deep");
    }
    let Some(tree) = parse(Language::Bash, line) else {
        return found.hide("it takes too long to read");
    };
    let root = tree.root_node();
    if root.has_error() {
        found.hide("it is not valid bash");
    } else if let Some(why) = agree::difference(root, line) {
        found.hide(why);
    }
    let mut cursor = root.walk();
    loop {
        if found.commands.len() > COMMANDS_MAX {
            return found.hide("it has too many commands");
        }
        node(cursor.node(), line, depth, found);
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

/// Node kinds that only hold others, or are judged with the command they belong to.
const KNOWN: &[&str] = &[
    "binary_expression",
    "case_item",
    "case_statement",
    "command_name",
    "command_substitution",
    "comment",
    "compound_statement",
    "concatenation",
    "do_group",
    "elif_clause",
    "else_clause",
    "expansion",
    "extglob_pattern",
    "file_descriptor",
    "herestring_redirect",
    "if_statement",
    "list",
    "negated_command",
    "number",
    "pipeline",
    "process_substitution",
    "program",
    "raw_string",
    "redirected_statement",
    "regex",
    "simple_expansion",
    "special_variable_name",
    "string",
    "string_content",
    "subshell",
    "test_operator",
    "unary_expression",
    "variable_assignments",
    "variable_name",
    "while_statement",
    "word",
];

fn node(node: Node<'_>, line: &str, depth: usize, found: &mut Line) {
    match node.kind() {
        "command" => {
            let words = words_of(node, line, found);
            wrapper::unwrap(words, depth, found);
        }
        "declaration_command" | "unset_command" => {
            wrapper::unwrap(words_of(node, line, found), depth, found);
            found.hide("it declares variables");
        }
        "test_command" => {
            let words = words_of(node, line, found);
            let condition = text(node, line);
            if condition.starts_with("[[")
                || condition.contains("-v")
                || has_bare_expansion(node, 0)
            {
                // Numbers and subscripts in it are expressions, and expressions run commands.
                found.hide("it has a condition that may run commands");
            }
            found.commands.push(SimpleCommand { words, is_wrapper: false });
        }
        "variable_assignment" => {
            let is_prefix = node.parent().is_some_and(|parent| parent.kind() == "command");
            let name = node.child_by_field_name("name").map(|name| text(name, line));
            if !name.is_some_and(|name| is_harmless(name, is_prefix)) {
                found.hide("it sets a variable that programs may heed");
            }
        }
        "for_statement" => {
            let name = node.child_by_field_name("variable").map(|name| text(name, line));
            if !name.is_some_and(|name| is_harmless(name, false)) {
                found.hide("it sets a variable that programs may heed");
            }
        }
        "file_redirect" => redirect(node, line, found),
        kind if node.is_named() && !KNOWN.contains(&kind) => {
            found.hide("it has a construct that is not judged");
        }
        "select" | "((" => found.hide("it has a construct that is not judged"),
        _ => {}
    }
}

/// Whether a condition has an expansion outside of quotes, which may become an operator.
fn has_bare_expansion(node: Node<'_>, depth: usize) -> bool {
    let mut cursor = node.walk();
    depth > 8
        || node.children(&mut cursor).any(|child| match child.kind() {
            "string" => false,
            "simple_expansion" | "expansion" | "command_substitution" => true,
            _ => has_bare_expansion(child, depth + 1),
        })
}

/// Variables that change how programs print and nothing else.
const HARMLESS: &[&str] = &[
    "CARGO_TERM_COLOR",
    "CI",
    "CLICOLOR",
    "COLUMNS",
    "FORCE_COLOR",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "PYTHONUNBUFFERED",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "TERM",
    "TZ",
];

/// Whether a variable may be set without changing what the programs of the line do. Lower-case
/// names are a script's own, but for a few that programs know.
fn is_harmless(name: &str, is_exported: bool) -> bool {
    let is_own =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && !name.ends_with("_proxy")
            && !name.starts_with("npm_");
    HARMLESS.contains(&name) || (is_own && !is_exported)
}

fn text<'a>(node: Node<'_>, line: &'a str) -> &'a str {
    line.get(node.byte_range()).unwrap_or_default()
}

/// The words of a command, without its assignments and redirections.
fn words_of(command: Node<'_>, line: &str, found: &mut Line) -> Vec<Word> {
    let mut cursor = command.walk();
    let mut words = Vec::new();
    for child in command.children(&mut cursor) {
        match child.kind() {
            "variable_assignment" if command.kind() == "command" => {}
            "file_redirect" | "herestring_redirect" | "comment" => {}
            "command_name" => match child.child(0) {
                Some(name) => words.push(word(name, line)),
                None => found.hide("a command has no name"),
            },
            "subshell" => found.hide("it has a construct that is not judged"),
            "unary_expression" | "binary_expression" | "parenthesized_expression" => {
                flatten(child, line, &mut words);
            }
            _ => words.push(word(child, line)),
        }
    }
    words
}

/// The words of a condition, which the grammar made a tree of.
fn flatten(expression: Node<'_>, line: &str, words: &mut Vec<Word>) {
    let pieces = text(expression, line).split_whitespace();
    words.extend(pieces.map(|_| Word::Unknown));
}

/// A word with its quotes removed.
fn word(node: Node<'_>, line: &str) -> Word {
    let mut value = String::new();
    if literal(node, line, &mut value, 0) { Word::Literal(value) } else { Word::Unknown }
}

/// Adds the text of a piece of a word; false when it cannot be known.
fn literal(node: Node<'_>, line: &str, value: &mut String, depth: usize) -> bool {
    let text = text(node, line);
    match node.kind() {
        "word" | "number" | "test_operator" => unquoted(text, value, depth == 0),
        "raw_string" => {
            value.push_str(text.trim_matches('\''));
            text.bytes().filter(|byte| *byte == b'\'').count() == 2
        }
        "ansi_c_string" => {
            let inside = text.get(2..text.len().saturating_sub(1)).unwrap_or_default();
            value.push_str(inside);
            !inside.contains('\\')
        }
        "string" => {
            let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
            double_quoted(inside, value)
        }
        "concatenation" | "command_name" if depth < 3 => {
            let mut cursor = node.walk();
            let mut end = node.start_byte();
            let known = node.children(&mut cursor).all(|child| {
                // Pieces that are not beside each other are words of which the grammar made one.
                let beside = child.start_byte() == end;
                end = child.end_byte();
                beside && literal(child, line, value, depth + 1)
            });
            known && end == node.end_byte()
        }
        _ if !node.is_named() => unquoted(text, value, depth == 0),
        _ => false,
    }
}

/// A brace or a bracket is itself when it `is_alone`; else what bash makes of it depends on files
/// and on what stands around it.
fn unquoted(text: &str, value: &mut String, is_alone: bool) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().filter(|next| *next != '\n')),
            '*' | '?' | '$' | '`' => return false,
            '[' | ']' | '{' | '}' if text.len() > 1 || !is_alone => return false,
            '~' if value.is_empty() => return false,
            character => value.push(character),
        }
    }
    true
}

fn double_quoted(text: &str, value: &mut String) -> bool {
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '$' | '`' => return false,
            '\\' => match characters.peek() {
                Some('$' | '`' | '"' | '\\') => value.extend(characters.next()),
                Some('\n') => {
                    characters.next();
                }
                _ => value.push('\\'),
            },
            character => value.push(character),
        }
    }
    true
}

fn redirect(node: Node<'_>, line: &str, found: &mut Line) {
    let mut cursor = node.walk();
    let mut operator = "";
    let mut targets = 0;
    for child in node.children(&mut cursor) {
        let kind = child.kind();
        if !child.is_named() && kind.bytes().any(|byte| matches!(byte, b'<' | b'>')) {
            operator = kind;
            continue;
        }
        if kind == "file_descriptor" {
            continue;
        }
        targets += 1;
        if targets > 1 {
            // The grammar takes what follows a redirection for a part of it; bash, for arguments.
            found.hide("words stand behind a redirection");
        }
        let word = word(child, line);
        let target = word.literal().unwrap_or_default();
        let is_descriptor = operator.ends_with('&')
            && !target.is_empty()
            && target.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        let is_sink = matches!(target, "/dev/null" | "/dev/stdout" | "/dev/stderr");
        let reads = matches!(operator, "<" | "<&" | "<&-");
        if !reads && !is_descriptor && !is_sink {
            found.writes.push(word);
        } else if reads && target.starts_with("/dev/tcp") {
            found.hide("it opens a connection");
        }
    }
}

#[cfg(test)]
mod tests;
