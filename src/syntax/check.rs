//! Where a text breaks the grammar of its language.
//!
//! A grammar's own complaint is a node of any size, perhaps the whole file for one brace. So
//! when there is a complaint, brackets are matched over all tokens first ([`crate::brackets`]):
//! what is not closed, or closes nothing, explains large complaints, which are then left out.
//!
//! A complaint may also be the grammar's own fault. C and C++ can be read only after their macros
//! have been replaced, and the grammar of bash is wrong about one script in ten. There, only a
//! change is judged ([`new_errors`]), and only when nothing was wrong before it; of a whole C
//! file, brackets are all that counts. What stands inside of a Rust macro is its own business.

use std::path::Path;

use tree_sitter::{Node, Tree};

use crate::brackets;
use crate::language::Language;
use crate::parse::parse;

/// How many errors of one text are told.
pub const ERRORS_MAX: usize = 10;
/// How much of the source a message quotes, characters.
const QUOTED_CHARS_MAX: usize = 40;
/// Nodes of Rust's grammar whose content is free but for its brackets.
const MACROS: &[&str] = &["macro_invocation", "macro_definition", "token_tree", "attribute"];

/// A place where a text breaks the grammar of its language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, in a few words.
    pub message: String,
}

/// The syntax errors of a file, in order and at most [`ERRORS_MAX`]. `None` when nobody can say:
/// the language is unknown or its grammar is not to be trusted, or the text is too long or takes
/// too long.
#[must_use]
pub fn check(path: &Path, source: &str) -> Option<Vec<SyntaxError>> {
    let language = language_of(path, source)?;
    match Trust::of(language) {
        Trust::Full => errors(language, source),
        Trust::Brackets if has_alternatives(source) => None,
        Trust::Brackets => {
            let tree = parse(language, source)?;
            if !tree.root_node().has_error() {
                return Some(Vec::new());
            }
            let unmatched = brackets::unmatched(language, &tree, source);
            Some(listed(source, unmatched))
        }
        Trust::Changes => None,
    }
}

/// The syntax errors that a change brought: those of the text after it, but for those that the
/// text before it had too, wherever they lie now. `None` when nobody can say.
#[must_use]
pub fn new_errors(path: &Path, before: &str, after: &str) -> Option<Vec<SyntaxError>> {
    let language = language_of(path, after)?;
    let is_new = before.trim().is_empty();
    if Trust::of(language) != Trust::Full {
        let was_understood = !is_new && errors(language, before).is_some_and(|old| old.is_empty());
        return if was_understood { errors(language, after) } else { check(path, after) };
    }
    let mut new = errors(language, after)?;
    if new.is_empty() || is_new {
        return Some(new);
    }
    let mut old: Vec<(String, String)> = errors(language, before)
        .unwrap_or_default()
        .into_iter()
        .map(|error| (line_of(before, error.line).to_owned(), error.message))
        .collect();
    // Each old error excuses one, so that the second of a kind is still told.
    new.retain(|error| {
        let line = line_of(after, error.line);
        let known =
            old.iter().position(|(text, message)| text == line && *message == error.message);
        known.map(|at| old.swap_remove(at)).is_none()
    });
    Some(new)
}

/// How much the complaints of a grammar are worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Full,
    /// Of a whole file, only brackets without a partner.
    Brackets,
    /// Nothing of a whole file, only what a change brought.
    Changes,
}

impl Trust {
    const fn of(language: Language) -> Self {
        match language {
            Language::C | Language::Cpp => Self::Brackets,
            Language::Bash => Self::Changes,
            _ => Self::Full,
        }
    }
}

fn language_of(path: &Path, source: &str) -> Option<Language> {
    let language = Language::of(path, source).filter(|_| !is_dialect(path))?;
    if language != Language::C || !is_header(path) {
        return Some(language);
    }
    // Nobody knows whose header it is, so the language decides that understands it.
    let is_c = parse(Language::C, source).is_some_and(|tree| !tree.root_node().has_error());
    Some(if is_c { Language::C } else { Language::Cpp })
}

