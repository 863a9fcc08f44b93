//! A fine-tune on paper and on disk: everything about it that needs no tensor.
//!
//! [`shape`] is what a model consists of, [`recipe`] how it is trained, [`data`] on what, [`order`]
//! in which order, [`plan`] with how much memory and time; [`handover`] is for what needs more. [`folder`] is where a run keeps itself:
//! [`metrics`] line by line, [`answers`], checkpoints, and what is made of them ([`curves`], [`card`],
//! [`tensorboard`]). The terminal and the runner both read and write through this crate, so they
//! agree without speaking to each other.
//!
//! Absent here on purpose: weights and arithmetic, which only the runner knows, and the terminal.

pub mod answers;
pub mod card;
pub mod curves;
pub mod data;
mod disk;
pub mod error;
pub mod folder;
pub mod handover;
pub mod metrics;
pub mod order;
pub mod plan;
pub mod recipe;
pub mod shape;
pub mod tensorboard;

pub use error::TrainingError;
