//! What a model consists of: read from the `config.json` that is published with it, or from the
//! values of a GGUF file.
//!
//! A family is a set of facts about the same decoder: where biases and norms stand, which part of a
//! head is rotated and how. What a configuration says and this decoder does not do (another
//! activation, attention through a window, a scaling of positions that is not here) is refused by
//! name: trained otherwise than it is served, a model would be worse without anybody knowing why.

mod config;
mod gguf;
mod rope;
mod tensors;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::Path;

use chat::gguf::{Header, is_gguf};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::TrainingError;

pub use gguf::FACTORS as GGUF_FACTORS;
pub use rope::{Rope, RopeScaling, Rotation};
pub use tensors::{Linear, TensorShape};

/// The name of the description of a model within its folder.
pub const CONFIG_FILE: &str = "config.json";

/// No description is larger.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// A kind of model, by the name under which `transformers` knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `LlamaForCausalLM`: Llama 2 and 3, SmolLM2.
    Llama,
    /// `Qwen2ForCausalLM`: Qwen2 and Qwen2.5.
    Qwen2,
    /// `Qwen3ForCausalLM`: Qwen3, dense.
    Qwen3,
    /// `Glm4ForCausalLM`: GLM-4-0414, dense.
    Glm4,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Glm4];

    /// The name of its class in `transformers`.
    #[must_use]
    pub const fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
            Self::Glm4 => "Glm4ForCausalLM",
        }
    }

    /// Its `model_type`.
    #[must_use]
    pub const fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Glm4 => "glm4",
        }
    }
}

/// Which projections of the attention add a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionBias {
    /// Queries, keys and values.
    pub qkv: bool,
    /// The output.
    pub output: bool,
}

/// What a model consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelShape {
    /// What kind it is.
    pub family: Family,
    /// The width of the residual stream.
    pub hidden: usize,
    /// How many layers.
    pub layers: usize,
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values, a divisor of the former.
    pub kv_heads: usize,
    /// The width of a head.
    pub head_dim: usize,
    /// The width within the MLP.
    pub intermediate: usize,
    /// How many tokens it knows: rows of the embedding.
    pub vocab: usize,
    /// What is added to a variance before its root is taken.
    pub norm_eps: f64,
    /// How positions turn heads.
    pub rope: Rope,
    /// Whether the embedding is the output's matrix too.
    pub tied_embeddings: bool,
    /// Biases of the attention.
    pub attention_bias: AttentionBias,
    /// Whether the projections of the MLP add a bias.
    pub mlp_bias: bool,
    /// Whether queries and keys are normalised, head by head, before they are turned.
    pub qk_norm: bool,
    /// Whether attention and MLP are normalised once more before they are added.
    pub sandwich_norms: bool,
    /// Whether gate and up projection are one matrix, gate first.
    pub fused_gate_up: bool,
    /// The longest text that it was made for, in tokens.
    pub max_position: usize,
    /// The id at which a text begins.
    pub bos: Option<u32>,
    /// The ids at which it stops.
    pub eos: Vec<u32>,
}

impl ModelShape {
    /// Reads the description of a model: of its folder, or of a GGUF file.
    ///
    /// # Errors
    /// When there is none, or this decoder does not do what it says.
    pub fn of_model(path: &Path) -> Result<Self, TrainingError> {
        if !is_gguf(path) {
            return Self::of_folder(path);
        }
        Self::of_gguf(&Header::open(path)?, path)
    }

    /// Reads the description of a model in its folder.
    ///
    /// # Errors
    /// When there is none, or this decoder does not do what it says.
    pub fn of_folder(folder: &Path) -> Result<Self, TrainingError> {
        let path = folder.join(CONFIG_FILE);
        let failed = |error| TrainingError::io("read", &path, error);
        let about = fs::metadata(&path).map_err(failed)?;
        if !about.is_file() || about.len() > CONFIG_BYTES_MAX {
            let remedy = "Take the one that was published with the model.";
            return Err(TrainingError::model(&path, "it is no description of a model", remedy));
        }
        let text = fs::read_to_string(&path).map_err(failed)?;
        Self::of_config(&text, &path)
    }

    /// Reads the text of a `config.json`; `path` is what errors name.
    ///
    /// # Errors
    /// When this decoder does not do what it says.
    pub fn of_config(text: &str, path: &Path) -> Result<Self, TrainingError> {
        config::read(text)
            .map_err(|Refused { reason, remedy }| TrainingError::model(path, reason, remedy))
    }

    /// Reads what stands before the weights of a GGUF file of llama architecture.
    ///
    /// # Errors
    /// When this decoder does not do what that says.
    pub fn of_gguf(header: &Header, path: &Path) -> Result<Self, TrainingError> {
        let factors = gguf::factors(header, path)?;
        let has_tensor = |name: &str| header.tensors().iter().any(|tensor| tensor.name == name);
        gguf::read(&|name| header.value(name).cloned(), &has_tensor, factors.as_deref())
            .map_err(|Refused { reason, remedy }| TrainingError::model(path, reason, remedy))
    }

    /// The `config.json` of a model that was read from a GGUF file, for a folder of its weights.
    #[must_use]
    pub fn config_of_gguf(&self) -> Value {
        gguf::config(self)
    }

    /// The width of all heads of queries together.
    #[must_use]
    pub const fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The width of all heads of keys, which is that of the values.
    #[must_use]
    pub const fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// Refuses what no model can be, so that whoever computes with it divides by nothing.
    fn checked(self) -> Result<Self, Refused> {
        let sizes = [
            ("hidden_size", self.hidden),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("intermediate_size", self.intermediate),
            ("vocab_size", self.vocab),
            ("max_position_embeddings", self.max_position),
        ];
        for (key, size) in sizes {
            if !(1..=SIZE_MAX).contains(&size) {
                return Err(Refused::broken(format!("{key} is {size}")));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let (heads, kv_heads) = (self.heads, self.kv_heads);
            let reason =
                format!("{heads} heads cannot share {kv_heads} heads of keys and values evenly");
            return Err(Refused::broken(reason));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return Err(Refused::broken(format!("rms_norm_eps is {}", self.norm_eps)));
        }
        self.rope.checked(self.head_dim)?;
        Ok(self)
    }
}

/// No size of a model is larger; products of three of them fit into 64 bits.
const SIZE_MAX: usize = 1 << 20;

/// Why a description is refused, and what to do.
#[derive(Debug)]
struct Refused {
    reason: String,
    remedy: String,
}

impl Refused {
    /// It contradicts itself.
    fn broken(reason: impl Into<String>) -> Self {
        let remedy = "Take the file that was published with the model.".to_owned();
        Self { reason: reason.into(), remedy }
    }

    /// It asks for what is not here.
    fn unknown(reason: impl Into<String>) -> Self {
        let known: Vec<&str> = Family::ALL.iter().map(|family| family.architecture()).collect();
        let (last, first) = known.split_last().unwrap_or((&"", &[]));
        let remedy = format!("Take a model of {} or {last} without it.", first.join(", "));
        Self { reason: reason.into(), remedy }
    }
}
