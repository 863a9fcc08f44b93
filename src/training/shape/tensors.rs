//! The tensors of a model, by the names under which `transformers` publishes them.

use std::collections::BTreeMap;
use std::path::Path;

use super::ModelShape;
use crate::error::TrainingError;

/// A tensor: its name, and its sizes, the outermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorShape {
    /// The name within the files of weights.
    pub name: String,
    /// Its sizes.
    pub sizes: Vec<usize>,
}

impl TensorShape {
    /// How many numbers it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sizes.iter().map(|size| *size as u64).product()
    }
}

/// A linear layer that LoRA may stand beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The layer of the model, from 0.
    pub layer: usize,
    /// The last word of its name: `q_proj`.
    pub kind: &'static str,
    /// The name of the module: `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// The width of what goes in.
    pub inputs: usize,
    /// The width of what comes out.
    pub outputs: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

impl Linear {
    /// The name under which PEFT keeps the first matrix, `[rank, inputs]`.
    #[must_use]
    pub fn peft_a(&self) -> String {
        format!("base_model.model.{}.lora_A.weight", self.module)
    }

    /// The name under which PEFT keeps the second matrix, `[outputs, rank]`.
    #[must_use]
    pub fn peft_b(&self) -> String {
        format!("base_model.model.{}.lora_B.weight", self.module)
    }
}

/// More differences than this are counted, not named.
const NAMED_MAX: usize = 5;

impl ModelShape {
    /// The linear layers of the decoder, in the order in which they are used. The output's matrix
    /// is none of them.
    #[must_use]
    pub fn linears(&self) -> Vec<Linear> {
        (0..self.layers).flat_map(|layer| self.linears_of(layer)).collect()
    }

    /// The linear layers of one layer.
    #[must_use]
    pub fn linears_of(&self, layer: usize) -> Vec<Linear> {
        let (hidden, inner) = (self.hidden, self.intermediate);
        let (qkv, output, mlp) =
            (self.attention_bias.qkv, self.attention_bias.output, self.mlp_bias);
        let mut all = vec![
            ("self_attn", "q_proj", hidden, self.query_width(), qkv),
            ("self_attn", "k_proj", hidden, self.kv_width(), qkv),
            ("self_attn", "v_proj", hidden, self.kv_width(), qkv),
            ("self_attn", "o_proj", self.query_width(), hidden, output),
        ];
        if self.fused_gate_up {
            all.push(("mlp", "gate_up_proj", hidden, 2 * inner, mlp));
        } else {
            all.push(("mlp", "gate_proj", hidden, inner, mlp));
            all.push(("mlp", "up_proj", hidden, inner, mlp));
        }
        all.push(("mlp", "down_proj", inner, hidden, mlp));
        let linear = |(part, kind, inputs, outputs, bias)| Linear {
            layer,
            kind,
            module: format!("model.layers.{layer}.{part}.{kind}"),
            inputs,
            outputs,
            bias,
        };
        all.into_iter().map(linear).collect()
    }

    /// The kinds of linear layers, as PEFT names its `target_modules`.
    #[must_use]
    pub fn linear_kinds(&self) -> Vec<&'static str> {
        self.linears_of(0).into_iter().map(|linear| linear.kind).collect()
    }

    /// The names of the norms of a layer, without what stands before them.
    #[must_use]
    pub fn norms(&self) -> &'static [&'static str] {
        if self.sandwich_norms {
            &[
                "input_layernorm",
                "post_attention_layernorm",
                "post_self_attn_layernorm",
                "post_mlp_layernorm",
            ]
        } else {
            &["input_layernorm", "post_attention_layernorm"]
        }
    }

    /// Every tensor, in the order in which it is used.
    #[must_use]
    pub fn tensors(&self) -> Vec<TensorShape> {
        let tensor = |name: String, sizes: &[usize]| TensorShape { name, sizes: sizes.to_vec() };
        let matrix = [self.vocab, self.hidden];
        let mut all = vec![tensor("model.embed_tokens.weight".to_owned(), &matrix)];
        for layer in 0..self.layers {
            for norm in self.norms() {
                let name = format!("model.layers.{layer}.{norm}.weight");
                all.push(tensor(name, &[self.hidden]));
            }
            for linear in self.linears_of(layer) {
                let sizes = [linear.outputs, linear.inputs];
                all.push(tensor(format!("{}.weight", linear.module), &sizes));
                if linear.bias {
                    all.push(tensor(format!("{}.bias", linear.module), &sizes[..1]));
                }
            }
            for norm in ["q_norm", "k_norm"].into_iter().filter(|_| self.qk_norm) {
                let name = format!("model.layers.{layer}.self_attn.{norm}.weight");
                all.push(tensor(name, &[self.head_dim]));
            }
        }
        all.push(tensor("model.norm.weight".to_owned(), &[self.hidden]));
        if !self.tied_embeddings {
            all.push(tensor("lm_head.weight".to_owned(), &matrix));
        }
        all
    }

    /// How many numbers it has; a tied embedding counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(TensorShape::count).sum()
    }

    /// How many numbers the linear layers of the decoder have, without biases: what each token goes
    /// through.
    #[must_use]
    pub fn linear_parameters(&self) -> u64 {
        let count = |linear: &Linear| linear.inputs as u64 * linear.outputs as u64;
        self.linears_of(0).iter().map(count).sum::<u64>() * self.layers as u64
    }

    /// How many numbers an adapter of this rank has beside all linear layers.
    #[must_use]
    pub fn adapter_parameters(&self, rank: usize) -> u64 {
        let count = |linear: &Linear| (rank * (linear.inputs + linear.outputs)) as u64;
        self.linears_of(0).iter().map(count).sum::<u64>() * self.layers as u64
    }

    /// Compares tensors that were found with those that have to be there.
    ///
    /// What `transformers` ignores is ignored: the output's matrix where it is the embedding, and
    /// frequencies that old files hold.
    ///
    /// # Errors
    /// When one is missing, too many, or of other sizes; each is named.
    pub fn check_tensors(
        &self,
        found: impl IntoIterator<Item = (String, Vec<usize>)>,
        path: &Path,
    ) -> Result<(), TrainingError> {
        let mut found: BTreeMap<String, Vec<usize>> = found.into_iter().collect();
        let mut wrong = Vec::new();
        for TensorShape { name, sizes } in self.tensors() {
            match found.remove(&name) {
                None => wrong.push(format!("{name} is missing")),
                Some(other) if other != sizes => {
                    wrong.push(format!("{name} is {other:?} and should be {sizes:?}"));
                }
                Some(_) => {}
            }
        }
        let is_ignored = |name: &str| {
            name.ends_with(".rotary_emb.inv_freq")
                || self.tied_embeddings && name == "lm_head.weight"
        };
        let extra = found.keys().filter(|name| !is_ignored(name));
        wrong.extend(extra.map(|name| format!("{name} belongs to no such model")));
        if wrong.is_empty() {
            return Ok(());
        }
        let more = wrong.len().saturating_sub(NAMED_MAX);
        wrong.truncate(NAMED_MAX);
        let mut what = wrong.join("; ");
        if more > 0 {
            what.push_str(&format!("; and {more} more"));
        }
        Err(TrainingError::Tensors { path: path.to_owned(), what })
    }
}
