//! How a model is trained: the settings of a run, from a TOML file and flags into `recipe.json`.
//!
//! A TOML file may leave out anything but the model and the dataset; what is left out is the default
//! of the method. In the run folder nothing is left out, so that a run can be read years later
//! without knowing what the defaults were.

mod schedule;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::TrainingError;
use crate::shape::ModelShape;

/// No recipe is larger.
const RECIPE_BYTES_MAX: u64 = 1 << 20;

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The model: a folder with `config.json`, or a GGUF file.
    pub model: PathBuf,
    /// The dataset: a folder or a file of lines.
    pub dataset: PathBuf,
    /// Another chat template than the model's: a file, or a name that limn knows.
    pub template: Option<PathBuf>,
    /// All weights, or an adapter.
    pub method: Method,
    /// How often the dataset is gone through.
    pub epochs: u32,
    /// How many samples make a step of the optimizer.
    pub batch: usize,
    /// Where the order of the samples comes from, and the first weights of an adapter.
    pub seed: u64,
    /// What computes.
    pub device: Device,
    /// In what the model is computed; the optimizer is always in single precision.
    pub precision: Precision,
    /// Whether the same run gives the same bits, at the cost of the fastest attention.
    pub deterministic: bool,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Lengths of samples, and of what is computed at once.
    pub lengths: Lengths,
    /// What is kept where.
    pub memory: Memory,
    /// When something is measured and saved.
    pub cadence: Cadence,
}

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// All weights.
    Full,
    /// Two thin matrices beside each linear layer.
    Lora(Lora),
}

/// An adapter. It has no dropout: with a few dozen samples seen a few times it does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// The width of the matrices.
    pub rank: usize,
    /// What is added is multiplied by this over the rank.
    pub alpha: usize,
}

impl Lora {
    /// What the product of the two matrices is multiplied by.
    #[must_use]
    pub fn scale(self) -> f64 {
        self.alpha as f64 / self.rank as f64
    }
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 32, alpha: 32 }
    }
}

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// A GPU where there is one, else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// A GPU of NVIDIA, or nothing.
    Cuda,
}

/// In what a model is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Half the bytes, the range of single precision.
    Bf16,
    /// Single precision.
    F32,
}

impl Precision {
    /// Bytes of a number.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Its name in a recipe.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}

/// AdamW, and how fast it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// The learning rate of the last step; of a constant schedule it is not used.
    pub learning_rate_min: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// The share of the steps over which it rises.
    pub warmup_ratio: f64,
    /// It rises over at least so many steps.
    pub warmup_steps_min: u64,
    /// How long the mean of gradients, and of their squares, is remembered.
    pub betas: [f64; 2],
    /// What is added to the root of the mean square.
    pub eps: f64,
    /// How fast weights that nothing holds fall to nothing; norms and biases never do.
    pub weight_decay: f64,
    /// A gradient longer than this is shortened to it; 0 leaves all as they are.
    pub clip: f64,
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a wave.
    Cosine,
    /// A line.
    Linear,
    /// It does not.
    Constant,
}

/// Lengths, in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// No sample may be longer; 0 is what the model was made for. Nothing is ever cut.
    pub sequence_max: usize,
    /// A sample that is longer is left out and named; otherwise it is an error.
    pub skip_longer: bool,
    /// Short samples are computed together up to this; 0 computes each alone.
    pub pack_tokens: usize,
    /// For how many tokens at once the output's matrix is multiplied.
    pub loss_chunk: usize,
    /// For how many tokens at once an MLP is computed; 0 leaves it to the plan.
    pub mlp_tile: usize,
}

/// What is kept where. What is not said is for the plan to choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// Whether all that the layers computed is kept, or computed a second time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_layers: Option<bool>,
    /// Whether what attention gave is kept, or computed a second time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save_attention: Option<bool>,
    /// Whether what goes into each layer waits in the host's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload: Option<bool>,
    /// Whether the optimizer and its state are on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_optimizer: Option<bool>,
}

/// When something is measured and saved, in steps of the optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cadence {
    /// A checkpoint after so many steps; 0 saves after each epoch.
    pub save_steps: u64,
    /// The held-out samples are measured after so many steps; 0 measures after each epoch. After the
    /// last step they always are.
    pub eval_steps: u64,
    /// Whether they are measured before the first step, too: what the model could do already.
    #[serde(default = "yes")]
    pub eval_first: bool,
    /// How many checkpoints are kept.
    pub keep: usize,
    /// The share of a dataset without a part of its own for it that is held out.
    pub held_out: f64,
}

