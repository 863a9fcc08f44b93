//! A linear layer, with an adapter beside it when it has one.

use tch::Tensor;

use crate::decoder::{Adapter, Parameter};
use crate::error::Result;
use crate::torch::{gated, linear};

/// `x · Wᵀ + b`.
#[derive(Debug)]
pub struct Linear {
    module: String,
    weight: Parameter,
    bias: Option<Parameter>,
    adapter: Option<Adapter>,
}

impl Linear {
    /// The layer of this module, whose tensors `take` finds.
    ///
    /// # Errors
    /// When a tensor cannot be had.
    pub fn new(
        module: &str,
        has_bias: bool,
        take: &dyn Fn(&str) -> Result<Parameter>,
    ) -> Result<Self> {
        let bias = if has_bias { Some(take(&format!("{module}.bias"))?) } else { None };
        let weight = take(&format!("{module}.weight"))?;
        Ok(Self { module: module.to_owned(), weight, bias, adapter: None })
    }

    /// Its name, such as `model.layers.0.self_attn.q_proj`.
    #[must_use]
    pub fn module(&self) -> &str {
        &self.module
    }

    /// `[outputs, inputs]`.
    #[must_use]
    pub fn weight(&self) -> &Parameter {
        &self.weight
    }

    /// What stands beside it.
    #[must_use]
    pub fn adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref()
    }

    /// Puts an adapter beside it, or nothing, and gives what stood there.
    pub fn set_adapter(&mut self, adapter: Option<Adapter>) -> Option<Adapter> {
        std::mem::replace(&mut self.adapter, adapter)
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(Parameter::value);
        let output = linear(input, self.weight.value(), bias)?;
        match &self.adapter {
            Some(adapter) => Ok(output.f_add(&adapter.forward(input)?)?),
            None => Ok(output),
        }
    }

    /// The same for `silu(gate) · up`, which the way back computes again instead of keeping it.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn forward_gated(&self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        if self.bias.is_some() || !gate.requires_grad() {
            return self.forward(&gate.f_silu()?.f_mul(up)?);
        }
        let adapter = self.adapter.as_ref();
        let adapter = adapter.map(|it| ([it.down.value(), it.up.value()], it.scale));
        gated([gate, up, self.weight.value()], adapter)
    }

    /// Weight and bias.
    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        std::iter::once(&self.weight).chain(&self.bias)
    }

    /// Weight and bias, to be changed.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        std::iter::once(&mut self.weight).chain(&mut self.bias)
    }

    /// Everything that may be trained here: weight, bias and adapter.
    pub(super) fn all(&self) -> impl Iterator<Item = &Parameter> {
        let adapter = self.adapter.iter().flat_map(|adapter| [&adapter.down, &adapter.up]);
        self.parameters().chain(adapter)
    }
}
