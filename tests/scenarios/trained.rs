//! The whole loop with the real `limn-train`, with `-- --ignored` (`cargo xtask test` does that in
//! its stage `train`, where it is built beside limn): a session is recorded, exported, trained on
//! until a tiny model knows it by heart, and the model says it again in a session of its own.

use std::fs;

use serde_json::{Map, Value, json};
use trajectory::Body;

use crate::train::{TINY, Training};

/// The weights of the tiny model: nothing but noise, the same each time.
fn weights() -> Vec<u8> {
    let size = |key: &str| TINY.iter().find(|(name, _)| *name == key).unwrap().1;
    let (wide, hidden) = (size("hidden_size"), size("intermediate_size"));
    let heads = wide / size("num_attention_heads") * size("num_key_value_heads");
    let mut shapes = vec![
        ("embed_tokens".to_owned(), vec![size("vocab_size"), wide]),
        ("norm".to_owned(), vec![wide]),
    ];
    for layer in 0..size("num_hidden_layers") {
        for (name, shape) in [
            ("input_layernorm", vec![wide]),
            ("self_attn.q_proj", vec![wide, wide]),
            ("self_attn.k_proj", vec![heads, wide]),
            ("self_attn.v_proj", vec![heads, wide]),
            ("self_attn.o_proj", vec![wide, wide]),
            ("post_attention_layernorm", vec![wide]),
            ("mlp.gate_proj", vec![hidden, wide]),
            ("mlp.up_proj", vec![hidden, wide]),
            ("mlp.down_proj", vec![wide, hidden]),
        ] {
            shapes.push((format!("layers.{layer}.{name}"), shape));
        }
    }
    let (mut header, mut data, mut state) = (Map::new(), Vec::new(), 1_u64);
    for (name, shape) in shapes {
        let from = data.len();
        for _ in 0..shape.iter().product::<usize>() {
            // Knuth's generator; its upper bits are the random ones.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            let value = if name.ends_with("norm") { 1.0 } else { noise / 5.0 };
            data.extend(value.to_le_bytes());
        }
        let about = json!({ "dtype": "F32", "shape": shape, "data_offsets": [from, data.len()] });
        header.insert(format!("model.{name}.weight"), about);
    }
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &data].concat()
}

#[test]
#[ignore = "needs limn-train beside limn: cargo xtask test --only train"]
fn a_model_that_was_trained_on_a_session_says_it_again_in_one_of_its_own() {
    let training = Training::new("");
    let world = &training.world;
    fs::write(world.path("small/model.safetensors"), weights()).unwrap();
    let [data, small, out] =
        ["data-v1", "small", "run"].map(|name| world.path(name).to_str().unwrap().to_owned());
    let args = [
        "train",
        &data,
        "--model",
        &small,
        "--out",
        &out,
        "--template",
        "chatml-tools",
        "--method",
        "full",
        "--device",
        "cpu",
        "--precision",
        "f32",
        "--epochs",
        "60",
        "--batch",
        "1",
        "--lr",
        "1e-2",
        "--held-out",
        "0",
    ];
    world.limn(&args).succeeds().says(&["done:"]);
    world.settings("[local]\ndevice = 'cpu'\nparams = { temperature = 0, max_tokens = 200 }\n");
    let asks = ["exec", "--model", "local:run", "--sandbox", "off", "--max-steps", "4"];
    let run = world.limn(&[&asks[..], &["What does it say?"]].concat()).succeeds();
    assert!(run.stdout.contains("It says one."), "{}\n{}", run.stdout, run.stderr);
    let models = world.bodies("model_changed");
    assert!(matches!(&models[..], [Body::ModelChanged(model)] if model.model == "local:run"));
    assert_eq!(world.bodies("tool_call").len(), 1);
    assert!(world.shown()[0].contains("one"));
    world.assert_sound();
    // Its replies are on record in the tokens that were sampled, and are trained in no others.
    let mut replies = Vec::new();
    world.archive().reply_tokens(&mut |tokens| replies.push(tokens)).unwrap();
    assert_eq!(replies.len(), 2);
    assert!(replies.iter().all(|reply| !reply.sampled.is_empty() && reply.prompt.is_some()));
    let tokens = world.path("tokens");
    let out = tokens.to_str().unwrap();
    let export = ["export", "--session", "last", "--format", "tokens", "--tokenizer", &small];
    let more = ["--template", "chatml-tools", "--status", "all", "--out", out];
    world.limn(&[&export[..], &more].concat()).succeeds();
    let ledger: Value =
        serde_json::from_slice(&fs::read(tokens.join("ledger.json")).unwrap()).unwrap();
    assert_eq!(ledger["kept"]["replies_as_sampled"], 2, "{ledger}");
}
