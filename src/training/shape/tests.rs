use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn read(config: &Value) -> Result<ModelShape, String> {
    ModelShape::of_config(&config.to_string(), Path::new("model/config.json"))
        .map_err(|error| error.to_string())
}

fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

fn refused(config: &Value, parts: &[&str]) {
    let error = read(config).unwrap_err();
    for part in parts {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

fn smollm2() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 100_000,
        "rope_scaling": null, "tie_word_embeddings": true, "attention_bias": false,
        "mlp_bias": false, "bos_token_id": 1, "eos_token_id": 2, "pretraining_tp": 1,
    })
}

fn qwen2() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu",
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151_936,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0,
        "tie_word_embeddings": true, "use_sliding_window": false, "sliding_window": 32768,
        "max_window_layers": 21, "eos_token_id": 151_645,
    })
}

fn qwen3() -> Value {
    json!({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu",
        "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "head_dim": 128,
        "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 151_936,
        "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000,
        "tie_word_embeddings": true, "attention_bias": false, "use_sliding_window": false,
        "sliding_window": null, "max_window_layers": 28, "eos_token_id": 151_645,
    })
}

fn glm4() -> Value {
    json!({
        "architectures": ["Glm4ForCausalLM"], "model_type": "glm4", "hidden_act": "silu",
        "hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40, "head_dim": 128,
        "num_attention_heads": 32, "num_key_value_heads": 2, "vocab_size": 151_552,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5, "tie_word_embeddings": false, "attention_bias": true,
        "eos_token_id": [151_329, 151_336, 151_338],
    })
}

#[test]
fn each_family_has_as_many_parameters_as_it_is_known_for() {
    let counts = [
        (smollm2(), 134_515_008),
        (qwen2(), 494_032_768),
        (qwen3(), 596_049_920),
        (glm4(), 9_400_279_040),
    ];
    for (config, count) in counts {
        assert_eq!(read(&config).unwrap().parameters(), count, "{}", config["model_type"]);
    }
}

#[test]
fn each_family_has_its_own_facts() {
    let shape = read(&smollm2()).unwrap();
    assert_eq!((shape.head_dim, shape.kv_width(), shape.bos), (64, 192, Some(1)));
    assert_eq!(shape.attention_bias, AttentionBias::default());
    let shape = read(&qwen2()).unwrap();
    assert_eq!(shape.attention_bias, AttentionBias { qkv: true, output: false });
    assert!(!shape.qk_norm);
    let shape = read(&qwen3()).unwrap();
    assert!(shape.qk_norm && !shape.attention_bias.qkv);
    assert_eq!(shape.query_width(), 2 * shape.hidden);
    let shape = read(&glm4()).unwrap();
    assert!(shape.sandwich_norms && shape.fused_gate_up);
    assert_eq!(shape.attention_bias, AttentionBias { qkv: true, output: false });
    assert_eq!((shape.rope.rotation, shape.rope.width(128)), (Rotation::Interleaved, 64));
    assert_eq!(shape.eos, [151_329, 151_336, 151_338]);
}

#[test]
fn what_a_family_means_when_nothing_is_said_is_what_transformers_means() {
    let bare = |kind: &str| {
        json!({
            "model_type": kind, "hidden_size": 4096, "intermediate_size": 8192,
            "num_hidden_layers": 2, "num_attention_heads": 32,
        })
    };
    let shape = read(&bare("llama")).unwrap();
    assert_eq!((shape.kv_heads, shape.head_dim, shape.max_position), (32, 128, 2_048));
    assert_eq!((shape.rope.theta, shape.vocab, shape.tied_embeddings), (10_000.0, 32_000, false));
    let shape = read(&bare("glm4")).unwrap();
    assert_eq!((shape.kv_heads, shape.norm_eps, shape.rope.partial_factor), (2, 1.5625e-7, 0.5));
    assert!(shape.attention_bias.qkv);
}

