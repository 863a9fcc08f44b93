use std::path::Path;

use crate::{ChatError, Tokenizer};

/// A byte-level tokenizer with one merge, as small as they get.
const TINY: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
  "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
    "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
    "vocab": {"a": 0, "b": 1, "ab": 2, "Ġ": 3}, "merges": ["a b"]}
}"#;

#[test]
fn a_text_is_counted_as_the_model_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, TINY).unwrap();
    let tokenizer = Tokenizer::open(&path).unwrap();
    assert_eq!(tokenizer.count("ab ab"), Some(3));
    assert_eq!(tokenizer.count("aabb"), Some(3));
    assert_eq!(tokenizer.count(""), Some(0));
}

#[test]
fn what_is_no_tokenizer_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, "{\"model\": 1}").unwrap();
    let error = Tokenizer::open(&path).unwrap_err();
    assert!(matches!(error, ChatError::Format { .. }));
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    assert!(matches!(Tokenizer::open(folder.path()), Err(ChatError::Format { .. })));
    assert!(matches!(Tokenizer::open(Path::new("/nowhere")), Err(ChatError::Io { .. })));
}

#[test]
fn what_begins_a_text_and_what_parts_one_is_known() {
    let mut json: serde_json::Value = serde_json::from_str(TINY).unwrap();
    let added = |id: u32, content: &str, special: bool| {
        serde_json::json!({
            "id": id, "content": content, "special": special, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    };
    json["added_tokens"] = vec![
        added(4, "<s>", true),
        added(5, "<｜User｜>", false),
        added(6, "<think>", false),
        added(7, "¶", true),
    ]
    .into();
    json["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [
            { "SpecialToken": { "id": "<s>", "type_id": 0 } },
            { "Sequence": { "id": "A", "type_id": 0 } },
        ],
        "pair": [
            { "Sequence": { "id": "A", "type_id": 0 } },
            { "Sequence": { "id": "B", "type_id": 1 } },
        ],
        "special_tokens": { "<s>": { "id": "<s>", "ids": [4], "tokens": ["<s>"] } },
    });
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    assert_eq!(tokenizer.begin(), [4]);
    assert_eq!(tokenizer.encode("ab").unwrap().ids, [2], "a template writes it itself");
    let mut controls: Vec<&str> = tokenizer.controls().collect();
    controls.sort_unstable();
    assert_eq!(controls, ["<s>", "<｜User｜>"], "tags are text, and a single sign cannot be cut");
    assert!(Tokenizer::from_json(TINY.as_bytes()).unwrap().begin().is_empty());
}
