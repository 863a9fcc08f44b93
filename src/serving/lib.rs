//! An OpenAI-compatible endpoint for a model that runs here, without tensors.
//!
//! Two seams make it. An [`Engine`] computes: tokens in, logits out, with the keys and values of
//! earlier tokens kept in slots; `limn-train` has the one of libtorch, tests have one of arithmetic.
//! A job is what one request wants generated, in tokens. Between the two stands the scheduler, a
//! thread of its own that owns the engine; above stand text, tools and HTTP.
//!
//! A request goes down through `http` (who may ask), `protocol` (what is asked), `prompt` (as
//! tokens) and the scheduler; its reply comes up through `reply`, `speech` (as text, thoughts and
//! calls) and `http` again. [`Server`] is what is known before: the model's dialect, its names, the
//! key. [`serve`] does the rest.
//!
//! Absent here: weights and devices, which the engine knows, and sessions, which talk to this as
//! they would to any other server.

mod constraint;
mod engine;
#[cfg(test)]
pub(crate) mod fixtures;
mod http;
mod job;
mod metrics;
mod prompt;
mod protocol;
mod reply;
mod sampling;
mod scheduler;
mod server;
mod slots;
mod speech;

pub use engine::{Answer, Engine, EngineError, Facts, Piece, Want};
pub use http::{Listen, Ready, serve};
pub use server::{Model, ServeError, Server};