#[test]
fn positions_are_read_from_the_old_keys_and_from_the_new_one() {
    let scaling = json!({
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    let old = read(&with(smollm2(), "rope_scaling", scaling.clone())).unwrap();
    let mut new = smollm2();
    new.as_object_mut().unwrap().shift_remove("rope_theta");
    new.as_object_mut().unwrap().shift_remove("rope_scaling");
    new["rope_parameters"] = with(scaling, "rope_theta", json!(100_000.0));
    assert_eq!(read(&new).unwrap(), old);
    let expected = RopeScaling::Llama3 {
        factor: 32.0,
        low_frequency_factor: 1.0,
        high_frequency_factor: 4.0,
        original_max_position: 8192,
    };
    assert_eq!(old.rope.scaling, expected);
    assert_eq!(old.rope.theta, 100_000.0);
    let plain = with(smollm2(), "rope_parameters", json!({ "rope_type": "default" }));
    assert_eq!(read(&plain).unwrap().rope.scaling, RopeScaling::None);
    let partial = json!({ "rope_type": "default", "partial_rotary_factor": 0.25 });
    assert_eq!(read(&with(glm4(), "rope_parameters", partial)).unwrap().rope.width(128), 32);
}

#[test]
fn a_frequency_of_llama3_stays_falls_or_lies_between() {
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    });
    let config = with(with(smollm2(), "rope_scaling", scaling), "rope_theta", json!(500_000.0));
    let scaled = read(&config).unwrap().rope.frequencies(128).0;
    let plain = read(&with(smollm2(), "rope_theta", json!(500_000.0))).unwrap();
    let plain = plain.rope.frequencies(128).0;
    assert_eq!((scaled[0], scaled[20]), (plain[0], plain[20]));
    assert_eq!(scaled[63], plain[63] / 8.0);
    let between: Vec<usize> = (0..64)
        .filter(|pair| scaled[*pair] < plain[*pair] && scaled[*pair] > plain[*pair] / 8.0)
        .collect();
    // Wavelengths from 2,048 to 8,192 tokens.
    assert_eq!(between, (29..=34).collect::<Vec<_>>());
}

#[test]
fn yarn_scales_positions_and_attention_as_its_paper_says() {
    let scaling = json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
    });
    let shape = read(&with(qwen3(), "rope_scaling", scaling)).unwrap();
    let (scaled, factor) = shape.rope.frequencies(128);
    let (plain, _) = read(&qwen3()).unwrap().rope.frequencies(128);
    assert!((factor - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-12);
    // The bounds: 128 ln(32768 / (2 pi 32)) / (2 ln 1e6) = 23.6, and with 1 in the place of 32 39.7.
    assert_eq!(scaled[..=23], plain[..=23]);
    assert!(scaled[24] < plain[24] && scaled[39] > plain[39] / 4.0);
    assert_eq!(scaled[40..], plain[40..].iter().map(|it| it / 4.0).collect::<Vec<_>>()[..]);
    let said = json!({
        "type": "yarn", "factor": 4.0, "attention_factor": 1.25, "beta_fast": 16, "truncate": false,
    });
    let RopeScaling::Yarn { attention_factor, beta_fast, truncate, original_max_position, .. } =
        read(&with(qwen3(), "rope_scaling", said)).unwrap().rope.scaling
    else {
        panic!("no YaRN")
    };
    assert_eq!((attention_factor, beta_fast, truncate), (1.25, 16.0, false));
    assert_eq!(original_max_position, 40960);
}

