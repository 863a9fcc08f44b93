//! A piece whose first and last lines are in the file, with nearly the same between them.
//!
//! The bounds are narrow: as many lines, almost all of them the same, the others much alike, and
//! no second place that comes near. What differs is never replaced, since the model has not seen
//! it: [`super::merge`] keeps it as the file has it or gives up.

use std::ops::Range;

use super::view::{Ignored, View};

const LINES_MIN: usize = 4;
const LINES_MAX: usize = 400;
/// How many places with the right ends are looked at.
const PLACES_MAX: usize = 64;
/// One line in this many may differ; one always may.
const LINES_FOR_A_DIFFERENCE: usize = 8;
/// How much alike two lines are that may stand for each other.
const LIKENESS_MIN: f64 = 0.75;
const LINE_BYTES_MAX: usize = 400;
/// Letters without which a line is no anchor.
const LETTERS_MIN: usize = 3;

/// Where the piece lies, when that is sure.
pub(super) fn place(content: &[u8], old: &str) -> Option<Range<usize>> {
    let file = View::of_file(content, Ignored::ALL);
    let piece = View::of_piece(old.as_bytes(), Ignored::ALL);
    let visible = |view: &View| -> Vec<(Vec<u8>, Range<usize>)> {
        let lines = view.lines().into_iter().filter(|(line, _)| !line.is_empty());
        lines.map(|(line, range)| (line.to_vec(), range)).collect()
    };
    let (lines, wanted) = (visible(&file), visible(&piece));
    let (first, last) = (wanted.first()?, wanted.last()?);
    let letters = first.0.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    if !(LINES_MIN..=LINES_MAX).contains(&wanted.len()) || letters < LETTERS_MIN {
        return None;
    }
    let mut near: Option<(Range<usize>, usize)> = None;
    let ends = lines.windows(wanted.len()).filter(|window| {
        window.first().is_some_and(|line| line.0 == first.0)
            && window.last().is_some_and(|line| line.0 == last.0)
    });
    for window in ends.take(PLACES_MAX) {
        let different =
            window.iter().zip(&wanted).filter(|(line, wanted)| line.0 != wanted.0).count();
        if different * 2 > wanted.len() {
            continue;
        }
        if near.is_some() {
            return None;
        }
        let is_near = different <= (wanted.len() / LINES_FOR_A_DIFFERENCE).max(1)
            && window.iter().zip(&wanted).all(|(line, wanted)| is_like(&line.0, &wanted.0));
        let range = window.first()?.1.start..window.last()?.1.end;
        near = Some((range, if is_near { different } else { usize::MAX }));
    }
    let (range, _) = near.filter(|(_, different)| *different < usize::MAX)?;
    let start = content.get(..range.start)?.iter().rposition(|byte| *byte == b'\n');
    let mut end = range.end;
    if old.ends_with('\n') {
        let rest = content.get(end..)?;
        end += memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
    }
    Some(start.map_or(0, |at| at + 1)..end)
}

fn is_like(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let clipped = |line: &[u8]| {
        String::from_utf8_lossy(line.get(..LINE_BYTES_MAX).unwrap_or(line)).into_owned()
    };
    strsim::normalized_levenshtein(&clipped(one), &clipped(other)) >= LIKENESS_MIN
}
