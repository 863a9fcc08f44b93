//! Replace a piece of a file.
//!
//! The piece must occur exactly as given; [`find`] is where later steps that forgive white space
//! will stand. It works on bytes, so what is not UTF-8 elsewhere in the file stays as it is. In a
//! file whose lines all end in CRLF, both texts are taken as if they had been written so.

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure, count, size};
use crate::atomic;
use crate::beneath::Workspace;
use crate::nearest;
use crate::path::Relative;
use crate::protected::Access;
use crate::read;
use crate::write;

/// The longest file that is edited, before and after, bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
const LINES_NAMED_MAX: usize = 10;

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
    let (place, file) = read::open(workspace, &path, Access::Change)?;
    let (file, before) = read::regular(&path, file)?;
    let content = read::whole(file, FILE_BYTES_MAX)
        .map_err(|error| format!("{path} could not be read: {error}."))?
        .ok_or_else(|| format!("{path} is longer than {}; use shell.", size(FILE_BYTES_MAX)))?;
    let edited = apply(&path, &content, input)?;
    atomic::replace(&place, Some(&before), &edited.content, cancel)
        .map_err(|error| write::explain(&path, error))?;
    let times = count(edited.lines.len(), "replacement");
    Ok(Answer::from(format!("Edited {path}: {times}, {}", at_lines(&edited.lines))))
}

/// A file after an edit.
#[derive(Debug)]
struct Edited {
    content: Vec<u8>,
    /// The lines at which the replacements begin, before the edit, from 1.
    lines: Vec<usize>,
}

fn apply(path: &Relative, content: &[u8], input: &Input) -> Result<Edited, String> {
    let Input { old_string, new_string, .. } = input;
    if old_string.is_empty() {
        return Err("old_string is empty. Use write for a new file.".to_owned());
    }
    if old_string == new_string {
        return Err("old_string and new_string are the same; nothing was changed.".to_owned());
    }
    let found = find(content, old_string, new_string);
    if found.at.is_empty() {
        return Err(nearest::not_found(path, content, old_string));
    }
    let lines = line_numbers(content, &found.at);
    if input.replace_all != Some(true) {
        let mut all = found.at.clone();
        all.extend(found.overlapping(content));
        if all.len() > 1 {
            return Err(format!(
                "old_string occurs {} times in {path}, {}. Add lines around it until it is \
                 unique, or set replace_all. Nothing was changed.",
                all.len(),
                at_lines(&line_numbers(content, &all))
            ));
        }
    }
    let growth = found.new.len().saturating_sub(found.old.len());
    let after = growth.saturating_mul(found.at.len()).saturating_add(content.len());
    if after as u64 > FILE_BYTES_MAX {
        let most = size(FILE_BYTES_MAX);
        return Err(format!("{path} would grow beyond {most}; nothing was changed."));
    }
    Ok(Edited { content: found.replaced(content), lines })
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

fn at_lines(lines: &[usize]) -> String {
    let named: Vec<String> = lines.iter().take(LINES_NAMED_MAX).map(usize::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    let more = if lines.len() > LINES_NAMED_MAX { ", …" } else { "" };
    format!("{word} {}{more}", named.join(", "))
}

#[cfg(test)]
mod tests;