#[test]
fn what_this_decoder_does_not_do_is_refused_by_name() {
    let name = "architectures";
    refused(
        &with(smollm2(), name, json!(["Qwen3MoeForCausalLM"])),
        &["mixture of experts", "Take"],
    );
    refused(&with(smollm2(), name, json!(["GPT2LMHeadModel"])), &["GPT2LMHeadModel", "Glm4"]);
    refused(&with(smollm2(), "hidden_act", json!("gelu")), &["gelu", "hidden_act"]);
    refused(&with(smollm2(), "quantization_config", json!({})), &["quantized", "bf16"]);
    let dynamic = json!({ "type": "dynamic", "factor": 2.0 });
    refused(&with(smollm2(), "rope_scaling", dynamic), &["dynamic", "rope_scaling"]);
    refused(&with(smollm2(), "partial_rotary_factor", json!(0.5)), &["a part of each head"]);
    let window = with(qwen2(), "use_sliding_window", json!(true));
    refused(&window, &["the last 32768 tokens", "sliding_window"]);
    let types = json!(["full_attention", "sliding_attention"]);
    refused(&with(qwen3(), "layer_types", types), &["sliding_window"]);
}

#[test]
fn a_window_that_no_layer_uses_is_none() {
    let window = with(qwen2(), "use_sliding_window", json!(true));
    assert!(read(&with(window, "max_window_layers", json!(24))).is_ok());
    assert!(read(&with(qwen3(), "layer_types", json!(["full_attention"]))).is_ok());
}

#[test]
fn a_description_that_contradicts_itself_is_refused() {
    refused(&with(smollm2(), "hidden_size", json!(0)), &["hidden_size is 0", "Take"]);
    refused(&with(smollm2(), "num_attention_heads", json!(7)), &["7 heads", "576"]);
    refused(&with(smollm2(), "num_key_value_heads", json!(2)), &["evenly"]);
    refused(&with(smollm2(), "num_hidden_layers", json!("many")), &["num_hidden_layers"]);
    refused(&with(smollm2(), "num_hidden_layers", json!(u64::MAX)), &["num_hidden_layers"]);
    refused(&with(smollm2(), "rope_theta", json!(-1)), &["rope_theta"]);
    refused(&with(smollm2(), "rope_scaling", json!("x")), &["rope_scaling"]);
    let linear = json!({ "type": "linear" });
    refused(&with(smollm2(), "rope_scaling", linear), &["lacks factor"]);
    refused(&json!([]), &["no JSON object"]);
    refused(&json!({}), &["model_type"]);
}

#[test]
fn a_folder_without_a_description_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = ModelShape::of_folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("config.json") && error.contains("Check the path"), "{error}");
}

#[test]
fn tensors_have_the_names_under_which_they_are_published() {
    let shape = read(&qwen3()).unwrap();
    let tensors = shape.tensors();
    let sizes = |name: &str| {
        tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.sizes.clone())
    };
    assert_eq!(sizes("model.layers.27.self_attn.q_proj.weight"), Some(vec![2048, 1024]));
    assert_eq!(sizes("model.layers.0.self_attn.k_norm.weight"), Some(vec![128]));
    assert_eq!(sizes("model.layers.0.self_attn.q_proj.bias"), None);
    assert_eq!(sizes("lm_head.weight"), None);
    let shape = read(&glm4()).unwrap();
    let tensors = shape.tensors();
    let has = |name: &str| tensors.iter().any(|tensor| tensor.name == name);
    assert!(has("model.layers.3.post_mlp_layernorm.weight"));
    assert!(has("model.layers.3.self_attn.v_proj.bias") && has("lm_head.weight"));
    assert!(has("model.layers.3.mlp.gate_up_proj.weight"));
    let kinds = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"];
    assert_eq!(shape.linear_kinds(), kinds);
}

#[test]
fn an_adapter_stands_beside_every_linear_layer() {
    let shape = read(&smollm2()).unwrap();
    let linears = shape.linears();
    assert_eq!(linears.len(), 30 * 7);
    let last = linears.last().unwrap();
    assert_eq!((last.inputs, last.outputs), (1536, 576));
    assert_eq!(last.peft_a(), "base_model.model.model.layers.29.mlp.down_proj.lora_A.weight");
    let numbers: u64 = linears.iter().map(|it| 8 * (it.inputs + it.outputs) as u64).sum();
    assert_eq!(shape.adapter_parameters(8), numbers);
    let plain: u64 = linears.iter().map(|it| (it.inputs * it.outputs) as u64).sum();
    assert_eq!(shape.linear_parameters(), plain);
}

