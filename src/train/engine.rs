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
use training::plan::gib;

use crate::decoder::{Adapter, Cache, Decoder, Step};
use crate::error::{Result, TrainError};
use crate::torch::{Graphs, give_back, grant};

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
    singles: Singles,
    /// How much memory is free, where nothing else bounds what is taken.
    free: Option<Free>,
}

/// How much memory is free now, in bytes; `None` where nobody knows.
pub type Free = fn() -> Option<u64>;

/// So much memory is left to others.
const LEFT_BYTES: u64 = 256 << 20;

/// How single tokens are computed.
#[derive(Debug)]
enum Singles {
    /// As the decoder does by itself.
    Plain,
    /// In steps that are recorded.
    Steps(Steps),
    /// Each text by itself.
    Apart,
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
        Ok(Self { decoder, cache, resting, active: 0, singles: Singles::Plain, free: None })
    }

    /// Takes no memory from now on that is not free, of a processor: there the system would end some
    /// process instead of refusing.
    pub fn stay_within(&mut self, free: Free) {
        self.free = Some(free);
    }

    /// Whether there is memory for so many bytes of keys and values, and for computing them. A step that
    /// takes no more of these computes in what is left to others: it is not held to what was free when
    /// it was asked last, and costs no question.
    fn ask_for_room(&self, bytes: u64, is_step: bool) -> Result<()> {
        let Some(free) = self.free else { return Ok(()) };
        let free = if bytes == 0 && is_step { None } else { free() };
        let Some(free) = free else {
            grant(None);
            return Ok(());
        };
        let left = free.saturating_sub(LEFT_BYTES);
        if bytes > left {
            let [bytes, left] = [bytes, left].map(gib);
            return Err(TrainError::OutOfMemory(format!(
                "{bytes} of keys and values where {left} are left"
            )));
        }
        grant(Some(usize::try_from(left - bytes).unwrap_or(usize::MAX)));
        Ok(())
    }

    /// Computes single tokens in steps from now on, and records these (CUDA graphs) if that is asked
    /// for, if a first one shows that they can be and are right. Why they are not recorded is what
    /// comes back; then they are computed, in the way that was found to be right. Nothing may be in
    /// the slots yet.
    ///
    /// # Errors
    /// When nothing can be computed.
    pub fn take_steps(&mut self, recorded: bool) -> Result<std::result::Result<(), String>> {
        let recorder = if recorded {
            let graphs = Graphs::new(self.decoder.device());
            graphs.map(|graphs| Box::new(graphs) as Box<_>).map_err(|why| why.to_string())
        } else {
            Err("they were not to be used".to_owned())
        };
        self.rehearse(Steps::new(recorder))
    }

    /// Makes a first step so, of the first slot, and compares it with what comes of looking at each
    /// text by itself. The slot is empty again after it.
    fn rehearse(&mut self, mut steps: Steps) -> Result<std::result::Result<(), String>> {
        let tokens = [1, 2, 3, 4, 5].map(|id| id % u32::try_from(self.facts().vocab).unwrap_or(1));
        let tokens = &tokens[..self.cache.slot_tokens().min(tokens.len())];
        let ask = |tokens| [Piece { slot: 0, tokens, want: Want::Logits }];
        let apart = self.decoder.advance_apart(&mut self.cache, &ask(tokens))?;
        self.cache.truncate(0, tokens.len() - 1);
        let mut make = |step: &Step<'_>| steps.make(self.active, step);
        let last = ask(&tokens[tokens.len() - 1..]);
        let made = self.decoder.step(&mut self.cache, &last, &mut make)?;
        self.cache.truncate(0, 0);
        if !are_alike(&made, &apart) {
            self.singles = Singles::Apart;
            return Ok(Err("a step comes to something else than its text by itself".to_owned()));
        }
        let refusal = steps.refusal().map(str::to_owned);
        self.singles = Singles::Steps(steps);
        Ok(refusal.map_or(Ok(()), Err))
    }

    /// What comes after pieces, of the model that is active. Where it fails, the slots hold what they
    /// held.
    fn compute(&mut self, variant: usize, pieces: &[Piece<'_>]) -> Result<Vec<Answer>> {
        let is_step = pieces.iter().all(|piece| piece.tokens.len() == 1);
        let grows = |piece: &Piece<'_>| {
            self.cache.growth(piece.slot, self.cache.length(piece.slot) + piece.tokens.len())
        };
        self.ask_for_room(pieces.iter().map(grows).sum(), is_step)?;
        let (decoder, cache) = (&self.decoder, &mut self.cache);
        match &mut self.singles {
            Singles::Steps(steps) if is_step => {
                decoder.step(cache, pieces, &mut |step: &Step<'_>| steps.make(variant, step))
            }
            Singles::Apart => decoder.advance_apart(cache, pieces),
            Singles::Plain | Singles::Steps(_) => decoder.advance(cache, pieces),
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
        match self.compute(variant, pieces) {
            // What the allocator of a GPU keeps and nobody uses may be what is missing.
            Err(TrainError::OutOfMemory(_)) => {
                let _ = give_back();
                self.compute(variant, pieces).map_err(failed)
            }
            answers => answers.map_err(failed),
        }
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
        let room = self.ask_for_room(self.cache.growth(to, tokens), false);
        room.and_then(|()| self.cache.copy(from, to, tokens)).map_err(failed)
    }

    fn give_back(&mut self, slot: usize) -> bool {
        self.cache.give_back(slot)
    }
}

/// Whether logits that were computed in two ways say the same, for numbers of eight bits.
fn are_alike(some: &[Answer], others: &[Answer]) -> bool {
    let alike = |pair: (&Answer, &Answer)| match pair {
        (Answer::Logits(one), Answer::Logits(other)) => {
            let largest = other.iter().fold(0.0, |largest: f32, it| largest.max(it.abs()));
            let are_close = |(one, other): (&f32, &f32)| (one - other).abs() <= 0.05 * largest;
            one.len() == other.len() && one.iter().zip(other).all(are_close)
        }
        (one, other) => one == other,
    };
    some.len() == others.len() && some.iter().zip(others).all(alike)
}

fn failed(error: TrainError) -> EngineError {
    match error {
        TrainError::OutOfMemory(what) => EngineError::OutOfMemory(what),
        other => EngineError::Failed(other.to_string()),
    }
}
