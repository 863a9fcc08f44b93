//! Keeping the conversation within the model's window.
//!
//! Before each request the context is measured ([`gauge`]). When it is getting full, old
//! observations are shortened, many at once so that the prompt cache is broken seldom
//! ([`shorten`]). When that is not enough, the model is asked for a summary, which takes the place
//! of all but the latest turns ([`summary`]); what the user asked for, the plan and the files that
//! were open are not left to the model's memory ([`gist`]). Both are events, so the log says why a
//! request is not the continuation of the one before it, and the exporter cuts there.
//!
//! Without a known window nothing is measured, and a server that says that the context is too
//! large has the last word: from then on its size is known.

mod gauge;
mod gist;
mod shorten;
mod summary;

use std::sync::Arc;

use chat::Tokenizer;
use trajectory::event::{Compaction, ContextEdit};
use trajectory::{Event, Transcript, Usage};

use gauge::Gauge;
use gist::Gist;
pub(crate) use summary::instruction;

/// How large a context may get.
#[derive(Clone, Debug)]
pub struct Window {
    /// The tokens that fit into one request and its reply together; `None` when nobody knows.
    pub tokens: Option<u64>,
    /// What is kept free for the reply.
    pub reply_tokens: u64,
    /// From which share of the rest on old observations are shortened.
    pub shorten_at: f64,
    /// From which share of the rest on the conversation is replaced by a summary.
    pub compact_at: f64,
    /// The model's tokenizer, where there is one; else tokens are estimated and the estimate is
    /// corrected by what the provider counts.
    pub tokenizer: Option<Arc<Tokenizer>>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            tokens: None,
            reply_tokens: 16_384,
            shorten_at: 0.7,
            compact_at: 0.9,
            tokenizer: None,
        }
    }
}

impl Window {
    /// What a request may take.
    fn usable(&self) -> Option<u64> {
        let tokens = self.tokens?;
        // A reply that may take a quarter of a small window is long enough.
        Some(tokens - self.reply_tokens.min(tokens / 4))
    }
}

/// Whether the next request can be sent.
#[derive(Debug, PartialEq)]
pub(crate) enum Fit {
    /// As it is.
    Fits,
    /// After this.
    Shorten(ContextEdit),
    /// Not at all: a summary has to take its place.
    Overfull {
        /// Whether the model can be asked for it.
        can_be_asked: bool,
    },
}

/// What is known of the context of one session.
#[derive(Debug)]
pub(crate) struct Context {
    window: Window,
    gauge: Gauge,
    gist: Gist,
}

impl Context {
    pub(crate) fn new(window: Window) -> Self {
        let gauge = Gauge::new(window.tokenizer.clone());
        Self { window, gauge, gist: Gist::default() }
    }

    /// Takes the next event of the log.
    pub(crate) fn apply(&mut self, event: &Event, transcript: &Transcript) {
        self.gist.apply(event, transcript.tools());
    }

    /// Whether the next request fits. After a [`Fit::Shorten`] was recorded it is asked again.
    pub(crate) fn fit(&mut self, transcript: &Transcript) -> Fit {
        let Some(usable) = self.window.usable() else { return Fit::Fits };
        let tokens = self.gauge.measure(transcript);
        if tokens < share(usable, self.window.shorten_at) {
            return Fit::Fits;
        }
        if let Some(edit) = shorten::plan(transcript, &mut self.gauge, tokens, usable) {
            return Fit::Shorten(edit);
        }
        if tokens < share(usable, self.window.compact_at) {
            return Fit::Fits;
        }
        // One step may bring more than is free: then what came last has to give way, too.
        match shorten::squeeze(transcript, &mut self.gauge, tokens, usable) {
            Some(edit) if tokens > usable => Fit::Shorten(edit),
            _ => Fit::Overfull { can_be_asked: tokens <= usable },
        }
    }

    /// A request was answered, and the provider counted its tokens.
    pub(crate) fn counted(&mut self, usage: Usage) {
        self.gauge.correct(usage.input_tokens);
    }

    /// A request is sent: what the provider counts will be of this context.
    pub(crate) fn sent(&mut self, transcript: &Transcript) {
        if self.window.tokens.is_some() {
            self.gauge.sent(transcript);
        }
    }

    /// The server said that this context is too large, and perhaps how large it may be.
    pub(crate) fn overflowed(&mut self, transcript: &Transcript, told: Option<u64>) {
        let tokens = self.gauge.measure(transcript);
        let known = self.window.tokens.unwrap_or(u64::MAX);
        // Without a number: less than what was refused.
        let learnt = told.unwrap_or_else(|| tokens.saturating_sub(tokens / 10));
        self.window.tokens = Some(known.min(learnt.max(1)));
    }

    /// The event that puts a summary in the place of all but the latest turns, or of the whole.
    pub(crate) fn compaction(
        &mut self,
        transcript: &Transcript,
        request: Option<u32>,
        words: Option<&str>,
        whole: bool,
    ) -> Compaction {
        let usable = self.window.usable().unwrap_or_else(|| self.gauge.measure(transcript));
        let keep = if whole {
            // What came while the summary was written is not in it.
            let sent = transcript.turns().iter().flat_map(|turn| &turn.seqs);
            sent.max().copied().unwrap_or(0)
        } else {
            summary::boundary(transcript, &mut self.gauge, usable)
        };
        Compaction {
            through_seq: keep,
            summary: summary::compose(&self.gist, words, usable),
            request,
        }
    }
}

/// A share of some tokens. Exact enough: token counts are far below 2^52.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn share(tokens: u64, share: f64) -> u64 {
    (tokens as f64 * share.clamp(0.0, 1.0)) as u64
}

#[cfg(test)]
mod tests;
