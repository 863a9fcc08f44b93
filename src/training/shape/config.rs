//! A `config.json` as `transformers` reads it: each family's own meaning of what is not said.

use serde_json::{Map, Value};

use super::rope::{Rope, RopeScaling, Rotation};
use super::{AttentionBias, Family, ModelShape, Refused};

/// Names of architectures that are known and not trained yet, and why.
const NOT_YET: [(&str, &str); 3] = [
    ("Qwen3MoeForCausalLM", "it is a mixture of experts"),
    ("Glm4MoeForCausalLM", "it is a mixture of experts"),
    ("GlmForCausalLM", "it is a GLM-4 of before 0414, which has other norms"),
];

/// What a family means when its configuration does not say.
struct Defaults {
    kv_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position: usize,
    norm_eps: f64,
    vocab: usize,
    rope: Rope,
}

pub(super) fn read(text: &str) -> Result<ModelShape, Refused> {
    let config: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| Refused::broken(format!("it is no JSON object ({error})")))?;
    let family = family(&config)?;
    refuse_strangers(&config, family)?;
    let fields = Fields(&config);
    let defaults = defaults(family);
    let (hidden, heads) = (fields.need("hidden_size")?, fields.need("num_attention_heads")?);
    let head_dim = match fields.size("head_dim")?.or(defaults.head_dim) {
        Some(width) => width,
        None if heads > 0 && hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let reason = format!("{heads} heads do not divide hidden_size {hidden}");
            return Err(Refused::broken(reason));
        }
    };
    let max_position = fields.size("max_position_embeddings")?.unwrap_or(defaults.max_position);
    let layers = fields.need("num_hidden_layers")?;
    refuse_windows(&fields, family, layers)?;
    let shape = ModelShape {
        family,
        hidden,
        layers,
        heads,
        kv_heads: fields.size("num_key_value_heads")?.or(defaults.kv_heads).unwrap_or(heads),
        head_dim,
        intermediate: fields.need("intermediate_size")?,
        vocab: fields.size("vocab_size")?.unwrap_or(defaults.vocab),
        norm_eps: fields.number("rms_norm_eps")?.unwrap_or(defaults.norm_eps),
        rope: Rope::read(&config, defaults.rope, max_position)?,
        tied_embeddings: fields.flag("tie_word_embeddings")?,
        attention_bias: attention_bias(
            family,
            fields.flag_or("attention_bias", family == Family::Glm4)?,
        ),
        mlp_bias: family == Family::Llama && fields.flag("mlp_bias")?,
        qk_norm: family == Family::Qwen3,
        sandwich_norms: family == Family::Glm4,
        fused_gate_up: family == Family::Glm4,
        max_position,
        bos: fields.ids("bos_token_id")?.first().copied(),
        eos: fields.ids("eos_token_id")?,
    };
    shape.checked()
}

fn family(config: &Map<String, Value>) -> Result<Family, Refused> {
    let architectures = config.get("architectures").and_then(Value::as_array);
    let named = architectures.and_then(|names| names.first()?.as_str());
    let kind = config.get("model_type").and_then(Value::as_str);
    if let Some(name) = named {
        if let Some(family) = Family::ALL.into_iter().find(|it| it.architecture() == name) {
            return Ok(family);
        }
        let known = NOT_YET.iter().find(|(known, _)| *known == name);
        let why = known.map_or_else(String::new, |(_, why)| format!(": {why}"));
        return Err(Refused::unknown(format!("it is a {name}{why}")));
    }
    let family = Family::ALL.into_iter().find(|it| Some(it.model_type()) == kind);
    family.ok_or_else(|| match kind {
        Some(kind) => Refused::unknown(format!("it is of the type {kind:?}")),
        None => Refused::broken("it names neither architectures nor model_type"),
    })
}

