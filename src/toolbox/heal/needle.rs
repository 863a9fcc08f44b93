//! What a model may have meant by a piece that is not in the file as it was sent.
//!
//! Each reading is of both texts, old and new, and stands only when the new one can be read the
//! same way; where it could mean two things, there is no reading.

/// Both texts, read in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) old: String,
    pub(super) new: String,
    /// What was done to the texts.
    pub(super) words: &'static str,
}

/// The readings beside the plain one, the safest first.
pub(super) fn readings(old: &str, new: &str) -> Vec<Reading> {
    let all = [numbers(old, new), quotes(old, new), backslashes(old, new), json(old, new)];
    let more = [in_strings(old, new), entities(old, new)];
    let all = all.into_iter().chain(more).flatten();
    all.filter(|reading| reading.old != old && !reading.old.is_empty()).collect()
}

/// Without the line numbers of `read`, which count up from line to line.
fn numbers(old: &str, new: &str) -> Option<Reading> {
    let (old, first) = without_numbers(old, true)?;
    let new = match without_numbers(new, false) {
        // A new text may be numbered as well, and need not be.
        Some((bare, number)) if number.abs_diff(first) <= 100_000 => bare,
        _ => new.to_owned(),
    };
    Some(Reading { old, new, words: "its line numbers" })
}

/// The text without a number before each line, and the first number.
fn without_numbers(text: &str, in_order: bool) -> Option<(String, u64)> {
    let mut bare = String::with_capacity(text.len());
    let mut first = None;
    let mut next: Option<u64> = None;
    for line in text.split_inclusive('\n') {
        let Some((number, rest)) = number(line) else {
            if !line.trim().is_empty() {
                return None;
            }
            // A blank line that lost its number still counts.
            next = next.and_then(|next| next.checked_add(1));
            bare.push_str(line);
            continue;
        };
        if in_order && next.is_some_and(|next| next != number) {
            return None;
        }
        first = first.or(Some(number));
        next = number.checked_add(1);
        bare.push_str(rest);
    }
    Some((bare, first?))
}

/// A line number, and the line behind it: `12<tab>`, `12→`, `12|`, `12: `, `L12:`.
fn number(line: &str) -> Option<(u64, &str)> {
    let line = line.trim_start_matches(' ');
    let line = line.strip_prefix('L').unwrap_or(line);
    let after = line.trim_start_matches(|character: char| character.is_ascii_digit());
    let number = line.get(..line.len() - after.len())?.parse().ok()?;
    let rest = ["\t", "→", " | ", "| ", "|", ": ", ":"]
        .into_iter()
        .find_map(|sign| after.strip_prefix(sign))
        .or_else(|| after.starts_with('\n').then_some(after))
        .or_else(|| after.is_empty().then_some(after))?;
    Some((number, rest))
}

/// Quotes without the backslash that JSON wants before them.
fn quotes(old: &str, new: &str) -> Option<Reading> {
    let bare = |text: &str| text.replace("\\\"", "\"").replace("\\'", "'").replace("\\`", "`");
    // With another escape in the new text alone, it is open how much of it was escaped.
    let is_open = !old.contains('\n')
        && !new.contains('\n')
        && ["\\n", "\\t", "\\r"].iter().any(|sign| new.contains(sign) && !old.contains(sign));
    let reading = Reading { old: bare(old), new: bare(new), words: "backslashes before quotes" };
    (!is_open).then_some(reading)
}

/// Each backslash once where it was sent twice.
fn backslashes(old: &str, new: &str) -> Option<Reading> {
    let halved = |text: &str| -> Option<String> {
        let bare = text.replace("\\\\", "\u{0}");
        (!bare.contains('\\') && !text.contains('\u{0}')).then(|| bare.replace('\u{0}', "\\"))
    };
    Some(Reading { old: halved(old)?, new: halved(new)?, words: "doubled backslashes" })
}

/// What a JSON string spells with escapes, when that is all it has.
fn json(old: &str, new: &str) -> Option<Reading> {
    // Somebody who escaped a line end escaped all of them.
    if old.trim_matches('\n').contains('\n') || new.trim_matches('\n').contains('\n') {
        return None;
    }
    // Quotes alone may have been escaped alone.
    if !["\\n", "\\t", "\\r", "\\\\"].iter().any(|sign| old.contains(sign)) {
        return None;
    }
    Some(Reading { old: unescaped(old)?, new: unescaped(new)?, words: "JSON escapes" })
}

fn unescaped(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match rest.next()? {
            'n' => plain.push('\n'),
            't' => plain.push('\t'),
            'r' => {}
            same @ ('"' | '\'' | '\\' | '/' | '`') => plain.push(same),
            _ => return None,
        }
    }
    Some(plain)
}

/// Line ends and tabs inside strings, escaped as source code has them.
fn in_strings(old: &str, new: &str) -> Option<Reading> {
    let (escaped, is_closed) = escaped_in_strings(old);
    let (new, new_is_closed) = escaped_in_strings(new);
    (is_closed && new_is_closed).then_some(Reading {
        old: escaped,
        new,
        words: "line ends that are escapes in strings",
    })
}

/// The text with the control characters between quotes escaped, and whether each quote was closed.
fn escaped_in_strings(text: &str) -> (String, bool) {
    let mut escaped = String::with_capacity(text.len());
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match (quote, character) {
            (Some(_), '\n') => escaped.push_str("\\n"),
            (Some(_), '\t') => escaped.push_str("\\t"),
            (Some(open), close) if open == close => {
                quote = None;
                escaped.push(close);
            }
            (None, '"' | '\'') => {
                quote = Some(character);
                escaped.push(character);
            }
            (Some(_), '\\') => {
                escaped.push('\\');
                escaped.extend(rest.next());
            }
            _ => escaped.push(character),
        }
    }
    (escaped, quote.is_none())
}

/// Signs that were sent as HTML entities.
fn entities(old: &str, new: &str) -> Option<Reading> {
    const ENTITIES: [(&str, &str); 7] = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ];
    let plain = |text: &str| {
        ENTITIES.iter().fold(text.to_owned(), |text, (entity, sign)| text.replace(entity, sign))
    };
    Some(Reading { old: plain(old), new: plain(new), words: "HTML entities" })
}
