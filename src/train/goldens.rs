//! What PyTorch, `transformers` and PEFT compute, for tests to compare with. `goldens/README.md` says
//! what there is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use training::data::Sample;

use crate::weights::{Adapter, Tensors, Weights};

/// The families that there are goldens of.
pub(crate) const NAMES: [&str; 4] = ["llama", "qwen2", "qwen3", "glm4"];

/// A tiny model, and what was computed with it.
pub(crate) struct Golden {
    /// Its family.
    pub(crate) name: &'static str,
    /// The folder with `config.json` and `model.safetensors`.
    pub(crate) folder: PathBuf,
    /// The numbers in `golden.json`.
    pub(crate) said: Said,
    arrays: Tensors,
}

/// What `golden.json` has.
#[derive(Debug, Deserialize)]
pub(crate) struct Said {
    pub(crate) sequences: Vec<Sequence>,
    /// Of each sequence alone.
    pub(crate) losses: Vec<f64>,
    /// Every weight is trained.
    pub(crate) full: Trained,
    /// The adapter is trained.
    pub(crate) adapter: Trained,
    pub(crate) recipe: Recipe,
    pub(crate) generations: Vec<Generation>,
    /// Other `rope_parameters`, by the name of their kind.
    #[serde(default)]
    pub(crate) positions: BTreeMap<String, serde_json::Value>,
}

/// A text, and which of its tokens are trained.
#[derive(Debug, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) ids: Vec<i64>,
    pub(crate) mask: Vec<u8>,
}

/// A prompt, and the likeliest tokens after it.
#[derive(Debug, Deserialize)]
pub(crate) struct Generation {
    pub(crate) prompt: Vec<u32>,
    pub(crate) base: Vec<u32>,
    /// With the adapter.
    pub(crate) adapter: Vec<u32>,
}

/// Of all sequences together.
#[derive(Debug, Deserialize)]
pub(crate) struct Trained {
    pub(crate) loss: f64,
    /// Of the gradient of each tensor, by its published name.
    pub(crate) norms: BTreeMap<String, f64>,
    pub(crate) curve: Curve,
}

/// A run of 20 steps.
#[derive(Debug, Deserialize)]
pub(crate) struct Curve {
    pub(crate) rates: Vec<f64>,
    /// Of matrices; norms and biases have none.
    pub(crate) decay: f64,
    /// The sequences of each step.
    pub(crate) batches: Vec<Vec<usize>>,
    /// Before each step.
    pub(crate) losses: Vec<f64>,
    /// Of all gradients together, before they are clipped.
    pub(crate) norms: Vec<f64>,
    /// Of all sequences, after the last step.
    #[serde(rename = "final")]
    pub(crate) last: f64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Recipe {
    pub(crate) betas: [f64; 2],
    pub(crate) epsilon: f64,
    pub(crate) clip: f64,
    pub(crate) alpha: f64,
    pub(crate) rank: usize,
}

impl Golden {
    pub(crate) fn of(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens").join(name);
        let said = std::fs::read(folder.join("golden.json")).unwrap();
        let said = serde_json::from_slice(&said).unwrap();
        let arrays = Tensors::open(&folder.join("arrays.safetensors")).unwrap();
        Self { name, folder, said, arrays }
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(Self::of)
    }

    pub(crate) fn weights(&self) -> Weights {
        Weights::open(&self.folder).unwrap()
    }

    pub(crate) fn adapter(&self) -> Adapter {
        Adapter::open(&self.folder.join("adapter"), self.weights().shape()).unwrap()
    }

    /// Its texts, called `text 0` and so on.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let sample = |(at, sequence): (usize, &Sequence)| Sample {
            id: format!("text {at}"),
            ids: sequence.ids.iter().map(|id| u32::try_from(*id).unwrap()).collect(),
            trained: sequence.mask.iter().map(|mark| *mark == 1).collect(),
        };
        self.said.sequences.iter().enumerate().map(sample).collect()
    }

    /// An array by its name, in single precision on the processor.
    pub(crate) fn array(&self, name: &str) -> Tensor {
        self.arrays.take(name, Kind::Float, Device::Cpu).unwrap()
    }

    /// Compares a gradient with the samples and the norm of the golden one, `kind` being `full` or
    /// `adapter`: relative to the largest number of it.
    pub(crate) fn check_gradient(&self, kind: &str, name: &str, gradient: &Tensor, tolerance: f64) {
        let trained = if kind == "full" { &self.said.full } else { &self.said.adapter };
        let norm = gradient.norm().double_value(&[]);
        let expected = trained.norms[name];
        assert!(
            (norm - expected).abs() <= tolerance * expected,
            "{} {kind} {name}: the norm is {norm} and should be {expected}",
            self.name
        );
        let samples = self.array(&format!("{kind}.gradient.{name}"));
        let found = sampled(gradient);
        let off = (&found - &samples).abs().max().double_value(&[]);
        let largest = samples.abs().max().double_value(&[]);
        assert!(
            off <= tolerance * largest,
            "{} {kind} {name}: off by {off}, of {largest}",
            self.name
        );
    }
}

/// The numbers of a tensor of which `make.py` keeps samples.
pub(crate) fn sampled(tensor: &Tensor) -> Tensor {
    let flat = tensor.detach().flatten(0, -1);
    let stride = (flat.numel() as i64 / 61) | 1;
    flat.slice(0, 0, None, stride).contiguous()
}

#[test]
fn every_golden_can_be_read() {
    for golden in Golden::all() {
        let weights = golden.weights();
        assert!(weights.shape().layers == 2, "{}", golden.name);
        assert_eq!(golden.adapter().rank(), golden.said.recipe.rank, "{}", golden.name);
        assert_eq!(golden.adapter().alpha(), golden.said.recipe.alpha, "{}", golden.name);
        for (at, sequence) in golden.said.sequences.iter().enumerate() {
            let logits = golden.array(&format!("logits.{at}"));
            assert_eq!(logits.size(), [sequence.ids.len() as i64, 128]);
        }
        for name in golden.said.full.norms.keys() {
            let weight = weights.take(name, Kind::Float, Device::Cpu).unwrap();
            let samples = golden.array(&format!("full.gradient.{name}"));
            assert_eq!(sampled(&weight).size(), samples.size(), "{} {name}", golden.name);
        }
    }
}
