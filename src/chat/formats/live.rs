//! Calls that are heard while they are written, where a grammar holds the reply to its format: what
//! begins as a call is one then, and only the end of all tokens can cut it short.
//!
//! GLM is not among them: its arguments are JSON only when they are put together.

use super::Format;
use super::deepseek;
use super::hermes;
use super::stream::Json;

/// The beginning of a call, up to its arguments.
pub(super) enum Head {
    /// The tool, and how many bytes stand before the arguments.
    Found(String, usize),
    /// More has to come.
    Open,
    /// It is not written like that, and is read when it is whole.
    Other,
}

impl Head {
    pub(super) fn of(format: Format, text: &str) -> Self {
        let read = match format {
            Format::Hermes => written(text, &[hermes::OPEN], "\"arguments\""),
            Format::Llama3 => written(text, &[], "\"parameters\""),
            Format::DeepSeek => deepseek(text),
            Format::Glm => Err(Self::Other),
        };
        match read {
            Ok((name, rest)) => Self::Found(name, text.len() - rest.len()),
            Err(head) => head,
        }
    }
}

/// `{"name": …, "arguments": {` after these tags.
fn written<'a>(text: &'a str, tags: &[&str], key: &str) -> Result<(String, &'a str), Head> {
    let mut rest = text;
    for tag in tags.iter().copied().chain(["{", "\"name\"", ":"]) {
        rest = after(rest, tag)?;
    }
    rest = rest.trim_start();
    begins_with(rest, "\"")?;
    let end = match Json::of(rest) {
        Json::End(end) => end,
        Json::Open => return Err(Head::Open),
        Json::Broken => return Err(Head::Other),
    };
    let name = serde_json::from_str(&rest[..end]).map_err(|_| Head::Other)?;
    rest = &rest[end..];
    for word in [",", key, ":"] {
        rest = after(rest, word)?;
    }
    arguments(name, rest)
}

fn deepseek(text: &str) -> Result<(String, &str), Head> {
    let rest = match after(text, deepseek::CALLS_BEGIN) {
        Err(Head::Other) => text,
        other => other?,
    };
    let rest = after(rest, deepseek::BEGIN)?;
    let (before, behind) = rest.split_once(deepseek::SEPARATOR).ok_or(Head::Open)?;
    let plain = behind.trim_start();
    if plain.is_empty() {
        return Err(Head::Open);
    }
    if plain.starts_with('{') {
        return arguments(before.trim().to_owned(), plain);
    }
    let (name, body) = behind.split_once('\n').ok_or(Head::Open)?;
    arguments(name.trim().to_owned(), after(body, deepseek::FENCE_OF_JSON)?)
}

fn arguments(name: String, rest: &str) -> Result<(String, &str), Head> {
    let rest = rest.trim_start();
    begins_with(rest, "{")?;
    Ok((name, rest))
}

/// What follows a word, before which there may be space.
fn after<'a>(text: &'a str, word: &str) -> Result<&'a str, Head> {
    let text = text.trim_start();
    begins_with(text, word)?;
    Ok(&text[word.len()..])
}

fn begins_with(text: &str, word: &str) -> Result<(), Head> {
    if text.starts_with(word) {
        Ok(())
    } else if word.starts_with(text) {
        Err(Head::Open)
    } else {
        Err(Head::Other)
    }
}

/// Arguments on their way: a JSON object of which it is known where it ends.
#[derive(Debug, Default)]
pub(super) struct Live {
    depth: usize,
    is_text: bool,
    is_escaped: bool,
    is_done: bool,
}

impl Live {
    /// How many of the next bytes belong to the arguments.
    pub(super) fn take(&mut self, text: &str) -> usize {
        if self.is_done {
            return 0;
        }
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_text => self.is_escaped = true,
                b'"' => self.is_text = !self.is_text,
                b'{' | b'[' if !self.is_text => self.depth += 1,
                b'}' | b']' if !self.is_text => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if self.depth == 0 && !self.is_text {
                self.is_done = true;
                return at + 1;
            }
        }
        text.len()
    }

    /// Whether all of them are there.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }
}
