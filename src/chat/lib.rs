//! What a model family reads: for now, how many tokens a text is to it.
//!
//! A [`Tokenizer`] is the `tokenizer.json` of a model, loaded once and only counted with; without
//! one there is [`estimate`]. Absent
//! until exports need them: chat templates, token masks, the formats of tool calls.

mod estimate;
mod tokenizer;

pub use estimate::estimate;
pub use tokenizer::{Tokenizer, TokenizerError};

#[cfg(test)]
mod tests;
