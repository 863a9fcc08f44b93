//! What computes: the seam between serving and tensors.
//!
//! An engine has slots, each with room for the keys and values of one text. A call carries pieces of
//! several texts at once, one token of some and a chunk of the prompt of others, and computes them
//! as one batch. Which text lies in which slot, and what of it may be used again, its caller knows.

use thiserror::Error;

/// What an engine is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Logits of an answer: ids from 0 to this are known.
    pub vocab: usize,
    /// Texts that it holds at once: one or more.
    pub slots: usize,
    /// Tokens that a slot holds.
    pub slot_tokens: usize,
    /// Models that it computes: 0 is the base, others have an adapter beside it.
    pub variants: usize,
}

/// What is asked of the last token of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing: more of the prompt follows.
    Nothing,
    /// The likeliest next token.
    Best,
    /// The logits of all.
    Logits,
}

/// Tokens that follow what a slot holds.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// The slot, in no other piece of the same call.
    pub slot: usize,
    /// One token or more.
    pub tokens: &'a [u32],
    /// What is asked of the last of them.
    pub want: Want,
}

/// What comes after the last token of a piece.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It was not asked.
    Nothing,
    /// The likeliest token.
    Best(u32),
    /// None is likeliest: what was computed is no number.
    NoNumber,
    /// Logits `[vocab]`, as the model gives them: no temperature, no penalty.
    Logits(Vec<f32>),
}

/// Why an engine could not compute. What the slots of the call hold is then unknown beyond what
/// they held before, and the caller truncates them to that.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EngineError {
    /// The memory of the device is full.
    #[error("The memory of the device is full: {0}. Serve with a smaller context or fewer slots.")]
    OutOfMemory(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// What computes logits. One thread owns it.
pub trait Engine: Send {
    /// What it is made of; the same at each call.
    fn facts(&self) -> Facts;

    /// Computes pieces with one of the models, and says what comes after each, in their order. The
    /// tokens are in their slots then.
    ///
    /// # Errors
    /// When a piece is empty or does not fit into its slot, or the device fails.
    fn forward(&mut self, variant: usize, pieces: &[Piece<'_>])
    -> Result<Vec<Answer>, EngineError>;

    /// Forgets what a slot holds beyond its first so many tokens.
    fn truncate(&mut self, slot: usize, tokens: usize);

    /// Forgets all that a slot holds, and gives its memory back, where memory is taken as slots fill.
    /// Whether there was any.
    fn give_back(&mut self, slot: usize) -> bool;

    /// Makes a slot hold the first so many tokens of another, and nothing else.
    ///
    /// # Errors
    /// When the device fails.
    fn copy(&mut self, from: usize, to: usize, tokens: usize) -> Result<(), EngineError>;
}
