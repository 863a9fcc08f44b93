//! Putting hunks into a file that is in memory.
//!
//! A hunk lies where its lines lie, and its lines are looked for as those of an edit are: exactly,
//! then with more and more ignored. Hunks follow each other, so a hunk is looked for behind the
//! one before it first. Where its lines are at several places, the line after `@@` decides, then
//! the line number of a unified diff; otherwise it is an error, never the first place that comes.

use std::ops::Range;

use crate::edit::at_lines_of;
use crate::heal::{self, Change, How, Ignored, Place, View, Views};
use crate::nearest;

use super::parse::{Hunk, Line};

/// How many places of one hunk are looked at.
const PLACES_MAX: usize = 1_000;

/// A file after its hunks.
pub(super) struct Patched {
    pub(super) content: Vec<u8>,
    /// What was forgiven, a phrase for each hunk.
    pub(super) repairs: Vec<String>,
}

/// Puts the hunks in, one after the other.
///
/// # Errors
/// A sentence that names the hunk and shows what the file has instead.
pub(super) fn apply(content: &[u8], hunks: &[Hunk], strict: bool) -> Result<Patched, String> {
    let mut patched = Patched { content: content.to_vec(), repairs: Vec::new() };
    let mut from = 0;
    for (number, hunk) in hunks.iter().enumerate() {
        let name = format!("hunk {}", number + 1);
        let put = put(&patched.content, hunk, from, strict)
            .map_err(|problem| format!("{name}: {problem}"))?;
        let rest = patched.content.get(put.range.end..).unwrap_or_default();
        let head = patched.content.get(..put.range.start).unwrap_or_default();
        // Two hunks may share the lines between them.
        from = put.range.start + put.new.len() - trailing_context(hunk, &put.new);
        patched.content = [head, &put.new, rest].concat();
        patched.repairs.extend(put.repair.map(|repair| format!("{name} {repair}")));
    }
    Ok(patched)
}

struct Put {
    range: Range<usize>,
    new: Vec<u8>,
    repair: Option<String>,
}

fn put(content: &[u8], hunk: &Hunk, from: usize, strict: bool) -> Result<Put, String> {
    let (old, new) = (hunk.before(), hunk.after());
    if let Some(line) = heal::left_out_of_new(&new, &old, content) {
        let line: String = line.chars().take(80).collect();
        return Err(format!("`{line}` leaves code out, and would be put in its place."));
    }
    if old.is_empty() {
        return append(content, hunk, &new);
    }
    let mut views = Views::of(content);
    for ignored in Ignored::STEPS {
        let mut places = match ignored {
            Ignored::NOTHING => exactly(content, &old),
            _ => Vec::new(),
        };
        if places.is_empty() && content.len() <= heal::FILE_BYTES_MAX {
            let piece = View::of_piece(old.as_bytes(), ignored);
            places = views.through(ignored).places(content, &piece);
        }
        places.retain(|place| place.starts_line && (!hunk.at_end || is_end(content, place)));
        let Some(place) = choose(content, hunk, &places, from)? else {
            continue;
        };
        let change = Change {
            file: content.get(place.range.clone()).unwrap_or_default(),
            old: &old,
            new: &new,
            starts_line: true,
            ignored,
            strict,
            whole: content,
            line_end: heal::line_end(content, &place.range),
        };
        // Lines that are all blank have nothing to be aligned by.
        let is_blank = old.trim().is_empty();
        let blank = || is_blank.then(|| new.replace('\n', change.line_end));
        if let Some(new) = change.carried().or_else(blank) {
            let how = How::ignoring(ignored);
            let repair = ignored.words().map(|_| format!("matched {how}"));
            return Ok(Put { range: place.range, new: new.into_bytes(), repair });
        }
    }
    Err(missing(content, &old, &new))
}

/// Where the lines are as they were sent: most hunks need no more.
fn exactly(content: &[u8], old: &str) -> Vec<Place> {
    let at = memchr::memmem::find_iter(content, old.as_bytes());
    let place = |at: usize| Place {
        range: at..at + old.len(),
        starts_line: at == 0 || content.get(at - 1) == Some(&b'\n'),
    };
    at.map(place).filter(|place| place.starts_line).take(PLACES_MAX).collect()
}

