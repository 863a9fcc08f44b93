//! How many tokens a context is.
//!
//! Counted with the model's tokenizer where there is one, else estimated from the characters. What
//! templates, tool lists and other tokenizers make of it shows when the provider has counted a
//! request: from then on that count is the base, and only what came since is estimated.

use std::collections::HashMap;
use std::sync::Arc;

use chat::Tokenizer;
use trajectory::{Message, Transcript, Turn};

/// What a template puts around a message, about.
const TOKENS_PER_MESSAGE: u64 = 5;
/// What a call takes beside its name and arguments, about.
const TOKENS_PER_CALL: u64 = 12;
/// What an image takes, about: providers count between 85 and 1,600.
const TOKENS_PER_IMAGE: u64 = 1_300;
/// A count that is further off the estimate than this counts something else.
const CORRECTION_RANGE: (f64, f64) = (0.6, 3.0);

/// A request that was sent, and what it came to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Anchor {
    revision: u64,
    estimate: u64,
    counted: u64,
}

/// The tools and the settled turns of a revision of the context, counted once.
#[derive(Clone, Copy, Debug)]
struct Settled {
    revision: u64,
    turns: usize,
    tokens: u64,
}

/// Measures contexts of one conversation.
#[derive(Debug)]
pub(crate) struct Gauge {
    tokenizer: Option<Arc<Tokenizer>>,
    /// Turns as they were counted: first and last event, length.
    counted: HashMap<(u64, u64, usize), u64>,
    /// The context as far as it is settled.
    settled: Option<Settled>,
    /// The request under way: revision and estimate.
    sent: Option<(u64, u64)>,
    anchor: Option<Anchor>,
    /// Tokens as the provider counts them, for one as estimated here.
    correction: f64,
}

impl Gauge {
    pub(crate) fn new(tokenizer: Option<Arc<Tokenizer>>) -> Self {
        Self {
            tokenizer,
            counted: HashMap::new(),
            settled: None,
            sent: None,
            anchor: None,
            correction: 1.0,
        }
    }

    /// The tokens of the next request, if it were sent now.
    pub(crate) fn measure(&mut self, transcript: &Transcript) -> u64 {
        let estimate = self.estimate(transcript);
        match self.anchor {
            Some(anchor) if anchor.revision == transcript.revision() => {
                let new = estimate.saturating_sub(anchor.estimate);
                anchor.counted.saturating_add(self.corrected(new))
            }
            _ => self.corrected(estimate),
        }
    }

    /// A request is sent with this context.
    pub(crate) fn sent(&mut self, transcript: &Transcript) {
        self.sent = Some((transcript.revision(), self.estimate(transcript)));
    }

    /// The provider counted the tokens of the request that was sent last.
    pub(crate) fn correct(&mut self, counted: u64) {
        let Some((revision, estimate)) = self.sent.take() else { return };
        // Far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        let ratio = counted as f64 / estimate.max(1) as f64;
        // A provider that leaves out what it had in its cache counts something else.
        if (CORRECTION_RANGE.0..=CORRECTION_RANGE.1).contains(&ratio) {
            self.correction = ratio;
            self.anchor = Some(Anchor { revision, estimate, counted });
        }
    }

    /// The tokens of one turn, as the provider would count them.
    pub(crate) fn turn(&mut self, turn: &Turn) -> u64 {
        let tokens = self.estimate_turn(turn);
        self.corrected(tokens)
    }

    /// The tokens of a text, as the provider would count them.
    pub(crate) fn text(&self, text: &str) -> u64 {
        self.corrected(self.estimate_text(text))
    }

    fn corrected(&self, tokens: u64) -> u64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let corrected = (tokens as f64 * self.correction).ceil() as u64;
        corrected
    }

    fn estimate(&mut self, transcript: &Transcript) -> u64 {
        let (revision, turns) = (transcript.revision(), transcript.settled_turns());
        let known = self.settled.filter(|it| it.revision == revision && it.turns <= turns.len());
        let mut settled = known.unwrap_or_else(|| {
            // What an earlier revision said of its turns is seldom asked for again.
            self.counted.clear();
            let texts = transcript.tools().iter().map(|tool| tool.to_chat().to_string());
            let tokens = texts.map(|text| self.estimate_text(&text)).sum();
            Settled { revision, turns: 0, tokens }
        });
        for turn in turns.iter().skip(settled.turns) {
            settled.tokens += self.estimate_turn(turn);
        }
        settled.turns = turns.len();
        self.settled = Some(settled);
        let rest = transcript.upcoming().skip(settled.turns);
        settled.tokens + rest.map(|turn| self.estimate_turn(turn)).sum::<u64>()
    }

    fn estimate_turn(&mut self, turn: &Turn) -> u64 {
        let (first, last) = (turn.seqs.first(), turn.seqs.last());
        let key = (
            first.copied().unwrap_or_default(),
            last.copied().unwrap_or_default(),
            length(&turn.message),
        );
        if let Some(tokens) = self.counted.get(&key) {
            return *tokens;
        }
        let tokens = self.estimate_message(&turn.message);
        self.counted.insert(key, tokens);
        tokens
    }

    fn estimate_message(&self, message: &Message) -> u64 {
        let text =
            |text: &Option<String>| text.as_deref().map_or(0, |text| self.estimate_text(text));
        TOKENS_PER_MESSAGE
            + match message {
                Message::System { content } | Message::Tool { content, .. } => {
                    self.estimate_text(content)
                }
                Message::User { content, attachments } => {
                    self.estimate_text(content) + TOKENS_PER_IMAGE * attachments.len() as u64
                }
                Message::Assistant {
                    content,
                    reasoning_content,
                    reasoning,
                    reasoning_details,
                    tool_calls,
                } => {
                    let details = reasoning_details.as_ref();
                    let calls = tool_calls.iter().map(|call| {
                        TOKENS_PER_CALL
                            + self.estimate_text(&call.function.name)
                            + self.estimate_text(&call.function.arguments)
                    });
                    text(content)
                        + text(reasoning_content)
                        + text(reasoning)
                        + details.map_or(0, |details| self.estimate_text(details.get()))
                        + calls.sum::<u64>()
                }
            }
    }

    fn estimate_text(&self, text: &str) -> u64 {
        let counted = self.tokenizer.as_ref().and_then(|tokenizer| tokenizer.count(text));
        counted.map_or_else(|| chat::estimate(text), |tokens| tokens as u64)
    }
}

fn length(message: &Message) -> usize {
    match message {
        Message::System { content }
        | Message::User { content, .. }
        | Message::Tool { content, .. } => content.len(),
        Message::Assistant { content, reasoning_content, reasoning, tool_calls, .. } => {
            let texts = [content, reasoning_content, reasoning].into_iter().flatten();
            texts.map(String::len).sum::<usize>()
                + tool_calls.iter().map(|call| call.function.arguments.len()).sum::<usize>()
        }
    }
}
