//! The fixtures of `fixtures/`, as `make.py` reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::{Dialect, Tokenizer};

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

pub(crate) fn load(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

pub(crate) fn family(name: &str) -> Value {
    load("families.json")[name].clone()
}

/// The `tokenizer.json` of a family: the shared BPE, cut and extended as the family does.
pub(crate) fn tokenizer_json(family: &Value) -> Value {
    let base = load("base.json");
    let list = |key: &str| family[key].as_array().unwrap().clone();
    let (special, plain) = (list("special"), list("added"));
    let first = base["vocab"].as_object().unwrap().len();
    let added: Vec<Value> = special
        .iter()
        .chain(&plain)
        .enumerate()
        .map(|(place, token)| {
            json!({
                "id": first + place, "content": token, "special": place < special.len(),
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let bytes = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
    });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": family["normalizer"], "pre_tokenizer": family["pre_tokenizer"],
        "post_processor": bytes, "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": family["ignore_merges"],
            "vocab": base["vocab"], "merges": base["merges"],
        },
    })
}

pub(crate) fn tokenizer(family: &Value) -> Tokenizer {
    Tokenizer::from_json(tokenizer_json(family).to_string().as_bytes()).unwrap()
}

/// The special tokens that templates of the family may name.
pub(crate) fn specials(family: &Value) -> BTreeMap<String, String> {
    ["bos_token", "eos_token"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), family[name].as_str()?.to_owned())))
        .collect()
}

/// A model's folder, as it would be published, without weights.
pub(crate) fn folder(family_name: &str, template: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let family = family(family_name);
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("tokenizer.json", tokenizer_json(&family).to_string());
    let mut config = Map::new();
    for (name, token) in specials(&family) {
        config.insert(name, token.into());
    }
    write("tokenizer_config.json", Value::Object(config).to_string());
    if let Some(template) = template {
        let source = std::fs::read_to_string(path(template)).unwrap();
        write("chat_template.jinja", source);
    }
    folder
}

pub(crate) const TOOL_AWARE: &str = "../../../assets/templates/chatml-tools.jinja";

pub(crate) const DEEPSEEK: &str = "../../../assets/templates/deepseek-tools.jinja";

pub(crate) fn dialect(family: &str, template: &str) -> Dialect {
    let folder = folder(family, Some(template));
    Dialect::open(folder.path(), None).unwrap()
}
