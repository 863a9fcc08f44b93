//! Token counts, under whichever names.

use serde_json::Value;
use serde_json::value::RawValue;
use trajectory::Usage;

/// No request has more tokens: what is said beyond counts nothing.
const TOKENS_MAX: u64 = 1 << 40;

/// Where a count may stand: the first that is there counts.
type Paths = &'static [&'static [&'static str]];

const INPUT: Paths = &[&["prompt_tokens"], &["input_tokens"]];
const OUTPUT: Paths = &[&["completion_tokens"], &["output_tokens"]];
const CACHED: Paths = &[
    &["prompt_tokens_details", "cached_tokens"],
    &["input_tokens_details", "cached_tokens"],
    &["prompt_cache_hit_tokens"],
    &["cached_tokens"],
    &["cache_read_input_tokens"],
];
const REASONING: Paths = &[
    &["completion_tokens_details", "reasoning_tokens"],
    &["output_tokens_details", "reasoning_tokens"],
    &["reasoning_tokens"],
];

/// Token counts; `None` when the object counts nothing.
pub(crate) fn usage(json: &RawValue) -> Option<Usage> {
    let value: Value = serde_json::from_str(json.get()).ok()?;
    let count = |paths: Paths| paths.iter().find_map(|path| number(&value, path));
    let (input, output) = (count(INPUT), count(OUTPUT));
    if input.is_none() && output.is_none() {
        return None;
    }
    let mut usage = Usage {
        input_tokens: input.unwrap_or(0),
        output_tokens: output.unwrap_or(0),
        cached_tokens: count(CACHED).unwrap_or(0),
        reasoning_tokens: count(REASONING).unwrap_or(0),
    };
    // Anthropic counts what is cached beside the input, not within it.
    if value.get("prompt_tokens").is_none() {
        for key in ["cache_read_input_tokens", "cache_creation_input_tokens"] {
            usage.input_tokens += number(&value, &[key]).unwrap_or(0);
        }
    }
    usage.cached_tokens = usage.cached_tokens.min(usage.input_tokens);
    // Gemini and xAI count thoughts in the total only.
    let counted = usage.total();
    if let Some(total) = number(&value, &["total_tokens"]).filter(|total| *total > counted) {
        let thoughts = total - counted;
        if usage.reasoning_tokens == 0 || usage.reasoning_tokens == thoughts {
            usage.output_tokens += thoughts;
            usage.reasoning_tokens = thoughts;
        }
    }
    usage.reasoning_tokens = usage.reasoning_tokens.min(usage.output_tokens);
    Some(usage)
}

/// What llama.cpp tells of its cache beside the usage.
pub(crate) fn add_timings(json: &RawValue, usage: &mut Usage) {
    let cached = serde_json::from_str(json.get()).ok();
    let cached = cached.and_then(|value: Value| number(&value, &["cache_n"])).unwrap_or(0);
    if usage.cached_tokens == 0 && cached <= usage.input_tokens {
        usage.cached_tokens = cached;
    }
}

fn number(value: &Value, path: &[&str]) -> Option<u64> {
    let found = path.iter().try_fold(value, |value, key| value.get(key))?;
    // Proxies that keep numbers as floats write `12.0`.
    let whole = || found.as_f64().filter(|count| *count >= 0.0 && count.fract() == 0.0);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and not below zero, and what is too large is too large either way"
    )]
    let count = found.as_u64().or_else(|| whole().map(|count| count as u64))?;
    (count <= TOKENS_MAX).then_some(count)
}
