//! What one request wants generated, in tokens, and what comes of it.
//!
//! Whoever asks reads [`Step`]s from a channel. To stop early, because a stop text was found or the
//! client is gone, it drops its end: the scheduler sees that and frees the slot.

use tokio::sync::mpsc;

use crate::constraint::Constraint;
use crate::engine::EngineError;

/// Something to generate.
#[derive(Debug)]
pub(crate) struct Job {
    /// The model, as [`crate::Engine::forward`] counts them.
    pub(crate) variant: usize,
    /// What stands before: at least one token.
    pub(crate) prompt: Vec<u32>,
    /// How the next token is chosen.
    pub(crate) sampling: Sampling,
    /// What the tokens have to spell; `None` allows anything.
    pub(crate) constraint: Option<Constraint>,
    /// Tokens after which nothing follows. The one that was sampled is said too.
    pub(crate) stops: Vec<u32>,
    /// Tokens to generate at most; prompt and these fit into a slot.
    pub(crate) tokens_max: usize,
    /// Where the steps go. It has room for all of them, and there are no more than the tokens and two:
    /// who reads slowly holds up nobody, and takes no slot longer than its reply is written.
    pub(crate) steps: mpsc::UnboundedSender<Step>,
}

/// How the next token is chosen. The order: repetition penalty, then what a grammar allows, then
/// temperature, top-k, top-p, min-p, then a draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sampling {
    /// 0 takes the likeliest token.
    pub(crate) temperature: f32,
    /// Of the likeliest tokens those that together reach this share; 1 keeps all.
    pub(crate) top_p: f32,
    /// So many of the likeliest; 0 keeps all.
    pub(crate) top_k: usize,
    /// Those at least this share as likely as the likeliest; 0 keeps all.
    pub(crate) min_p: f32,
    /// Divides the positive logits of tokens that occurred, and multiplies the negative ones (Keskar
    /// et al., arXiv 1909.05858); 1 does nothing.
    pub(crate) repetition_penalty: f32,
    /// The same seed, prompt and settings give the same tokens.
    pub(crate) seed: u64,
    /// Log-probabilities of so many of the likeliest are said with each token; `None` says none,
    /// `Some(0)` that of the token alone.
    pub(crate) logprobs: Option<usize>,
}

/// What comes of a job, in order: `Started` once, `Token`s, `Ended` once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// It is in a slot, which held so many tokens of the prompt already.
    Started {
        /// Tokens of the prompt that need not be computed.
        cached: usize,
    },
    /// A token was sampled.
    Token(Sampled),
    /// Nothing follows.
    Ended(End),
}

/// A token that was sampled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sampled {
    /// Its id.
    pub(crate) id: u32,
    /// Its natural log-probability under the model itself, where it was asked for.
    pub(crate) logprob: Option<f32>,
    /// The likeliest tokens, the likeliest first.
    pub(crate) top: Vec<Logprob>,
}

/// A token and its natural log-probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Logprob {
    /// The token.
    pub(crate) id: u32,
    /// Under the model itself, before temperature and penalties.
    pub(crate) logprob: f32,
}

/// Why nothing follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The last token is one of the stops.
    Stop,
    /// As many tokens as were wanted.
    Length,
    /// The grammar is complete and allows nothing more, and there is no stop that could be said.
    Complete,
    /// The engine failed.
    Failed(EngineError),
    /// The server goes down.
    Shutdown,
}
