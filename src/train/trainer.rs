//! One step of the optimizer, whatever it takes.
//!
//! A step computes its micro-batches one after the other, sums their gradients, shortens the sum and
//! moves the weights. When memory runs out on the way, what was summed is thrown away, the trainer
//! goes one rung down the ladder ([`Rung`]) and makes the same step again: the weights have not
//! moved before all gradients are there, so nothing is lost but time.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use tch::Device;
use training::data::Sample;
use training::metrics;
use training::plan::{Rung, Way};
use training::recipe::Recipe;

use crate::backward::row_backward;
use crate::decoder::Decoder;
use crate::error::{Result, TrainError};
use crate::gradients::Gradients;
use crate::loss::{Chunks, loss};
use crate::optimizer::Optimizer;
use crate::row::Row;
use crate::torch::{AdamW, give_back};

/// A model that is being trained.
#[derive(Debug)]
pub struct Trainer {
    decoder: Decoder,
    optimizer: Optimizer,
    gradients: Gradients,
    recipe: Recipe,
    rung: Rung,
    /// The rung that it had to go down before its first step.
    descended: Vec<metrics::Rung>,
}

/// What came of a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stepped {
    /// The mean loss of its trained tokens, in nats.
    pub loss: f64,
    /// The length of the gradient before it was shortened.
    pub grad_norm: f64,
    /// Seconds, by phase.
    pub phases_s: BTreeMap<String, f64>,
    /// The rungs it had to go down.
    pub rungs: Vec<metrics::Rung>,
}

