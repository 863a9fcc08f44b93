//! The tokenizer and the chat template inside a GGUF file, which holds a model for llama.cpp.
//!
//! A GGUF begins with named values; the weights follow and are not looked at. Tokenizers of the
//! kind `gpt2` (byte-level BPE: Qwen, Llama 3, GLM 4, SmolLM, DeepSeek V3) are rebuilt as the
//! `tokenizer.json` that they were made from. How a text is cut before BPE is only named in the
//! file (`tokenizer.ggml.pre`), so a name that is not in [`CUTS`] is refused: a near miss would
//! give other ids without a word.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::dialect::Source;
use crate::error::ChatError;
use crate::tokenizer::Tokenizer;

#[cfg(test)]
mod tests;

const MAGIC: [u8; 4] = *b"GGUF";

/// No file names more values, and none is larger.
const VALUES_MAX: u64 = 1 << 16;
const TEXT_BYTES_MAX: u64 = 16 << 20;
const ITEMS_MAX: u64 = 4 << 20;

/// All that is read before the weights.
const HEADER_BYTES_MAX: u64 = 512 << 20;

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
    },
    Cut {
        names: &["llama-bpe", "llama3", "llama-v3"],
        patterns: &[THREE_DIGITS],
        digits_alone: false,
        composed: false,
        ignore_merges: true,
    },
    Cut {
        names: &["glm4", "chatglm-bpe"],
        patterns: &[THREE_DIGITS],
        digits_alone: false,
        composed: false,
        ignore_merges: false,
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
    },
    Cut {
        names: &["smollm"],
        patterns: &[],
        digits_alone: true,
        composed: false,
        ignore_merges: false,
    },
    Cut {
        names: &["gpt-2"],
        patterns: &[],
        digits_alone: false,
        composed: false,
        ignore_merges: false,
    },
];

const THREE_DIGITS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Whether a file begins as a GGUF does.
pub(crate) fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == MAGIC
}

/// Reads what a GGUF says of its tokenizer.
pub(crate) fn open(path: &Path) -> Result<Source, ChatError> {
    let file =
        File::open(path).map_err(|source| ChatError::Io { path: path.to_owned(), source })?;
    let bad = |reason: String| ChatError::Format { path: path.to_owned(), reason };
    let header = Header::read(BufReader::new(file).take(HEADER_BYTES_MAX))
        .map_err(|error| bad(format!("its beginning is damaged ({error})")))?;
    header.source().map_err(bad)
}

/// The values that matter here, by name.
#[derive(Default)]
struct Header {
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, u32>,
    lists: BTreeMap<String, Vec<String>>,
    token_types: Vec<u32>,
}

impl Header {
    fn read(mut file: impl Read) -> io::Result<Self> {
        let mut header = Self::default();
        let mut magic = [0; 4];
        file.read_exact(&mut magic)?;
        let version = u32_of(&mut file)?;
        if magic != MAGIC || !(2..=3).contains(&version) {
            return Err(io::Error::other("no GGUF of version 2 or 3"));
        }
        let _tensors = u64_of(&mut file)?;
        for _ in 0..at_most(u64_of(&mut file)?, VALUES_MAX)? {
            let key = text_of(&mut file)?;
            let kind = u32_of(&mut file)?;
            header.value(&mut file, key, kind)?;
        }
        Ok(header)
    }

    fn value(&mut self, file: &mut impl Read, key: String, kind: u32) -> io::Result<()> {
        match kind {
            STRING => {
                let text = text_of(file)?;
                if key.starts_with("tokenizer.") {
                    self.texts.insert(key, text);
                }
            }
            ARRAY => {
                let kind = u32_of(file)?;
                let count = at_most(u64_of(file)?, ITEMS_MAX)?;
                if kind == STRING {
                    let keep = key.starts_with("tokenizer.ggml.");
                    let mut list = Vec::new();
                    for _ in 0..count {
                        let text = text_of(file)?;
                        if keep {
                            list.push(text);
                        }
                    }
                    self.lists.insert(key, list);
                } else if key == "tokenizer.ggml.token_type" && matches!(kind, 4 | 5) {
                    for _ in 0..count {
                        self.token_types.push(u32_of(file)?);
                    }
                } else {
                    skip(file, width(kind)? * count)?;
                }
            }
            4 | 5 => drop(self.numbers.insert(key, u32_of(file)?)),
            other => skip(file, width(other)?)?,
        }
        Ok(())
    }

