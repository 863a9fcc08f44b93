//! Where the memory goes, by the formulas of a backward that takes one layer at a time.
//!
//! Layers are gone through without remembering anything but what went into each. On the way back one
//! layer at a time is computed again, with gradients. So there is the model, its state, the inputs of
//! all layers, and one layer at work.

use serde::{Deserialize, Serialize};

use super::{Kind, Machine, Rung};
use crate::recipe::{Method, Recipe};
use crate::shape::ModelShape;

/// Above this many tokens at once an MLP is no faster: it costs nothing to stop there.
const TILE_TOKENS: usize = 16_384;

/// The tiles of somebody who is short of memory.
const TILE_TOKENS_SMALL: usize = 2_048;

/// Lengths are filled up to a multiple of this on a GPU, so that plans of kernels serve again.
const PAD_TOKENS: usize = 1_024;

/// What a process holds before it computes: the context, and work space of kernels.
const CONTEXT_BYTES_CUDA: u64 = 700 << 20;
const CONTEXT_BYTES_CPU: u64 = 250 << 20;

/// Numbers of the width of the stream that a layer holds at work: its input, the gradients on both
/// sides, two norms in single precision, and the sum between.
const LIVE_HIDDEN: u64 = 9;
/// The same of the width of the queries: before and after they are turned, what attention gives, and
/// the gradients of both.
const LIVE_QUERY: u64 = 5;
/// The same of keys and values.
const LIVE_KV: u64 = 5;
/// The same within the MLP: gate, up, what comes of them, and their gradients.
const LIVE_MLP: u64 = 8;
/// Numbers of the width of the stream that a layer leaves for the way back: its input, what comes of
/// two norms, and the sum between.
const KEPT_HIDDEN: u64 = 4;
/// The same of the width of the queries: turned, what attention gives, and on a processor keys and
/// values that are repeated for the heads that share them.
const KEPT_QUERY: u64 = 4;
/// The same of keys and values.
const KEPT_KV: u64 = 2;
/// The same within the MLP: gate and up, of which the rest is computed again.
const KEPT_MLP: u64 = 2;
/// Bytes of a logit while its loss and gradient are made: as it was computed, in single precision,
/// its probability, its gradient.
const LOGIT_BYTES: u64 = 14;

/// How a run is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// All that the layers computed is kept, and nothing of it apart: attention, tiles and inputs on
    /// the host are of a layer that is computed again.
    #[serde(default)]
    pub save_layers: bool,
    /// What attention gave is kept.
    pub save_attention: bool,
    /// For how many tokens at once an MLP is computed; all when it is 0.
    pub mlp_tile: usize,
    /// What goes into each layer waits on the host.
    pub offload: bool,
    /// The optimizer is on the host.
    pub host_optimizer: bool,
}

impl Way {
    /// The way of a rung. What the recipe says counts more than the rung, and who asks for layers to
    /// be computed again in one way or another does not have them kept.
    #[must_use]
    pub fn of(rung: Rung, recipe: &Recipe) -> Self {
        let memory = recipe.memory;
        let host_optimizer = memory.host_optimizer.unwrap_or(rung >= Rung::HostOptimizer);
        let again = memory.save_attention == Some(false) || memory.offload == Some(true);
        if memory.save_layers.unwrap_or(rung < Rung::AllOnDevice && !again) {
            return Self {
                save_layers: true,
                save_attention: false,
                mlp_tile: 0,
                offload: false,
                host_optimizer,
            };
        }
        let small = rung >= Rung::SmallTiles;
        let tile = if small { TILE_TOKENS_SMALL } else { TILE_TOKENS };
        Self {
            save_layers: false,
            save_attention: memory.save_attention.unwrap_or(rung < Rung::AttentionAgain),
            mlp_tile: if recipe.lengths.mlp_tile > 0 { recipe.lengths.mlp_tile } else { tile },
            offload: memory.offload.unwrap_or(rung >= Rung::Offload),
            host_optimizer,
        }
    }

    /// What it comes to, in words: those of the lowest rung whose doing it has in it.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        let rung = if self.host_optimizer {
            Rung::HostOptimizer
        } else if self.offload {
            Rung::Offload
        } else if self.mlp_tile == TILE_TOKENS_SMALL {
            Rung::SmallTiles
        } else if self.save_layers {
            Rung::LayersKept
        } else if self.save_attention {
            Rung::AllOnDevice
        } else {
            Rung::AttentionAgain
        };
        rung.describe()
    }
}

