//! Gathers lines as they become final and keeps what a model will be shown of them.
//!
//! As long as everything fits into the budget, everything is kept. Beyond that, long lines are cut
//! in the middle, the first third of the budget goes to the first lines and the rest to the last
//! ones. Memory is bounded by the budget, whatever comes. Spaces at the end of a line and empty
//! lines at the end of the text are not part of it.

use std::collections::VecDeque;

use crate::text::{Text, Truncation, chars_marker, lines_marker};

/// Takes pieces of lines and line ends.
#[derive(Debug)]
pub(crate) struct Collector {
    chars_max: usize,
    /// Everything so far, while it fits.
    whole: Option<String>,
    whole_chars: usize,
    line: Line,
    /// Empty lines since the last line with text: nothing is known of them until text follows.
    empty_lines: u64,
    has_lines: bool,
    kept: Kept,
    seen: Option<Seen>,
}

/// Lines that were shown before and come once more: they are left out as long as they are what
/// they were.
#[derive(Debug)]
struct Seen {
    lines: VecDeque<String>,
    /// How much of the first one has come again, bytes.
    matched: usize,
}

impl Collector {
    const CHARS_MIN: usize = 200;
    const LINE_CHARS_MAX: usize = 2_000;

    /// An empty collector; budgets below 200 characters are taken as 200.
    pub(crate) fn new(chars_max: usize) -> Self {
        let chars_max = chars_max.max(Self::CHARS_MIN);
        let head_chars_max = chars_max / 3;
        Self {
            chars_max,
            whole: Some(String::new()),
            whole_chars: 0,
            line: Line::new(Self::LINE_CHARS_MAX.min(head_chars_max / 2)),
            empty_lines: 0,
            has_lines: false,
            kept: Kept::new(head_chars_max, chars_max - head_chars_max),
            seen: None,
        }
    }

    /// An empty collector that will be given these lines first, and shows only what is new.
    pub(crate) fn after(chars_max: usize, lines: Vec<String>) -> Self {
        let seen = Seen { lines: lines.into(), matched: 0 };
        let seen = Some(seen).filter(|seen| !seen.lines.is_empty());
        Self { seen, ..Self::new(chars_max) }
    }

    /// The next piece of the current line; it holds no line feed.
    pub(crate) fn append(&mut self, piece: &str) {
        let Some(seen) = &mut self.seen else { return self.append_new(piece) };
        let line = seen.lines.front().map_or("", String::as_str);
        let rest = line.get(seen.matched..).unwrap_or_default();
        if rest.starts_with(piece) {
            seen.matched += piece.len();
            return;
        }
        match piece.strip_prefix(rest).filter(|_| seen.lines.len() == 1) {
            // The line that was last goes on.
            Some(more) => {
                let more = more.trim_start().to_owned();
                self.seen = None;
                self.append_new(&more);
            }
            None => {
                self.show_again();
                self.append_new(piece);
            }
        }
    }

    /// The line is another than the one that was shown: what has come of it counts after all.
    fn show_again(&mut self) {
        if let Some(mut seen) = self.seen.take() {
            let mut line = seen.lines.pop_front().unwrap_or_default();
            line.truncate(seen.matched);
            self.append_new(&line);
        }
    }

    fn append_new(&mut self, piece: &str) {
        let text = piece.trim_end_matches([' ', '\t']);
        if !text.is_empty() {
            self.start_text();
            if self.line.blanks_count > 0 {
                self.flush_blanks();
            }
            self.append_text(text);
        }
        let blanks = piece.get(text.len()..).unwrap_or_default();
        if !blanks.is_empty() {
            self.line.hold_blanks(blanks);
        }
    }

    /// The current line is complete.
    pub(crate) fn end_line(&mut self) {
        if let Some(seen) = &mut self.seen {
            if seen.lines.front().is_none_or(|line| line.len() == seen.matched) {
                seen.lines.pop_front();
                seen.matched = 0;
                self.seen.take_if(|seen| seen.lines.is_empty());
                return;
            }
            self.show_again();
        }
        if self.line.is_empty() {
            self.empty_lines = self.empty_lines.saturating_add(1);
        } else {
            self.kept.push(&mut self.line);
        }
        self.line.clear();
    }

