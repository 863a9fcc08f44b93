//! How much there is to compute.
//!
//! Operations are those of the model: what a better program would have to do too. What is computed a
//! second time to save memory is not counted, so a slower way has a lower share of the machine.

use crate::recipe::Method;
use crate::shape::ModelShape;

/// The operations of one way forward through a model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Of linear layers, and the output's matrix where something is trained.
    pub linear: f64,
    /// Of attention.
    pub attention: f64,
}

impl Work {
    /// A sample of so many tokens, of which so many are trained.
    #[must_use]
    pub fn of(shape: &ModelShape, tokens: usize, trained: usize) -> Self {
        let (tokens, trained) = (tokens as f64, trained as f64);
        let output = shape.vocab as f64 * shape.hidden as f64;
        let width = shape.layers as f64 * shape.query_width() as f64;
        Self {
            linear: 2.0 * shape.linear_parameters() as f64 * tokens + 2.0 * output * trained,
            attention: 2.0 * width * tokens * tokens,
        }
    }

    /// Forward and backward. With an adapter the gradients of the weights are not needed.
    #[must_use]
    pub fn flops(&self, method: Method) -> f64 {
        match method {
            Method::Full => 3.0 * (self.linear + self.attention),
            Method::Lora(_) => 2.0 * self.linear + 3.0 * self.attention,
        }
    }
}