fn defaults(family: Family) -> Defaults {
    let rope = Rope {
        theta: 10_000.0,
        partial_factor: 1.0,
        rotation: Rotation::Halves,
        scaling: RopeScaling::None,
    };
    match family {
        Family::Llama => Defaults {
            kv_heads: None,
            head_dim: None,
            max_position: 2_048,
            norm_eps: 1e-6,
            vocab: 32_000,
            rope,
        },
        Family::Qwen2 => Defaults {
            kv_heads: Some(32),
            head_dim: None,
            max_position: 32_768,
            norm_eps: 1e-6,
            vocab: 151_936,
            rope,
        },
        Family::Qwen3 => Defaults {
            kv_heads: Some(32),
            head_dim: Some(128),
            max_position: 32_768,
            norm_eps: 1e-6,
            vocab: 151_936,
            rope,
        },
        Family::Glm4 => Defaults {
            kv_heads: Some(2),
            head_dim: Some(128),
            max_position: 131_072,
            norm_eps: 1.5625e-7,
            vocab: 151_552,
            rope: Rope { partial_factor: 0.5, rotation: Rotation::Interleaved, ..rope },
        },
    }
}

/// Where each family adds what `attention_bias` says. Qwen2 has always the same, whatever it says;
/// the output of GLM-4 never has one.
const fn attention_bias(family: Family, said: bool) -> AttentionBias {
    match family {
        Family::Llama | Family::Qwen3 => AttentionBias { qkv: said, output: said },
        Family::Qwen2 => AttentionBias { qkv: true, output: false },
        Family::Glm4 => AttentionBias { qkv: said, output: false },
    }
}

/// What would make it another model.
fn refuse_strangers(config: &Map<String, Value>, family: Family) -> Result<(), Refused> {
    let activation = config.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
    if !matches!(activation, "silu" | "swish") {
        return Err(Refused::unknown(format!("its activation is {activation:?} (hidden_act)")));
    }
    let quantized = config.get("quantization_config").is_some_and(|it| !it.is_null());
    if quantized {
        let remedy = "Take the model in bf16 or f32: quantized weights cannot be trained.";
        let reason = "its weights are quantized (quantization_config)".to_owned();
        return Err(Refused { reason, remedy: remedy.to_owned() });
    }
    let slices = config.get("pretraining_tp").and_then(Value::as_u64).unwrap_or(1);
    if family == Family::Llama && slices > 1 {
        return Err(Refused::unknown(format!("it computes in {slices} slices (pretraining_tp)")));
    }
    Ok(())
}

/// Attention that sees only the last tokens. Qwen2 and Qwen3 have it in the layers from
/// `max_window_layers` on, when `use_sliding_window` is set, or where `layer_types` says so.
fn refuse_windows(fields: &Fields<'_>, family: Family, layers: usize) -> Result<(), Refused> {
    if !matches!(family, Family::Qwen2 | Family::Qwen3) {
        return Ok(());
    }
    let window = fields.size("sliding_window")?.unwrap_or(4_096);
    let is_used = fields.flag("use_sliding_window")?
        && fields.0.get("sliding_window").is_none_or(|it| !it.is_null());
    let named = fields.0.get("layer_types").and_then(Value::as_array);
    let is_active = match named {
        Some(types) => types.iter().any(|it| it != "full_attention"),
        None => is_used && fields.size("max_window_layers")?.unwrap_or(28) < layers,
    };
    if !is_active {
        return Ok(());
    }
    let reason = format!("its attention sees only the last {window} tokens (sliding_window)");
    Err(Refused::unknown(reason))
}

/// The fields of a configuration.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn said(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str) -> Result<Option<usize>, Refused> {
        let Some(value) = self.said(key) else { return Ok(None) };
        match value.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) => Ok(Some(size)),
            None => Err(Refused::broken(format!("{key} is {value}"))),
        }
    }

    fn need(&self, key: &str) -> Result<usize, Refused> {
        self.size(key)?.ok_or_else(|| Refused::broken(format!("it lacks {key}")))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Refused> {
        let Some(value) = self.said(key) else { return Ok(None) };
        let number = value.as_f64();
        number.map(Some).ok_or_else(|| Refused::broken(format!("{key} is {value}")))
    }

    fn flag(&self, key: &str) -> Result<bool, Refused> {
        self.flag_or(key, false)
    }

    fn flag_or(&self, key: &str, default: bool) -> Result<bool, Refused> {
        match self.said(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(Refused::broken(format!("{key} is {other}"))),
        }
    }

    /// One id, a list of them, or none.
    fn ids(&self, key: &str) -> Result<Vec<u32>, Refused> {
        let bad = || Refused::broken(format!("{key} is {}", self.0[key]));
        let one =
            |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(bad);
        match self.said(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(one).collect(),
            Some(id) => Ok(vec![one(id)?]),
        }
    }
}
