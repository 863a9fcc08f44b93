//! A reply as it is written, told apart into thoughts, text and calls.
//!
//! Text goes out as soon as it cannot become a tag, and is no line end that may turn out to stand
//! at the end. A call goes out when it is whole: before its last brace nobody knows whether it is
//! one, and what was said cannot be taken back. So what comes out does not depend on how a reply
//! was cut, and [`Format::read`] is this reader with the whole reply at once. Where a grammar holds
//! the reply to its format ([`ReplyReader::bound`]) a call goes out as it is written.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::glm::Texts;
use super::live::{Head, Live};
use super::{Call, Format, deepseek, glm, hermes, llama3};

#[cfg(test)]
mod tests;

pub(super) const THINK: &str = "<think>";
pub(super) const THOUGHT: &str = "</think>";

/// A call is tried again with every piece while it is this short, to see early that it is none, and
/// then whenever what may close it comes.
const TRIED_ALWAYS_BYTES: usize = 256;

/// A part of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// More of the thoughts.
    Reasoning(String),
    /// More of the text.
    Text(String),
    /// A call begins.
    CallName {
        /// Which, from 0.
        index: usize,
        /// The tool.
        name: String,
    },
    /// More of a call's arguments, a JSON object when all is there.
    CallArguments {
        /// Which, from 0.
        index: usize,
        /// What comes next.
        delta: String,
    },
}

/// What stands where a call may.
#[derive(Debug)]
pub(super) enum Found {
    /// A call of so many bytes.
    Call(Call, usize),
    /// None: the first so many bytes are text, and what follows is looked at again.
    None(usize),
    /// It is too early to say.
    Open,
}

impl Found {
    /// What it comes to when more would have to come: nothing more does at the end.
    pub(super) fn open(is_end: bool, tag: &str) -> Self {
        if is_end { Self::None(tag.len()) } else { Self::Open }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but space, or what may become the tag of thoughts.
    Start,
    Thoughts,
    Text,
    /// What is held begins with a tag of calls.
    Call,
    /// A reply of a family without tags: text or calls as a whole.
    Whole,
    /// Text to the end.
    Plain,
}

/// Reads a reply in pieces.
#[derive(Debug)]
pub struct ReplyReader {
    format: Option<Format>,
    thinking: bool,
    texts: Texts,
    state: State,
    /// What is not decided yet.
    held: String,
    /// How much of it was looked at already.
    seen: usize,
    voice: Voice,
    is_bound: bool,
    /// The call that is being heard.
    live: Option<Live>,
}

impl ReplyReader {
    /// For a reply in this format, or with text alone; `thinking` when the prompt has opened the
    /// thoughts, `tools` as they were offered.
    #[must_use]
    pub fn new(format: Option<Format>, thinking: bool, tools: &[Value]) -> Self {
        let texts = if format == Some(Format::Glm) { Texts::of(tools) } else { Texts::default() };
        let voice = Voice { has_calls: format.is_some(), ..Voice::default() };
        let (state, held) = (State::Start, String::new());
        let (is_bound, live) = (false, None);
        Self { format, thinking, texts, state, held, seen: 0, voice, is_bound, live }
    }

    /// For a reply that a grammar holds to its format: what begins as a call is one, and is heard as
    /// it is written. A call that the end of the reply cuts short has what there was of it, where
    /// [`Format::read`] would make it text.
    #[must_use]
    pub fn bound(self) -> Self {
        Self { is_bound: true, ..self }
    }

    /// Takes the next piece, and gives what is decided by it.
    pub fn push(&mut self, piece: &str) -> Vec<Heard> {
        self.held.push_str(piece);
        self.go_on(false);
        std::mem::take(&mut self.voice.heard)
    }

    /// Gives the rest; nothing more comes.
    pub fn end(&mut self) -> Vec<Heard> {
        self.go_on(true);
        self.voice.end();
        std::mem::take(&mut self.voice.heard)
    }

    /// Whether a call was begun of which not all arguments were there, as when a reply ends within
    /// them. A call that is heard only when it is whole is never one.
    #[must_use]
    pub fn is_in_call(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.is_done())
    }

    /// Whether there were thoughts, be they empty.
    pub(super) fn has_thought(&self) -> bool {
        self.voice.has_thought
    }

