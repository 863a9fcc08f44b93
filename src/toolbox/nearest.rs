//! The region of a file that is most like a text which was not found.
//!
//! A model that sees what is really there mends its edit at the first try. The search is bounded:
//! it looks at lines as wholes first, and at their letters only where no line is the same.

use std::collections::HashMap;

use crate::path::Relative;

const FILE_LINES_MAX: usize = 50_000;
const OLD_LINES_MAX: usize = 60;
const SHOWN_LINES_MAX: usize = 24;
const LINE_CHARS_MAX: usize = 300;
const CONTEXT_LINES: usize = 2;
const DIFFERENCE_CHARS_MAX: usize = 160;
/// How many lines are compared by their letters.
const FUZZY_LINES_MAX: usize = 5_000;
const FUZZY_CHARS_MAX: usize = 200;
/// Below this likeness, a region would mislead.
const LIKENESS_MIN: f64 = 0.6;

/// The error for a text that does not occur.
pub(crate) fn not_found(path: &Relative, content: &[u8], old: &str) -> String {
    let mut told = format!("old_string does not occur in {path}; nothing was changed.");
    if carries_line_numbers(old) {
        told.push_str(" It seems to carry read's line numbers: leave them out.");
    }
    told.push_str(&nearest(content, old));
    told
}

/// What is really there: the lines that are most like `old`, and what of them differs.
pub(crate) fn nearest(content: &[u8], old: &str) -> String {
    let text = String::from_utf8_lossy(content);
    let lines: Vec<&str> = text.lines().take(FILE_LINES_MAX).collect();
    let old_lines: Vec<&str> = old.lines().take(OLD_LINES_MAX).collect();
    match region(&lines, &old_lines) {
        Some(start) => show(&lines, &old_lines, start),
        None => " Nothing like it occurs either: read the file first.".to_owned(),
    }
}

/// Whether each line begins as those of the read tool do.
fn carries_line_numbers(old: &str) -> bool {
    let numbered = |line: &str| {
        line.split_once('\t').is_some_and(|(number, _)| number.trim_start().parse::<u64>().is_ok())
    };
    !old.is_empty() && old.lines().all(numbered)
}

/// Where the lines that are most like `old` begin.
fn region(lines: &[&str], old: &[&str]) -> Option<usize> {
    same_lines(lines, old).or_else(|| like_lines(lines, old))
}

/// The window that shares most lines with `old`, white space aside.
fn same_lines(lines: &[&str], old: &[&str]) -> Option<usize> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, line) in old.iter().enumerate() {
        let line = line.trim();
        // Lines such as `}` are everywhere and say nothing.
        if line.chars().filter(|c| c.is_alphanumeric()).count() >= 3 {
            places.entry(line).or_default().push(place);
        }
    }
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for (number, line) in lines.iter().enumerate() {
        for place in places.get(line.trim()).into_iter().flatten() {
            *votes.entry(number.saturating_sub(*place)).or_default() += 1;
        }
    }
    votes
        .into_iter()
        .max_by_key(|&(start, count)| (count, std::cmp::Reverse(start)))
        .map(|vote| vote.0)
}

/// The line most like the longest line of `old`, letter by letter.
fn like_lines(lines: &[&str], old: &[&str]) -> Option<usize> {
    let (place, wanted) =
        old.iter().enumerate().max_by_key(|(_, line)| line.trim().chars().count())?;
    let wanted = clip(wanted.trim(), FUZZY_CHARS_MAX);
    let (number, likeness) = lines
        .iter()
        .take(FUZZY_LINES_MAX)
        .enumerate()
        .map(|(number, line)| {
            (number, strsim::sorensen_dice(wanted, clip(line.trim(), FUZZY_CHARS_MAX)))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
    (likeness >= LIKENESS_MIN).then(|| number.saturating_sub(place))
}

fn show(lines: &[&str], old: &[&str], start: usize) -> String {
    let end = (start + old.len().max(1)).min(lines.len());
    let found = lines.get(start..end).unwrap_or_default();
    let hint = match apart(lines, old, start) {
        _ if squeezed(found) == squeezed(old) => " It differs from the file in white space only.",
        true => " Its lines do not follow each other in the file: make one edit for each part.",
        false => "",
    };
    let first = start.saturating_sub(CONTEXT_LINES);
    let last = (end + CONTEXT_LINES).min(lines.len()).min(first + SHOWN_LINES_MAX);
    let mut shown = format!("{hint} The nearest lines of the file:\n");
    for (number, line) in lines.iter().enumerate().take(last).skip(first) {
        let clipped = clip(line, LINE_CHARS_MAX);
        let mark = if clipped.len() < line.len() { "…" } else { "" };
        shown.push_str(&format!("{:>6}\t{clipped}{mark}\n", number + 1));
    }
    shown.push_str(&difference(lines, old, start));
    shown.push_str("Copy the text exactly, without the numbers.");
    shown
}

fn squeezed(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| line.split_whitespace().collect()).collect()
}

/// Whether `old` is made of pieces that lie apart: each of its lines is in the file, and once, but
/// not one after the other.
fn apart(lines: &[&str], old: &[&str], start: usize) -> bool {
    let says = |line: &&str| !line.trim().is_empty();
    let count = |wanted: &str| lines.iter().filter(|line| line.trim() == wanted).take(2).count();
    let wanted: Vec<&str> = old.iter().filter(|line| says(line)).map(|line| line.trim()).collect();
    let end = start + old.len();
    wanted.len() > 1
        && wanted.iter().all(|line| count(line) > 0)
        && wanted.iter().any(|line| {
            count(line) == 1
                && lines.iter().position(|it| it.trim() == *line).is_some_and(|at| at >= end)
        })
}

/// The first line that is not as `old` has it, when that can be said in a line.
fn difference(lines: &[&str], old: &[&str], start: usize) -> String {
    let pairs = lines.iter().skip(start).zip(old).enumerate();
    let differing: Vec<(usize, &str, &str)> = pairs
        .filter(|(_, (line, wanted))| squeezed(&[line]) != squeezed(&[wanted]))
        .map(|(at, (line, wanted))| (start + at + 1, line.trim(), wanted.trim()))
        .collect();
    match differing.as_slice() {
        [(number, line, wanted), ..] if differing.len() * 2 <= old.len().max(2) => {
            let short = |text: &str| clip(text, DIFFERENCE_CHARS_MAX).to_owned();
            format!("Line {number} is `{}`, not `{}`.\n", short(line), short(wanted))
        }
        _ => String::new(),
    }
}

fn clip(text: &str, chars_max: usize) -> &str {
    text.char_indices().nth(chars_max).map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}
