//! A fine-tune on paper and on disk: everything about it that needs no tensor.
//!
//! [`shape`] is what a model consists of, [`recipe`] how it is trained, [`data`] on what, and
//! [`metrics`] what a run says while it goes. The terminal and the runner both read and write
//! through this crate, so they agree without speaking to each other.
//!
//! Absent here on purpose: weights and arithmetic, which only the runner knows, and the terminal.

pub mod data;
mod disk;
pub mod error;
pub mod metrics;
pub mod recipe;
pub mod shape;

pub use error::TrainingError;
