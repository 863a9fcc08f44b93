//! What a file defines, and which names it mentions.
//!
//! Each language has a query in `queries/`: every definition with its name, and every identifier
//! as a reference. Names are not resolved: two things of one name are one to whoever counts.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::OnceLock;

use tree_sitter::{Node, Query, QueryCursor, StreamingIterator};

use crate::language::Language;
use crate::parse::parse;

/// How many definitions of one file are told.
const SYMBOLS_MAX: usize = 2_000;
/// How many different names one file may mention.
const NAMES_MAX: usize = 5_000;
/// The longest name, bytes.
const NAME_BYTES_MAX: usize = 100;
/// The longest signature, characters.
const SIGNATURE_CHARS_MAX: usize = 120;
/// How much of a definition is looked at for its signature, bytes.
const SIGNATURE_BYTES_MAX: usize = 600;

/// What a definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function or a method.
    Function,
    /// A class, structure, enumeration, interface or alias.
    Type,
    /// A trait.
    Trait,
    /// A constant, or a variable of a whole module.
    Constant,
    /// A macro.
    Macro,
    /// A module.
    Module,
}

/// A definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// The line of its name, from 1.
    pub line: usize,
    /// The code before its body, on one line.
    pub signature: String,
}

/// What a file defines and mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Its definitions, by line.
    pub symbols: Vec<Symbol>,
    /// How often it mentions each name, its definitions aside.
    pub references: BTreeMap<String, u32>,
}

/// The outline of a file; `None` when the language is unknown or has no symbols, or the text is
/// too long or takes too long.
#[must_use]
pub fn outline(path: &Path, source: &str) -> Option<Outline> {
    let language = Language::of(path, source)?;
    let query = compiled(language)?;
    let tree = parse(language, source)?;
    let names = query.capture_names();
    let mut outline = Outline::default();
    let mut defined = HashSet::new();
    let mut mentioned: Vec<Node<'_>> = Vec::new();
    let mut cursor = QueryCursor::new();
    let mut matches = cursor.matches(query, tree.root_node(), source.as_bytes());
    while let Some(found) = matches.next() {
        let mut name = None;
        let mut definition = None;
        for capture in found.captures() {
            match names.get(capture.index as usize).copied() {
                Some("name") => name = Some(capture.node),
                Some("reference") => mentioned.push(capture.node),
                Some(kind) => definition = kind_of(kind).map(|kind| (kind, capture.node)),
                None => {}
            }
        }
        if let (Some(name), Some((kind, node))) = (name, definition)
            && outline.symbols.len() < SYMBOLS_MAX
            && defined.insert(name.start_byte())
        {
            outline.symbols.extend(symbol(name, kind, node, source));
        }
    }
    for node in mentioned.into_iter().filter(|node| !defined.contains(&node.start_byte())) {
        let name = source.get(node.byte_range()).unwrap_or_default();
        if let Some(count) = outline.references.get_mut(name) {
            *count += 1;
        } else if name.len() <= NAME_BYTES_MAX && outline.references.len() < NAMES_MAX {
            outline.references.insert(name.to_owned(), 1);
        }
    }
    outline.symbols.sort_by_key(|symbol| symbol.line);
    Some(outline)
}

/// The definitions of a file, by line; none when [`outline`] has none.
#[must_use]
pub fn symbols(path: &Path, source: &str) -> Vec<Symbol> {
    outline(path, source).unwrap_or_default().symbols
}

/// How often a file mentions each name; none when [`outline`] has none.
#[must_use]
pub fn references(path: &Path, source: &str) -> BTreeMap<String, u32> {
    outline(path, source).unwrap_or_default().references
}

fn kind_of(capture: &str) -> Option<Kind> {
    Some(match capture {
        "function" => Kind::Function,
        "type" => Kind::Type,
        "trait" => Kind::Trait,
        "constant" => Kind::Constant,
        "macro" => Kind::Macro,
        "module" => Kind::Module,
        _ => return None,
    })
}

fn symbol(name: Node<'_>, kind: Kind, definition: Node<'_>, source: &str) -> Option<Symbol> {
    let text = source.get(name.byte_range())?;
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return None;
    }
    let line = name.start_position().row + 1;
    Some(Symbol { name: text.to_owned(), kind, line, signature: signature(definition, source) })
}

/// The code of a definition before its body.
fn signature(definition: Node<'_>, source: &str) -> String {
    let start = definition.start_byte();
    let value = definition.child_by_field_name("value");
    let body = definition
        .child_by_field_name("body")
        .or_else(|| value?.child_by_field_name("body"))
        .map_or(definition.end_byte(), |body| body.start_byte());
    let end = source.floor_char_boundary(body.min(start + SIGNATURE_BYTES_MAX));
    let code = source.get(start..end).unwrap_or_default();
    // What has no body of its own ends where a block begins, or its first line does.
    let code = if body == definition.end_byte() {
        code.split(['\n', '{']).next().unwrap_or_default()
    } else {
        code
    };
    let mut words = String::new();
    for word in code.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    let code = words.strip_suffix("=>").unwrap_or(&words);
    let code = code.trim_end_matches([':', '{', ' ', ';']);
    let mut short: String = code.chars().take(SIGNATURE_CHARS_MAX).collect();
    if short.len() < code.len() {
        short.push('…');
    }
    short
}

fn query_of(language: Language) -> Option<&'static str> {
    Some(match language {
        Language::Rust => include_str!("queries/rust.scm"),
        Language::Python => include_str!("queries/python.scm"),
        Language::JavaScript => include_str!("queries/javascript.scm"),
        Language::TypeScript | Language::Tsx => include_str!("queries/typescript.scm"),
        Language::Go => include_str!("queries/go.scm"),
        Language::C => include_str!("queries/c.scm"),
        Language::Cpp => include_str!("queries/cpp.scm"),
        Language::Java => include_str!("queries/java.scm"),
        Language::Bash => include_str!("queries/bash.scm"),
        Language::Json => return None,
    })
}

/// The query of a language, compiled when it is first wanted.
fn compiled(language: Language) -> Option<&'static Query> {
    static QUERIES: [OnceLock<Option<Query>>; 11] = [const { OnceLock::new() }; 11];
    let slot = QUERIES.get(language as usize)?;
    slot.get_or_init(|| Query::new(&language.grammar(), query_of(language)?).ok()).as_ref()
}

#[cfg(test)]
mod tests;
