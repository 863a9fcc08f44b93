//! What a change did to the syntax of a file.
//!
//! Only what is new is told: a file may have been broken before, and may be in a dialect that no
//! grammar knows. A fault is the one that was there before when it says the same of the same line,
//! wherever that line is now.

use std::fmt::Write;

use crate::path::Relative;

const FAULTS_MAX: usize = 3;
const MESSAGE_CHARS_MAX: usize = 120;

/// A place that no parser takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// From 1.
    pub(crate) line: usize,
    /// From 1.
    pub(crate) column: usize,
    pub(crate) message: String,
}

/// The sentence, on a line of its own, about the faults that a change brought; empty when it
/// brought none.
pub(crate) fn told(path: &Relative, before: &[u8], after: &[u8]) -> String {
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return String::new();
    };
    told_by(|source| check(path, source), before, after)
}

/// The faults of a text; `None` when its language is not known.
fn check(_path: &Relative, _source: &str) -> Option<Vec<Fault>> {
    None
}

fn told_by(check: impl Fn(&str) -> Option<Vec<Fault>>, before: &str, after: &str) -> String {
    // Most changes break nothing, and need no second look.
    let Some(now) = check(after).filter(|faults| !faults.is_empty()) else {
        return String::new();
    };
    let earlier = check(before).unwrap_or_default();
    let brought = brought(&earlier, before, &now, after);
    let Some(first) = brought.first() else {
        return String::new();
    };
    let one = brought.len() == 1;
    let at = if one { format!(" at line {}", first.line) } else { "s".to_owned() };
    let mut told =
        format!("\nThis change introduced {}syntax error{at}", if one { "a " } else { "" });
    for (number, fault) in brought.iter().take(FAULTS_MAX).enumerate() {
        let message: String = fault.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let before = if number == 0 { ":" } else { ";" };
        let place = if one { String::new() } else { format!(" line {}:", fault.line) };
        // Writing to a string does not fail.
        let _ = write!(told, "{before}{place} {message}");
    }
    if brought.len() > FAULTS_MAX {
        let _ = write!(told, "; and {} more", brought.len() - FAULTS_MAX);
    }
    told.push('.');
    told
}

/// The faults that were not there before, in order; none when there are no more than before.
fn brought<'a>(earlier: &[Fault], before: &str, now: &'a [Fault], after: &str) -> Vec<&'a Fault> {
    if now.len() <= earlier.len() {
        return Vec::new();
    }
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let mut known: Vec<(&str, &str)> =
        earlier.iter().map(|fault| (fault.message.as_str(), line_of(&before, fault))).collect();
    let mut brought: Vec<&Fault> = Vec::new();
    for fault in now {
        let same = (fault.message.as_str(), line_of(&after, fault));
        match known.iter().position(|known| *known == same) {
            Some(at) => {
                known.swap_remove(at);
            }
            None => brought.push(fault),
        }
    }
    // What is left of the earlier ones may be the same said in other words.
    brought.truncate(now.len() - earlier.len());
    brought
}

fn line_of<'a>(lines: &[&'a str], fault: &Fault) -> &'a str {
    fault.line.checked_sub(1).and_then(|at| lines.get(at)).map_or("", |line| line.trim())
}

#[cfg(test)]
mod tests;
