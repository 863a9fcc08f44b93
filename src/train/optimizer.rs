//! AdamW with weights and moments in f32.
//!
//! With weights in bf16 alone most of them never move: a step of 1e-5 is less than half of their
//! last digit. So each trained parameter has a master in f32, to which the step is made, and what
//! is computed with is the master rounded. Where the model computes in f32, the two are one tensor.

use tch::{Device, Kind, Tensor};

use crate::decoder::Parameter;
use crate::error::Result;
use crate::gradients::Gradients;
use crate::torch::{AdamW, Moments, number};

/// The masters and moments of all trained parameters, by slot.
#[derive(Debug)]
pub struct Optimizer {
    states: Vec<State>,
    /// How many steps were made.
    step: u64,
    device: Device,
}

/// Finds a tensor by its name.
pub type Give<'a> = dyn Fn(&str) -> Result<Tensor> + 'a;

/// What is kept of one parameter.
#[derive(Debug)]
pub struct State {
    /// Its published name.
    pub name: String,
    /// The weights, in f32.
    pub master: Tensor,
    /// The mean of its gradients.
    pub mean: Tensor,
    /// The mean of their squares.
    pub square: Tensor,
    /// Whether weight decay applies: to matrices, not to norms and biases.
    pub decays: bool,
}

impl Optimizer {
    /// Begins with the parameters as they are. Masters and moments are kept on `device`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(parameters: &[&Parameter], device: Device) -> Result<Self> {
        let state = |parameter: &&Parameter| -> Result<State> {
            let value = parameter.value().f_detach()?;
            let zeros = || Tensor::f_zeros(value.size(), (Kind::Float, device));
            Ok(State {
                name: parameter.name().to_owned(),
                mean: zeros()?,
                square: zeros()?,
                decays: value.dim() > 1,
                // Of the same kind on the same device this is the same tensor.
                master: value.f_to_kind(Kind::Float)?.f_to_device(device)?,
            })
        };
        let states = parameters.iter().map(state).collect::<Result<_>>()?;
        Ok(Self { states, step: 0, device })
    }

    /// What is kept, by slot.
    #[must_use]
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// Goes on from what was kept: `give` finds the tensor of a name, which is a parameter's with
    /// `master.`, `mean.` or `square.` before it.
    ///
    /// # Errors
    /// When one is missing or of another size.
    pub fn restore(&mut self, give: &Give<'_>, step: u64, parameters: &[&Parameter]) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for State { name, master, mean, square, .. } in &mut self.states {
            for (of, own) in [("master", master), ("mean", mean), ("square", square)] {
                own.f_copy_(&give(&format!("{of}.{name}"))?)?;
            }
        }
        self.step = step;
        self.round(parameters)
    }

    /// One step with these gradients.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn step(
        &mut self,
        numbers: AdamW,
        gradients: &Gradients,
        parameters: &[&Parameter],
    ) -> Result<()> {
        // A number of a step is a tensor to the kernel. It is made first: what comes then takes no
        // memory, so that the step is made whole or not at all.
        #[allow(clippy::cast_precision_loss, reason = "exact up to 16 million steps")]
        let step = number((self.step + 1) as f64)?.f_to_kind(Kind::Float)?;
        let step = step.f_to_device(self.device)?;
        self.step += 1;
        for decays in [true, false] {
            self.step_group(decays, numbers, gradients, &step)?;
        }
        self.round(parameters)
    }

    fn step_group(
        &self,
        decays: bool,
        numbers: AdamW,
        gradients: &Gradients,
        step: &Tensor,
    ) -> Result<()> {
        let group: Vec<(&State, &Tensor)> = self
            .states
            .iter()
            .zip(gradients.sums())
            .filter(|(state, _)| state.decays == decays)
            .collect();
        let all = |of: fn(&State) -> &Tensor| {
            group.iter().map(|(state, _)| of(state)).collect::<Vec<_>>()
        };
        let moments = Moments {
            parameters: &all(|state| &state.master),
            gradients: &group.iter().map(|(_, sum)| *sum).collect::<Vec<_>>(),
            means: &all(|state| &state.mean),
            squares: &all(|state| &state.square),
            steps: &vec![step; group.len()],
        };
        let decay = if decays { numbers.decay } else { 0.0 };
        AdamW { decay, ..numbers }.step(&moments)
    }

    /// Rounds the masters to what is computed with.
    fn round(&self, parameters: &[&Parameter]) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for (state, parameter) in self.states.iter().zip(parameters) {
            let mut value = parameter.value().f_detach()?;
            if value.data_ptr() != state.master.data_ptr() {
                value.f_copy_(&state.master)?;
            }
        }
        Ok(())
    }

    /// Keeps masters and moments on another device from now on.
    ///
    /// # Errors
    /// When memory runs out there.
    pub fn move_to(&mut self, device: Device) -> Result<()> {
        for state in &mut self.states {
            state.master = state.master.f_to_device(device)?;
            state.mean = state.mean.f_to_device(device)?;
            state.square = state.square.f_to_device(device)?;
        }
        self.device = device;
        Ok(())
    }
}
