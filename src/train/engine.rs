//! What computes for the endpoint: a decoder with a cache of several texts, and adapters that take
//! turns beside it.
//!
//! The weights of the base are there once, however many adapters there are. One of them stands
//! beside the linear layers at a time, and is exchanged when another model is asked for: that moves
//! no numbers.

mod steps;

#[cfg(test)]
mod tests;

use serving::{Answer, Engine, EngineError, Facts, Piece, Want};

use crate::decoder::{Adapter, Cache, Decoder, Step};
use crate::error::{Result, TrainError};
use crate::torch::Graphs;

use steps::Steps;

/// Computes with libtorch what the endpoint is asked for.
#[derive(Debug)]
pub struct TorchEngine {
    decoder: Decoder,
    cache: Cache,
    /// What each model has beside the linear layers, in their order, while it is not computed with.
    /// The first is the base, which has nothing there.
    resting: Vec<Vec<Option<Adapter>>>,
    /// The model that is computed with.
    active: usize,
    /// How single tokens are computed, where they are recorded.
    steps: Option<Steps>,
}

impl TorchEngine {
    /// An engine over a model without an adapter and what may stand beside it, with room for so many
    /// texts of so many tokens.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new(
        decoder: Decoder,
        adapters: Vec<Vec<Option<Adapter>>>,
        slots: usize,
        slot_tokens: usize,
    ) -> Result<Self> {
        let cache = Cache::new(&decoder, slots, slot_tokens)?;
        let mut resting = vec![decoder.linears().iter().map(|_| None).collect()];
        resting.extend(adapters);
        Ok(Self { decoder, cache, resting, active: 0, steps: None })
    }

    /// Records the steps of single tokens from now on (CUDA graphs), if a first one, of the first
    /// slot and forgotten again, shows that it can be done. Why it cannot is what comes back.
    ///
    /// # Errors
    /// When that step cannot be computed either.
    pub fn record_steps(&mut self) -> Result<std::result::Result<(), String>> {
        let graphs = Graphs::new(self.decoder.device());
        let recorder = graphs.map(|graphs| Box::new(graphs) as Box<_>);
        self.rehearse(Steps::new(recorder.map_err(|why| why.to_string())))
    }

    /// Makes a first step in this way, and keeps to it if it works.
    fn rehearse(&mut self, steps: Steps) -> Result<std::result::Result<(), String>> {
        let held = self.cache.length(0);
        let steps = self.steps.insert(steps);
        let piece = Piece { slot: 0, tokens: &[0], want: Want::Nothing };
        self.decoder.step(&mut self.cache, &[piece], &mut |step| steps.make(self.active, step))?;
        self.cache.truncate(0, held);
        match steps.refusal().map(str::to_owned) {
            Some(why) => Ok(Err(why)),
            None => Ok(Ok(())),
        }
    }

    /// Puts beside the linear layers what this model has there.
    fn activate(&mut self, variant: usize) -> std::result::Result<(), EngineError> {
        if variant >= self.resting.len() {
            let models = self.resting.len();
            return Err(EngineError::Failed(format!("there are {models} models, from 0")));
        }
        if variant != self.active {
            exchange(&mut self.decoder, &mut self.resting[self.active]);
            exchange(&mut self.decoder, &mut self.resting[variant]);
            self.active = variant;
        }
        Ok(())
    }
}

/// Exchanges what stands beside the linear layers for what is given, and gives it back.
fn exchange(decoder: &mut Decoder, adapters: &mut [Option<Adapter>]) {
    for (linear, adapter) in decoder.linears_mut().into_iter().zip(adapters) {
        *adapter = linear.set_adapter(adapter.take());
    }
}

impl Engine for TorchEngine {
    fn facts(&self) -> Facts {
        Facts {
            vocab: self.decoder.shape().vocab,
            slots: self.cache.slots(),
            slot_tokens: self.cache.slot_tokens(),
            variants: self.resting.len(),
        }
    }

    fn forward(
        &mut self,
        variant: usize,
        pieces: &[Piece<'_>],
    ) -> std::result::Result<Vec<Answer>, EngineError> {
        self.activate(variant)?;
        let is_step = pieces.iter().all(|piece| piece.tokens.len() == 1);
        let answers = match &mut self.steps {
            Some(steps) if is_step => {
                let mut make = |step: &Step<'_>| steps.make(variant, step);
                self.decoder.step(&mut self.cache, pieces, &mut make)
            }
            _ => self.decoder.advance(&mut self.cache, pieces),
        };
        answers.map_err(failed)
    }

    fn truncate(&mut self, slot: usize, tokens: usize) {
        self.cache.truncate(slot, tokens);
    }

    fn copy(
        &mut self,
        from: usize,
        to: usize,
        tokens: usize,
    ) -> std::result::Result<(), EngineError> {
        self.cache.copy(from, to, tokens).map_err(failed)
    }
}

fn failed(error: TrainError) -> EngineError {
    match error {
        TrainError::OutOfMemory(what) => {
            // What the allocator of a GPU keeps and nobody uses may be what is missing next time.
            let _ = crate::torch::give_back();
            EngineError::OutOfMemory(what)
        }
        other => EngineError::Failed(other.to_string()),
    }
}
