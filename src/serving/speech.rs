//! Sampled tokens → what a client hears: text in whole characters, up to a stop text, told apart
//! into thoughts, text and calls.
//!
//! A token may be a part of a character, and a stop text may begin in one token and end in another,
//! so both are held back until they are whole or cannot become so. What a token stands for are its
//! bytes, which do not depend on the tokens around it; only a tokenizer that marks the beginning of
//! words writes no space at the beginning of a text.

use std::sync::Arc;

use chat::{Format, Heard, ReplyReader, Tokenizer};
use serde_json::Value;

use crate::server::Server;

#[cfg(test)]
mod tests;

/// Special tokens are control and no text, but for those whose spelling has one of these: thoughts
/// and calls are read from them.
const SPOKEN: [&str; 4] = ["think", "tool", "arg_", "python_tag"];

/// How a reply is to be heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hearing {
    /// As it is: no thoughts, no calls.
    pub(crate) plain: bool,
    /// How calls are written; `None` where none may be.
    pub(crate) format: Option<Format>,
    /// A grammar holds the reply to that: calls are heard as they are written.
    pub(crate) bound: bool,
    /// The prompt opened a thought.
    pub(crate) thinking: bool,
    /// The tools on offer.
    pub(crate) tools: Vec<Value>,
    /// It ends with its first call.
    pub(crate) one_call: bool,
    /// Texts before which it ends.
    pub(crate) stops: Vec<String>,
}

/// A reply while it is spoken.
pub(crate) struct Speech {
    server: Arc<Server>,
    begun: bool,
    characters: Characters,
    stops: Stops,
    reader: Option<ReplyReader>,
    one_call: bool,
    calls: usize,
    ended: bool,
    /// Tokens of which it is not yet known what they are part of.
    unheard: usize,
    reasoning: usize,
}

impl Speech {
    /// The beginning of a reply.
    pub(crate) fn new(server: Arc<Server>, hearing: Hearing) -> Self {
        let Hearing { plain, format, bound, thinking, tools, one_call, stops } = hearing;
        let reader = (!plain).then(|| {
            let reader = ReplyReader::new(format, thinking, &tools);
            if bound { reader.bound() } else { reader }
        });
        Self {
            server,
            begun: false,
            characters: Characters::default(),
            stops: Stops { texts: stops, held: String::new() },
            reader,
            one_call,
            calls: 0,
            ended: false,
            unheard: 0,
            reasoning: 0,
        }
    }

    /// Hears a token that is part of the reply.
    pub(crate) fn hear(&mut self, id: u32) -> Vec<Heard> {
        if self.ended {
            return Vec::new();
        }
        self.unheard += 1;
        let bytes = spoken(self.server.dialect.tokenizer(), id, !self.begun);
        self.begun |= !bytes.is_empty();
        let text = self.characters.push(&bytes);
        let (text, found) = self.stops.push(&text);
        let mut heard = self.read(&text);
        if found {
            heard.extend(self.close());
        }
        heard
    }

    /// Hears that nothing follows.
    pub(crate) fn end(&mut self) -> Vec<Heard> {
        if self.ended {
            return Vec::new();
        }
        let text = self.characters.end();
        let (mut text, found) = self.stops.push(&text);
        if !found {
            text.push_str(&std::mem::take(&mut self.stops.held));
        }
        let mut heard = self.read(&text);
        heard.extend(self.close());
        heard
    }

    /// What the reader held back.
    fn close(&mut self) -> Vec<Heard> {
        if self.ended {
            return Vec::new();
        }
        let rest = self.reader.as_mut().map(ReplyReader::end).unwrap_or_default();
        let rest = self.allowed(rest);
        self.ended = true;
        rest
    }

