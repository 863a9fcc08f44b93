use std::sync::LazyLock;

use proptest::prelude::*;

use crate::fixtures;
use crate::tokenizer::{Bytes, Tokenizer};

static TOKENIZERS: LazyLock<Vec<(String, Tokenizer)>> = LazyLock::new(|| {
    let families = fixtures::load("families.json");
    let families = families.as_object().unwrap().iter();
    families.map(|(name, family)| (name.clone(), fixtures::tokenizer(family))).collect()
});

#[test]
fn every_family_is_read_here() {
    for (name, tokenizer) in TOKENIZERS.iter() {
        assert!(tokenizer.bytes.is_some(), "{name}");
    }
}

#[test]
fn another_kind_of_pipeline_is_left_to_the_library() {
    let json = fixtures::tokenizer_json(&fixtures::family("qwen"));
    let is_taken = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut json = json.clone();
        change(&mut json);
        Bytes::of(json.to_string().as_bytes()).is_some()
    };
    assert!(is_taken(&|_| {}));
    assert!(!is_taken(&|json| json["model"]["dropout"] = 0.1.into()));
    assert!(!is_taken(&|json| json["model"]["type"] = "Unigram".into()));
    assert!(!is_taken(&|json| json["normalizer"] = serde_json::json!({"type": "Lowercase"})));
    assert!(!is_taken(&|json| json["added_tokens"][0]["lstrip"] = true.into()));
    assert!(!is_taken(&|json| json["added_tokens"][0]["normalized"] = true.into()));
    assert!(!is_taken(&|json| json["pre_tokenizer"]["pretokenizers"][0]["invert"] = true.into()));
    assert!(!is_taken(&|json| json["pre_tokenizer"] = serde_json::json!({"type": "Whitespace"})));
    let with_pattern = |pattern: &str| {
        let pattern = serde_json::json!({ "Regex": pattern });
        is_taken(&|json| json["pre_tokenizer"]["pretokenizers"][0]["pattern"] = pattern.clone())
    };
    for plain in [r"\p{L}+| ?[^\s\p{L}]+|\s+(?!\S)|\s+", r"[*+?+]+|\?+|\]+|[\]++]+"] {
        assert!(with_pattern(plain), "{plain}");
    }
    assert!(!with_pattern(r"a(?=b)"));
    // GPT-4's, whose repetitions give nothing back.
    assert!(!with_pattern(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    ));
    for possessive in ["a?+a", "a*+a", "a++a", "a{1,2}+a", "a{2}+", "[a]?+", r"[\]]*+"] {
        assert!(!with_pattern(possessive), "{possessive}");
    }
}

#[test]
fn a_pattern_that_matches_nothing_at_all_comes_to_an_end_too() {
    let mut json = fixtures::tokenizer_json(&fixtures::family("qwen"));
    for head in [r"\p{N}*", r"\b", r"\b|\p{L}", r"\s*"] {
        let pattern = serde_json::json!({ "Regex": format!(r"{head}|\s+(?!\S)|\s+") });
        json["pre_tokenizer"]["pretokenizers"][0]["pattern"] = pattern;
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes()).unwrap();
        assert!(tokenizer.bytes.is_some(), "{head}");
        for text in ["", "a", "ab  12 c", " é日本  ", "12"] {
            let (here, plain) = (tokenizer.encode(text), tokenizer.encode_plain(text));
            assert_eq!(here.unwrap(), plain.unwrap(), "{head}: {text:?}");
        }
    }
}

fn check(text: &str) {
    for (name, tokenizer) in TOKENIZERS.iter() {
        // The second time from what is remembered.
        for _ in 0..2 {
            assert_eq!(
                tokenizer.encode(text).unwrap(),
                tokenizer.encode_plain(text).unwrap(),
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn what_stands_between_words_is_cut_as_the_library_cuts_it() {
    for text in [
        "",
        " ",
        "  ",
        "a  b",
        "a   ",
        "\n\n  x",
        " \n \n x\n",
        "\t\tif x:\r\n\r\n    y",
        "1234567 8 90",
        "I'll, it'S we'Re",
        "e\u{301}e\u{301}\u{301} \u{1100}\u{1161}",
        "日本語 日本 \u{3099}か\u{3099}",
        "\u{a0}\u{a0}x \u{2028} \u{85}\u{85}y",
        "<|im_end|>",
        "a<|im_end|><|im_start|>b <think>\n</think>",
        "<|im_end|",
        "👩‍👩‍👧 🇯🇵",
        "\u{0}\u{1}\u{7f}",
        "½⅓ ٣٤٥ Ⅷ",
        "<｜tool▁sep｜>x",
        "!!!\n\n###  ##",
        "..!a,b",
    ] {
        check(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is written, ids and places are those of the library.
    #[test]
    fn tokens_are_those_of_the_library(text in prop_oneof![
        ".{0,60}",
        "\\PC{0,60}",
        "([ \t\r\n\u{a0}\u{2003}]{1,4}|[a-zA-Z]{1,6}|[0-9٣½]{1,4}|[.,!?'\"<>|/]{1,3}|日本|e\u{301}|\u{1100}\u{1161}|<\\|im_end\\|>|</?think>|😀|'ll|[一-龥]|か\u{3099}){0,24}",
    ]) {
        check(&text);
    }
}
