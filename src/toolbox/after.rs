//! What a change did to the syntax of a file.
//!
//! Only what is new is told: a file may have been broken before, and may be in a dialect that no
//! grammar knows. A change that leaves no more errors than there were has brought none, though
//! they may read differently now.

use std::fmt::Write;
use std::path::Path;

use syntax::SyntaxError;

use crate::path::Relative;

const ERRORS_TOLD_MAX: usize = 3;
const MESSAGE_CHARS_MAX: usize = 120;

/// The sentence, on a line of its own, about the errors that a change brought; empty when it
/// brought none.
pub(crate) fn told(path: &Relative, before: &[u8], after: &[u8]) -> String {
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return String::new();
    };
    sentence(&brought(path.as_path(), before, after))
}

fn brought(path: &Path, before: &str, after: &str) -> Vec<SyntaxError> {
    // Most changes break nothing, and need no second look.
    let Some(new) = syntax::new_errors(path, before, after).filter(|new| !new.is_empty()) else {
        return Vec::new();
    };
    let count = |source: &str| syntax::check(path, source).map(|errors| errors.len());
    match (count(before), count(after)) {
        (Some(earlier), Some(now)) if earlier >= now => Vec::new(),
        _ => new,
    }
}

fn sentence(errors: &[SyntaxError]) -> String {
    let mut told = match errors {
        [] => return String::new(),
        [only] => format!("\nThis change introduced a syntax error at line {}", only.line),
        _ => "\nThis change introduced syntax errors".to_owned(),
    };
    for (number, error) in errors.iter().take(ERRORS_TOLD_MAX).enumerate() {
        let message: String = error.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let sign = if number == 0 { ':' } else { ';' };
        let place =
            if errors.len() == 1 { String::new() } else { format!(" line {}:", error.line) };
        // Writing to a string does not fail.
        let _ = write!(told, "{sign}{place} {message}");
    }
    if errors.len() > ERRORS_TOLD_MAX {
        let _ = write!(told, "; and {} more", errors.len() - ERRORS_TOLD_MAX);
    }
    told.push_str(if told.ends_with('.') { "" } else { "." });
    told
}

#[cfg(test)]
mod tests;