/// Whether the preprocessor chooses between pieces of the text, which may each open a bracket
/// that is closed once.
fn has_alternatives(source: &str) -> bool {
    source.lines().any(|line| {
        let directive = line.trim_start().strip_prefix('#').map(str::trim_start);
        directive.is_some_and(|directive| directive.starts_with("el"))
    })
}

/// The text of a line, without the white space around it.
fn line_of(source: &str, line: usize) -> &str {
    source.lines().nth(line.saturating_sub(1)).unwrap_or_default().trim()
}

/// Files with the name of a language that their readers take less strictly.
fn is_dialect(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let is_json = name.ends_with(".json");
    is_json
        && (name.starts_with("tsconfig")
            || name.starts_with("jsconfig")
            || matches!(folder, Some(".vscode" | ".devcontainer" | ".zed")))
}

fn is_header(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("h"))
}

fn errors(language: Language, source: &str) -> Option<Vec<SyntaxError>> {
    let tree = parse(language, source)?;
    let found = complaints(language, &tree);
    if found.is_empty() && !tree.root_node().has_error() {
        return Some(Vec::new());
    }
    let unmatched = brackets::unmatched(language, &tree, source);
    let mut errors: Vec<(usize, String)> = Vec::new();
    for node in found {
        let is_large = node.start_position().row != node.end_position().row;
        let is_consequence = is_large || brackets::is_bracket(node.kind());
        let is_explained = (is_consequence && !unmatched.is_empty())
            || unmatched.iter().any(|(at, _)| {
                let between = source.get(*at..node.start_byte());
                node.byte_range().contains(at)
                    || between.is_some_and(|between| !between.contains('\n'))
            });
        if !is_explained {
            errors.push((node.start_byte(), describe(node, source)));
        }
    }
    errors.extend(unmatched);
    Some(listed(source, errors))
}

fn listed(source: &str, mut errors: Vec<(usize, String)>) -> Vec<SyntaxError> {
    errors.sort();
    errors.truncate(ERRORS_MAX);
    errors.into_iter().map(|(at, message)| located(source, at, message)).collect()
}

/// What the grammar complains of and may be right about, nothing inside of something else.
fn complaints(language: Language, tree: &Tree) -> Vec<Node<'_>> {
    let mut found = Vec::new();
    // Python's grammar takes a block without statements.
    let every_node = language == Language::Python;
    let mut cursor = tree.walk();
    loop {
        let node = cursor.node();
        let is_macro = language == Language::Rust && MACROS.contains(&node.kind());
        if is_macro {
            // Whatever is in it, the macro decides what it means.
        } else if node.is_error() || node.is_missing() || is_empty_block(language, node) {
            found.push(node);
            if found.len() > ERRORS_MAX * 2 {
                return found;
            }
        } else if (every_node || node.has_error()) && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return found;
            }
        }
    }
}

fn is_empty_block(language: Language, node: Node<'_>) -> bool {
    language == Language::Python && node.kind() == "block" && node.child_count() == 0
}

fn describe(node: Node<'_>, source: &str) -> String {
    if node.kind() == "block" {
        return "an indented block is missing".to_owned();
    }
    if node.is_missing() {
        if !node.is_named() {
            return format!("missing {}", quoted(node.kind()));
        }
        let rest = source.get(node.start_byte()..).unwrap_or_default().trim_start();
        let word = rest.find(|end: char| !end.is_alphanumeric()).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let next = rest.get(..word.max(first)).unwrap_or_default();
        if next.is_empty() {
            return "something is missing".to_owned();
        }
        return format!("something is missing before {}", quoted(next));
    }
    let text = source.get(node.byte_range()).unwrap_or_default();
    format!("unexpected {}", quoted(text))
}

/// The first line of a text, or its beginning, in quotation marks.
pub(crate) fn quoted(text: &str) -> String {
    let line = text.trim_start().lines().next().unwrap_or_default().trim_end();
    let mut short: String = line.chars().take(QUOTED_CHARS_MAX).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    format!("`{}`", short.replace(char::is_control, "\u{fffd}"))
}

fn located(source: &str, at: usize, message: String) -> SyntaxError {
    let before = source.get(..at).unwrap_or(source);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    SyntaxError { line, column, message }
}

#[cfg(test)]
mod tests;
