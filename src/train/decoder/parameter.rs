//! One tensor of a model.

use tch::Tensor;

/// A tensor of a model under the name by which its files know it.
#[derive(Debug)]
pub struct Parameter {
    name: String,
    value: Tensor,
    /// Where its gradient is summed, when it is trained.
    slot: Option<usize>,
}

impl Parameter {
    /// A parameter that is not trained.
    #[must_use]
    pub fn new(name: &str, value: Tensor) -> Self {
        Self { name: name.to_owned(), value, slot: None }
    }

    /// Its published name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is computed with.
    pub fn value(&self) -> &Tensor {
        &self.value
    }

    /// Where its gradient is summed; `None` when it is frozen.
    #[must_use]
    pub fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// Trains it from now on; its gradient is summed in this slot.
    pub fn train(&mut self, slot: usize) {
        self.slot = Some(slot);
        self.value = self.value.detach().set_requires_grad(true);
    }
}
