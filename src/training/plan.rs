//! What a run will take, before anything is loaded: memory, time, steps, and which rung of the
//! ladder it begins on.
//!
//! Everything here is arithmetic on the shape of the model, the lengths of the samples and what is
//! said of the machine. It is wrong by a few percent, and says where the memory goes, so that who is
//! short of it knows what to change.

mod free;
mod machine;
mod memory;
mod speed;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Split};
use crate::order::Order;
use crate::recipe::{Method, Recipe};
use crate::shape::ModelShape;

pub use free::free_bytes;
pub use machine::{Kind, Machine};
pub use memory::{MemoryUse, Way};
pub use speed::Work;
pub(crate) use table::thousands;
pub use table::{duration, gib};

/// How a run is computed, from the fastest to the one that needs least. Each rung keeps what the
/// ones before it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// All that the layers computed is kept for the way back.
    LayersKept,
    /// Everything is on the device. Layers are computed again on the way back, but for what attention
    /// gave.
    AllOnDevice,
    /// Attention is computed again on the way back.
    AttentionAgain,
    /// MLPs are computed in small tiles.
    SmallTiles,
    /// What goes into each layer waits in the host's memory.
    Offload,
    /// The optimizer and its state are on the host.
    HostOptimizer,
    /// One device is not enough.
    HandOver,
}

impl Rung {
    /// The rungs, from the top.
    pub const ALL: [Self; 7] = [
        Self::LayersKept,
        Self::AllOnDevice,
        Self::AttentionAgain,
        Self::SmallTiles,
        Self::Offload,
        Self::HostOptimizer,
        Self::HandOver,
    ];

    /// Its name, in metrics and plans.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LayersKept => "layers_kept",
            Self::AllOnDevice => "all_on_device",
            Self::AttentionAgain => "attention_again",
            Self::SmallTiles => "small_tiles",
            Self::Offload => "offload",
            Self::HostOptimizer => "host_optimizer",
            Self::HandOver => "hand_over",
        }
    }

    /// The rung of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.as_str() == name)
    }

    /// What it means, in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::LayersKept => "all that the layers computed kept for the way back",
            Self::AllOnDevice => "layers computed again on the way back, all but their attention",
            Self::AttentionAgain => "attention computed again on the way back",
            Self::SmallTiles => "MLPs in small tiles",
            Self::Offload => "layer inputs in the host's memory",
            Self::HostOptimizer => "the optimizer on the host",
            Self::HandOver => "handed over to an engine for several GPUs",
        }
    }

    /// The rung below; none below the last.
    #[must_use]
    pub fn below(self) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| *rung > self)
    }
}

/// A rung that was tried on paper, and why it will not do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The rung.
    pub rung: Rung,
    /// Why it will not do.
    pub why: String,
}

/// What a run will take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The rung it begins on.
    pub rung: Rung,
    /// Rungs above it, and why they will not do.
    pub refused: Vec<Refusal>,
    /// How it is computed there.
    pub way: Way,
    /// The memory of the device, by what it is for.
    pub memory: MemoryUse,
    /// The memory of the host, in bytes.
    pub host_bytes: u64,
    /// The machine.
    pub machine: Machine,
    /// Numbers of the model, and those of them that are trained.
    pub parameters: [u64; 2],
    /// Steps of the optimizer: of all, and of one epoch.
    pub steps: [u64; 2],
    /// Samples: trained, held out, left out for their length.
    pub samples: [usize; 3],
    /// Tokens of an epoch, and those of them that are trained.
    pub tokens: [u64; 2],
    /// The most tokens that are computed at once.
    pub longest: usize,
    /// Floating point operations of the model, in the whole run.
    pub flops: f64,
    /// Tokens a second.
    pub tokens_per_s: f64,
    /// Seconds of the whole run, without what is held out and saved.
    pub seconds: f64,
    /// What to think about before it is begun, a sentence each.
    pub advice: Vec<String>,
}

/// Fewer steps than this hardly move a model.
const STEPS_WANTED: u64 = 20;

impl Plan {
    /// Plans a run.
    #[must_use]
    pub fn new(
        shape: &ModelShape,
        recipe: &Recipe,
        dataset: &Dataset,
        split: &Split,
        machine: &Machine,
    ) -> Self {
        let order = Order::new(dataset, &split.train, recipe);
        let entries = split.train.iter().filter_map(|place| dataset.entries().get(*place));
        let lengths: Vec<(usize, usize)> =
            entries.map(|entry| (entry.tokens, entry.trained)).collect();
        let samples = [split.train.len(), split.held_out.len(), split.skipped.len()];
        let steps = [order.steps(), order.steps_in_epoch()];
        Self::of_lengths(shape, recipe, &lengths, (samples, steps, order.longest()), machine)
    }