    fn token(&self, name: &str) -> Option<(u32, &str)> {
        let id = *self.numbers.get(&format!("tokenizer.ggml.{name}_token_id"))?;
        let tokens = self.lists.get("tokenizer.ggml.tokens")?;
        Some((id, tokens.get(id as usize)?.as_str()))
    }

    fn source(self) -> Result<Source, String> {
        let json = self.tokenizer()?;
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes())?;
        let names = [
            ("bos", "bos_token"),
            ("eos", "eos_token"),
            ("padding", "pad_token"),
            ("unknown", "unk_token"),
        ];
        let specials = names.into_iter().filter_map(|(name, variable)| {
            Some((variable.to_owned(), self.token(name)?.1.to_owned()))
        });
        let stops = ["eos", "eot", "eom"].into_iter().filter_map(|name| Some(self.token(name)?.0));
        Ok(Source {
            specials: specials.collect(),
            stops: stops.collect(),
            template: self.texts.get("tokenizer.chat_template").cloned(),
            tokenizer,
        })
    }

    /// The `tokenizer.json` that this was made from.
    fn tokenizer(&self) -> Result<Value, String> {
        let text = |name: &str| self.texts.get(&format!("tokenizer.ggml.{name}"));
        let list = |name: &str| self.lists.get(&format!("tokenizer.ggml.{name}"));
        let kind = text("model").map_or("none", String::as_str);
        if kind != "gpt2" {
            return Err(format!(
                "its tokenizer is of the kind {kind:?}, and only byte-level BPE (gpt2) is read from GGUF; name the folder with the model's tokenizer.json instead"
            ));
        }
        let name = text("pre").map_or("default", String::as_str);
        let cut = CUTS.iter().find(|cut| cut.names.contains(&name)).ok_or_else(|| {
            format!("how it cuts a text ({name:?}) is not known here; name the folder with the model's tokenizer.json instead")
        })?;
        let (Some(tokens), Some(merges)) = (list("tokens"), list("merges")) else {
            return Err("it has no tokens, or no merges".to_owned());
        };
        if self.token_types.len() != tokens.len() {
            return Err("it does not say of every token what kind it is".to_owned());
        }
        let mut vocabulary = Map::new();
        let mut added = Vec::new();
        for (id, (token, kind)) in tokens.iter().zip(&self.token_types).enumerate() {
            vocabulary.insert(token.clone(), id.into());
            if [CONTROL, USER_DEFINED].contains(kind) {
                added.push(json!({
                    "id": id, "content": token, "special": *kind == CONTROL, "normalized": false,
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
            "post_processor": null,
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
const CONTROL: u32 = 3;
const USER_DEFINED: u32 = 4;

/// Kinds of values that are not plain numbers.
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// How many bytes a number of this kind has.
fn width(kind: u32) -> io::Result<u64> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        other => Err(io::Error::other(format!("a value of the unknown kind {other}"))),
    }
}

fn at_most(count: u64, max: u64) -> io::Result<u64> {
    if count > max { Err(io::Error::other(format!("{count} of something"))) } else { Ok(count) }
}

fn u32_of(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn u64_of(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn text_of(file: &mut impl Read) -> io::Result<String> {
    let length = at_most(u64_of(file)?, TEXT_BYTES_MAX)?;
    let mut bytes = Vec::new();
    if file.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Tokens that are no text are of the kinds that are refused.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn skip(file: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut file.take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
