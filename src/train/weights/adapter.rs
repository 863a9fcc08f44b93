//! LoRA adapters as PEFT keeps them: `adapter_config.json` beside `adapter_model.safetensors`.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tch::{Device, Kind, Tensor};
use training::shape::{Linear, ModelShape};

use super::write::{Entry, Give, whole, write_file};
use super::{Tensors, broken, failed};
use crate::error::Result;

/// The names of the files in an adapter's folder.
pub(super) const CONFIG: &str = "adapter_config.json";
pub(crate) const FILE: &str = "adapter_model.safetensors";

/// No description of an adapter is larger.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// No rank is larger than any layer.
const RANK_MAX: usize = 1 << 16;

/// What is written beside an adapter's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// The rank: how many numbers stand between the two matrices.
    pub rank: usize,
    /// What the product is multiplied by, times the rank.
    pub alpha: f64,
    /// The model that it was trained beside: a folder, or a name.
    pub base: Option<String>,
}

/// An adapter on disk whose tensors are all there, for a model of a known shape.
#[derive(Debug)]
pub struct Adapter {
    rank: usize,
    scale: f64,
    alpha: f64,
    base: Option<String>,
    modules: BTreeSet<String>,
    tensors: Tensors,
}

/// What PEFT's description has that matters here. All else has to be as if it were not said.
#[derive(Deserialize)]
struct Said {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    base_model_name_or_path: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What an adapter may say that makes it compute otherwise than ours.
const STRANGERS: [&str; 15] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
];

impl Adapter {
    /// Opens an adapter for a model. No weights are read yet.
    ///
    /// # Errors
    /// When a file is missing or damaged, when it says what is not done here, or when its tensors do
    /// not stand beside linear layers of the model.
    pub fn open(folder: &Path, shape: &ModelShape) -> Result<Self> {
        let path = folder.join(CONFIG);
        let said = read(&path)?;
        let file = folder.join(FILE);
        if !file.exists() {
            let reason = format!("There is no {FILE} beside {CONFIG}. Take the whole folder.");
            return Err(broken(folder, reason));
        }
        let tensors = Tensors::open(&file)?;
        let modules = modules(&tensors, shape, said.r)?;
        tensors.check_floats()?;
        let rank = said.r as f64;
        let divisor = if said.use_rslora { rank.sqrt() } else { rank };
        Ok(Self {
            rank: said.r,
            scale: said.lora_alpha / divisor,
            alpha: said.lora_alpha,
            base: said.base_model_name_or_path,
            modules,
            tensors,
        })
    }

    /// The rank of both matrices.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// What the product of both matrices is multiplied by before it is added.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The scale times the rank, unless it is scaled by the root of the rank.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The model that it was trained beside, as it was named then.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        self.base.as_deref()
    }

    /// The first matrix `[rank, inputs]` and the second one `[outputs, rank]` of a layer, when the
    /// adapter stands beside it.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn take(
        &self,
        linear: &Linear,
        kind: Kind,
        device: Device,
    ) -> Result<Option<(Tensor, Tensor)>> {
        if !self.modules.contains(&linear.module) {
            return Ok(None);
        }
        let first = self.tensors.take(&linear.peft_a(), kind, device)?;
        Ok(Some((first, self.tensors.take(&linear.peft_b(), kind, device)?)))
    }
}

