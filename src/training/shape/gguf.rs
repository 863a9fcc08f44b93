//! The values of a GGUF file of llama architecture, as llama.cpp writes them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use chat::gguf::Header;
use serde_json::{Value, json};

use super::rope::{Rope, RopeScaling, Rotation};
use super::{AttentionBias, Family, ModelShape, Refused};
use crate::TrainingError;

/// The tensor that says what the angle of each pair is divided by; it is none of the model's weights.
pub const FACTORS: &str = "rope_freqs.weight";

/// Pairs of a head; no model comes near.
const PAIRS_MAX: u64 = 4_096;

/// The numbers of [`FACTORS`], in single precision as they always are, where the file has them.
pub(super) fn factors(header: &Header, path: &Path) -> Result<Option<Vec<f32>>, TrainingError> {
    let Some(tensor) = header.tensors().iter().find(|tensor| tensor.name == FACTORS) else {
        return Ok(None);
    };
    let count = match tensor.sizes[..] {
        [count @ 1..=PAIRS_MAX] if tensor.packing == 0 => count,
        _ => {
            let (sizes, packing) = (&tensor.sizes, tensor.packing);
            let reason =
                format!("{FACTORS} is {sizes:?} (packing {packing}) and no factors of pairs");
            return Err(TrainingError::model(path, reason, "Download the file again."));
        }
    };
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(tensor.at))?;
        file.take(4 * count).read_to_end(bytes)
    };
    let had = read(&mut bytes).map_err(|error| TrainingError::io("read", path, error))?;
    if had as u64 != 4 * count {
        let reason = format!("{FACTORS} lies behind the end of the file");
        return Err(TrainingError::model(path, reason, "Download it again."));
    }
    let (numbers, _) = bytes.as_chunks();
    Ok(Some(numbers.iter().map(|it| f32::from_le_bytes(*it)).collect()))
}

/// `factors` are what [`factors`] found.
pub(super) fn read(
    value: &dyn Fn(&str) -> Option<Value>,
    has_tensor: &dyn Fn(&str) -> bool,
    factors: Option<&[f32]>,
) -> Result<ModelShape, Refused> {
    let architecture = value("general.architecture");
    let architecture = architecture.as_ref().and_then(Value::as_str).unwrap_or("");
    if architecture != "llama" {
        let reason = format!("it is a GGUF file of the architecture {architecture:?}");
        return Err(refused(&reason));
    }
    let size = |key: &str| {
        value(&format!("llama.{key}")).and_then(|it| usize::try_from(it.as_u64()?).ok())
    };
    let need =
        |key: &str| size(key).ok_or_else(|| Refused::broken(format!("it lacks llama.{key}")));
    let number = |key: &str| value(&format!("llama.{key}")).and_then(|it| it.as_f64());
    refuse_experts(value)?;
    let (hidden, heads) = (need("embedding_length")?, need("attention.head_count")?);
    let plain = hidden.checked_div(heads).unwrap_or(0);
    let head_dim = size("attention.key_length").unwrap_or(plain);
    let turned = size("rope.dimension_count").unwrap_or(head_dim);
    if turned != head_dim {
        return Err(Refused::unknown(format!("it turns {turned} of the {head_dim} of each head")));
    }
    let id = |name: &str| {
        let id = value(&format!("tokenizer.ggml.{name}_token_id"))?.as_u64()?;
        u32::try_from(id).ok()
    };
    let tokens = value("tokenizer.ggml.tokens").and_then(|it| Some(it.as_array()?.len()));
    let vocab = size("vocab_size").or(tokens);
    let attention_bias = AttentionBias {
        qkv: has_tensor("blk.0.attn_q.bias"),
        output: has_tensor("blk.0.attn_output.bias"),
    };
    if attention_bias.qkv != attention_bias.output {
        let reason = "its attention has biases of queries or of the output alone";
        return Err(Refused::unknown(reason));
    }
    let shape = ModelShape {
        family: Family::Llama,
        hidden,
        layers: need("block_count")?,
        heads,
        kv_heads: size("attention.head_count_kv").unwrap_or(heads),
        head_dim,
        intermediate: need("feed_forward_length")?,
        vocab: vocab.ok_or_else(|| Refused::broken("it lacks llama.vocab_size"))?,
        norm_eps: number("attention.layer_norm_rms_epsilon")
            .map(from_single)
            .ok_or_else(|| Refused::broken("it lacks llama.attention.layer_norm_rms_epsilon"))?,
        rope: rope(value, factors, head_dim)?,
        tied_embeddings: !has_tensor("output.weight"),
        attention_bias,
        mlp_bias: has_tensor("blk.0.ffn_up.bias"),
        qk_norm: false,
        sandwich_norms: false,
        fused_gate_up: false,
        max_position: need("context_length")?,
        bos: id("bos"),
        eos: ["eos", "eot", "eom"].into_iter().filter_map(id).collect(),
    };
    shape.checked()
}

