//! Parsing within limits.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tree_sitter::{ParseOptions, ParseState, Parser, Tree};

use crate::language::Language;

/// The longest text that is parsed, bytes.
pub(crate) const SOURCE_BYTES_MAX: usize = 1 << 20;

/// The longest time that one parse may take. A megabyte of ordinary code takes a tenth of it; a
/// text made to be ambiguous could take minutes.
const PARSE_TIME_MAX: Duration = Duration::from_secs(2);

/// How many different indentations a Python file may have.
const INDENTS_MAX: usize = 250;

/// The tree of a text; `None` when the text is too long or takes too long.
pub(crate) fn parse(language: Language, source: &str) -> Option<Tree> {
    if source.len() > SOURCE_BYTES_MAX {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&language.grammar()).ok()?;
    let began = Instant::now();
    let mut in_time = |_: &ParseState| {
        if began.elapsed() > PARSE_TIME_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let options = ParseOptions::new().progress_callback(&mut in_time);
    let text = harmless(language, source)?;
    let bytes = &*text;
    let mut read = |at: usize, _| bytes.get(at..).unwrap_or_default();
    parser.parse_with_options(&mut read, None, Some(options))
}

/// The text as its grammar's hand-written C takes it without harm; offsets stay as they are.
///
/// That of bash looks up any character in a table of 384 entries; a letter does as well there,
/// since bash takes whatever is not ASCII for a letter too. That of Python writes one byte beyond
/// its buffer when indentation is five hundred levels deep.
fn harmless(language: Language, source: &str) -> Option<Cow<'_, [u8]>> {
    match language {
        Language::Bash if !source.is_ascii() => {
            let letters = source.bytes().map(|byte| if byte.is_ascii() { byte } else { b'x' });
            return Some(Cow::Owned(letters.collect()));
        }
        Language::Python => {
            let mut depths = HashSet::new();
            for line in source.lines() {
                // Every level of indentation has a beginning of a line of its own.
                let code = line.trim_start_matches([' ', '\t', '\u{c}']);
                depths.insert(line.strip_suffix(code).unwrap_or_default());
                if depths.len() > INDENTS_MAX {
                    return None;
                }
            }
        }
        _ => {}
    }
    Some(Cow::Borrowed(source.as_bytes()))
}
