//! Root mean square normalisation.

use tch::Tensor;

use crate::decoder::Parameter;
use crate::error::Result;
use crate::torch::norm;

/// A norm over the last dimension.
#[derive(Debug)]
pub struct Norm {
    weight: Parameter,
    eps: f64,
}

impl Norm {
    /// A norm with this weight.
    #[must_use]
    pub fn new(weight: Parameter, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// The same shape, normalised.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, stream: &Tensor) -> Result<Tensor> {
        norm(stream, self.weight.value(), self.eps)
    }

    /// Its weight.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        std::iter::once(&self.weight)
    }

    /// Its weight, to be changed.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        std::iter::once(&mut self.weight)
    }
}
