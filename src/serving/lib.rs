//! An OpenAI-compatible endpoint for a model that runs here, without tensors.
//!
//! Two seams make it. An [`Engine`] computes: tokens in, logits out, with the keys and values of
//! earlier tokens kept in slots; `limn-train` has the one of libtorch, tests have one of arithmetic.
//! A [`Job`] is what one request wants generated, in tokens. Between the two stands the scheduler, a
//! thread of its own that owns the engine; above stand text, tools and HTTP.
//!
//! Absent here: weights and devices, which the engine knows, and sessions, which talk to this as
//! they would to any other server.

mod constraint;
mod engine;
#[cfg(test)]
pub(crate) mod fixtures;
mod job;
mod sampling;
mod scheduler;
mod slots;

pub use constraint::{Calls, Constraint, ConstraintError, Grammar, ToolChoice};
pub use engine::{Answer, Engine, EngineError, Facts, Piece, Want};
pub use job::{End, Job, Logprob, Sampled, Sampling, Step};
pub use scheduler::{Handle, Load, Refused, Settings, start};
