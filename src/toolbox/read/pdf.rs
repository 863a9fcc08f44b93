//! The text of PDF documents, page by page.
//!
//! The parser works in a thread of its own, with a deep stack, under a deadline, and may panic; so
//! a document that is made to hurt costs one refusal. A thread that does not end in time is left to
//! finish on its own: it looks between pages whether anybody still waits.
//!
//! Absent: documents that are pictures of text, tables as tables, encrypted ones.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use lopdf::{Document, LoadOptions};
use tokio_util::sync::CancellationToken;

use crate::answer::Failure;

const TIME_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether the call was cancelled.
const LOOK: Duration = Duration::from_millis(50);
const STACK_BYTES: usize = 16 << 20;
/// What one stream of a document may grow to when it is unpacked, bytes.
const STREAM_BYTES_MAX: usize = 16 << 20;
const LINE_CHARS_MAX: usize = 200;
const PAGES_MAX: usize = 2_000;
const TEXT_BYTES_MAX: usize = 4 << 20;

/// Why there is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Damaged,
    Encrypted,
    /// It holds no text at all, as scans do.
    NoText,
    TooSlow,
    Cancelled,
}

impl Problem {
    /// The sentence about the document that is called so.
    pub(crate) fn of(self, name: impl std::fmt::Display) -> Failure {
        Failure::Error(match self {
            Self::Damaged => format!("{name} is a PDF document that cannot be read."),
            Self::Encrypted => format!("{name} is a PDF document that needs a password."),
            Self::NoText => format!("{name} is a PDF document without text; perhaps a scan."),
            Self::TooSlow => format!("{name} is a PDF document that takes too long to read."),
            Self::Cancelled => return Failure::Cancelled("Cancelled while reading.".to_owned()),
        })
    }
}

/// What the thread has to say.
enum Said {
    Pages(usize),
    Page(usize, String),
}

/// The text, with a line before each page. Blocks until it is there, or time is up.
pub(crate) fn text(content: Vec<u8>, cancel: &CancellationToken) -> Result<String, Problem> {
    let (sender, receiver) = channel();
    let worker = std::thread::Builder::new().name("pdf".to_owned()).stack_size(STACK_BYTES);
    let worker = worker.spawn(move || read(&content, &sender)).map_err(|_| Problem::TooSlow)?;
    let deadline = Instant::now() + TIME_MAX;
    let mut text = String::new();
    let (mut pages, mut read, mut has_text) = (0, 0, false);
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(Said::Pages(all)) => pages = all,
            Ok(Said::Page(number, page)) => {
                has_text |= !page.trim().is_empty();
                read = number;
                text.push_str(&format!("--- page {number} of {pages} ---\n"));
                push_wrapped(&mut text, page.trim_end());
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if cancel.is_cancelled() {
            return Err(Problem::Cancelled);
        }
        let is_late = Instant::now() > deadline;
        if text.len() > TEXT_BYTES_MAX || is_late {
            if !has_text && is_late {
                return Err(Problem::TooSlow);
            }
            text.push_str(&format!("[the text of the pages after {read} is left out]\n"));
            return Ok(text);
        }
    }
    // It has ended, so this does not wait.
    match worker.join() {
        Ok(Ok(())) if has_text => Ok(text),
        Ok(Ok(())) => Err(Problem::NoText),
        Ok(Err(problem)) => Err(problem),
        Err(_) => Err(Problem::Damaged),
    }
}

/// Adds a page. Some documents have each page on one line; such a line is broken between words.
fn push_wrapped(text: &mut String, page: &str) {
    for line in page.lines() {
        let mut width = 0;
        for word in line.split_inclusive(' ') {
            let letters = word.chars().count();
            if width > 0 && width + letters > LINE_CHARS_MAX {
                text.truncate(text.trim_end_matches(' ').len());
                text.push('\n');
                width = 0;
            }
            text.push_str(word);
            width += letters;
        }
        text.push('\n');
    }
}

fn read(content: &[u8], say: &Sender<Said>) -> Result<(), Problem> {
    let options = LoadOptions::with_max_decompressed_size(STREAM_BYTES_MAX);
    let document =
        Document::load_mem_with_options(content, options).map_err(|_| Problem::Damaged)?;
    if document.is_encrypted() {
        return Err(Problem::Encrypted);
    }
    let pages = document.page_iter().take(PAGES_MAX).count();
    if pages == 0 {
        return Err(Problem::Damaged);
    }
    if say.send(Said::Pages(pages)).is_err() {
        return Ok(());
    }
    for number in 1..=pages {
        let page = u32::try_from(number).unwrap_or(u32::MAX);
        // A page that cannot be read does not cost the others.
        let text = document.extract_text_with_limit(&[page], STREAM_BYTES_MAX).unwrap_or_default();
        if say.send(Said::Page(number, text)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