    /// Forgets empty lines since the last text.
    pub(crate) fn drop_empty_lines(&mut self) {
        self.empty_lines = 0;
    }

    /// Whether complete lines may be given by [`Collector::push_simple_lines`].
    pub(crate) fn is_flooded(&self) -> bool {
        self.whole.is_none()
            && !self.kept.head_is_open
            && !self.line.has_anything()
            && self.seen.is_none()
    }

    /// The longest line that is never cut, characters.
    pub(crate) fn line_chars_max(&self) -> usize {
        self.line.chars_max
    }

    /// Many complete lines at once, once the collector is flooded: printable ASCII, each line
    /// ended by `\r\n`, with no spaces before it, and none long enough to be cut.
    pub(crate) fn push_simple_lines(&mut self, bytes: &[u8]) {
        let text_end = bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
        let text_end = text_end.map_or(0, |last| (last + 3).min(bytes.len()));
        let (text, empty) = bytes.split_at(text_end);
        if !text.is_empty() {
            self.flush_empty_lines();
            self.kept.push_simple_lines(text);
        }
        self.empty_lines += count_lines(empty);
    }

    /// What a model is shown.
    pub(crate) fn finish(mut self) -> Text {
        if self.line.has_anything() {
            self.end_line();
        }
        match self.whole {
            Some(text) => Text { text, truncation: None },
            None => self.kept.finish(),
        }
    }

    /// Called before the first text of a line: the empty lines before it count from now on.
    fn start_text(&mut self) {
        if !self.line.is_empty() {
            return;
        }
        let line_ends = self.empty_lines + u64::from(self.has_lines);
        self.append_whole(usize::try_from(line_ends).unwrap_or(usize::MAX), |whole| {
            whole.extend((0..line_ends).map(|_| '\n'));
        });
        self.has_lines = true;
        self.flush_empty_lines();
    }

    fn flush_empty_lines(&mut self) {
        self.kept.push_empty_lines(self.empty_lines);
        self.empty_lines = 0;
    }

    fn flush_blanks(&mut self) {
        let blanks = std::mem::take(&mut self.line.blanks);
        let held = std::mem::take(&mut self.line.blanks_count);
        let missing = held.saturating_sub(blanks.len());
        self.append_text(&blanks);
        let spaces = " ".repeat(missing.min(Self::LINE_CHARS_MAX));
        let mut left = missing;
        while left > 0 {
            let part = left.min(spaces.len());
            self.append_text(spaces.get(..part).unwrap_or_default());
            left -= part;
        }
    }

    fn append_text(&mut self, text: &str) {
        let chars = count_chars(text);
        self.append_whole(chars, |whole| whole.push_str(text));
        self.line.append(text, chars);
    }

    fn append_whole(&mut self, chars: usize, append: impl FnOnce(&mut String)) {
        let Some(whole) = &mut self.whole else { return };
        match self.whole_chars.checked_add(chars).filter(|sum| *sum <= self.chars_max) {
            Some(sum) => {
                self.whole_chars = sum;
                append(whole);
            }
            None => self.whole = None,
        }
    }
}

/// The line being gathered: its beginning, its end, and how long it is.
#[derive(Debug)]
struct Line {
    chars_max: usize,
    first: String,
    first_chars: usize,
    /// What came after `first`: of that, the end.
    last: String,
    chars: usize,
    /// Spaces that may turn out to be at the end of the line, and their number.
    blanks: String,
    blanks_count: usize,
}