    fn go_on(&mut self, is_end: bool) {
        loop {
            let goes_on = match self.state {
                State::Start => self.start(is_end),
                State::Thoughts => self.thoughts(is_end),
                State::Text => self.text(is_end),
                State::Call => self.call(is_end),
                State::Whole => self.whole(is_end),
                State::Plain => {
                    self.say(self.held.len());
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    fn start(&mut self, is_end: bool) -> bool {
        let begun = self.held.trim_start();
        if begun.starts_with(THINK) {
            self.drop_first(self.held.len() - begun.len() + THINK.len());
            self.think();
        } else if THINK.starts_with(begun) && !is_end {
            return false;
        } else if self.thinking {
            self.think();
        } else {
            self.state = self.after_thoughts();
        }
        true
    }

    fn think(&mut self) {
        self.voice.has_thought = true;
        self.state = State::Thoughts;
    }

    fn after_thoughts(&self) -> State {
        match self.format {
            None => State::Plain,
            Some(Format::Llama3) => State::Whole,
            Some(_) => State::Text,
        }
    }

    fn thoughts(&mut self, is_end: bool) -> bool {
        if let Some(at) = self.held.find(THOUGHT) {
            self.voice.think(&self.held[..at]);
            self.drop_first(at + THOUGHT.len());
            self.state = self.after_thoughts();
            return true;
        }
        let open = if is_end { 0 } else { open_tag(&self.held, &[THOUGHT]) };
        let decided = self.held.len() - open;
        self.voice.think(&self.held[..decided]);
        self.drop_first(decided);
        false
    }

    fn text(&mut self, is_end: bool) -> bool {
        let tags = self.format.map_or(&[][..], Format::tags);
        let first = tags.iter().filter_map(|tag| Some((self.held.find(tag)?, *tag))).min();
        let Some((at, tag)) = first else {
            let open = if is_end { 0 } else { open_tag(&self.held, tags) };
            self.say(self.held.len() - open);
            return false;
        };
        self.say(at);
        if tag == deepseek::CALLS_END {
            // It ends nothing where no call stands before it.
            if self.voice.is_after_call {
                self.voice.gap.clear();
                self.drop_first(tag.len());
            } else {
                self.say(tag.len());
            }
            return true;
        }
        self.state = State::Call;
        self.seen = 0;
        true
    }

    fn call(&mut self, is_end: bool) -> bool {
        let Some(format) = self.format else { return false };
        if let Some(goes_on) = self.hear_live(format, is_end) {
            return goes_on;
        }
        if !is_end && !self.is_worth_a_try(format.closes()) {
            return false;
        }
        let found = match format {
            Format::Hermes | Format::Llama3 => hermes::find(&self.held, is_end),
            Format::Glm => glm::find(&self.held, is_end, &self.texts),
            Format::DeepSeek => deepseek::find(&self.held, is_end),
        };
        match found {
            Found::Open => return false,
            Found::None(text) => self.say(text),
            Found::Call(call, bytes) => {
                self.voice.call(call);
                self.drop_first(bytes);
            }
        }
        self.state = State::Text;
        true
    }

    /// Goes on with a call that is heard as it is written; `None` when it is not.
    fn hear_live(&mut self, format: Format, is_end: bool) -> Option<bool> {
        if !self.is_bound {
            return None;
        }
        let Some(live) = &mut self.live else {
            return match Head::of(format, &self.held) {
                Head::Found(name, bytes) => {
                    self.voice.call_begins(name);
                    self.drop_first(bytes);
                    self.live = Some(Live::default());
                    Some(true)
                }
                Head::Open if !is_end => Some(false),
                Head::Open | Head::Other => None,
            };
        };
        let bytes = live.take(&self.held);
        let is_done = live.is_done();
        self.voice.call_goes_on(&self.held[..bytes]);
        self.drop_first(bytes);
        let close = if format == Format::Llama3 { "}" } else { format.closes() };
        let closed = if is_done { self.held.find(close).map(|at| at + close.len()) } else { None };
        if let Some(end) = closed {
            self.drop_first(end);
            self.live = None;
            self.state = self.after_thoughts();
        } else if is_end {
            self.held.clear();
        }
        Some(closed.is_some())
    }

    fn whole(&mut self, is_end: bool) -> bool {
        if self.voice.calls > 0 && self.live.is_none() {
            // A call that was heard makes all that follows calls.
            let more =
                self.held.trim_start_matches(|sign: char| sign == ';' || sign.is_whitespace());
            self.drop_first(self.held.len() - more.len());
            if self.held.is_empty() {
                return false;
            }
        }
        if let Some(goes_on) = self.hear_live(Format::Llama3, is_end) {
            return goes_on;
        }
        if !is_end && !self.is_worth_a_try("}") {
            return false;
        }
        match llama3::find(&self.held, is_end) {
            None => return false,
            Some(calls) if calls.is_empty() => self.state = State::Plain,
            Some(calls) => {
                calls.into_iter().for_each(|call| self.voice.call(call));
                self.held.clear();
                self.state = State::Plain;
            }
        }
        true
    }

    /// Whether what came since the last time may decide it.
    fn is_worth_a_try(&mut self, close: &str) -> bool {
        let from = self.held.floor_char_boundary(self.seen.saturating_sub(close.len()));
        let is_short = self.seen < TRIED_ALWAYS_BYTES;
        let is_worth = is_short || self.held[from..].contains(close);
        self.seen = self.held.len();
        is_worth
    }

    /// The first so many bytes are text.
    fn say(&mut self, bytes: usize) {
        self.voice.say(&self.held[..bytes]);
        self.drop_first(bytes);
    }

    fn drop_first(&mut self, bytes: usize) {
        self.held.drain(..bytes);
        self.seen = self.seen.saturating_sub(bytes);
    }
}

impl Format {
    /// The tags that a text is searched for.
    fn tags(self) -> &'static [&'static str] {
        match self {
            Self::Hermes | Self::Glm => &[hermes::OPEN],
            Self::DeepSeek => &[deepseek::CALLS_BEGIN, deepseek::BEGIN, deepseek::CALLS_END],
            Self::Llama3 => &[],
        }
    }

    /// What ends a call.
    fn closes(self) -> &'static str {
        match self {
            Self::DeepSeek => deepseek::END,
            _ => hermes::CLOSE,
        }
    }
}

/// How many bytes at the end of a text may be the beginning of a tag.
pub(super) fn open_tag(text: &str, tags: &[&str]) -> usize {
    let open = |tag: &&str| {
        let begins = |bytes: &usize| tag.is_char_boundary(*bytes) && text.ends_with(&tag[..*bytes]);
        (1..tag.len()).rev().find(begins).unwrap_or(0)
    };
    tags.iter().map(open).max().unwrap_or(0)
}

/// What was decided, without what is nobody's: line ends around thoughts and before calls, space
/// between calls and after them.
#[derive(Debug, Default)]
struct Voice {
    heard: Vec<Heard>,
    /// Whether the format has calls at all.
    has_calls: bool,
    has_thought: bool,
    /// Line ends at the end of the thoughts so far; nobody's unless more follows.
    thought_kept: String,
    thought_begun: bool,
    /// The same of the text, which has them unless calls follow.
    kept: String,
    text_begun: bool,
    /// Space after a call, which only text behind it makes a part of the text.
    gap: String,
    is_after_call: bool,
    calls: usize,
}

impl Voice {
    /// What goes on is one piece with what came before.
    fn hear(&mut self, part: Heard) {
        match (self.heard.last_mut(), part) {
            (Some(Heard::Text(text)), Heard::Text(more))
            | (Some(Heard::Reasoning(text)), Heard::Reasoning(more)) => text.push_str(&more),
            (_, part) => self.heard.push(part),
        }
    }

    fn think(&mut self, piece: &str) {
        self.thought_kept.push_str(piece);
        let all = std::mem::take(&mut self.thought_kept);
        let text = if self.thought_begun { &all } else { all.trim_start_matches('\n') };
        let end = text.trim_end_matches('\n').len();
        if end > 0 {
            self.hear(Heard::Reasoning(text[..end].to_owned()));
            self.thought_begun = true;
        }
        if self.thought_begun {
            self.thought_kept = text[end..].to_owned();
        }
    }

    fn say(&mut self, piece: &str) {
        if self.is_after_call {
            self.gap.push_str(piece);
            if self.gap.trim().is_empty() {
                return;
            }
            self.is_after_call = false;
            self.kept.push_str(&std::mem::take(&mut self.gap));
        } else {
            self.kept.push_str(piece);
        }
        let all = std::mem::take(&mut self.kept);
        let is_first = !self.text_begun && self.has_thought;
        let text = if is_first { all.trim_start_matches('\n') } else { &all };
        let end = if self.has_calls { text.trim_end_matches('\n').len() } else { text.len() };
        if end > 0 {
            self.hear(Heard::Text(text[..end].to_owned()));
            self.text_begun = true;
        }
        self.kept = text[end..].to_owned();
    }

    fn call(&mut self, call: Call) {
        self.call_begins(call.name);
        self.call_goes_on(&call.arguments);
    }

    fn call_begins(&mut self, name: String) {
        self.hear(Heard::CallName { index: self.calls, name });
        self.calls += 1;
        self.gap.clear();
        self.is_after_call = true;
    }

    fn call_goes_on(&mut self, delta: &str) {
        if !delta.is_empty() {
            let (index, delta) = (self.calls.saturating_sub(1), delta.to_owned());
            self.hear(Heard::CallArguments { index, delta });
        }
    }

    fn end(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        if self.calls == 0 && !kept.is_empty() {
            self.hear(Heard::Text(kept));
        }
    }
}

/// Where a JSON object or text that stands at the beginning of a text ends.
pub(super) enum Json {
    /// After so many bytes. Whether they are well formed is left to who reads them.
    End(usize),
    /// Not here, and what is here may go on.
    Open,
    /// Nowhere: whatever comes, it is no JSON.
    Broken,
}

impl Json {
    pub(super) fn of(text: &str) -> Self {
        if let Some(end) = json_end(text) {
            return Self::End(end);
        }
        match serde_json::from_str::<IgnoredAny>(text) {
            Err(error) if !error.is_eof() => Self::Broken,
            _ => Self::Open,
        }
    }
}

fn json_end(text: &str) -> Option<usize> {
    let mut live = Live::default();
    let end = live.take(text);
    live.is_done().then_some(end)
}
