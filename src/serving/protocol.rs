//! What clients send and are answered: Chat Completions and Completions as OpenAI has them, with
//! the fields that vLLM adds.
//!
//! A request is read field by field, so that an error names the field that is wrong. Fields that
//! nobody here knows are passed over; those that are known and cannot be obeyed are refused, for a
//! client that asked for something would otherwise take what it gets for it.

mod answer;
mod chat;
mod completion;
mod error;
mod fields;
mod generation;
mod message;
#[cfg(test)]
mod tests;

pub(crate) use answer::{
    CallDelta, Chat, ChatChoice, Choices, Completion, CompletionChoice, Delta, FunctionDelta,
    TextLogprobs, TokenLogprob, TokenLogprobs, Usage,
};
pub(crate) use chat::{ChatRequest, Form};
pub(crate) use completion::{CompletionRequest, Written};
pub(crate) use error::ApiError;
pub(crate) use generation::Generation;