/// The `config.json` of a model that was read from such a file, which has none.
pub(super) fn config(shape: &ModelShape) -> Value {
    json!({
        "architectures": [shape.family.architecture()],
        "model_type": shape.family.model_type(),
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "intermediate_size": shape.intermediate,
        "vocab_size": shape.vocab,
        "rms_norm_eps": shape.norm_eps,
        // Both of the places where one version of `transformers` or another looks for it.
        "rope_theta": shape.rope.theta,
        "rope_parameters": shape.rope.parameters(),
        "tie_word_embeddings": shape.tied_embeddings,
        "attention_bias": shape.attention_bias.qkv,
        "mlp_bias": shape.mlp_bias,
        "max_position_embeddings": shape.max_position,
        "bos_token_id": shape.bos,
        "eos_token_id": shape.eos,
    })
}

/// The decimal that a number in single precision was written from: `1e-5` and not
/// `9.999999747378752e-6`, so that a model is the same from either file.
#[allow(clippy::cast_possible_truncation, reason = "it came from single precision")]
fn from_single(number: f64) -> f64 {
    let single = number as f32;
    single.to_string().parse().unwrap_or(number)
}

/// How positions turn heads of a width.
fn rope(
    value: &dyn Fn(&str) -> Option<Value>,
    factors: Option<&[f32]>,
    head_dim: usize,
) -> Result<Rope, Refused> {
    let theta = match value("llama.rope.freq_base") {
        None => 10_000.0,
        Some(theta) => {
            theta.as_f64().ok_or_else(|| Refused::broken("its rope.freq_base is no number"))?
        }
    };
    let unscaled =
        Rope { theta, partial_factor: 1.0, rotation: Rotation::Halves, scaling: RopeScaling::None };
    let scaling = scaling(value, factors, &unscaled, head_dim)?;
    Ok(Rope { scaling, ..unscaled })
}

/// How positions are scaled. Factors without a kind are Llama 3's, whose formula is found from them; one
/// factor without a kind is `linear` to llama.cpp, which once had another name for it.
fn scaling(
    value: &dyn Fn(&str) -> Option<Value>,
    factors: Option<&[f32]>,
    unscaled: &Rope,
    head_dim: usize,
) -> Result<RopeScaling, Refused> {
    let kind = value("llama.rope.scaling.type");
    let factor = ["llama.rope.scaling.factor", "llama.rope.scale_linear"]
        .iter()
        .find_map(|key| value(key))
        .map(|it| it.as_f64().filter(|factor| factor.is_finite() && *factor >= 1.0))
        .map(|it| {
            it.map(from_single).ok_or_else(|| Refused::broken("its rope.scaling.factor is none"))
        })
        .transpose()?;
    match (kind.as_ref().and_then(Value::as_str), factors, factor) {
        (Some("none") | None, Some(factors), None) => unscaled
            .scaling_of(factors, head_dim)
            .ok_or_else(|| refused("its positions are scaled by factors of no known formula")),
        (Some("none"), None, _) | (None, None, None) => Ok(RopeScaling::None),
        (Some("linear") | None, None, Some(1.0)) => Ok(RopeScaling::None),
        (Some("linear") | None, None, Some(factor)) => Ok(RopeScaling::Linear { factor }),
        _ => Err(refused("its positions are scaled, and a GGUF file does not say how exactly")),
    }
}

fn refuse_experts(value: &dyn Fn(&str) -> Option<Value>) -> Result<(), Refused> {
    let experts = value("llama.expert_count").and_then(|it| it.as_u64());
    match experts {
        Some(1..) => Err(refused("it is a mixture of experts")),
        _ => Ok(()),
    }
}

fn refused(reason: &str) -> Refused {
    let remedy = "Take the folder with config.json and safetensors that it was made from.";
    Refused { reason: reason.to_owned(), remedy: remedy.to_owned() }
}
