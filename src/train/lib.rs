//! The fine-tune runner: real checkpoints, long trajectories and exact numerics, on libtorch.
//!
//! Everything here needs libtorch and therefore the feature `torch`; without it the package is
//! empty. What a fine-tune is on paper and on disk is in `training`; here is what computes.
#![cfg(feature = "torch")]

pub mod backward;
pub mod checkpoint;
pub mod command;
pub mod decoder;
mod doctor;
pub mod engine;
mod error;
#[cfg(test)]
mod goldens;
pub mod gradients;
pub mod judge;
pub mod loss;
pub mod machine;
pub mod merge;
pub mod method;
pub mod optimizer;
pub mod row;
pub mod run;
mod serve;
pub mod torch;
pub mod trainer;
pub mod weights;

pub use error::{Result, TrainError};