impl Trainer {
    /// Trains what of the decoder is marked for it, beginning on this rung.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(decoder: Decoder, recipe: &Recipe, rung: Rung) -> Result<Self> {
        let trained = decoder.trained();
        let sums = |device: Device| -> Result<(Optimizer, Gradients)> {
            Ok((Optimizer::new(&trained, device)?, Gradients::new(&trained, device)?))
        };
        let is_on_host = |rung: &Rung| Way::of(*rung, recipe).host_optimizer;
        let (mut rung, mut descended) = (rung, Vec::new());
        let made = sums(if is_on_host(&rung) { Device::Cpu } else { decoder.device() });
        let (optimizer, gradients) = match made {
            Err(TrainError::OutOfMemory(why)) if !is_on_host(&rung) => {
                give_back()?;
                let lower = std::iter::successors(rung.below(), |rung| rung.below());
                let lower = lower.into_iter().find(is_on_host);
                let lower = lower.ok_or_else(|| TrainError::OutOfMemory(why.clone()))?;
                descended.push(descent(0, rung, lower, &why));
                rung = lower;
                sums(Device::Cpu)?
            }
            made => made?,
        };
        Ok(Self { optimizer, gradients, decoder, recipe: recipe.clone(), rung, descended })
    }

    /// The model as it is now.
    #[must_use]
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The state of the optimizer.
    #[must_use]
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// The rung it computes on.
    #[must_use]
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Goes on from a checkpoint: see [`Optimizer::restore`].
    ///
    /// # Errors
    /// When the states are not those of this model.
    pub fn restore(&mut self, give: &crate::optimizer::Give<'_>, step: u64) -> Result<()> {
        self.optimizer.restore(give, step, &self.decoder.trained())
    }

    /// Makes the step of this number with these micro-batches, at this learning rate.
    ///
    /// # Errors
    /// When the loss is no number, or memory does not do on any rung. The weights are as they were.
    pub fn step(&mut self, number: u64, batches: &[Vec<Sample>], rate: f64) -> Result<Stepped> {
        let rungs = std::mem::take(&mut self.descended).into_iter();
        let rungs = rungs.map(|rung| metrics::Rung { step: number, ..rung }).collect();
        let mut stepped = Stepped { rungs, ..Stepped::default() };
        loop {
            match self.gather(batches, &mut stepped) {
                Ok(()) => break,
                Err(TrainError::OutOfMemory(why)) => {
                    let lower = self.descend(number, &why)?;
                    stepped = Stepped { rungs: stepped.rungs, ..Stepped::default() };
                    stepped.rungs.push(lower);
                }
                Err(other) => return Err(other),
            }
        }
        let began = Instant::now();
        stepped.grad_norm = self.gradients.norm()?;
        if !(stepped.loss.is_finite() && stepped.grad_norm.is_finite()) {
            let samples: Vec<&str> = batches.iter().flatten().map(|it| it.id.as_str()).collect();
            let samples = samples.join(", ");
            let loss = if stepped.loss.is_finite() { stepped.grad_norm } else { stepped.loss };
            return Err(TrainError::Loss { step: number, loss, samples });
        }
        let optimizer = &self.recipe.optimizer;
        // As torch.nn.utils.clip_grad_norm_ has it.
        let shorter = optimizer.clip / (stepped.grad_norm + 1e-6);
        if optimizer.clip > 0.0 && shorter < 1.0 {
            self.gradients.scale(shorter)?;
        }
        let numbers = AdamW {
            rate,
            beta1: optimizer.betas[0],
            beta2: optimizer.betas[1],
            decay: optimizer.weight_decay,
            epsilon: optimizer.eps,
        };
        self.optimizer.step(numbers, &self.gradients, &self.decoder.trained())?;
        stepped.phases_s.insert("optimizer".to_owned(), began.elapsed().as_secs_f64());
        Ok(stepped)
    }

    /// The mean loss of a token that would be trained in these samples, and how many there are.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn measure(&self, samples: &mut dyn Iterator<Item = Result<Sample>>) -> Result<(f64, u64)> {
        let (mut sum, mut tokens) = (0.0, 0);
        let tile = Way::of(self.rung, &self.recipe).mlp_tile;
        for sample in samples {
            let row = Row::new(&self.decoder, &[sample?])?;
            let stream = self.decoder.forward(&row.ids, &row.places, tile)?;
            let chunk = self.recipe.lengths.loss_chunk;
            sum += loss(&self.decoder, &stream, &row.targets, chunk)?;
            tokens += row.targets.count as u64;
        }
        #[allow(clippy::cast_precision_loss, reason = "a mean")]
        let mean = if tokens == 0 { 0.0 } else { sum / tokens as f64 };
        Ok((mean, tokens))
    }

    /// Sums the gradients of all micro-batches.
    fn gather(&mut self, batches: &[Vec<Sample>], stepped: &mut Stepped) -> Result<()> {
        self.gradients.clear()?;
        let marks = batches.iter().flatten().flat_map(|sample| &sample.trained);
        let trained = marks.filter(|is_trained| **is_trained).count();
        #[allow(clippy::cast_precision_loss, reason = "a denominator")]
        let denominator = trained.max(1) as f64;
        let chunks = Chunks { tokens: self.recipe.lengths.loss_chunk, denominator };
        let way = Way::of(self.rung, &self.recipe);
        let mut sum = 0.0;
        for samples in batches {
            let began = Instant::now();
            let row = Row::new(&self.decoder, samples)?;
            add(stepped, "data", began);
            let began = Instant::now();
            sum += row_backward(&self.decoder, &row, chunks, way, &mut self.gradients)?;
            add(stepped, "passes", began);
        }
        stepped.loss = sum / denominator;
        Ok(())
    }

    /// Goes down to the next rung that changes anything.
    fn descend(&mut self, step: u64, why: &str) -> Result<metrics::Rung> {
        let from = self.rung;
        let now = Way::of(from, &self.recipe);
        let mut rung = from;
        let (rung, way) = loop {
            match rung.below() {
                Some(below) if below != Rung::HandOver => rung = below,
                _ => return Err(TrainError::OutOfMemory(why.to_owned())),
            }
            let way = Way::of(rung, &self.recipe);
            if way != now {
                break (rung, way);
            }
        };
        if way.host_optimizer && !now.host_optimizer {
            self.gradients.move_to(Device::Cpu)?;
            self.optimizer.move_to(Device::Cpu)?;
        }
        give_back()?;
        self.rung = rung;
        Ok(descent(step, from, rung, why))
    }
}

fn descent(step: u64, from: Rung, to: Rung, why: &str) -> metrics::Rung {
    let [from, to] = [from, to].map(|rung| rung.as_str().to_owned());
    metrics::Rung { step, from, to, why: why.to_owned() }
}

fn add(stepped: &mut Stepped, phase: &str, began: Instant) {
    *stepped.phases_s.entry(phase.to_owned()).or_default() += began.elapsed().as_secs_f64();
}