fn read(path: &Path) -> Result<Said> {
    if fs::metadata(path).map_err(failed(path))?.len() > CONFIG_BYTES_MAX {
        return Err(broken(path, "It is no description of an adapter. Take another folder."));
    }
    let text = fs::read(path).map_err(failed(path))?;
    let said: Said = serde_json::from_slice(&text).map_err(|error| {
        broken(
            path,
            format!("It is no description of an adapter ({error}). Take the one that PEFT wrote."),
        )
    })?;
    let refuse = |what: String| {
        Err(broken(
            path,
            format!(
                "It says {what}, which is not done here. Take a plain LoRA adapter, or merge it with PEFT."
            ),
        ))
    };
    if said.peft_type != "LORA" {
        return refuse(format!("peft_type {:?}", said.peft_type));
    }
    if !(1..=RANK_MAX).contains(&said.r) || !said.lora_alpha.is_finite() {
        let (rank, alpha) = (said.r, said.lora_alpha);
        return refuse(format!("rank {rank} and alpha {alpha}"));
    }
    let is_nothing = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    for key in STRANGERS {
        if let Some(value) = said.rest.get(key).filter(|value| !is_nothing(value)) {
            return refuse(format!("{key} {value}"));
        }
    }
    if let Some(bias) = said.rest.get("bias").filter(|bias| *bias != "none" && !bias.is_null()) {
        return refuse(format!("bias {bias}"));
    }
    Ok(said)
}

/// The layers that it stands beside, once every tensor has been accounted for.
fn modules(tensors: &Tensors, shape: &ModelShape, rank: usize) -> Result<BTreeSet<String>> {
    let bad = |reason: String| {
        broken(tensors.path(), format!("{reason}. Take the adapter of this very model."))
    };
    let mut modules = BTreeSet::new();
    let mut known = BTreeSet::new();
    for linear in shape.linears() {
        let (first, second) = (linear.peft_a(), linear.peft_b());
        let found = [(&first, [rank, linear.inputs]), (&second, [linear.outputs, rank])]
            .map(|(name, sizes)| (name, sizes, tensors.sizes(name)));
        if found.iter().all(|(.., other)| other.is_none()) {
            continue;
        }
        for (name, sizes, other) in found {
            match other {
                None => return Err(bad(format!("{name} is missing"))),
                Some(other) if other != sizes => {
                    return Err(bad(format!("{name} is {other:?} and should be {sizes:?}")));
                }
                Some(_) => {}
            }
        }
        modules.insert(linear.module);
        known.extend([first, second]);
    }
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !known.contains(*name)) {
        return Err(bad(format!("{name} stands beside no linear layer of the model")));
    }
    if modules.is_empty() {
        return Err(bad("It holds nothing".to_owned()));
    }
    Ok(modules)
}

/// Writes an adapter that stands beside these layers. The tensors are asked for by PEFT's names.
///
/// # Errors
/// When a tensor is not as announced, or the disk is full.
pub fn write_adapter(
    folder: &Path,
    config: &AdapterConfig,
    linears: &[Linear],
    kind: Kind,
    give: &mut Give<'_>,
) -> Result<()> {
    let entries: Vec<Entry> = linears
        .iter()
        .flat_map(|linear| {
            let first = (linear.peft_a(), vec![config.rank, linear.inputs]);
            let second = (linear.peft_b(), vec![linear.outputs, config.rank]);
            [first, second].map(|(name, sizes)| Entry { name, sizes, kind })
        })
        .collect();
    write_file(&folder.join(FILE), &entries, give)?;
    let targets: BTreeSet<&str> = linears.iter().map(|linear| linear.kind).collect();
    // Everything that PEFT has no default for, or whose default has changed before.
    let said = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": config.base,
        "inference_mode": true,
        "r": config.rank,
        "lora_alpha": alpha(config.alpha),
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": false,
        "modules_to_save": null,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": false,
        "rank_pattern": {},
        "alpha_pattern": {},
    });
    let path = folder.join(CONFIG);
    whole(&path, |file| file.write_all(format!("{said:#}\n").as_bytes()).map_err(failed(&path)))
}

/// A whole number is written as one: PEFT's own is.
fn alpha(alpha: f64) -> Value {
    #[allow(clippy::cast_possible_truncation, reason = "a small whole number")]
    if alpha.fract() == 0.0 && alpha.abs() < 1e9 { json!(alpha as i64) } else { json!(alpha) }
}
