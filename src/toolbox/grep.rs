//! Find lines in files.
//!
//! The search is ripgrep's, on files that [`crate::walk`] opens beneath the workspace. What is
//! shown is bounded and the same every time: files in the order of their paths, from each as many
//! matches as leave room for the others, and the counts of what is left out. A match lies within
//! one line.

mod hits;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure};
use crate::beneath::Workspace;
use crate::protected::{Access, Refusal};
use crate::read;
use crate::search::{Search, looked_at};
use crate::walk::{Found, Seen, open_file};

use hits::{FileHits, Hits};

const CONTEXT_LINES_MAX: u64 = 20;
const PATTERN_BYTES_MAX: usize = 10_000;
/// What a pattern may cost once it is compiled, bytes.
const REGEX_BYTES_MAX: usize = 10 << 20;
/// A line longer than this ends the search of its file, bytes.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Searches file contents by regular expression, except in what .gitignore excludes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Rust regex, matched within a line; `(?i)` ignores case.
    pub(crate) pattern: String,
    /// File or directory, the workspace if absent.
    pub(crate) path: Option<String>,
    /// Only files like `*.py`.
    pub(crate) include: Option<String>,
    /// Lines to show around each match.
    pub(crate) context: Option<u64>,
}

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let include = input.include.as_deref().filter(|include| !include.trim().is_empty());
    let search = Search::new(workspace, input.path.as_deref(), include, cancel)?;
    let (matcher, note) = matcher(&input.pattern)?;
    let context = input.context.unwrap_or(0).min(CONTEXT_LINES_MAX);
    let hits = Mutex::new(Hits::default());
    let files = AtomicUsize::new(0);
    let look = |searcher: &mut Searcher, found: Found<'_>| {
        if found.is_link {
            return;
        }
        if let Ok(file) = open_file(found.directory, found.name) {
            let kept_max = hits::kept_max(files.load(Ordering::Relaxed));
            let file_hits = FileHits::search(searcher, &matcher, &file, kept_max, cancel);
            if hits.lock().unwrap_or_else(PoisonError::into_inner).add(found.path, file_hits) {
                files.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let seen = match search.walk(|| searcher(context), look) {
        Err(Refusal::System(Errno::NOTDIR)) => {
            let start = &search.start;
            let (_, file) = read::open(workspace, start, Access::Read)?;
            let (file, _) = read::regular(start, file)?;
            let mut searcher = searcher(context);
            let kept_max = hits::kept_max(0);
            let file_hits = FileHits::search(&mut searcher, &matcher, &file, kept_max, cancel);
            if cancel.is_cancelled() {
                return Err(Failure::Cancelled("Cancelled while searching.".to_owned()));
            }
            hits.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(start.as_path().into(), file_hits);
            Seen { files: 1, ..Seen::default() }
        }
        walked => walked.map_err(|refusal| search.unwalked(refusal))?,
    };
    let hits = hits.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(answer(&hits, seen, note))
}

fn answer(hits: &Hits, seen: Seen, note: Option<String>) -> Answer {
    let mut answer = if hits.is_empty() {
        let binary = match hits.binary {
            0 => String::new(),
            binary => format!(", {binary} of them binary"),
        };
        Answer::from(format!("No line matches ({}{binary}).", looked_at(seen)))
    } else {
        hits.show(seen)
    };
    if let Some(note) = note {
        answer.shown = format!("{note}\n{}", answer.shown);
    }
    answer
}

/// What finds the pattern. One that is no regular expression is looked for as it stands, and a
/// note says so.
fn matcher(pattern: &str) -> Result<(RegexMatcher, Option<String>), String> {
    if pattern.is_empty() {
        return Err("The pattern is empty.".to_owned());
    }
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("The pattern is longer than {PATTERN_BYTES_MAX} bytes."));
    }
    if pattern.contains(['\n', '\r']) {
        return Err("The pattern holds a line end; a match lies within one line. Search for one \
                    of its lines, with context."
            .to_owned());
    }
    let problem = match regex(false).build(pattern) {
        Ok(matcher) => return Ok((matcher, None)),
        Err(error) => reason(&error.to_string()),
    };
    if pattern.contains("\\n") {
        return Err("A match lies within one line, so the pattern cannot contain \\n. Search for \
                    one of the lines, with context."
            .to_owned());
    }
    let matcher = regex(true).build(pattern);
    let matcher = matcher.map_err(|_| format!("The pattern cannot be used: {problem}."))?;
    let note =
        format!("[not a regular expression ({problem}); searched for the text as it stands]");
    Ok((matcher, Some(note)))
}

fn regex(literal: bool) -> RegexMatcherBuilder {
    let mut builder = RegexMatcherBuilder::new();
    builder.line_terminator(Some(b'\n')).fixed_strings(literal);
    builder.size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).nest_limit(100);
    builder
}

/// The last line of what the parser says; those before it draw a picture.
fn reason(error: &str) -> String {
    let last = error.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let last = last.strip_prefix("error: ").unwrap_or(last).trim_end_matches('.');
    last.chars().take(200).collect()
}

fn searcher(context: u64) -> Searcher {
    let lines = usize::try_from(context).unwrap_or(0);
    SearcherBuilder::new()
        .line_number(true)
        .before_context(lines)
        .after_context(lines)
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(LINE_BYTES_MAX))
        .build()
}

#[cfg(test)]
mod tests;
