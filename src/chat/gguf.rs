//! The tokenizer and the chat template inside a GGUF file, which holds a model for llama.cpp.
//!
//! A GGUF begins with named values ([`Header`]); the weights follow and are nothing to us.
//! Tokenizers of the kind `gpt2` (byte-level BPE: Qwen, Llama 3, GLM 4, SmolLM, DeepSeek V3) are
//! rebuilt as the `tokenizer.json` that they were made from. How a text is cut before BPE is only
//! named in the file (`tokenizer.ggml.pre`), so a name that is not in the table is refused: a near
//! miss would give other ids without a word.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::dialect::Source;
use crate::error::ChatError;
use crate::tokenizer::Tokenizer;

mod header;
#[cfg(test)]
mod tests;

pub use header::{Header, Tensor, is_gguf};

/// How a text is cut before BPE.
struct Cut {
    names: &'static [&'static str],
    /// Expressions whose matches are cut out, one after the other; none for GPT-2's own.
    patterns: &'static [&'static str],
    /// Every digit alone, before anything else.
    digits_alone: bool,
    /// Characters are composed first.
    composed: bool,
    /// A word that is a token is that token, whatever the merges would make of it.
    ignore_merges: bool,
    /// A text begins with the token of beginnings where the file does not say whether.
    begins: bool,
}

const CUTS: &[Cut] = &[
    Cut {
        names: &["qwen2", "deepseek-r1-qwen"],
        patterns: &[
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ],
        digits_alone: false,
        composed: true,
        ignore_merges: false,
        begins: false,
    },
    Cut {
        names: &["llama-bpe", "llama3", "llama-v3"],
        patterns: &[THREE_DIGITS],
        digits_alone: false,
        composed: false,
        ignore_merges: true,
        begins: true,
    },
    Cut {
        names: &["glm4", "chatglm-bpe"],
        patterns: &[THREE_DIGITS],
        digits_alone: false,
        composed: false,
        ignore_merges: false,
        begins: false,
    },
    Cut {
        names: &["deepseek-v3"],
        patterns: &[
            r"\p{N}{1,3}",
            r"[一-龥぀-ゟ゠-ヿ]+",
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
        ],
        digits_alone: false,
        composed: false,
        ignore_merges: false,
        begins: false,
    },
    Cut {
        names: &["smollm"],
        patterns: &[],
        digits_alone: true,
        composed: false,
        ignore_merges: false,
        begins: false,
    },
    Cut {
        names: &["gpt-2"],
        patterns: &[],
        digits_alone: false,
        composed: false,
        ignore_merges: false,
        begins: false,
    },
];

const THREE_DIGITS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Reads what a GGUF says of its tokenizer.
pub(crate) fn open(path: &Path) -> Result<Source, ChatError> {
    let bad = |reason: String| ChatError::Format { path: path.to_owned(), reason };
    Said(Header::open(path)?).source().map_err(bad)
}

/// The files that stand beside a model's weights when it is a folder and not a GGUF, by name: how
/// texts become tokens, and how messages become texts.
///
/// # Errors
/// When the file cannot be read, or its tokenizer is none that is known here.
pub fn companions(path: &Path) -> Result<[(&'static str, Value); 2], ChatError> {
    let bad = |reason: String| ChatError::Format { path: path.to_owned(), reason };
    let said = Said(Header::open(path)?);
    let tokenizer = said.tokenizer().map_err(bad)?;
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
    });
    for (variable, token) in said.specials() {
        config[variable] = token.into();
    }
    if let Some(template) = said.0.text("tokenizer.chat_template") {
        config["chat_template"] = template.into();
    }
    Ok([("tokenizer.json", tokenizer), ("tokenizer_config.json", config)])
}

/// What a GGUF says of its tokenizer.
struct Said(Header);

impl Said {
    fn token(&self, name: &str) -> Option<(u32, &str)> {
        let id = self.0.number(&format!("tokenizer.ggml.{name}_token_id"))?;
        let id = u32::try_from(id).ok()?;
        let tokens = self.0.list("tokenizer.ggml.tokens")?;
        Some((id, tokens.get(id as usize)?.as_str()?))
    }

