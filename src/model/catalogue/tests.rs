use proptest::prelude::*;

use super::*;

#[test]
fn the_table_that_limn_brings_along_can_be_read() {
    let table: Catalogue = toml::from_str(TEXT).unwrap();
    assert!(table.models.len() >= 60, "{}", table.models.len());
    assert_eq!(table.date().len(), "2026-01-01".len());
    let mut seen = std::collections::HashSet::new();
    for row in &table.models {
        assert!(seen.insert(row.pattern.as_str()), "{} is there twice", row.pattern);
        assert!(row.context_window.is_some(), "{}", row.pattern);
        assert!(row.output_max <= row.context_window, "{}", row.pattern);
        if let Some(price) = row.price {
            assert!(price.cached.unwrap_or(0.0) <= price.input, "{}", row.pattern);
            assert!(price.input <= price.output, "{}", row.pattern);
        }
    }
}

#[test]
fn models_are_found_by_the_names_that_providers_give_them() {
    let table = Catalogue::builtin();
    for (name, pattern) in [
        ("gpt-5", "gpt-5*"),
        ("gpt-5-2025-08-07", "gpt-5*"),
        ("gpt-5-codex", "gpt-5*"),
        ("openai/gpt-5-mini", "gpt-5-mini*"),
        ("GPT-5.2-pro", "gpt-5.2-pro*"),
        ("gpt-5.1-codex-mini", "gpt-5.1-codex-mini*"),
        ("o3", "o3*"),
        ("o4-mini-2025-04-16", "o4-mini*"),
        ("gpt-4o-mini", "gpt-4o-mini*"),
        ("openai/gpt-oss-120b", "gpt-oss*"),
        ("gpt-oss:20b", "gpt-oss*"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4*"),
        ("claude-opus-4-5-20251101", "claude-opus-4-5*"),
        ("models/gemini-2.5-flash-lite", "gemini-2.5-flash-lite*"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "deepseek-r1-distill*"),
        ("z-ai/glm-4.5-air:free", "glm-4.5-air*"),
        ("qwen3:8b", "qwen3*"),
        ("Qwen/Qwen3-4B-Instruct-2507", "qwen3-*-2507*"),
        ("qwen/qwen3-coder:free", "qwen3-coder*"),
        ("moonshotai/Kimi-K2-Thinking", "kimi-k2-thinking*"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama-3*"),
    ] {
        let found = table.find(name).map(|facts| facts.pattern.as_str());
        assert_eq!(found, Some(pattern), "{name}");
    }
    for name in ["", "mock-model", "my-gpt-5", "/", ":"] {
        assert_eq!(table.find(name), None, "{name}");
    }
}

#[test]
fn tool_sets_follow_the_model() {
    let table = Catalogue::builtin();
    let tools = |name: &str| table.find(name).and_then(|facts| facts.tools);
    for name in ["gpt-5.1-codex", "codex-mini-latest", "o3", "o4-mini"] {
        assert_eq!(tools(name), Some(ToolSet::Patch), "{name}");
    }
    for name in ["gpt-4.1", "gpt-oss-20b", "claude-sonnet-4-5", "qwen3:8b"] {
        assert_eq!(tools(name), Some(ToolSet::Edit), "{name}");
    }
}

#[test]
fn rows_of_the_settings_come_first_and_are_filled_in() {
    let rows: Vec<ModelFacts> = [
        r#"pattern = "gpt-5*"
           context_window = 1000"#,
        r#"pattern = "mine*"
           price = { input = 1, output = 2 }"#,
    ]
    .map(|text| toml::from_str(text).unwrap())
    .into();
    let table = Catalogue::builtin().with(rows);
    let five = table.find("openai/gpt-5-mini").unwrap();
    assert_eq!((five.context_window, five.tools), (Some(1000), Some(ToolSet::Patch)));
    assert_eq!(table.find("mine-7b").unwrap().context_window, None);
    let error = toml::from_str::<ModelFacts>("pattern = \"x\"\nprice_in = 1").unwrap_err();
    assert!(error.to_string().contains("price_in"), "{error}");
}

#[test]
fn costs_are_computed_with_what_was_cached() {
    let price = Price { input: 2.0, cached: Some(0.5), output: 8.0 };
    let usage = Usage {
        input_tokens: 1_000_000,
        output_tokens: 100_000,
        cached_tokens: 400_000,
        reasoning_tokens: 50_000,
    };
    assert!((price.cost(&usage) - (1.2 + 0.2 + 0.8)).abs() < 1e-9);
    assert!((Price { cached: None, ..price }.cost(&usage) - 2.8).abs() < 1e-9);
    let absurd = Usage { input_tokens: 1, cached_tokens: 5, ..Usage::default() };
    assert!(price.cost(&absurd) < 1e-6);
}

#[test]
fn patterns_fit_as_a_shell_would_have_it() {
    for (pattern, name, expected) in [
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "abbc", true),
        ("a*b*c", "aXbYbZc", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("abc", "abcd", false),
        ("", "", true),
        ("*", "", true),
        ("**x", "aax", true),
        ("*ab", "aab", true),
    ] {
        assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
    }
}

proptest! {
    /// Stars in any number, and any name: an answer, and the whole name always fits its prefix.
    #[test]
    fn any_pattern_has_an_answer(name in "[ab]{0,12}", pattern in "[ab*?]{0,12}", at in 0_usize..12) {
        fits(pattern.as_bytes(), name.as_bytes());
        let prefix = &name.as_bytes()[..at.min(name.len())];
        let starred = [prefix, b"*"].concat();
        prop_assert!(fits(&starred, name.as_bytes()));
    }
}
