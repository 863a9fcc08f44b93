//! Lines that say that lines were left out: `// ... existing code ...`.
//!
//! In a text that is to be found they match nothing, and in a text that is put into a file they
//! would take the place of the code they stand for.

const WORDS: &[&str] = &[
    "as before",
    "existing",
    "omitted",
    "previous code",
    "remaining",
    "rest of",
    "same as",
    "unchanged",
];
const SIGNS: &[&str] = &["{/*", "/*", "//", "<!--", "#", "--", ";;", "%", "*"];

/// The line of a text to be found that stands for others: dots, or a comment that begins or ends
/// with them.
pub(crate) fn left_out(text: &str) -> Option<&str> {
    text.lines().map(str::trim).find(|line| {
        let said = said(line).unwrap_or(line).trim();
        let only_dots = !said.is_empty() && said.chars().all(|it| matches!(it, '.' | '…' | ' '));
        only_dots && (said.contains("...") || said.contains('…')) || stands_for_others(line)
    })
}

/// The line of a new text that stands for others and is in neither of the `known` texts.
pub(crate) fn left_out_of_new<'a>(new: &'a str, old: &str, content: &[u8]) -> Option<&'a str> {
    new.lines().map(str::trim).find(|line| {
        stands_for_others(line)
            && !old.contains(line)
            && memchr::memmem::find(content, line.as_bytes()).is_none()
    })
}

fn stands_for_others(line: &str) -> bool {
    let Some(said) = said(line) else {
        return false;
    };
    let dots = |text: &str| text.starts_with("...") || text.starts_with('…');
    let ends = said.ends_with("...") || said.ends_with('…');
    let lower = said.to_ascii_lowercase();
    let has_word = WORDS.iter().any(|word| lower.contains(word));
    has_word && (dots(said) || (ends && lower.contains("existing code")))
}

/// What a line says that is nothing but a comment.
fn said(line: &str) -> Option<&str> {
    let rest = SIGNS.iter().find_map(|sign| line.strip_prefix(sign))?;
    let rest = rest.trim_start_matches(['/', '*', '#', '!', '-']);
    Some(rest.trim_end_matches(['*', '/', '}', '-', '>']).trim())
}