impl Recipe {
    /// The defaults of a method.
    #[must_use]
    pub fn new(model: &Path, dataset: &Path, method: Method) -> Self {
        let (learning_rate, learning_rate_min) = match method {
            Method::Full => (1e-5, 1e-6),
            Method::Lora(_) => (1e-4, 1e-5),
        };
        Self {
            model: model.to_owned(),
            dataset: dataset.to_owned(),
            template: None,
            method,
            epochs: 4,
            batch: 8,
            seed: 0,
            device: Device::Auto,
            precision: Precision::Bf16,
            deterministic: false,
            optimizer: Optimizer {
                learning_rate,
                learning_rate_min,
                schedule: Schedule::Cosine,
                warmup_ratio: 0.1,
                warmup_steps_min: 2,
                betas: [0.9, 0.95],
                eps: 1e-8,
                weight_decay: 0.0,
                clip: 1.0,
            },
            lengths: Lengths {
                sequence_max: 0,
                skip_longer: false,
                pack_tokens: 8_192,
                loss_chunk: 2_048,
                mlp_tile: 0,
            },
            memory: Memory::default(),
            cadence: Cadence {
                save_steps: 0,
                eval_steps: 0,
                eval_first: true,
                keep: 2,
                held_out: 0.1,
            },
        }
    }

