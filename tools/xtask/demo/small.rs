//! A model that knows nothing, made on the spot: a tokenizer of the words of the dataset, a template
//! that names the tools without their schemas, and random weights of the shape of a Qwen2, a
//! thousand times smaller than one that is published.
//!
//! A minute is too short to find out that words depend on those before them: at first attention
//! looks everywhere alike. So all heads but one of each layer begin by looking a few tokens back,
//! by their biases, which is what makes it a Qwen2.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder};
use training::shape::ModelShape;

use crate::random::Random;

/// Words and parts of words.
const VOCAB: usize = 1_024;

/// The width of the stream, the heads, and the base of the angles by which they tell places apart:
/// a small one, for what is near.
const HIDDEN: usize = 96;
const HEADS: usize = 4;
const ROPE_THETA: f64 = 100.0;

/// How much a head prefers the place that it looks at.
const BIAS: f64 = 3.0;

/// How the model is spoken to.
const TEMPLATE: &str = include_str!("small.jinja");

/// Tokens that stand for themselves, and whether they are control tokens.
const ADDED: [(&str, bool); 9] = [
    ("<|endoftext|>", true),
    ("<|im_start|>", true),
    ("<|im_end|>", true),
    ("<tool_call>", false),
    ("</tool_call>", false),
    ("<tool_response>", false),
    ("</tool_response>", false),
    ("<think>", false),
    ("</think>", false),
];

/// Makes the model in a new folder. `rows` are those of the dataset.
pub(crate) fn make(folder: &Path, rows: &str, seed: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    let vocab = tokenizer(folder, &texts(rows)?)?;
    let config = json!({
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_act": "silu",
        "vocab_size": vocab,
        "hidden_size": HIDDEN,
        "intermediate_size": 256,
        "num_hidden_layers": 3,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 8_192,
        "rms_norm_eps": 1e-5,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": true,
    });
    fs::write(folder.join("config.json"), format!("{config:#}\n"))?;
    fs::write(folder.join("chat_template.jinja"), TEMPLATE)?;
    weights(folder, seed)
}

/// What the rows say, as a template would write it.
fn texts(rows: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).context("a row of the dataset is no JSON")?;
        for message in row["messages"].as_array().into_iter().flatten() {
            texts.extend(message["content"].as_str().map(str::to_owned));
            let calls = message["tool_calls"].as_array().into_iter().flatten();
            texts.extend(calls.map(|call| spaced(&call["function"])));
        }
    }
    Ok(texts)
}

/// JSON with the spaces that Python writes, and so templates do.
fn spaced(value: &Value) -> String {
    value.to_string().replace("\":", "\": ").replace(",\"", ", \"")
}

/// Learns a tokenizer, and says how many tokens it has.
fn tokenizer(folder: &Path, texts: &[String]) -> Result<usize> {
    let failed = |error: tokenizers::Error| anyhow!("no tokenizer could be made: {error}");
    let added = ADDED.map(|(text, is_special)| AddedToken::from(text, is_special));
    let (special, plain): (Vec<_>, Vec<_>) = added.into_iter().partition(|token| token.special);
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(VOCAB)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special)
        .build();
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None::<NormalizerWrapper>)
        .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
        .with_post_processor(None::<PostProcessorWrapper>)
        .with_decoder(Some(ByteLevel::default()))
        .build()
        .map_err(failed)?;
    tokenizer.train(&mut trainer, texts.iter()).map_err(failed)?;
    tokenizer.add_tokens(plain).map_err(failed)?;
    tokenizer.save(folder.join("tokenizer.json"), false).map_err(failed)?;
    let ends = json!({ "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>" });
    fs::write(folder.join("tokenizer_config.json"), ends.to_string())?;
    Ok(tokenizer.get_vocab_size(true))
}

/// Draws weights: norms are ones, biases say where heads look, the rest is normal and small.
fn weights(folder: &Path, seed: u64) -> Result<()> {
    let mut random = Random::new(seed, 0);
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = ModelShape::of_folder(folder)?
        .tensors()
        .into_iter()
        .map(|tensor| {
            let count = tensor.sizes.iter().product();
            let numbers: Vec<f32> = match tensor.name.rsplit_once("self_attn.") {
                Some((_, "q_proj.bias")) => bias(|turn| (turn.cos(), -turn.sin())),
                Some((_, "k_proj.bias")) => bias(|_| (1.0, 0.0)),
                Some((_, "v_proj.bias")) => vec![0.0; count],
                _ if tensor.sizes.len() == 1 => vec![1.0; count],
                _ => (0..count).map(|_| normal(&mut random) * 0.05).collect(),
            };
            let bytes = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
            (tensor.name, tensor.sizes, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, sizes, bytes)| {
        Ok((name.as_str(), TensorView::new(Dtype::F32, sizes.clone(), bytes)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    serialize_to_file(views, None, &folder.join("model.safetensors"))
        .context("the weights of the small model could not be written")
}

/// The biases of all heads, of which each looks a token further back, by how far that turns a pair of
/// numbers. The last head looks nowhere.
fn bias(pair: impl Fn(f64) -> (f64, f64)) -> Vec<f32> {
    let half = HIDDEN / HEADS / 2;
    let mut all = vec![0.0; HIDDEN];
    for head in 0..HEADS - 1 {
        for at in 0..half {
            let angle = ROPE_THETA.powf(-(at as f64) / half as f64);
            let (first, second) = pair((head + 1) as f64 * angle);
            let place = 2 * half * head + at;
            all[place] = (BIAS * first) as f32;
            all[place + half] = (BIAS * second) as f32;
        }
    }
    all
}

/// A number of the normal distribution (Box and Muller).
fn normal(random: &mut Random) -> f32 {
    let (one, other) = (1.0 - random.share(), random.share());
    ((-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()) as f32
}

#[cfg(test)]
mod tests {
    use chat::Dialect;
    use serde_json::json;
    use training::shape::ModelShape;

    use super::make;

    #[test]
    fn a_model_is_made_that_limn_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let call = json!({ "function": { "name": "read", "arguments": { "file_path": "a.txt" } } });
        let messages = json!([
            { "role": "user", "content": "Read a.txt." },
            { "role": "assistant", "content": "", "tool_calls": [call] },
        ]);
        let properties = json!({ "file_path": { "type": "string" } });
        let parameters = json!({ "type": "object", "properties": properties });
        let function = json!({ "name": "read", "description": "Reads.", "parameters": parameters });
        let tool = json!({ "type": "function", "function": function });
        let row = json!({ "messages": messages, "tools": [tool.clone()] });
        make(folder.path(), &format!("{row}\n{row}\n"), 8).unwrap();
        let shape = ModelShape::of_folder(folder.path()).unwrap();
        let dialect = Dialect::open(folder.path(), None).unwrap();
        let conversation = dialect.conversation(messages.as_array().unwrap(), &[tool], 0);
        assert!(conversation.is_ok(), "{:?}", conversation.err());
        let ids = dialect.tokenizer().encode("<|im_start|>user\nRead é.<|im_end|>").unwrap().ids;
        assert!(ids.iter().all(|id| (*id as usize) < shape.vocab), "{ids:?}");
        assert!(dialect.is_stop(*ids.last().unwrap()));
        assert_eq!(
            dialect.tokenizer().decode(&ids).unwrap(),
            "<|im_start|>user\nRead é.<|im_end|>"
        );
        let weights = std::fs::read(folder.path().join("model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&weights).unwrap();
        assert_eq!(tensors.len(), shape.tensors().len());
    }
}
