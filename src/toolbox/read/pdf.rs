//! The text of PDF documents, page by page.
//!
//! The parser works in a thread of its own, with a deep stack, under a deadline, and may panic; so
//! a document that is made to hurt costs one refusal. What its objects take is counted while they
//! are read, because a small file can hold gigabytes of them, packed; the thread ends where there
//! are too many, and where nobody waits any longer.
//!
//! Absent: documents that are pictures of text, tables as tables, encrypted ones.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use lopdf::{Document, LoadOptions, Object, ObjectId};
use tokio_util::sync::CancellationToken;

use crate::answer::{Failure, size};

const TIME_MAX: Duration = Duration::from_secs(20);
/// How often it is looked whether the call was cancelled.
const LOOK: Duration = Duration::from_millis(50);
const STACK_BYTES: usize = 16 << 20;
/// What one stream of a document may grow to when it is unpacked, bytes. Its objects take many
/// times that for as long as it is parsed.
const STREAM_BYTES_MAX: usize = 8 << 20;
/// What all objects of a document may take, bytes.
const OBJECT_BYTES_MAX: usize = 128 << 20;
/// What an entry of a dictionary takes beside its name and its value, about.
const ENTRY_BYTES: usize = 48;
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
    /// It is packed, and unpacked it takes more memory than is given to it.
    TooLarge,
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
            Self::TooLarge => {
                let most = size(OBJECT_BYTES_MAX as u64);
                format!("{name} is a PDF document that unpacks to more than {most}.")
            }
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
    text_within(OBJECT_BYTES_MAX, content, cancel)
}

fn text_within(
    object_bytes_max: usize,
    content: Vec<u8>,
    cancel: &CancellationToken,
) -> Result<String, Problem> {
    let (sender, receiver) = channel();
    let worker = std::thread::Builder::new().name("pdf".to_owned()).stack_size(STACK_BYTES);
    let worker = worker
        .spawn(move || read(&content, object_bytes_max, &sender))
        .map_err(|_| Problem::TooSlow)?;
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
        Err(panic) => Err(panic.downcast_ref().copied().unwrap_or(Problem::Damaged)),
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

thread_local! {
    /// What the objects that this thread will still read may take, bytes.
    static LEFT: Cell<usize> = const { Cell::new(0) };
    /// Until when somebody waits for this thread.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Called by the parser for each object that it has read. What it answers counts for objects that
/// were packed together only, and no stream is among those.
fn count(id: ObjectId, object: &mut Object) -> Option<(ObjectId, Object)> {
    match LEFT.get().checked_sub(weight(object)) {
        Some(left) => LEFT.set(left),
        None => stop(Problem::TooLarge),
    }
    if DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline) {
        stop(Problem::TooSlow);
    }
    let kept = match object {
        Object::Stream(_) => Object::Null,
        other => other.clone(),
    };
    Some((id, kept))
}

/// The parser has no way to be told that it is enough but this.
fn stop(problem: Problem) -> ! {
    resume_unwind(Box::new(problem))
}

/// What an object takes in memory, about. The parser bounds how deep objects nest.
fn weight(object: &Object) -> usize {
    let within = match object {
        Object::Name(bytes) | Object::String(bytes, _) => bytes.len(),
        Object::Array(items) => items.iter().map(weight).sum(),
        Object::Dictionary(dictionary) => entries(dictionary),
        Object::Stream(stream) => stream.content.len() + entries(&stream.dict),
        Object::Null
        | Object::Boolean(_)
        | Object::Integer(_)
        | Object::Real(_)
        | Object::Reference(_) => 0,
    };
    size_of::<Object>() + within
}

fn entries(dictionary: &lopdf::Dictionary) -> usize {
    dictionary.iter().map(|(name, value)| name.len() + ENTRY_BYTES + weight(value)).sum()
}

fn read(content: &[u8], object_bytes_max: usize, say: &Sender<Said>) -> Result<(), Problem> {
    LEFT.set(object_bytes_max);
    DEADLINE.set(Instant::now().checked_add(TIME_MAX));
    let options = LoadOptions {
        filter: Some(count),
        ..LoadOptions::with_max_decompressed_size(STREAM_BYTES_MAX)
    };
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
