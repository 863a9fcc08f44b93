//! A range of lines, numbered, and what is known of the rest.

use std::io::BufRead;

use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::Answer;
use crate::path::Relative;

pub(super) const LINES_MAX: u64 = 2_000;
const SHOWN_BYTES_MAX: usize = 64 << 10;
const LINE_CHARS_MAX: usize = 2_000;
/// How far into a file an offset may point, and its lines are counted.
const SCAN_BYTES_MAX: u64 = 1 << 30;
/// A line longer than this is dropped as it streams by, since none of it will be shown.
const LINE_BYTES_KEPT: usize = LINE_CHARS_MAX * 4;

/// The lines that are shown, and what is known of the rest.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    /// Lines shown.
    pub(super) shown: u64,
    /// Lines counted, shown or not.
    total: u64,
    /// The file goes on beyond what was counted.
    uncounted: bool,
    chars_omitted: u64,
    lossy: bool,
    carriage_returns: bool,
    pub(super) cancelled: bool,
}

impl Page {
    pub(super) fn read(
        mut reader: impl BufRead,
        first: u64,
        lines: u64,
        cancel: &CancellationToken,
    ) -> std::io::Result<Self> {
        let mut page = Self::default();
        let mut scanned = 0;
        let mut full = false;
        let mut line = Vec::new();
        loop {
            line.clear();
            let wanted = !full && page.total + 1 >= first;
            let bytes = read_line(&mut reader, &mut line, wanted)?;
            if bytes == 0 {
                return Ok(page);
            }
            page.total += 1;
            scanned += bytes;
            if wanted {
                full = !page.push(page.total, &line, bytes) || page.shown == lines;
            }
            if cancel.is_cancelled() {
                page.cancelled = true;
                return Ok(page);
            }
            if scanned > SCAN_BYTES_MAX {
                page.uncounted = true;
                return Ok(page);
            }
        }
    }

    /// Adds a line; false when there is no more room for it.
    fn push(&mut self, number: u64, line: &[u8], bytes: u64) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (line, returned) = line.strip_suffix(b"\r").map_or((line, false), |line| (line, true));
        let line =
            if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let text = String::from_utf8_lossy(line);
        let kept = text.char_indices().nth(LINE_CHARS_MAX).map_or(text.len(), |(at, _)| at);
        let mut shown = format!("{number:>6}\t{}", text.get(..kept).unwrap_or_default());
        // Nothing that reads a model's context is helped by a NUL.
        if shown.contains('\0') {
            shown = shown.replace('\0', "␀");
        }
        let omitted = bytes.saturating_sub(kept as u64 + 1);
        if kept < text.len() {
            shown.push_str(&format!(" [{omitted} more bytes in this line]"));
        }
        shown.push('\n');
        if self.shown > 0 && self.text.len() + shown.len() > SHOWN_BYTES_MAX {
            return false;
        }
        if kept < text.len() {
            self.chars_omitted += omitted;
        }
        self.lossy |= matches!(text, std::borrow::Cow::Owned(_)) && shown.contains('\u{fffd}');
        self.carriage_returns |= returned;
        self.text.push_str(&shown);
        self.shown += 1;
        true
    }

    /// What is told of the page. A range that was `asked` for is shown whole: nothing of it is
    /// left out, though the file goes on.
    pub(super) fn answer(
        mut self,
        path: &Relative,
        first: u64,
        asked: bool,
    ) -> Result<Answer, String> {
        if self.shown == 0 {
            return Err(if self.uncounted {
                format!("Line {first} of {path} lies beyond the first GiB; use shell.")
            } else {
                format!("Offset {first} is beyond the end: {path} has {} lines.", self.total)
            });
        }
        let last = first + self.shown - 1;
        let left = self.total - last;
        if left > 0 || self.uncounted {
            let more = if self.uncounted { "more than " } else { "" };
            let total = self.total;
            let next = last + 1;
            self.text.push_str(&format!(
                "[lines {first}-{last} of {more}{total}; go on with offset {next}]\n"
            ));
        }
        if self.lossy {
            self.text.push_str("[not all of it is UTF-8: what is not is shown as \u{fffd}]\n");
        }
        if self.carriage_returns {
            self.text.push_str("[lines end in CRLF; edit keeps them]\n");
        }
        self.text.truncate(self.text.trim_end_matches('\n').len());
        let lines_omitted = if asked { 0 } else { left };
        let cut = lines_omitted > 0 || self.chars_omitted > 0;
        let truncated =
            cut.then_some(Truncation { lines_omitted, chars_omitted: self.chars_omitted });
        Ok(Answer { shown: self.text, truncated, ..Answer::default() })
    }
}

/// Reads on to the next line, whose first bytes go into `line` when they are `wanted`. Answers
/// how many bytes it has with its end; 0 at the end of the file.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, wanted: bool) -> std::io::Result<u64> {
    let mut bytes = 0;
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(bytes);
        }
        let end = memchr::memchr(b'\n', buffer);
        let used = end.map_or(buffer.len(), |at| at + 1);
        if wanted {
            let room = LINE_BYTES_KEPT.saturating_sub(line.len()).min(used);
            line.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
        bytes += used as u64;
        reader.consume(used);
        // A file without a single line end is bounded too.
        if end.is_some() || bytes > SCAN_BYTES_MAX {
            return Ok(bytes);
        }
    }
}
