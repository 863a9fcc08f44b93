//! Replace a piece of a file.
//!
//! The piece is looked for exactly first, on bytes, so that what is not UTF-8 elsewhere in the
//! file stays as it is. In a file whose lines all end in CRLF, both texts are taken as if they had
//! been written so. What does not occur exactly goes to [`heal`], which finds one place or none;
//! the answer says what was forgiven.
//!
//! An empty `old_string` makes a file where there is none, or where an empty one is: some models
//! were taught to create files so, and nothing can be lost by it. It is refused where a file has
//! content, since it says neither what goes nor where the new text comes.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::after;
use crate::answer::{Answer, Failure, count, size};
use crate::atomic;
use crate::beneath::Workspace;
use crate::heal::{self, Healed, How, Wanted};
use crate::nearest;
use crate::path::Relative;
use crate::protected::Access;
use crate::read;
use crate::write;

/// The longest file that is edited, before and after, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
const LINES_NAMED_MAX: usize = 10;
/// How many letters a text has that is hardly there by chance.
const LETTERS_MIN: usize = 8;

/// Replaces old_string by new_string. It must occur exactly once, unless replace_all is set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Path, relative to the workspace.
    pub(crate) file_path: String,
    /// Exact text, without line numbers, with enough lines around it to be unique.
    pub(crate) old_string: String,
    /// What replaces it.
    pub(crate) new_string: String,
    /// Replace every occurrence.
    pub(crate) replace_all: Option<bool>,
}

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let path = Relative::parse(&input.file_path, workspace)?;
    if input.old_string.is_empty() {
        return create(workspace, &path, input, cancel);
    }
    let (place, file) = read::open(workspace, &path, Access::Change)?;
    let (file, before) = read::regular(&path, file)?;
    let content = read::whole(file, FILE_BYTES_MAX)
        .map_err(|error| format!("{path} could not be read: {error}."))?
        .ok_or_else(|| format!("{path} is longer than {}; use shell.", size(FILE_BYTES_MAX)))?;
    let edited = apply(&path, &content, input)?;
    atomic::replace(&place, Some(&before), &edited.content, cancel)
        .map_err(|error| write::explain(&path, error))?;
    let times = count(edited.lines.len(), "replacement");
    let how = edited.how.map(|how| format!(" (matched {how})")).unwrap_or_default();
    let faults = after::told(&path, &content, &edited.content);
    Ok(Answer::from(format!("Edited {path}: {times}, {}{how}{faults}", at_lines(&edited.lines))))
}

/// Makes a file, where none is or an empty one.
fn create(
    workspace: &Workspace,
    path: &Relative,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let is_free = match read::open(workspace, path, Access::Change) {
        Ok((_, file)) => read::regular(path, file)?.1.st_size == 0,
        // What else is in the way, writing finds out.
        Err(Failure::Error(_)) => true,
        Err(denied) => return Err(denied),
    };
    if !is_free {
        let told = format!(
            "old_string is empty, and {path} is not: say what is replaced, or use write to \
             replace all of it. Nothing was changed."
        );
        return Err(Failure::Error(told));
    }
    let content = input.new_string.clone();
    write::run(workspace, &write::Input { file_path: input.file_path.clone(), content }, cancel)
}

/// A file after an edit.
#[derive(Debug)]
struct Edited {
    content: Vec<u8>,
    /// The lines at which the replacements begin, before the edit, from 1.
    lines: Vec<usize>,
    /// What was forgiven.
    how: Option<How>,
}

