//! The lines that were found: kept within bounds, then shown.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::{Searcher, Sink, SinkContext, SinkFinish, SinkMatch};
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::{Answer, count};
use crate::beneath::printable;
use crate::search::cut;
use crate::walk::Seen;

/// Matches that are shown, of all files together.
const MATCHES_MAX: usize = 200;
const SHOWN_BYTES_MAX: usize = 32 << 10;
const LINE_CHARS_MAX: usize = 300;
/// What is shown of a long line before its match.
const LEAD_CHARS_MAX: usize = 100;
/// Matches that are counted in one file.
const COUNTED_MAX: u64 = 10_000;
/// Text that is kept of all files together while the search goes on.
const KEPT_BYTES_MAX: usize = 8 << 20;
const FILES_NAMED_MAX: usize = 10;
/// How many matches each file may show, when not all have room.
const QUOTAS: [usize; 9] = [100, 50, 30, 20, 10, 5, 3, 2, 1];

/// How many matches of a file can be shown at most, when so many files have some already. Where
/// there are more files than room each shows one, so it is of no use to keep more.
pub(crate) fn kept_max(files: usize) -> u64 {
    if files > MATCHES_MAX { 1 } else { MATCHES_MAX as u64 }
}

struct Line {
    number: u64,
    text: String,
    is_match: bool,
    /// Lines are left out before it.
    is_apart: bool,
}

/// What was found in one file.
#[derive(Default)]
pub(crate) struct FileHits {
    matches: u64,
    lines: Vec<Line>,
    is_binary: bool,
    is_apart: bool,
}

impl FileHits {
    /// Searches a file. One that turns out to be binary, or cannot be read, has no hits.
    pub(crate) fn search(
        searcher: &mut Searcher,
        matcher: &RegexMatcher,
        file: &File,
        kept_max: u64,
        cancel: &CancellationToken,
    ) -> Self {
        let mut collect = Collect { matcher, kept_max, cancel, hits: Self::default() };
        // A file that cannot be read to its end shows what was found before.
        let _ = searcher.search_file(matcher, file, &mut collect);
        collect.hits
    }
}

struct Collect<'a> {
    matcher: &'a RegexMatcher,
    kept_max: u64,
    cancel: &'a CancellationToken,
    hits: FileHits,
}

impl Collect<'_> {
    fn keep(&mut self, number: Option<u64>, bytes: &[u8], is_match: bool) {
        let is_apart = std::mem::take(&mut self.hits.is_apart);
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let at = is_match.then(|| self.matcher.find(bytes).ok().flatten()).flatten();
        let text = clipped(bytes, at.map_or(0, |at| at.start()));
        self.hits.lines.push(Line { number: number.unwrap_or(0), text, is_match, is_apart });
    }
}

impl Sink for Collect<'_> {
    type Error = std::io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, Self::Error> {
        self.hits.matches += 1;
        if self.hits.matches <= self.kept_max {
            self.keep(found.line_number(), found.bytes(), true);
        }
        Ok(self.hits.matches < COUNTED_MAX && !self.cancel.is_cancelled())
    }

    fn context(&mut self, _: &Searcher, found: &SinkContext<'_>) -> Result<bool, Self::Error> {
        if self.hits.matches <= self.kept_max {
            self.keep(found.line_number(), found.bytes(), false);
        }
        Ok(true)
    }

    fn context_break(&mut self, _: &Searcher) -> Result<bool, Self::Error> {
        self.hits.is_apart = true;
        Ok(true)
    }

    fn binary_data(&mut self, _: &Searcher, _: u64) -> Result<bool, Self::Error> {
        self.hits.is_binary = true;
        Ok(false)
    }

    fn finish(&mut self, _: &Searcher, finish: &SinkFinish) -> Result<(), Self::Error> {
        self.hits.is_binary |= finish.binary_byte_offset().is_some();
        Ok(())
    }
}

/// A line as text; a long one is cut to what lies around `at`.
fn clipped(bytes: &[u8], at: usize) -> String {
    let from = at.saturating_sub(LEAD_CHARS_MAX * 4);
    let near = bytes.get(from..bytes.len().min(at + LINE_CHARS_MAX * 4)).unwrap_or_default();
    let lead = String::from_utf8_lossy(near.get(..at - from).unwrap_or_default());
    let rest = String::from_utf8_lossy(near.get(at - from..).unwrap_or_default());
    let text =
        || lead.chars().chain(rest.chars()).map(|letter| if letter == '\0' { '␀' } else { letter });
    let whole = text().count();
    if near.len() == bytes.len() && whole <= LINE_CHARS_MAX {
        return text().collect();
    }
    let skipped = lead.chars().count().saturating_sub(LEAD_CHARS_MAX);
    let before = if skipped > 0 || from > 0 { "…" } else { "" };
    let kept: String = text().skip(skipped).take(LINE_CHARS_MAX).collect();
    let after = if whole > skipped + LINE_CHARS_MAX || from + near.len() < bytes.len() {
        "…"
    } else {
        ""
    };
    format!("{before}{kept}{after}")
}