    /// The same, of lengths alone: tokens and trained tokens of each sample of an epoch.
    fn of_lengths(
        shape: &ModelShape,
        recipe: &Recipe,
        lengths: &[(usize, usize)],
        (samples, steps, longest): ([usize; 3], [u64; 2], usize),
        machine: &Machine,
    ) -> Self {
        let tokens = lengths.iter().map(|(tokens, _)| *tokens as u64).sum();
        let trained = lengths.iter().map(|(_, trained)| *trained as u64).sum();
        let choice = choose(shape, recipe, longest, machine);
        let work = lengths.iter().map(|(tokens, trained)| Work::of(shape, *tokens, *trained));
        let flops_epoch: f64 = work.map(|work| work.flops(recipe.method)).sum();
        let flops = flops_epoch * f64::from(recipe.epochs);
        let mean = tokens as f64 / lengths.len().max(1) as f64;
        let seconds = flops / machine.speed(mean, recipe.precision).max(1.0);
        let all = tokens as f64 * f64::from(recipe.epochs);
        let parameters = match recipe.method {
            Method::Full => [shape.parameters(); 2],
            Method::Lora(lora) => [shape.parameters(), shape.adapter_parameters(lora.rank)],
        };
        let mut plan = Self {
            rung: choice.rung,
            refused: choice.refused,
            way: choice.way,
            memory: choice.memory,
            host_bytes: choice.host_bytes,
            machine: machine.clone(),
            parameters,
            steps,
            samples,
            tokens: [tokens, trained],
            longest,
            flops,
            tokens_per_s: if seconds > 0.0 { all / seconds } else { 0.0 },
            seconds,
            advice: Vec::new(),
        };
        let longest = lengths.iter().map(|(tokens, _)| *tokens).max().unwrap_or(0);
        plan.advice = plan.advise(shape, recipe, longest);
        plan
    }

    fn advise(&self, shape: &ModelShape, recipe: &Recipe, longest: usize) -> Vec<String> {
        let mut advice = Vec::new();
        if self.steps[0] < STEPS_WANTED {
            let steps = self.steps[0];
            advice.push(format!(
                "Only {steps} steps of the optimizer: {STEPS_WANTED} are the least that teach \
                 something. Choose a smaller --batch or more --epochs."
            ));
        }
        if self.machine.emulates(recipe.precision) {
            advice.push(
                "This processor has no instructions for bf16, and computes it some twenty times \
                 slower than single precision. Choose --precision f32."
                    .to_owned(),
            );
        }
        if longest > shape.max_position {
            let made_for = shape.max_position;
            advice.push(format!(
                "The longest sample has {longest} tokens, and the model was made for {made_for}: \
                 beyond them its positions are new to it. Scale its positions in config.json, or \
                 set --sequence-max."
            ));
        }
        if self.samples[1] == 0 && recipe.cadence.held_out > 0.0 {
            advice.push(
                "Nothing is held out: there are too few samples for a share of them.".to_owned(),
            );
        }
        if self.rung == Rung::HandOver {
            advice.push(
                "One device is not enough: --hand-over DIR writes the same tokens and masks with a \
                 program for several."
                    .to_owned(),
            );
        }
        advice
    }
}

/// The rung that was chosen, with what it takes.
struct Choice {
    rung: Rung,
    refused: Vec<Refusal>,
    way: Way,
    memory: MemoryUse,
    host_bytes: u64,
}

/// Goes down the ladder to the first rung that will do.
fn choose(shape: &ModelShape, recipe: &Recipe, longest: usize, machine: &Machine) -> Choice {
    let mut refused = Vec::new();
    let mut latest: Option<(Way, MemoryUse, u64)> = None;
    for rung in Rung::ALL.into_iter().filter(|rung| *rung != Rung::HandOver) {
        let way = Way::of(rung, recipe);
        // Above what the recipe asks for, rungs are the same as the one that it asks for.
        let is_same = latest.as_ref().is_some_and(|(before, ..)| *before == way);
        if is_same || !machine.has_host_apart() && (way.offload || way.host_optimizer) {
            continue;
        }
        let memory = MemoryUse::of(shape, recipe, way, longest, machine);
        let host_bytes = memory::on_host(shape, recipe, way, longest);
        match machine.lacks(memory.total(), host_bytes) {
            None => return Choice { rung, refused, way, memory, host_bytes },
            Some(why) => refused.push(Refusal { rung, why }),
        }
        latest = Some((way, memory, host_bytes));
    }
    let last = || {
        let way = Way::of(Rung::SmallTiles, recipe);
        (way, MemoryUse::of(shape, recipe, way, longest, machine), 0)
    };
    let (way, memory, host_bytes) = latest.unwrap_or_else(last);
    Choice { rung: Rung::HandOver, refused, way, memory, host_bytes }
}