fn apply(path: &Relative, content: &[u8], input: &Input) -> Result<Edited, String> {
    let Input { old_string, new_string, .. } = input;
    if old_string == new_string {
        return Err("old_string and new_string are the same; nothing was changed.".to_owned());
    }
    if let Some(line) = heal::left_out_of_new(new_string, old_string, content) {
        return Err(format!(
            "new_string leaves code out (`{}`), and would put that line in its place: write all \
             of it. Nothing was changed.",
            clip(line)
        ));
    }
    let all = input.replace_all == Some(true);
    let mut found = find(content, old_string, new_string);
    if !all {
        found.drop_indented(content);
    }
    if found.at.is_empty() {
        return healed(path, content, input);
    }
    let lines = line_numbers(content, &found.at);
    if !all {
        let mut all = found.at.clone();
        all.extend(found.overlapping(content));
        if all.len() > 1 {
            return Err(several(path, content, &all, None));
        }
        if found.is_there_already(content) {
            return Err(already(path, &lines));
        }
    }
    let growth = found.new.len().saturating_sub(found.old.len());
    let after = growth.saturating_mul(found.at.len()).saturating_add(content.len());
    check_size(path, after)?;
    Ok(Edited { content: found.replaced(content), lines, how: None })
}

/// The edit of a file in which the piece does not occur exactly.
fn healed(path: &Relative, content: &[u8], input: &Input) -> Result<Edited, String> {
    let Input { old_string, new_string, .. } = input;
    // It could be said of a short text in many a file.
    if has_letters(new_string, LETTERS_MIN) && !old_string.contains(new_string) {
        let there = find(content, new_string, "").at;
        if !there.is_empty() {
            return Err(already(path, &line_numbers(content, &there)));
        }
    }
    let wanted = Wanted {
        old: old_string,
        new: new_string,
        all: input.replace_all == Some(true),
        strict: heal::is_strict(path.as_path()),
    };
    match heal::heal(content, wanted) {
        Healed::Found { changes, how } => {
            let places: Vec<usize> = changes.iter().map(|(range, _)| range.start).collect();
            let lines = line_numbers(content, &places);
            let added: usize = changes.iter().map(|(_, new)| new.len()).sum();
            check_size(path, content.len().saturating_add(added))?;
            let after = replaced(content, &changes);
            if after == content {
                return Err(already(path, &lines));
            }
            Ok(Edited { content: after, lines, how: Some(how) })
        }
        Healed::Several { at, how } => Err(several(path, content, &at, Some(&how))),
        Healed::Nothing => Err(match heal::left_out(old_string) {
            Some(line) => format!(
                "old_string leaves lines out (`{}`): it must be the whole text that is replaced. \
                 Make one edit for each part. Nothing was changed.",
                clip(line)
            ),
            None => nearest::not_found(path, content, old_string),
        }),
    }
}

fn check_size(path: &Relative, after: usize) -> Result<(), String> {
    if after as u64 > FILE_BYTES_MAX {
        let most = size(FILE_BYTES_MAX);
        return Err(format!("{path} would grow beyond {most}; nothing was changed."));
    }
    Ok(())
}

fn several(path: &Relative, content: &[u8], places: &[usize], how: Option<&How>) -> String {
    let how = how.map(|how| format!(", {how},")).unwrap_or_default();
    format!(
        "old_string{how} occurs {} times in {path}, {}. Add lines around it until it is unique, or \
         set replace_all. Nothing was changed.",
        places.len(),
        at_lines(&line_numbers(content, places))
    )
}

fn already(path: &Relative, lines: &[usize]) -> String {
    format!("{path} already has new_string, {}; nothing was done.", at_lines(lines))
}

fn has_letters(text: &str, at_least: usize) -> bool {
    text.chars().filter(|it| it.is_alphanumeric()).nth(at_least - 1).is_some()
}

fn clip(line: &str) -> String {
    line.chars().take(80).collect()
}

fn replaced(content: &[u8], changes: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(content.len());
    let mut from = 0;
    for (range, new) in changes {
        replaced.extend_from_slice(content.get(from..range.start).unwrap_or_default());
        replaced.extend_from_slice(new);
        from = range.end;
    }
    replaced.extend_from_slice(content.get(from..).unwrap_or_default());
    replaced
}

/// Where a piece occurs, and what is put there.
struct Found {
    old: Vec<u8>,
    new: Vec<u8>,
    at: Vec<usize>,
}