/// What was found in all files.
#[derive(Default)]
pub(crate) struct Hits {
    /// Matches by file, of all files that have some.
    counts: BTreeMap<PathBuf, u64>,
    /// The lines of the first of them.
    lines: BTreeMap<PathBuf, Vec<Line>>,
    bytes: usize,
    /// Files that were left alone because they are not text.
    pub(crate) binary: u64,
}

impl Hits {
    /// Adds a file. When the text of all becomes too much, that of the last is dropped, so what is
    /// kept does not depend on the order in which files come.
    ///
    /// Answers whether the file has a match.
    pub(crate) fn add(&mut self, path: PathBuf, hits: FileHits) -> bool {
        if hits.is_binary {
            self.binary += 1;
            return false;
        }
        if hits.matches == 0 {
            return false;
        }
        self.bytes += size(&hits.lines);
        self.counts.insert(path.clone(), hits.matches);
        self.lines.insert(path, hits.lines);
        while self.bytes > KEPT_BYTES_MAX && self.lines.len() > 1 {
            if let Some((_, last)) = self.lines.pop_last() {
                self.bytes -= size(&last);
            }
        }
        true
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The text for the model.
    pub(crate) fn show(&self, seen: Seen) -> Answer {
        let quota = self.quota();
        let mut shown = String::new();
        let mut told: BTreeMap<&Path, u64> = BTreeMap::new();
        for (path, lines) in &self.lines {
            let (text, matches) = file(path, lines, quota);
            if !shown.is_empty() && shown.len() + text.len() > SHOWN_BYTES_MAX {
                break;
            }
            shown.push_str(&text);
            told.insert(path, matches);
        }
        let left: Vec<(&Path, u64)> = self
            .counts
            .iter()
            .map(|(path, all)| (path.as_path(), all - told.get(path.as_path()).unwrap_or(&0)))
            .filter(|(_, left)| *left > 0)
            .collect();
        let omitted: u64 = left.iter().map(|(_, left)| left).sum();
        if omitted > 0 {
            shown.push_str(&self.left_out(&left, omitted));
        }
        shown.push_str(&cut(seen).unwrap_or_default());
        shown.truncate(shown.trim_end().len());
        let truncated =
            (omitted > 0).then_some(Truncation { lines_omitted: omitted, chars_omitted: 0 });
        Answer { shown, truncated, ..Answer::default() }
    }

    /// How many matches each file shows.
    fn quota(&self) -> usize {
        let matches = |lines: &Vec<Line>| lines.iter().filter(|line| line.is_match).count();
        if self.lines.len() == 1 {
            return MATCHES_MAX;
        }
        let fits = |quota: &usize| {
            self.lines.values().map(|lines| matches(lines).min(*quota)).sum::<usize>()
                <= MATCHES_MAX
        };
        QUOTAS.into_iter().find(fits).unwrap_or(1)
    }

    fn left_out(&self, left: &[(&Path, u64)], omitted: u64) -> String {
        let plus = if self.counts.values().any(|count| *count == COUNTED_MAX) { "+" } else { "" };
        let all: u64 = self.counts.values().sum();
        let mut named: Vec<String> = left
            .iter()
            .take(FILES_NAMED_MAX)
            .map(|(path, left)| format!("{} {left}", printable(path.as_os_str())))
            .collect();
        if left.len() > FILES_NAMED_MAX {
            named.push(format!("{} more files", left.len() - FILES_NAMED_MAX));
        }
        format!(
            "[{all}{plus} matching lines in {}; {omitted} left out: {}. Narrow it with path, \
             include or a longer pattern]\n",
            count(self.counts.len(), "file"),
            named.join(", ")
        )
    }
}

fn size(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.text.len() + size_of::<Line>()).sum()
}

/// The lines of a file up to so many matches, and how many matches that are.
fn file(path: &Path, lines: &[Line], quota: usize) -> (String, u64) {
    let path = printable(path.as_os_str());
    let mut text = String::new();
    let mut matches = 0;
    for line in lines {
        let full = matches == quota;
        if full && (line.is_match || line.is_apart) || text.len() > SHOWN_BYTES_MAX {
            break;
        }
        if line.is_apart {
            text.push_str("--\n");
        }
        matches += usize::from(line.is_match);
        let (number, mark) = (line.number, if line.is_match { ':' } else { '-' });
        text.push_str(&format!("{path}{mark}{number}{mark} {}\n", line.text));
    }
    (text, matches as u64)
}