/// Lines that are added with none around them go to the end of the file.
fn append(content: &[u8], hunk: &Hunk, new: &str) -> Result<Put, String> {
    let is_open = !hunk.above.is_empty() || hunk.line.is_some_and(|line| line > 0);
    if is_open && !hunk.at_end && !content.is_empty() {
        return Err("it only adds lines, and does not say where: begin it with the line before \
                    them, as context."
            .to_owned());
    }
    let range = content.len()..content.len();
    let line_end = heal::line_end(content, &range);
    let is_ended = content.is_empty() || content.ends_with(b"\n");
    let gap = if is_ended { "" } else { line_end };
    let new = format!("{gap}{}", new.replace('\n', line_end)).into_bytes();
    Ok(Put { range, new, repair: None })
}

/// Which of the places is meant; none when there is none.
fn choose(
    content: &[u8],
    hunk: &Hunk,
    places: &[Place],
    from: usize,
) -> Result<Option<Place>, String> {
    let after = |start: usize| -> Vec<&Place> {
        places.iter().filter(|place| place.range.start >= start).collect()
    };
    let next = after(from);
    match next.as_slice() {
        [] if places.len() < 2 => return Ok(places.first().cloned()),
        [only] => return Ok(Some((*only).clone())),
        _ => {}
    }
    if let Some(above) = above(content, hunk, from)
        && let Some(first) = after(above).first()
    {
        return Ok(Some((*first).clone()));
    }
    let candidates: Vec<usize> = if next.is_empty() {
        places.iter().map(|place| place.range.start).collect()
    } else {
        next.iter().map(|place| place.range.start).collect()
    };
    let line_of =
        |at: usize| 1 + memchr::memchr_iter(b'\n', content.get(..at).unwrap_or_default()).count();
    let numbered = next.iter().find(|place| Some(line_of(place.range.start)) == hunk.line);
    if let Some(place) = numbered {
        return Ok(Some((*place).clone()));
    }
    Err(format!(
        "its lines are at {} places, {}. Add lines of context, or the line of the function after \
         @@.",
        candidates.len(),
        at_lines_of(content, &candidates)
    ))
}

/// Where the innermost line after `@@` begins. The outermost must be the only one of its kind.
fn above(content: &[u8], hunk: &Hunk, from: usize) -> Option<usize> {
    let mut start = from;
    for (level, wanted) in hunk.above.iter().enumerate() {
        let mut at = start;
        let mut found = Vec::new();
        for line in content.get(start..)?.split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            let text = text.trim();
            if text == wanted.trim()
                || (text.starts_with(wanted.trim()) && !wanted.trim().is_empty())
            {
                found.push(at);
            }
            at += line.len();
        }
        start = match found.as_slice() {
            [only] => *only,
            [first, ..] if level > 0 => *first,
            _ => return None,
        };
    }
    (!hunk.above.is_empty()).then_some(start)
}

/// Whether nothing but blank lines follows.
fn is_end(content: &[u8], place: &Place) -> bool {
    content.get(place.range.end..).is_some_and(|rest| rest.trim_ascii().is_empty())
}

/// How much of what was put in is context at its end, bytes.
fn trailing_context(hunk: &Hunk, new: &[u8]) -> usize {
    let context = hunk.lines.iter().rev().take_while(|line| matches!(line, Line::Context(_)));
    let mut start = new.len();
    for _ in context {
        let before = new.get(..start.saturating_sub(1)).unwrap_or_default();
        start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    }
    new.len() - start
}

fn missing(content: &[u8], old: &str, new: &str) -> String {
    let is_there = new.trim().len() > 8
        && !old.contains(new)
        && memchr::memmem::find(content, new.as_bytes()).is_some();
    if is_there {
        return "the file already has its new lines.".to_owned();
    }
    match heal::left_out(old) {
        Some(line) => {
            let line: String = line.chars().take(80).collect();
            format!("`{line}` leaves lines out: a hunk has all lines from its first to its last.")
        }
        None => format!("its lines are not in the file.{}", nearest::nearest(content, old)),
    }
}