impl Found {
    /// Where the piece begins once more within its only occurrence: then which of the two is
    /// meant is as open as if they lay apart.
    fn overlapping(&self, content: &[u8]) -> Option<usize> {
        let &[only] = self.at.as_slice() else {
            return None;
        };
        let rest = content.get(only + 1..)?;
        memchr::memmem::find(rest, &self.old).map(|at| only + 1 + at)
    }

    /// Leaves out the places where the piece would begin in the middle of an indentation: there
    /// the model took the line for another, or for one that stands elsewhere.
    fn drop_indented(&mut self, content: &[u8]) {
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if is_blank(self.old.first()) && !self.old.trim_ascii().is_empty() {
            let before = |at: usize| at.checked_sub(1).and_then(|before| content.get(before));
            self.at.retain(|at| !is_blank(before(*at)));
        }
    }

    /// Whether the new text continues the old one and stands there whole: then the same edit was
    /// made before, and would double what it added.
    fn is_there_already(&self, content: &[u8]) -> bool {
        let added = self.new.strip_prefix(self.old.as_slice());
        let added = added.or_else(|| self.new.strip_suffix(self.old.as_slice()));
        let Some(added) =
            added.filter(|added| has_letters(&String::from_utf8_lossy(added), LETTERS_MIN))
        else {
            return false;
        };
        let before = self.new.len() - self.old.len();
        let starts_with = self.new.starts_with(&self.old);
        self.at.iter().all(|at| {
            let start = if starts_with { Some(*at) } else { at.checked_sub(before) };
            let there = start.and_then(|start| content.get(start..start + self.new.len()));
            !added.is_empty() && there == Some(self.new.as_slice())
        })
    }

    fn replaced(&self, content: &[u8]) -> Vec<u8> {
        let mut replaced = Vec::with_capacity(content.len());
        let mut from = 0;
        for &at in &self.at {
            replaced.extend_from_slice(content.get(from..at).unwrap_or_default());
            replaced.extend_from_slice(&self.new);
            from = at + self.old.len();
        }
        replaced.extend_from_slice(content.get(from..).unwrap_or_default());
        replaced
    }
}

/// Finds a piece: exactly, or as it reads with the file's CRLF line ends.
fn find(content: &[u8], old: &str, new: &str) -> Found {
    let exact = |old: String, new: String| {
        let at = memchr::memmem::find_iter(content, old.as_bytes()).collect();
        Found { old: old.into_bytes(), new: new.into_bytes(), at }
    };
    let crlf = |text: &str| text.replace("\r\n", "\n").replace('\n', "\r\n");
    if ends_in_crlf(content) {
        return exact(crlf(old), crlf(new));
    }
    let found = exact(old.to_owned(), new.to_owned());
    // A file with both kinds of line ends: the piece may lie where they are CRLF.
    if found.at.is_empty() && old.contains('\n') && !old.contains('\r') {
        return exact(crlf(old), crlf(new));
    }
    found
}

/// Whether there are line ends, and each of them is CRLF.
fn ends_in_crlf(content: &[u8]) -> bool {
    let mut ends = memchr::memchr_iter(b'\n', content).peekable();
    ends.peek().is_some()
        && ends.all(|at| at.checked_sub(1).and_then(|at| content.get(at)) == Some(&b'\r'))
}

/// The lines, from 1, of ascending places.
fn line_numbers(content: &[u8], places: &[usize]) -> Vec<usize> {
    let mut line = 1;
    let mut from = 0;
    let mut lines = Vec::with_capacity(places.len());
    for &at in places {
        let between = content.get(from..at).unwrap_or_default();
        line += memchr::memchr_iter(b'\n', between).count();
        from = at;
        lines.push(line);
    }
    lines
}

/// The lines of places, in words.
pub(crate) fn at_lines_of(content: &[u8], places: &[usize]) -> String {
    at_lines(&line_numbers(content, places))
}

fn at_lines(lines: &[usize]) -> String {
    let named: Vec<String> = lines.iter().take(LINES_NAMED_MAX).map(usize::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    let more = if lines.len() > LINES_NAMED_MAX { ", …" } else { "" };
    format!("{word} {}{more}", named.join(", "))
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