/// The memory of the device, in bytes, by what it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Weights as they are computed with.
    pub weights: u64,
    /// Gradients, in single precision.
    pub gradients: u64,
    /// The exact weights and the moments.
    pub optimizer: u64,
    /// What went into each layer.
    pub layer_inputs: u64,
    /// What attention gave, where it is kept.
    pub attention: u64,
    /// What else the layers computed, where it is kept.
    #[serde(default)]
    pub layers: u64,
    /// The layer at work, without its MLP.
    pub layer: u64,
    /// The MLP at work.
    pub mlp: u64,
    /// The logits of a chunk.
    pub logits: u64,
    /// The process itself.
    pub context: u64,
}

impl MemoryUse {
    /// What a run takes whose longest micro-batch has so many tokens.
    #[must_use]
    pub fn of(
        shape: &ModelShape,
        recipe: &Recipe,
        way: Way,
        longest: usize,
        machine: &Machine,
    ) -> Self {
        let bytes = recipe.precision.bytes();
        let tokens = padded(longest, machine);
        let [all, trained] = numbers(shape, recipe);
        let stream = tokens * shape.hidden as u64 * bytes;
        let heads = tokens * shape.query_width() as u64 * bytes;
        let keys = tokens * shape.kv_width() as u64 * bytes;
        let layers = shape.layers as u64;
        // Offloaded, one is computed with while the next one comes.
        let held = if way.offload { layers.min(2) } else { layers };
        let sums = tokens * shape.heads as u64 * 4;
        let inner = tokens * shape.intermediate as u64 * bytes;
        let kept = KEPT_HIDDEN * stream + KEPT_QUERY * heads + KEPT_KV * keys + KEPT_MLP * inner;
        let tile = if way.mlp_tile == 0 { tokens } else { tokens.min(way.mlp_tile as u64) };
        let chunk = tokens.min(recipe.lengths.loss_chunk as u64);
        let is_cuda = machine.kind == Kind::Cuda;
        Self {
            weights: all * bytes + adapter_copies(recipe, trained),
            gradients: 4 * trained,
            optimizer: if way.host_optimizer { 0 } else { state_bytes(recipe) * trained },
            // What is kept of a layer has its input in it, and what attention gave.
            layer_inputs: if way.save_layers { 0 } else { held * stream },
            attention: if way.save_attention { layers * (heads + sums) } else { 0 },
            layers: if way.save_layers { layers * (kept + sums) } else { 0 },
            layer: LIVE_HIDDEN * stream + LIVE_QUERY * heads + LIVE_KV * keys,
            mlp: LIVE_MLP * tile * shape.intermediate as u64 * bytes,
            logits: LOGIT_BYTES * chunk * shape.vocab as u64,
            context: if is_cuda { CONTEXT_BYTES_CUDA } else { CONTEXT_BYTES_CPU },
        }
    }

    /// All of it.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.weights
            + self.gradients
            + self.optimizer
            + self.layer_inputs
            + self.attention
            + self.layers
            + self.layer
            + self.mlp
            + self.logits
            + self.context
    }
}

/// What the host holds for the device.
pub(super) fn on_host(shape: &ModelShape, recipe: &Recipe, way: Way, longest: usize) -> u64 {
    let [_, trained] = numbers(shape, recipe);
    let stream = longest as u64 * shape.hidden as u64 * recipe.precision.bytes();
    let inputs = if way.offload { shape.layers as u64 * stream } else { 0 };
    // The state, and the gradients it is brought forward with.
    let state = if way.host_optimizer { (state_bytes(recipe) + 4) * trained } else { 0 };
    inputs + state
}

/// Numbers of the model, and those that are trained.
fn numbers(shape: &ModelShape, recipe: &Recipe) -> [u64; 2] {
    match recipe.method {
        Method::Full => [shape.parameters(); 2],
        Method::Lora(lora) => [shape.parameters(), shape.adapter_parameters(lora.rank)],
    }
}

/// An adapter is beside the model, as it is computed with.
fn adapter_copies(recipe: &Recipe, trained: u64) -> u64 {
    match recipe.method {
        Method::Full => 0,
        Method::Lora(_) => trained * recipe.precision.bytes(),
    }
}

/// Bytes of the optimizer for a number that is trained: two moments, and the exact weight where the
/// one that is computed with is not.
fn state_bytes(recipe: &Recipe) -> u64 {
    if recipe.precision.bytes() < 4 { 12 } else { 8 }
}

fn padded(tokens: usize, machine: &Machine) -> u64 {
    let is_cuda = machine.kind == Kind::Cuda;
    let padded = if is_cuda { tokens.next_multiple_of(PAD_TOKENS) } else { tokens };
    padded as u64
}
