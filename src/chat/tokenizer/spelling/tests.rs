use proptest::prelude::*;
use serde_json::json;

use crate::Tokenizer;
use crate::fixtures::{family, tokenizer};

const FAMILIES: [&str; 5] = ["qwen", "llama", "smollm", "glm", "deepseek"];

fn spelled(tokenizer: &Tokenizer, text: &str) -> Vec<u8> {
    let ids = tokenizer.encode(text).unwrap().ids;
    ids.iter().flat_map(|id| tokenizer.bytes(*id).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The bytes of the tokens of a text are the text, whatever stands in it.
    #[test]
    fn tokens_spell_the_text_that_they_were_made_of(
        text in "([a-z ]{0,6}|\\PC{0,4}|\n|日本|<think>|<tool_call>|<\\|im_end\\|>){0,8}",
    ) {
        for name in FAMILIES {
            let family = family(name);
            // A normalizer changes the text first.
            if family["normalizer"].is_null() {
                prop_assert_eq!(spelled(&tokenizer(&family), &text), text.as_bytes());
            }
        }
    }
}

#[test]
fn every_token_of_a_family_has_bytes_and_none_beyond_does() {
    for name in FAMILIES {
        let tokenizer = tokenizer(&family(name));
        let size = u32::try_from(tokenizer.size()).unwrap();
        assert!((0..size).all(|id| !tokenizer.bytes(id).unwrap().is_empty()), "{name}");
        assert_eq!(tokenizer.bytes(size), None, "{name}");
    }
}

#[test]
fn sentence_pieces_spell_spaces_and_bytes_in_their_own_way() {
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [{"id": 4, "content": "<▁x>", "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false}],
        "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
        ]},
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": true, "vocab": {"<0x0A>": 0, "▁a": 1, "▁": 2, "a": 3}, "merges": []},
    });
    let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
    let bytes: Vec<_> = (0..6).map(|id| tokenizer.bytes(id)).collect();
    let expected = ["\n", " a", " ", "a", "<▁x>"].map(|text| Some(text.as_bytes().to_vec()));
    assert_eq!(bytes[..5], expected);
    assert_eq!(bytes[5], None);
}
