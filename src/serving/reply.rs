//! A request on its way through the scheduler: what is ordered, and the reply as it comes.

use std::sync::Arc;
use std::time::Instant;

use chat::Heard;
use tokio::sync::mpsc;

use crate::job::{End, Sampled, Step};
use crate::metrics::Metrics;
use crate::protocol::{ApiError, Usage};
use crate::speech::Speech;

/// What is heard next of a reply, with the tokens that it came of.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) heard: Vec<Heard>,
    /// All since the piece before, the one at which it stopped too.
    pub(crate) tokens: Vec<Sampled>,
    /// Why it ended, in OpenAI's word, when it did.
    pub(crate) finish: Option<&'static str>,
}

impl Piece {
    /// The ids of its tokens.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|sampled| sampled.id).collect()
    }
}

/// A reply as it comes.
pub(crate) struct Reply {
    speech: Speech,
    /// Dropped as soon as nothing more is wanted, which frees the slot.
    steps: Option<mpsc::UnboundedReceiver<Step>>,
    /// Tokens that are control and no part of the text.
    stops: Vec<u32>,
    next: Piece,
    pub(crate) usage: Usage,
    metrics: Arc<Metrics>,
    /// When the request came, or the last token.
    since: Instant,
}

impl Reply {
    /// The beginning of a reply to a prompt of so many tokens.
    pub(crate) fn new(
        speech: Speech,
        steps: mpsc::UnboundedReceiver<Step>,
        (prompt_tokens, stops): (usize, Vec<u32>),
        metrics: Arc<Metrics>,
        arrived: Instant,
    ) -> Self {
        Self {
            speech,
            steps: Some(steps),
            stops,
            next: Piece::default(),
            usage: Usage { prompt: prompt_tokens, ..Usage::default() },
            metrics,
            since: arrived,
        }
    }

    /// What comes next; `None` after the end. It may be dropped and asked again: nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Result<Piece, ApiError>> {
        while let Some(steps) = &mut self.steps {
            match steps.recv().await {
                Some(Step::Started { cached }) => self.usage.cached = cached,
                Some(Step::Token(sampled)) => {
                    self.token(sampled);
                    if self.speech.is_over() {
                        return Some(Ok(self.end("stop")));
                    }
                    if !self.next.heard.is_empty() {
                        return Some(Ok(self.take()));
                    }
                }
                Some(Step::Ended(End::Length)) => return Some(Ok(self.end("length"))),
                Some(Step::Ended(End::Stop | End::Complete)) => return Some(Ok(self.end("stop"))),
                ended => {
                    self.steps = None;
                    return Some(Err(failed(ended)));
                }
            }
        }
        None
    }

    /// All that comes, to the end.
    pub(crate) async fn rest(&mut self) -> Result<Piece, ApiError> {
        let mut rest = Piece::default();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            rest.heard.extend(piece.heard);
            rest.tokens.extend(piece.tokens);
            rest.finish = piece.finish;
        }
        Ok(rest)
    }

    fn token(&mut self, sampled: Sampled) {
        let now = Instant::now();
        self.metrics.token(self.usage.completion == 0, now.duration_since(self.since));
        self.since = now;
        self.usage.completion += 1;
        if !self.stops.contains(&sampled.id) {
            self.next.heard.extend(self.speech.hear(sampled.id));
        }
        self.next.tokens.push(sampled);
    }

    fn end(&mut self, why: &'static str) -> Piece {
        self.steps = None;
        self.next.heard.extend(self.speech.end());
        let calls = why == "stop" && self.speech.has_calls();
        self.next.finish = Some(if calls { "tool_calls" } else { why });
        self.take()
    }

    fn take(&mut self) -> Piece {
        self.usage.reasoning = self.speech.reasoning_tokens();
        std::mem::take(&mut self.next)
    }
}

/// A reply that did not come to its end.
fn failed(ended: Option<Step>) -> ApiError {
    match ended {
        Some(Step::Ended(End::Failed(error))) => {
            ApiError::new(500, format!("The reply failed: {error}"))
        }
        _ => ApiError::new(503, "The server goes down. Ask again when it is back."),
    }
}