#[test]
fn weights_that_do_not_fit_are_named_one_by_one() {
    let shape = read(&with(smollm2(), "num_hidden_layers", json!(2))).unwrap();
    let found = || -> BTreeMap<String, Vec<usize>> {
        shape.tensors().into_iter().map(|it| (it.name, it.sizes)).collect()
    };
    let check = |found: BTreeMap<String, Vec<usize>>| {
        shape.check_tensors(found, Path::new("model")).map_err(|error| error.to_string())
    };
    let mut with_ignored = found();
    with_ignored.insert("lm_head.weight".to_owned(), vec![49152, 576]);
    with_ignored.insert("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), vec![32]);
    check(with_ignored).unwrap();
    let mut wrong = found();
    wrong.remove("model.norm.weight");
    wrong.insert("model.layers.1.mlp.up_proj.weight".to_owned(), vec![1537, 576]);
    wrong.insert("model.layers.2.mlp.up_proj.weight".to_owned(), vec![1536, 576]);
    let error = check(wrong).unwrap_err();
    for part in [
        "model.norm.weight is missing",
        "model.layers.1.mlp.up_proj.weight is [1537, 576] and should be [1536, 576]",
        "model.layers.2.mlp.up_proj.weight belongs to no such model",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = check(BTreeMap::new()).unwrap_err();
    assert!(error.contains("and 15 more"), "{error}");
}

/// What a file of SmolLM2 says.
fn smollm2_of_gguf() -> Value {
    json!({
        "general.architecture": "llama", "llama.block_count": 30, "llama.context_length": 8192,
        "llama.embedding_length": 576, "llama.feed_forward_length": 1536,
        "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3,
        "llama.attention.layer_norm_rms_epsilon": f64::from(1e-5f32),
        "llama.rope.freq_base": 100_000.0, "llama.rope.dimension_count": 64,
        "llama.vocab_size": 49152, "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    })
}

#[test]
fn a_gguf_file_of_a_model_is_the_model() {
    let values = smollm2_of_gguf();
    let value = |name: &str| values.get(name).cloned();
    let read_with = |has: &dyn Fn(&str) -> bool, value: &dyn Fn(&str) -> Option<Value>| {
        gguf::read(value, has, None).map_err(|error| format!("{error:?}"))
    };
    assert_eq!(read_with(&|_| false, &value).unwrap(), read(&smollm2()).unwrap());
    let untied = read_with(&|name| name == "output.weight", &value).unwrap();
    assert!(!untied.tied_embeddings);
    // And what is written of it is read as the same again.
    assert_eq!(read(&untied.config_of_gguf()).unwrap(), untied);
    let error = read_with(&|name| name == "blk.0.attn_q.bias", &value).unwrap_err();
    assert!(error.contains("biases"), "{error}");
    let other = |name: &str| match name {
        "general.architecture" => Some("qwen2".into()),
        name => value(name),
    };
    let error = read_with(&|_| false, &other).unwrap_err();
    assert!(error.contains("qwen2") && error.contains("safetensors"), "{error}");
    let error = read_with(&|_| false, &|_| None).unwrap_err();
    assert!(error.contains("architecture"), "{error}");
}

/// The same with the base of Llama 3, and with other values.
fn scaled_of_gguf(others: &Value, factors: Option<&[f32]>) -> Result<ModelShape, Refused> {
    let values = with(smollm2_of_gguf(), "llama.rope.freq_base", json!(500_000.0));
    let values = with(values, "llama.rope.dimension_count", Value::Null);
    let value = |name: &str| others.get(name).or_else(|| values.get(name)).cloned();
    gguf::read(&value, &|_| false, factors)
}

/// As llama.cpp's converter computes them from a configuration, in double precision.
fn factors(factor: f64, low: f64, high: f64, original: f64) -> Vec<f32> {
    let of = |pair: u32| {
        let wavelength = std::f64::consts::TAU * 500_000_f64.powf(f64::from(pair) / 32.0);
        if wavelength < original / high {
            return 1.0;
        }
        if wavelength > original / low {
            return factor as f32;
        }
        let smooth = (original / wavelength - low) / (high - low);
        ((1.0 - smooth) / factor + smooth).recip() as f32
    };
    (0..32).map(of).collect()
}

#[test]
fn what_a_gguf_file_divides_angles_by_is_the_scaling_that_it_was_made_from() {
    for (factor, high, original) in [(32.0, 4.0, 8192_u32), (8.0, 4.0, 8192), (16.0, 2.5, 16_384)] {
        let by = factors(factor, 1.0, high, f64::from(original));
        let shape = scaled_of_gguf(&json!({}), Some(&by)).unwrap();
        let expected = RopeScaling::Llama3 {
            factor,
            low_frequency_factor: 1.0,
            high_frequency_factor: high,
            original_max_position: original as usize,
        };
        assert_eq!(shape.rope.scaling, expected);
        assert_eq!(read(&shape.config_of_gguf()).unwrap(), shape);
    }
    let linear = json!({ "llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0 });
    let unnamed = json!({ "llama.rope.scaling.factor": 4.0 });
    for linear in [&linear, &unnamed, &json!({ "llama.rope.scale_linear": 4.0 })] {
        let shape = scaled_of_gguf(linear, None).unwrap();
        assert_eq!(shape.rope.scaling, RopeScaling::Linear { factor: 4.0 });
        assert_eq!(read(&shape.config_of_gguf()).unwrap(), shape);
    }
    let alike = scaled_of_gguf(&json!({ "llama.rope.scaling.factor": 1.0 }), None).unwrap();
    assert_eq!(alike.rope.scaling, RopeScaling::None);
    for broken in [
        json!({ "llama.rope.scaling.factor": null }),
        json!({ "llama.rope.scaling.factor": -2.0 }),
        json!({ "llama.rope.freq_base": null }),
    ] {
        scaled_of_gguf(&broken, None).unwrap_err();
    }

    // And of every scaling a configuration says what it was read from.
    let yarn = json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048,
        "beta_fast": 24.0, "truncate": false,
    });
    let stretched = read(&with(smollm2(), "rope_scaling", yarn)).unwrap();
    assert!(matches!(stretched.rope.scaling, RopeScaling::Yarn { .. }));
    assert_eq!(read(&stretched.config_of_gguf()).unwrap(), stretched);

    // Factors that no formula gives, too few of them, a scaling that only llama.cpp knows exactly.
    let by = factors(32.0, 1.0, 4.0, 8192.0);
    let mut bent = by.clone();
    bent[20] *= 1.01;
    let yarn = json!({ "llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0 });
    let none = json!({});
    let huge = json!({ "llama.attention.key_length": 1_u64 << 40 });
    let huger = json!({ "llama.attention.key_length": u64::MAX });
    for (others, factors) in [
        (&huge, Some(&by[..1])),
        (&huger, Some(&by[..1])),
        (&none, Some(&bent[..])),
        (&none, Some(&by[..31])),
        (&none, Some(&[1.0; 32][..])),
        (&none, Some(&[f32::NAN; 32][..])),
        (&yarn, None),
        (&linear, Some(&by[..])),
    ] {
        let refused = scaled_of_gguf(others, factors).unwrap_err();
        assert!(refused.reason.contains("positions are scaled"), "{refused:?}");
        assert!(refused.remedy.contains("safetensors"), "{refused:?}");
    }
}
