//! LoRA (Hu et al., arXiv 2106.09685): a product of two thin matrices beside a linear layer.

use tch::Tensor;

use crate::decoder::Parameter;
use crate::error::Result;
use crate::torch::{linear, number};

/// What is trained beside a frozen linear layer: `scale · B · A`.
#[derive(Debug)]
pub struct Adapter {
    /// `[rank, inputs]`.
    pub down: Parameter,
    /// `[outputs, rank]`, zero at first, so that training begins with the model as it was.
    pub up: Parameter,
    /// What the product is multiplied by: alpha over rank.
    pub scale: f64,
}

impl Adapter {
    /// What is added to the output of the layer.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let thin = linear(input, self.down.value(), None)?;
        let wide = linear(&thin, self.up.value(), None)?;
        Ok(wide.f_mul(&number(self.scale)?)?)
    }
}