    /// Whether nothing follows: a stop text was found, or a call more than is wanted.
    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether it called a tool. What ended within a call's arguments called nothing that could be
    /// run: it is a reply that was cut short.
    pub(crate) fn has_calls(&self) -> bool {
        self.calls > 0 && !self.reader.as_ref().is_some_and(ReplyReader::is_in_call)
    }

    /// How many tokens were thoughts.
    pub(crate) fn reasoning_tokens(&self) -> usize {
        self.reasoning
    }

    fn read(&mut self, text: &str) -> Vec<Heard> {
        if text.is_empty() {
            return Vec::new();
        }
        let heard = match &mut self.reader {
            Some(reader) => reader.push(text),
            None => vec![Heard::Text(text.to_owned())],
        };
        let heard = self.allowed(heard);
        if let Some(last) = heard.last() {
            let tokens = std::mem::take(&mut self.unheard);
            if matches!(last, Heard::Reasoning(_)) {
                self.reasoning += tokens;
            }
        }
        heard
    }

    /// Leaves out calls that were not wanted.
    fn allowed(&mut self, mut heard: Vec<Heard>) -> Vec<Heard> {
        for place in 0..heard.len() {
            if !matches!(heard[place], Heard::CallName { .. }) {
                continue;
            }
            if self.one_call && self.calls == 1 {
                heard.truncate(place);
                self.ended = true;
                // Nothing is heard any more, and the call that was not wanted is none.
                self.reader = None;
                break;
            }
            self.calls += 1;
        }
        heard
    }
}

/// The bytes that a token adds to a reply.
fn spoken(tokenizer: &Tokenizer, id: u32, is_first: bool) -> Vec<u8> {
    let alone = || tokenizer.decode(&[id]).unwrap_or_default();
    if tokenizer.is_special(id) {
        let spelling = alone();
        let is_spoken = SPOKEN.iter().any(|word| spelling.contains(word));
        return if is_spoken { spelling.into_bytes() } else { Vec::new() };
    }
    let Some(bytes) = tokenizer.bytes(id) else { return alone().into_bytes() };
    if is_first
        && let Some(rest) = bytes.strip_prefix(b" ")
        && alone().as_bytes() == rest
    {
        return rest.to_vec();
    }
    bytes
}

/// Bytes → characters.
#[derive(Debug, Default)]
struct Characters {
    /// The beginning of a character.
    held: Vec<u8>,
}

impl Characters {
    /// The characters that are whole now.
    fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        let mut taken = 0;
        while taken < self.held.len() {
            match std::str::from_utf8(&self.held[taken..]) {
                Ok(rest) => {
                    text.push_str(rest);
                    taken = self.held.len();
                }
                Err(error) => {
                    let whole = taken + error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.held[taken..whole]));
                    taken = whole;
                    // Without a length it may yet become a character.
                    let Some(length) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    taken += length;
                }
            }
        }
        self.held.drain(..taken);
        text
    }

    /// What is left, which becomes no character any more.
    fn end(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// Texts before which a reply ends.
#[derive(Debug, Default)]
struct Stops {
    texts: Vec<String>,
    /// What may be the beginning of one of them.
    held: String,
}

impl Stops {
    /// The text that is no part of a stop, and whether one was found.
    fn push(&mut self, text: &str) -> (String, bool) {
        if self.texts.is_empty() {
            return (text.to_owned(), false);
        }
        self.held.push_str(text);
        if let Some(at) = self.texts.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let bytes = self.held.as_bytes();
        let begins = |at: usize| {
            let tail = &bytes[at..];
            self.texts.iter().any(|stop| stop.as_bytes().starts_with(tail))
        };
        let longest = self.texts.iter().map(String::len).max().unwrap_or(0);
        let from = bytes.len().saturating_sub(longest);
        let at = (from..bytes.len()).find(|at| begins(*at)).unwrap_or(bytes.len());
        // A stop begins with a whole character, so this is where one begins.
        let rest = self.held.split_off(at);
        (std::mem::replace(&mut self.held, rest), false)
    }
}
