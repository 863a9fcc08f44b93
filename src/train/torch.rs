//! What `tch` leaves out of libtorch: gradients weighted by a gradient, a fused optimizer step, the
//! memory in use, which kernels may run, products of a few rows, graphs of what a GPU is asked for,
//! and the half of the library that computes on one.
//!
//! The C++ beneath lies beside it, `torch/shim.cpp` first; the only unsafe code of this crate stands
//! in this folder. Everything that computes goes through tch's fallible functions (`f_…`) or through
//! here, so that a failure is a [`TrainError`](crate::TrainError) and memory that ran out is told
//! apart.

mod bytes;
mod cuda;
mod graph;
mod kernels;
mod memory;
mod shim;

#[cfg(test)]
mod tests;

pub use bytes::{Number, filled, map, read_into, write_numbers};
pub use cuda::{Cuda, load_cuda};
pub use graph::{Graph, Graphs};
pub use kernels::{Backend, KeptAttention, Kernels, attention_backend, attention_part};
pub use memory::{Memory, forget, give_back, grant, keep_freed, memory, reset_peak};

use tch::Tensor;

use crate::error::Result;

/// The version of libtorch that runs, such as `2.11.0+cu130`.
#[must_use]
pub fn version() -> String {
    shim::version()
}

/// A number as a tensor without dimensions, which stands wherever one may. What tch itself makes of
/// numbers panics where the operation fails: it is freed before anybody looks whether it did.
///
/// # Errors
/// When memory runs out.
pub fn number(value: f64) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(&[value])?.f_view([0_i64; 0])?)
}

/// Gradients of `outputs`, each weighted by the gradient that came back to it, with respect to
/// `inputs`; `None` for an input that no output depends on. The graph is freed.
///
/// # Errors
/// When an output depends on no input or an input takes no gradient, when shapes do not fit, or
/// when memory runs out.
pub fn gradients(
    outputs: &[&Tensor],
    weights: &[&Tensor],
    inputs: &[&Tensor],
) -> Result<Vec<Option<Tensor>>> {
    shim::gradients(outputs, weights, inputs)
}

/// `input · weightᵀ + bias`, as a linear layer has them: `[rows, inputs]`, `[outputs, inputs]` and
/// `[outputs]`.
///
/// Where no gradients are wanted, a few rows in single precision on the processor are multiplied by
/// a kernel of ours (`torch/few_rows.cpp`), which reads the weights once, as fast as memory gives
/// them. The sums are added in another order there.
///
/// # Errors
/// When shapes or kinds do not fit, or memory runs out.
pub fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    shim::linear(input, weight, bias)
}

/// What `silu(gate) · up` comes to behind a linear layer without a bias, and an adapter beside it:
/// `scale` times two thin matrices, `[rank, inputs]` and `[outputs, rank]`. `gate` and `up` are
/// `[rows, inputs]`, and are all of that width that waits for the way back (`torch/leaner.cpp`).
///
/// # Errors
/// When shapes or kinds do not fit, or memory runs out.
pub fn gated(
    [gate, up, weight]: [&Tensor; 3],
    adapter: Option<([&Tensor; 2], f64)>,
) -> Result<Tensor> {
    let (matrices, scale) = adapter.unzip();
    shim::gated([gate, up, weight], matrices, scale.unwrap_or(1.0))
}

/// Root mean square normalisation (Zhang and Sennrich, arXiv 1910.07467) along the last dimension, as
/// `transformers` rounds it: in f32, rounded to the kind of the stream before the weight is multiplied.
/// The stream and a number a row are all that waits for the way back.
///
/// # Errors
/// When shapes or kinds do not fit, or memory runs out.
pub fn norm(stream: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    shim::norm(stream, weight, eps)
}

/// The numbers of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// The learning rate of this step.
    pub rate: f64,
    /// How much of the mean of gradients is kept.
    pub beta1: f64,
    /// How much of the mean of their squares is kept.
    pub beta2: f64,
    /// What is taken off the weights, times the rate.
    pub decay: f64,
    /// Added to the denominator.
    pub epsilon: f64,
}

/// What one step of the optimizer changes, one entry of each for a parameter.
pub struct Moments<'a> {
    /// Weights, changed in place.
    pub parameters: &'a [&'a Tensor],
    /// Their gradients.
    pub gradients: &'a [&'a Tensor],
    /// Means of gradients.
    pub means: &'a [&'a Tensor],
    /// Means of squared gradients.
    pub squares: &'a [&'a Tensor],
    /// Tensors of one f32 each: the number of this step, from 1.
    pub steps: &'a [&'a Tensor],
}

impl AdamW {
    /// One step, in place.
    ///
    /// # Errors
    /// When shapes or kinds do not fit.
    pub fn step(&self, moments: &Moments<'_>) -> Result<()> {
        // The kernel wants to be told at least one device.
        if moments.parameters.is_empty() {
            return Ok(());
        }
        shim::adamw(self, moments)
    }
}
