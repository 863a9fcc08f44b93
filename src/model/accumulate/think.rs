//! Reasoning that stands inside the text, between `<think>` and `</think>`.
//!
//! Only a tag at the very start of the text counts, and only the first closing one: everything
//! behind it is text, character for character. So the text of the reply is always the tags and the
//! parts put together again (a property test); a reply that ends inside its thought lacks the
//! closing tag, and gets it when it goes back.
//!
//! Works on WTF-8, in which a tag is where its bytes are, whatever halves of characters stand
//! around it. What might be the beginning of a tag waits; never more than seven bytes.

use trajectory::event::{ReasoningField, ThinkTags};

const OPEN: &[u8] = b"<think>";
const CLOSE: &[u8] = b"</think>";

/// A stretch of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Reasoning begins.
    Open(ReasoningField),
    /// More of it, as WTF-8.
    Thought(Vec<u8>),
    /// Text, as WTF-8.
    Text(Vec<u8>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing has come that would decide it.
    Start,
    /// The prompt has opened the tag, and nothing has come.
    Opened,
    Inside,
    #[default]
    Over,
}

/// Where in the text we are.
#[derive(Debug, Default)]
pub(super) struct Inline {
    state: State,
    held: Vec<u8>,
}

impl Inline {
    pub(super) fn new(think: ThinkTags) -> Self {
        let state = match think {
            ThinkTags::Plain => State::Over,
            ThinkTags::Tagged => State::Start,
            ThinkTags::Opened => State::Opened,
        };
        Self { state, held: Vec::new() }
    }

    /// Whether all that follows is text.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Segment> {
        let mut segments = Vec::new();
        self.held.extend_from_slice(piece);
        if self.held.is_empty() {
            return segments;
        }
        if self.state == State::Opened {
            segments.push(Segment::Open(ReasoningField::ThinkOpened));
            self.state = State::Inside;
        }
        if self.state == State::Start {
            if self.held.starts_with(OPEN) {
                self.held.drain(..OPEN.len());
                segments.push(Segment::Open(ReasoningField::Think));
                self.state = State::Inside;
            } else if !OPEN.starts_with(&self.held) {
                self.state = State::Over;
            }
        }
        if self.state == State::Inside {
            self.inside(&mut segments);
        }
        if self.state == State::Over && !self.held.is_empty() {
            segments.push(Segment::Text(std::mem::take(&mut self.held)));
        }
        segments
    }

    /// No more comes: what waits is what it is.
    pub(super) fn end(&mut self) -> Vec<Segment> {
        let held = std::mem::take(&mut self.held);
        match self.state {
            _ if held.is_empty() => Vec::new(),
            State::Inside => vec![Segment::Thought(held)],
            _ => vec![Segment::Text(held)],
        }
    }

    fn inside(&mut self, segments: &mut Vec<Segment>) {
        let (thought, rest) = match memchr::memmem::find(&self.held, CLOSE) {
            Some(at) => {
                self.state = State::Over;
                (at, at + CLOSE.len())
            }
            None => {
                let keep = self.held.len() - begun(&self.held);
                (keep, keep)
            }
        };
        if thought > 0 {
            segments.push(Segment::Thought(self.held.drain(..rest).take(thought).collect()));
        } else {
            self.held.drain(..rest);
        }
    }
}

/// How many bytes at the end may be the beginning of the closing tag.
fn begun(held: &[u8]) -> usize {
    (1..CLOSE.len()).rev().find(|length| held.ends_with(&CLOSE[..*length])).unwrap_or(0)
}
