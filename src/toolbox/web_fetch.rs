//! Fetch a page and show its text.
//!
//! A long text is shown piece by piece; each piece fetches the page anew, since nothing is kept
//! between calls.

use encoding_rs::{Encoding, UTF_8};
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::{Answer, Failure, size};
use crate::outcome::Attached;
use crate::read;
use crate::web::{Browser, Page, readable};

/// What is shown at a time, characters.
const SHOWN_CHARS_MAX: usize = 20_000;
/// What is shown of a page that says that it is an error, characters.
const ERROR_CHARS_MAX: usize = 1_000;
/// Where a page may say how it is written, bytes.
const HEAD_BYTES: usize = 1_024;

/// Fetches a web page as text; also JSON, PDF, images.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) url: String,
    /// Characters to skip.
    pub(crate) offset: Option<u64>,
}

/// Runs the tool. A model that `sees` is handed images.
pub(crate) async fn run(
    browser: &Browser,
    input: &Input,
    sees: bool,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let page = tokio::select! {
        page = browser.get(&input.url) => page?,
        () = cancel.cancelled() => return Err(Failure::Cancelled("Cancelled while fetching.".to_owned())),
    };
    if !page.status.is_success() {
        let text = text(&page).map(|text| text.1).unwrap_or_default();
        let text: String = text.trim().chars().take(ERROR_CHARS_MAX).collect();
        return Err(Failure::Error(
            format!("{} answered {}.\n{text}", page.url, page.status).trim_end().to_owned(),
        ));
    }
    if let Some(media_type) = read::image_kind(&page.body) {
        return image(page, media_type, sees);
    }
    let skipped = usize::try_from(input.offset.unwrap_or(0)).unwrap_or(usize::MAX);
    if page.body.starts_with(b"%PDF-") {
        let url = page.url.clone();
        let token = cancel.clone();
        // Reading a document is work; the loop goes on meanwhile.
        let read = tokio::task::spawn_blocking(move || read::pdf_text(page.body, &token)).await;
        let text =
            read.unwrap_or(Err(read::PdfProblem::Damaged)).map_err(|problem| problem.of(&url))?;
        return show(&url, "", &text, skipped, false);
    }
    let (title, text) = text(&page).ok_or_else(|| {
        let kind = page.media_type.as_deref().unwrap_or("a file of unknown kind");
        let size = size(page.body.len() as u64);
        format!("{} is {kind} ({size}), not text.", page.url)
    })?;
    show(&page.url, &title, &text, skipped, page.is_cut)
}

fn image(page: Page, media_type: &str, sees: bool) -> Result<Answer, Failure> {
    let Page { url, body, is_cut, .. } = page;
    let size = size(body.len() as u64);
    let Ok(pixels) = imagesize::blob_size(&body) else {
        return Err(Failure::Error(format!("{url} is a damaged image ({media_type}, {size}).")));
    };
    let about = format!("{url}: {media_type}, {}×{} pixels, {size}", pixels.width, pixels.height);
    if is_cut {
        return Err(Failure::Error(format!("{about} and more; too large to be shown.")));
    }
    if !sees {
        return Ok(Answer::from(format!("{about}. You cannot see images.")));
    }
    let name = url.path_segments().and_then(|mut path| path.next_back()).unwrap_or_default();
    let name = if name.is_empty() { "image" } else { name }.to_owned();
    let image = Attached { name, media_type: media_type.to_owned(), bytes: body };
    Ok(Answer { attachments: vec![image], ..Answer::from(about) })
}

/// The title and the text of a page, when it is text.
fn text(page: &Page) -> Option<(String, String)> {
    let head = page.body.get(..HEAD_BYTES).unwrap_or(&page.body);
    let kind = page.media_type.as_deref();
    let is_html = match kind {
        Some("text/html" | "application/xhtml+xml") => true,
        Some(kind) if kind != "application/octet-stream" && !is_text(kind) => return None,
        Some(kind) if kind.starts_with("text/") && kind != "text/plain" => false,
        // What a server does not say, the page may.
        _ => begins_like_html(head),
    };
    let (body, _, _) = encoding(page, head).decode(&page.body);
    if body.contains('\0') {
        return None;
    }
    if !is_html {
        return Some((String::new(), body.into_owned()));
    }
    let page = readable(&body, &page.url);
    Some((page.title, page.text))
}

fn is_text(kind: &str) -> bool {
    const KINDS: [&str; 8] =
        ["json", "xml", "javascript", "ecmascript", "yaml", "toml", "x-sh", "x-ndjson"];
    let (kind, below) = kind.split_once('/').unwrap_or((kind, ""));
    kind == "text"
        || KINDS.iter().any(|known| below == *known || below.ends_with(&format!("+{known}")))
        || below.starts_with("x-") && KINDS.iter().any(|known| below.ends_with(known))
}

fn begins_like_html(head: &[u8]) -> bool {
    let head = head.trim_ascii_start().to_ascii_lowercase();
    head.starts_with(b"<!doctype html") || head.starts_with(b"<html")
}

/// How the page is written: as its server says, as it says itself, else UTF-8.
fn encoding(page: &Page, head: &[u8]) -> &'static Encoding {
    let said = page.charset.as_deref().and_then(|label| Encoding::for_label(label.as_bytes()));
    let own = || {
        let at = memchr::memmem::find(head, b"charset=")? + b"charset=".len();
        let label = head.get(at..)?.trim_ascii_start();
        let label = label.strip_prefix(b"\"").or(label.strip_prefix(b"'")).unwrap_or(label);
        let end = label.iter().position(|byte| b"\"'> ;/".contains(byte))?;
        Encoding::for_label(label.get(..end)?)
    };
    said.or_else(own).unwrap_or(UTF_8)
}

/// A piece of the text, and how to go on.
fn show(
    url: &Url,
    title: &str,
    text: &str,
    skipped: usize,
    is_cut: bool,
) -> Result<Answer, Failure> {
    let all = text.chars().count();
    if all == 0 {
        return Ok(Answer::from(format!("{url}\n(no text)")));
    }
    let from = text.char_indices().nth(skipped).map(|(at, _)| at).ok_or_else(|| {
        format!("Offset {skipped} is beyond the end: the text of {url} has {all} characters.")
    })?;
    let rest = text.get(from..).unwrap_or_default();
    let end = rest.char_indices().nth(SHOWN_CHARS_MAX).map_or(rest.len(), |(at, _)| at);
    let mut shown = rest.get(..end).unwrap_or_default();
    if end < rest.len() {
        // A piece ends with a line, if there is one near.
        let at = shown.rfind('\n').filter(|at| *at > end / 2);
        shown = at.and_then(|at| shown.get(..=at)).unwrap_or(shown);
    }
    let last = skipped + shown.chars().count();
    let heading = if title.is_empty() { String::new() } else { format!("{title}\n") };
    let mut answer = format!("{url}\n{heading}\n{}", shown.trim_end().replace('\0', "␀"));
    if is_cut {
        answer.push_str("\n[the page is longer than what is read of it]");
    }
    let left = all - last;
    if left > 0 {
        answer.push_str(&format!(
            "\n[characters {}-{last} of {all}; go on with offset {last}]",
            skipped + 1
        ));
    }
    let truncated =
        (left > 0).then_some(Truncation { lines_omitted: 0, chars_omitted: left as u64 });
    Ok(Answer { truncated, ..Answer::from(answer) })
}

#[cfg(test)]
mod tests;