impl Line {
    fn new(chars_max: usize) -> Self {
        Self {
            chars_max,
            first: String::new(),
            first_chars: 0,
            last: String::new(),
            chars: 0,
            blanks: String::new(),
            blanks_count: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.chars == 0
    }

    fn has_anything(&self) -> bool {
        self.chars > 0 || self.blanks_count > 0
    }

    fn clear(&mut self) {
        self.first.clear();
        self.last.clear();
        self.blanks.clear();
        (self.first_chars, self.chars, self.blanks_count) = (0, 0, 0);
    }

    fn head_chars(&self) -> usize {
        self.chars_max * 2 / 3
    }

    fn tail_chars(&self) -> usize {
        self.chars_max - self.head_chars()
    }

    fn hold_blanks(&mut self, blanks: &str) {
        // Beyond what is ever shown, a number of spaces is all that has to be known.
        let room = self.chars_max.saturating_sub(self.blanks.len()).min(blanks.len());
        self.blanks.push_str(blanks.get(..room).unwrap_or_default());
        self.blanks_count += blanks.len();
    }

    fn append(&mut self, text: &str, chars: usize) {
        self.chars += chars;
        let room = self.chars_max - self.first_chars;
        if chars <= room {
            self.first.push_str(text);
            self.first_chars += chars;
            return;
        }
        let split = char_offset(text, room);
        let (first, rest) = text.split_at(split);
        self.first.push_str(first);
        self.first_chars = self.chars_max;
        let tail_chars = self.tail_chars();
        self.last.push_str(last_chars(rest, tail_chars));
        if self.last.len() > 16 * tail_chars.max(64) {
            let keep = last_chars(&self.last, tail_chars).len();
            self.last.drain(..self.last.len() - keep);
        }
    }

    /// The line as it is shown, and how many of its characters are not.
    fn cut(&mut self) -> (&str, usize) {
        if self.chars <= self.chars_max {
            return (&self.first, 0);
        }
        let (head_chars, tail_chars) = (self.head_chars(), self.tail_chars());
        let omitted = self.chars - head_chars - tail_chars;
        let mut end = last_chars(&self.last, tail_chars).to_owned();
        let missing = tail_chars - count_chars(&end);
        end.insert_str(0, last_chars(&self.first, missing));
        self.first.truncate(char_offset(&self.first, head_chars));
        self.first.push_str(&chars_marker(omitted as u64));
        self.first.push_str(&end);
        (&self.first, omitted)
    }
}

/// The first and the last lines, as they are shown.
#[derive(Debug)]
struct Kept {
    head: String,
    head_chars: usize,
    head_chars_max: usize,
    head_is_open: bool,
    /// Lines, each with a line feed; more of them than are shown.
    tail: String,
    tail_chars_max: usize,
    /// Lines that were cut, by number, and by how many characters.
    cuts: Vec<(u64, u64)>,
    lines: u64,
    /// Characters of all lines, each line's end counted as one.
    chars: u64,
}

impl Kept {
    fn new(head_chars_max: usize, tail_chars_max: usize) -> Self {
        Self {
            head: String::new(),
            head_chars: 0,
            head_chars_max,
            head_is_open: true,
            tail: String::new(),
            tail_chars_max,
            cuts: Vec::new(),
            lines: 0,
            chars: 0,
        }
    }

    fn push(&mut self, line: &mut Line) {
        let chars = line.chars;
        let (shown, omitted) = line.cut();
        if omitted > 0 {
            self.cuts.push((self.lines, omitted as u64));
        }
        self.lines += 1;
        self.chars += chars as u64 + 1;
        let shown_chars = if omitted == 0 { chars } else { count_chars(shown) };
        self.push_shown(shown, shown_chars);
    }

    fn push_shown(&mut self, shown: &str, shown_chars: usize) {
        if self.head_is_open && self.head_chars + shown_chars < self.head_chars_max {
            self.head_chars += shown_chars + 1;
            self.head.push_str(shown);
            self.head.push('\n');
            return;
        }
        self.head_is_open = false;
        self.tail.push_str(shown);
        self.tail.push('\n');
        self.shorten_tail();
    }

