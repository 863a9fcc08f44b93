//! Root mean square normalisation (Zhang and Sennrich, arXiv 1910.07467), as `transformers` rounds
//! it: in f32, rounded to the kind of the stream before the weight is multiplied.

use tch::{Kind, Tensor};

use crate::decoder::Parameter;
use crate::error::Result;
use crate::torch::number;

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
        let wide = stream.f_to_kind(Kind::Float)?;
        let variance = wide.f_square()?.f_mean_dim(&[-1_i64][..], true, Kind::Float)?;
        let scale = variance.f_add(&number(self.eps)?)?.f_rsqrt()?;
        let normal = wide.f_mul(&scale)?.f_to_kind(stream.kind())?;
        Ok(normal.f_mul(self.weight.value())?)
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