    fn source(self) -> Result<Source, String> {
        let json = self.tokenizer()?;
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes())?;
        let specials = self.specials().map(|(name, token)| (name.to_owned(), token.to_owned()));
        let stops = ["eos", "eot", "eom"].into_iter().filter_map(|name| Some(self.token(name)?.0));
        Ok(Source {
            specials: specials.collect(),
            stops: stops.collect(),
            template: self.0.text("tokenizer.chat_template").map(str::to_owned),
            tokenizer,
        })
    }

    /// Tokens that templates may name.
    fn specials(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let names = [
            ("bos", "bos_token"),
            ("eos", "eos_token"),
            ("padding", "pad_token"),
            ("unknown", "unk_token"),
        ];
        names.into_iter().filter_map(|(name, variable)| Some((variable, self.token(name)?.1)))
    }

    /// What puts the token of beginnings before a text that no template wrote.
    fn beginning(&self, cut: &Cut) -> Option<Value> {
        let said = self.0.value("tokenizer.ggml.add_bos_token").and_then(Value::as_bool);
        let (id, token) = self.token("bos").filter(|_| said.unwrap_or(cut.begins))?;
        let first = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        let text =
            |name: &str, type_id: u32| json!({ "Sequence": { "id": name, "type_id": type_id } });
        Some(json!({
            "type": "TemplateProcessing",
            "single": [first, text("A", 0)],
            "pair": [first, text("A", 0), text("B", 1)],
            "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
        }))
    }

    /// The `tokenizer.json` that this was made from.
    fn tokenizer(&self) -> Result<Value, String> {
        let text = |name: &str| self.0.text(&format!("tokenizer.ggml.{name}"));
        let list = |name: &str| self.0.list(&format!("tokenizer.ggml.{name}"));
        let kind = text("model").unwrap_or("none");
        if kind != "gpt2" {
            return Err(format!(
                "its tokenizer is of the kind {kind:?}, and only byte-level BPE (gpt2) is read from GGUF; name the folder with the model's tokenizer.json instead"
            ));
        }
        let name = text("pre").unwrap_or("default");
        let cut = CUTS.iter().find(|cut| cut.names.contains(&name)).ok_or_else(|| {
            format!("how it cuts a text ({name:?}) is not known here; name the folder with the model's tokenizer.json instead")
        })?;
        let (Some(tokens), Some(merges)) = (list("tokens"), list("merges")) else {
            return Err("it has no tokens, or no merges".to_owned());
        };
        let kinds = list("token_type").unwrap_or_default();
        if kinds.len() != tokens.len() {
            return Err("it does not say of every token what kind it is".to_owned());
        }
        let mut vocabulary = Map::new();
        let mut added = Vec::new();
        for (id, (token, kind)) in tokens.iter().zip(kinds).enumerate() {
            let (token, kind) = (token.as_str().unwrap_or_default(), kind.as_u64());
            vocabulary.insert(token.to_owned(), id.into());
            if [Some(CONTROL), Some(USER_DEFINED)].contains(&kind) {
                added.push(json!({
                    "id": id, "content": token, "special": kind == Some(CONTROL), "normalized": false,
                    "single_word": false, "lstrip": false, "rstrip": false,
                }));
            }
        }
        Ok(json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": if cut.composed { json!({ "type": "NFC" }) } else { Value::Null },
            "pre_tokenizer": cut.pre_tokenizer(),
            "post_processor": self.beginning(cut),
            "decoder": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false },
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": cut.ignore_merges,
                "vocab": vocabulary, "merges": merges,
            },
        }))
    }
}

impl Cut {
    fn pre_tokenizer(&self) -> Value {
        let mut steps = Vec::new();
        if self.digits_alone {
            steps.push(json!({ "type": "Digits", "individual_digits": true }));
        }
        steps.extend(self.patterns.iter().map(|pattern| {
            json!({
                "type": "Split", "pattern": { "Regex": pattern },
                "behavior": "Isolated", "invert": false,
            })
        }));
        steps.push(json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
            "use_regex": self.patterns.is_empty(),
        }));
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}

/// Kinds of tokens.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
