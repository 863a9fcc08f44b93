//! Read a file, or a part of it.
//!
//! Text comes as `cat -n` shows it: a number, a tab, the line. Notebooks, PDF documents and UTF-16
//! are turned into text first and paged the same way; Parquet files show their columns and first
//! rows; an image is handed to the model beside a line that says what it is. Memory is bounded
//! whatever the file holds. Other binary files are refused with a word on what they are.

mod columns;
mod image;
mod notebook;
mod page;
mod pdf;

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::os::fd::OwnedFd;

use rustix::fs::Stat;
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure, size};
use crate::atomic;
use crate::beneath::{Place, Workspace};
use crate::path::Relative;
use crate::protected::{Access, Refusal};
use crate::suggest;

use page::{LINES_MAX, Page};

pub(crate) use image::kind as image_kind;
#[cfg(test)]
pub(crate) use pdf::tests::document as pdf_document;
pub(crate) use pdf::{Problem as PdfProblem, text as pdf_text};

/// How much of a file decides whether it is text.
const SNIFF_BYTES: usize = 8 << 10;
/// The longest file that is turned into text, bytes.
const WHOLE_BYTES_MAX: u64 = 16 << 20;

/// Reads text with line numbers, images, PDF, notebooks and Parquet. Long files are cut, saying
/// how to go on.
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

/// Runs the tool. A model that `sees` is handed images.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    sees: bool,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let path = Relative::parse(&input.file_path, workspace)?;
    let (_, file) = open(workspace, &path, Access::Read)?;
    let (file, stat) = regular(&path, file)?;
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let head = reader.fill_buf().map_err(|error| broken(&path, &error))?;
    if head.is_empty() {
        return Ok(Answer::from("(empty file)".to_owned()));
    }
    let head = head.get(..SNIFF_BYTES).unwrap_or(head);
    let range = Range::of(input);
    if let Some(media_type) = image_kind(head) {
        let content = all(&path, &mut reader)?;
        return image::answer(&path, media_type, content, sees);
    }
    if head.starts_with(b"%PDF-") {
        let content = all(&path, &mut reader)?;
        let text = pdf::text(content, cancel).map_err(|problem| problem.of(&path))?;
        return range.show(&path, Cursor::new(text), cancel);
    }
    if head.starts_with(b"PAR1") {
        return columns::answer(&path, reader.into_inner(), input.offset, input.limit, cancel);
    }
    if let Some(big_endian) = utf16(head) {
        let content = all(&path, &mut reader)?;
        let mut text = decoded(&content, big_endian);
        text.push_str("[decoded from UTF-16; edit cannot change it]\n");
        return range.show(&path, Cursor::new(text), cancel);
    }
    if let Some(kind) = binary_kind(head) {
        let size = size(bytes);
        let text = format!("{path} is a binary file ({kind}, {size}), not text.");
        return Err(Failure::Error(text));
    }
    if is_named(&path, "ipynb") && bytes <= WHOLE_BYTES_MAX {
        let content = all(&path, &mut reader)?;
        return match notebook::text(&content) {
            Some(text) => range.show(&path, Cursor::new(text), cancel),
            None => range.show(&path, Cursor::new(content), cancel),
        };
    }
    let table = table(&path, head);
    let mut answer = range.show(&path, reader, cancel)?;
    if let Some(columns) = table.filter(|_| answer.shown.contains("; go on with offset ")) {
        answer.shown.push_str(&format!("\n[a table of {columns} columns]"));
    }
    Ok(answer)
}

/// The lines that are asked for.
struct Range {
    first: u64,
    lines: u64,
    limit: Option<u64>,
}

impl Range {
    fn of(input: &Input) -> Self {
        let first = input.offset.unwrap_or(1).max(1);
        let lines = input.limit.unwrap_or(LINES_MAX).clamp(1, LINES_MAX);
        Self { first, lines, limit: input.limit }
    }

    fn show(
        &self,
        path: &Relative,
        reader: impl BufRead,
        cancel: &CancellationToken,
    ) -> Result<Answer, Failure> {
        let page = Page::read(reader, self.first, self.lines, cancel);
        let page = page.map_err(|error| broken(path, &error))?;
        if page.cancelled {
            return Err(Failure::Cancelled("Cancelled while reading.".to_owned()));
        }
        let asked = self.limit.is_some_and(|limit| page.shown >= limit);
        page.answer(path, self.first, asked).map_err(Failure::Error)
    }
}

/// All of a file that has to be in memory at once.
fn all(path: &Relative, reader: &mut BufReader<File>) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = reader.take(WHOLE_BYTES_MAX + 1).read_to_end(&mut content);
    read.map_err(|error| broken(path, &error))?;
    if content.len() as u64 > WHOLE_BYTES_MAX {
        let most = size(WHOLE_BYTES_MAX);
        return Err(Failure::Error(format!("{path} is longer than {most}; use shell.")));
    }
    Ok(content)
}

/// Whether the byte order mark is that of UTF-16, and which.
fn utf16(head: &[u8]) -> Option<bool> {
    match head {
        [0xff, 0xfe, 0, 0, ..] => None,
        [0xff, 0xfe, ..] => Some(false),
        [0xfe, 0xff, ..] => Some(true),
        _ => None,
    }
}

fn decoded(content: &[u8], big_endian: bool) -> String {
    let units = content.get(2..).unwrap_or_default().chunks_exact(2).map(|pair| match pair {
        [first, second] if big_endian => u16::from_be_bytes([*first, *second]),
        [first, second] => u16::from_le_bytes([*first, *second]),
        _ => 0,
    });
    let letters = char::decode_utf16(units);
    let mut text: String = letters.map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn is_named(path: &Relative, extension: &str) -> bool {
    path.as_path().extension().is_some_and(|it| it.eq_ignore_ascii_case(extension))
}

/// How many columns a table has that is kept as text.
fn table(path: &Relative, head: &[u8]) -> Option<usize> {
    let between = if is_named(path, "tsv") { b'\t' } else { b',' };
    let first = head.split(|byte| *byte == b'\n').next()?;
    let mut quoted = false;
    let columns = first.iter().filter(|byte| {
        quoted ^= **byte == b'"';
        **byte == between && !quoted
    });
    let columns = columns.count() + 1;
    (is_named(path, "csv") || is_named(path, "tsv")).then_some(columns)
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

/// All of a file, when it is no longer than `bytes_max`.
pub(crate) fn whole(file: File, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= bytes_max).then_some(content))
}

#[cfg(test)]
mod tests;
