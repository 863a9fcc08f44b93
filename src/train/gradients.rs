//! Sums of gradients, in f32 whatever the model computes with: many small ones are added, and bf16
//! would lose most of them.

use tch::{Device, Kind, Tensor};

use crate::decoder::Parameter;
use crate::error::Result;
use crate::torch::number;

/// A sum for each parameter that is trained, by its slot.
#[derive(Debug)]
pub struct Gradients {
    sums: Vec<Tensor>,
    device: Device,
}

impl Gradients {
    /// Zeros for these parameters, kept on a device that need not be theirs.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(parameters: &[&Parameter], device: Device) -> Result<Self> {
        let zeros = |parameter: &&Parameter| {
            Tensor::f_zeros(parameter.value().size(), (Kind::Float, device))
        };
        let sums = parameters.iter().map(zeros).collect::<std::result::Result<_, _>>()?;
        Ok(Self { sums, device })
    }

    /// The sums, by slot.
    pub fn sums(&self) -> &[Tensor] {
        &self.sums
    }

    /// Adds a gradient of a parameter; of one that is frozen nothing is kept.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn add(&mut self, parameter: &Parameter, gradient: &Tensor) -> Result<()> {
        if let Some(sum) = parameter.slot().and_then(|slot| self.sums.get_mut(slot)) {
            let gradient = gradient.f_to_device(self.device)?;
            let _ = sum.f_add_(&gradient)?;
        }
        Ok(())
    }

    /// Adds the rows of a gradient to those rows of a parameter that these ids name.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn add_rows(&mut self, parameter: &Parameter, ids: &Tensor, rows: &Tensor) -> Result<()> {
        if let Some(sum) = parameter.slot().and_then(|slot| self.sums.get_mut(slot)) {
            let rows = rows.f_to_device(self.device)?.f_to_kind(Kind::Float)?;
            let _ = sum.f_index_add_(0, &ids.f_to_device(self.device)?, &rows)?;
        }
        Ok(())
    }

    /// The length of all of them together as one vector.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn norm(&self) -> Result<f64> {
        let norms: Vec<Tensor> =
            self.sums.iter().map(Tensor::f_norm).collect::<std::result::Result<_, _>>()?;
        if norms.is_empty() {
            return Ok(0.0);
        }
        let norm = Tensor::f_stack(&norms, 0)?;
        let norm = norm.f_norm()?;
        Ok(norm.f_double_value(&[])?)
    }

    /// Multiplies all of them.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        let factor = number(factor)?;
        for sum in &mut self.sums {
            let _ = sum.f_mul_(&factor)?;
        }
        Ok(())
    }

    /// Back to zero.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn clear(&mut self) -> Result<()> {
        for sum in &mut self.sums {
            let _ = sum.f_zero_()?;
        }
        Ok(())
    }

    /// Keeps them on another device from now on.
    ///
    /// # Errors
    /// When memory runs out there.
    pub fn move_to(&mut self, device: Device) -> Result<()> {
        for sum in &mut self.sums {
            *sum = sum.f_to_device(device)?;
        }
        self.device = device;
        Ok(())
    }
}
