//! Read a text file, or a part of it, with line numbers.
//!
//! The form is that of `cat -n`: a number, a tab, the line. Memory is bounded whatever the file
//! holds. Absent: images, notebooks, PDF; they have their own issue.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;

use rustix::fs::Stat;
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::{Answer, Failure, size};
use crate::atomic;
use crate::beneath::{Place, Workspace};
use crate::path::Relative;
use crate::protected::{Access, Refusal};
use crate::suggest;

const LINES_MAX: u64 = 2_000;
const SHOWN_BYTES_MAX: usize = 64 << 10;
const LINE_CHARS_MAX: usize = 2_000;
/// How far into a file an offset may point, and its lines are counted.
const SCAN_BYTES_MAX: u64 = 1 << 30;
/// How much of a file decides whether it is text.
const SNIFF_BYTES: usize = 8 << 10;
/// A line longer than this is dropped as it streams by, since none of it will be shown.
const LINE_BYTES_KEPT: usize = LINE_CHARS_MAX * 4;

/// Reads a text file, with line numbers. Long files are cut, saying how to go on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Path, relative to the workspace.
    pub(crate) file_path: String,
    /// First line, from 1.
    pub(crate) offset: Option<u64>,
    /// Number of lines; 2000 at most.
    pub(crate) limit: Option<u64>,
}

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let path = Relative::parse(&input.file_path, workspace)?;
    let (_, file) = open(workspace, &path, Access::Read)?;
    let (file, stat) = regular(&path, file)?;
    let first = input.offset.unwrap_or(1).max(1);
    let lines = input.limit.unwrap_or(LINES_MAX).clamp(1, LINES_MAX);
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let head = reader.fill_buf().map_err(|error| broken(&path, &error))?;
    if head.is_empty() {
        return Ok(Answer::from("(empty file)".to_owned()));
    }
    if let Some(kind) = binary_kind(head.get(..SNIFF_BYTES).unwrap_or(head)) {
        let size = size(u64::try_from(stat.st_size).unwrap_or(0));
        let text = format!("{path} is a binary file ({kind}, {size}), not text.");
        return Err(Failure::Error(text));
    }
    let page = Page::read(reader, first, lines, cancel).map_err(|error| broken(&path, &error))?;
    if page.cancelled {
        return Err(Failure::Cancelled("Cancelled while reading.".to_owned()));
    }
    let asked = input.limit.is_some_and(|limit| page.shown >= limit);
    page.answer(&path, first, asked).map_err(Failure::Error)
}

/// Opens a file that exists, to read it and then perhaps to change it.
pub(crate) fn open(
    workspace: &Workspace,
    path: &Relative,
    access: Access,
) -> Result<(Place, OwnedFd), Failure> {
    let opened = workspace.place(path, access).and_then(|place| {
        let file = place.open()?;
        Ok((place, file))
    });
    opened.map_err(|refusal| match refusal {
        Refusal::Denied(rule) => Failure::Denied(rule.explain(path)),
        Refusal::System(error) => Failure::Error(explain(workspace, path, error)),
    })
}

fn explain(workspace: &Workspace, path: &Relative, error: Errno) -> String {
    match error {
        Errno::NOENT => suggest::missing(workspace, path),
        Errno::ISDIR => format!("{path} is a directory; use list."),
        // What opening a socket, or a device without a driver, answers.
        Errno::NXIO => format!("{path} is a socket or a device, not a file."),
        error => path.explain(error),
    }
}

/// The file behind a descriptor, if it is a regular one.
pub(crate) fn regular(path: &Relative, file: OwnedFd) -> Result<(File, Stat), String> {
    let stat = rustix::fs::fstat(&file).map_err(|error| path.explain(error))?;
    match atomic::kind(&stat) {
        None => Ok((File::from(file), stat)),
        Some("directory") => Err(format!("{path} is a directory; use list.")),
        Some(kind) => Err(format!("{path} is a {kind}, not a file; it was not read.")),
    }
}

fn broken(path: &Relative, error: &std::io::Error) -> Failure {
    Failure::Error(format!("{path} could not be read: {error}."))
}

/// What a file with these first bytes is, when it is not text.
pub(crate) fn binary_kind(head: &[u8]) -> Option<&'static str> {
    const KINDS: &[(&[u8], &str)] = &[
        (b"\x89PNG", "PNG image"),
        (b"\xff\xd8\xff", "JPEG image"),
        (b"GIF8", "GIF image"),
        (b"%PDF-", "PDF document"),
        (b"\x7fELF", "ELF program or library"),
        (b"SQLite format 3\0", "SQLite database"),
        (b"PK\x03\x04", "ZIP archive"),
        (b"\x1f\x8b", "gzip archive"),
        (b"\x28\xb5\x2f\xfd", "zstd archive"),
        (b"\xff\xfe", "UTF-16 text"),
        (b"\xfe\xff", "UTF-16 text"),
        (b"\0asm", "WebAssembly module"),
        (b"PAR1", "Parquet file"),
    ];
    let known = KINDS.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind);
    known.or_else(|| memchr::memchr(0, head).map(|_| "unknown kind"))
}

/// The lines that are shown, and what is known of the rest.
#[derive(Default)]
struct Page {
    text: String,
    /// Lines shown.
    shown: u64,
    /// Lines counted, shown or not.
    total: u64,
    /// The file goes on beyond what was counted.
    uncounted: bool,
    chars_omitted: u64,
    lossy: bool,
    carriage_returns: bool,
    cancelled: bool,
}

impl Page {
    fn read(
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
    fn answer(mut self, path: &Relative, first: u64, asked: bool) -> Result<Answer, String> {
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

/// All of a file, when it is no longer than `bytes_max`.
pub(crate) fn whole(file: File, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= bytes_max).then_some(content))
}

#[cfg(test)]
mod tests;
