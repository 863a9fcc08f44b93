//! The values of a GGUF file of llama architecture, as llama.cpp writes them.

use serde_json::{Value, json};

use super::rope::{Rope, RopeScaling, Rotation};
use super::{AttentionBias, Family, ModelShape, Refused};

pub(super) fn read(
    value: &dyn Fn(&str) -> Option<Value>,
    has_tensor: &dyn Fn(&str) -> bool,
) -> Result<ModelShape, Refused> {
    let architecture = value("general.architecture");
    let architecture = architecture.as_ref().and_then(Value::as_str).unwrap_or("");
    if architecture != "llama" {
        let reason = format!("it is a GGUF file of the architecture {architecture:?}");
        let remedy = "Take the folder with config.json and safetensors that it was made from.";
        return Err(Refused { reason, remedy: remedy.to_owned() });
    }
    let size = |key: &str| {
        value(&format!("llama.{key}")).and_then(|it| usize::try_from(it.as_u64()?).ok())
    };
    let need =
        |key: &str| size(key).ok_or_else(|| Refused::broken(format!("it lacks llama.{key}")));
    let number = |key: &str| value(&format!("llama.{key}")).and_then(|it| it.as_f64());
    refuse_scaling(value, has_tensor)?;
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
        rope: Rope {
            theta: number("rope.freq_base").unwrap_or(10_000.0),
            partial_factor: 1.0,
            rotation: Rotation::Halves,
            scaling: RopeScaling::None,
        },
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
        "rope_parameters": { "rope_type": "default", "rope_theta": shape.rope.theta },
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

/// Experts, and scaling: a file may hold its factors as a tensor, of which nobody knows the formula.
fn refuse_scaling(
    value: &dyn Fn(&str) -> Option<Value>,
    has_tensor: &dyn Fn(&str) -> bool,
) -> Result<(), Refused> {
    let remedy = "Take the folder with config.json and safetensors that it was made from.";
    let refuse =
        |reason: &str| Err(Refused { reason: reason.to_owned(), remedy: remedy.to_owned() });
    let scaling = value("llama.rope.scaling.type");
    let scaling = scaling.as_ref().and_then(Value::as_str);
    let is_scaled = !matches!(scaling, None | Some("none"));
    if is_scaled || has_tensor("rope_freqs.weight") {
        return refuse("its positions are scaled, and a GGUF file does not say how exactly");
    }
    let experts = value("llama.expert_count").and_then(|it| it.as_u64());
    if experts.is_some_and(|count| count > 0) {
        return refuse("it is a mixture of experts");
    }
    Ok(())
}