    /// Reads a TOML file. What it leaves out is what `base` says, but where the method is another
    /// one: then its defaults.
    ///
    /// # Errors
    /// When it cannot be read, names what is no key, or a value makes no sense.
    pub fn read(path: &Path, base: &Self) -> Result<Self, TrainingError> {
        let failed = |error| TrainingError::io("read", path, error);
        let about = fs::metadata(path).map_err(failed)?;
        if !about.is_file() || about.len() > RECIPE_BYTES_MAX {
            return Err(unreadable(path, "it is no recipe"));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        Self::of_toml(&text, base, path)
    }

    /// The same of a text; `path` is what errors name.
    ///
    /// # Errors
    /// When it names what is no key, or a value makes no sense.
    pub fn of_toml(text: &str, base: &Self, path: &Path) -> Result<Self, TrainingError> {
        let broken = |error: toml::de::Error| unreadable(path, error.to_string().trim());
        let mut said: Table = text.parse().map_err(broken)?;
        let method = said.remove("method").map(method).transpose()?;
        let base = match method {
            Some(method) if !same_kind(method, base.method) => Self {
                template: base.template.clone(),
                ..Self::new(&base.model, &base.dataset, method)
            },
            Some(method) => Self { method, ..base.clone() },
            None => base.clone(),
        };
        let whole = Table::try_from(&base);
        let mut whole = whole.map_err(|error| unreadable(path, &error.to_string()))?;
        merge(&mut whole, said, "")?;
        let recipe: Self = Value::Table(whole).try_into().map_err(broken)?;
        recipe.checked()
    }

    /// The same recipe when it makes sense.
    ///
    /// # Errors
    /// When it does not; the key and what it may be are named.
    pub fn checked(self) -> Result<Self, TrainingError> {
        let optimizer = &self.optimizer;
        let is_rate = |rate: f64| rate.is_finite() && rate > 0.0 && rate <= 1.0;
        let is_share = |share: f64| (0.0..1.0).contains(&share);
        let [first, second] = optimizer.betas;
        let is_falling = (0.0..=optimizer.learning_rate).contains(&optimizer.learning_rate_min);
        let eps = optimizer.eps;
        let lengths = &self.lengths;
        let checks: [(&str, bool, &str); 16] = [
            ("epochs", (1..=1_000).contains(&self.epochs), "from 1 to 1000"),
            ("batch", (1..=65_536).contains(&self.batch), "from 1 to 65536"),
            ("optimizer.learning_rate", is_rate(optimizer.learning_rate), "above 0, at most 1"),
            ("optimizer.learning_rate_min", is_falling, "from 0 to the learning rate"),
            ("optimizer.warmup_ratio", is_share(optimizer.warmup_ratio), "from 0, below 1"),
            ("optimizer.betas", is_share(first) && is_share(second), "two numbers from 0, below 1"),
            ("optimizer.eps", eps > 0.0 && eps < 1.0, "above 0, below 1"),
            ("optimizer.weight_decay", is_share(optimizer.weight_decay), "from 0, below 1"),
            ("optimizer.clip", optimizer.clip >= 0.0 && optimizer.clip.is_finite(), "0 or more"),
            ("lengths.sequence_max", lengths.sequence_max <= TOKENS_MAX, "at most 16777216"),
            ("lengths.pack_tokens", lengths.pack_tokens <= TOKENS_MAX, "at most 16777216"),
            ("lengths.loss_chunk", (1..=TOKENS_MAX).contains(&lengths.loss_chunk), "at least 1"),
            ("lengths.mlp_tile", lengths.mlp_tile <= TOKENS_MAX, "at most 16777216"),
            ("cadence.keep", self.cadence.keep >= 1, "at least 1"),
            ("cadence.held_out", (0.0..=0.5).contains(&self.cadence.held_out), "from 0 to 0.5"),
            ("method.lora", self.lora_is_sound(), "a rank and an alpha from 1 to 4096"),
        ];
        match checks.into_iter().find(|(_, is_sound, _)| !is_sound) {
            None => Ok(self),
            Some((key, _, range)) => {
                Err(TrainingError::recipe(key, "is out of range", format!("Choose {range}.")))
            }
        }
    }

    fn lora_is_sound(&self) -> bool {
        let range = 1..=4_096;
        match self.method {
            Method::Full => true,
            Method::Lora(lora) => range.contains(&lora.rank) && range.contains(&lora.alpha),
        }
    }

    /// How many tokens a sample may have: as the recipe says, else what the model was made for.
    #[must_use]
    pub fn sequence_max(&self, shape: &ModelShape) -> usize {
        match self.lengths.sequence_max {
            0 => shape.max_position,
            said => said,
        }
    }

    /// The adapter, where one is trained.
    #[must_use]
    pub const fn lora(&self) -> Option<Lora> {
        match self.method {
            Method::Full => None,
            Method::Lora(lora) => Some(lora),
        }
    }
}

/// What a recipe that was written before there was the key did not say.
const fn yes() -> bool {
    true
}

/// No text is longer, in tokens.
const TOKENS_MAX: usize = 1 << 24;

fn same_kind(one: Method, other: Method) -> bool {
    matches!((one, other), (Method::Full, Method::Full) | (Method::Lora(_), Method::Lora(_)))
}

/// A method by its name, or with what an adapter is like.
fn method(said: Value) -> Result<Method, TrainingError> {
    let unknown = || {
        let remedy =
            "Write method = \"full\", method = \"lora\", or [method.lora] with rank and alpha.";
        TrainingError::recipe("method", "is none that is known", remedy)
    };
    match said {
        Value::String(name) if name == "full" => Ok(Method::Full),
        Value::String(name) if name == "lora" => Ok(Method::Lora(Lora::default())),
        Value::Table(mut table) => {
            let Some(Value::Table(said)) = table.remove("lora").filter(|_| table.is_empty()) else {
                return Err(unknown());
            };
            let mut whole = Table::try_from(Lora::default()).map_err(|_| unknown())?;
            merge(&mut whole, said, "method.lora.")?;
            Value::Table(whole).try_into().map(Method::Lora).map_err(|_| unknown())
        }
        _ => Err(unknown()),
    }
}

/// Optional keys are not in the table of a recipe that leaves them open.
const OPTIONAL: [&str; 5] = [
    "template",
    "memory.save_layers",
    "memory.save_attention",
    "memory.offload",
    "memory.host_optimizer",
];

/// Puts what was said over what was not.
fn merge(whole: &mut Table, said: Table, at: &str) -> Result<(), TrainingError> {
    for (key, value) in said {
        let path = format!("{at}{key}");
        let known: Vec<String> = whole.keys().cloned().collect();
        match (whole.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => {
                merge(inner, value, &format!("{path}."))?;
            }
            // Whole numbers are numbers.
            (Some(slot @ Value::Float(_)), Value::Integer(number)) => {
                *slot = Value::Float(number as f64);
            }
            (Some(slot), value) => *slot = value,
            (None, value) if OPTIONAL.contains(&path.as_str()) => {
                whole.insert(key, value);
            }
            (None, _) => {
                let remedy = format!("The keys here are: {}.", known.join(", "));
                return Err(TrainingError::recipe(&path, "is no key", remedy));
            }
        }
    }
    Ok(())
}

fn unreadable(path: &Path, reason: &str) -> TrainingError {
    TrainingError::Recipe {
        key: path.display().to_string(),
        reason: format!("is no recipe: {reason}"),
        remedy: "Write TOML with the keys that docs/training.md lists.".to_owned(),
    }
}