    fn push_empty_lines(&mut self, count: u64) {
        let mut left = count;
        while left > 0 && self.head_is_open {
            self.push_empty_line();
            left -= 1;
        }
        let shown = left.min(self.tail_chars_max as u64 + 1);
        self.lines += left - shown;
        self.chars += left - shown;
        for _ in 0..shown {
            self.push_empty_line();
        }
    }

    fn push_empty_line(&mut self) {
        self.lines += 1;
        self.chars += 1;
        self.push_shown("", 0);
    }

    fn push_simple_lines(&mut self, bytes: &[u8]) {
        let lines = count_lines(bytes);
        self.lines += lines;
        self.chars += bytes.len() as u64 - lines;
        // Two bytes end a line and one character stands for them: this holds the whole tail.
        let mut start = bytes.len().saturating_sub(self.tail_chars_max.saturating_mul(2));
        if start > 0 {
            let rest = bytes.get(start..).unwrap_or_default();
            start = memchr::memchr(b'\n', rest).map_or(0, |offset| start + offset + 1);
        }
        if start > 0 {
            self.tail.clear();
            self.cuts.retain(|(line, _)| (*line as usize) < count_newlines(&self.head));
        }
        for line in bytes.get(start..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\r\n").unwrap_or(line);
            self.tail.push_str(std::str::from_utf8(text).unwrap_or_default());
            self.tail.push('\n');
        }
        self.shorten_tail();
    }

    /// Drops lines that have moved too far from the end, once there is enough of them.
    fn shorten_tail(&mut self) {
        let bytes_max = self.tail_chars_max.saturating_mul(8).saturating_add(16_384);
        if self.tail.len() <= bytes_max {
            return;
        }
        let start = self.tail_start();
        self.tail.drain(..start);
        let head_lines = count_newlines(&self.head) as u64;
        let first_of_tail = self.lines - count_newlines(&self.tail) as u64;
        self.cuts.retain(|(line, _)| *line < head_lines || *line >= first_of_tail);
    }

    /// Where the lines begin that are shown of the tail: as many as fit, and at least the last.
    fn tail_start(&self) -> usize {
        let mut start = self.tail.len();
        let mut chars = 0;
        for line in self.tail.split_inclusive('\n').rev() {
            chars += count_chars(line);
            if chars > self.tail_chars_max && start < self.tail.len() {
                break;
            }
            start -= line.len();
        }
        start
    }

    fn finish(mut self) -> Text {
        let start = self.tail_start();
        self.tail.drain(..start);
        let head_lines = count_newlines(&self.head) as u64;
        let tail_lines = count_newlines(&self.tail) as u64;
        let first_of_tail = self.lines - tail_lines;
        self.cuts.retain(|(line, _)| *line < head_lines || *line >= first_of_tail);
        let cut: u64 = self.cuts.iter().map(|(_, chars)| chars).sum();
        let markers: usize =
            self.cuts.iter().map(|(_, chars)| count_chars(&chars_marker(*chars))).sum();
        let shown = count_chars(&self.head) + count_chars(&self.tail) - markers;
        let lines_omitted = first_of_tail - head_lines;
        let chars_omitted = self.chars - shown as u64;
        let mut text = self.head;
        if lines_omitted > 0 {
            text.push_str(&lines_marker(lines_omitted, chars_omitted - cut));
            text.push('\n');
        }
        text.push_str(&self.tail);
        text.pop();
        let truncation = (chars_omitted > 0).then_some(Truncation { lines_omitted, chars_omitted });
        Text { text, truncation }
    }
}

fn count_chars(text: &str) -> usize {
    text.chars().count()
}

fn count_newlines(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// The byte at which the character with this number begins, or the text's length.
fn char_offset(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(offset, _)| offset)
}

/// The last characters of a text.
fn last_chars(text: &str, chars: usize) -> &str {
    let Some(before) = chars.checked_sub(1) else {
        return "";
    };
    let start = text.char_indices().nth_back(before).map_or(0, |(offset, _)| offset);
    text.get(start..).unwrap_or_default()
}
