//! What an error means: from its status, its words and, since servers agree on neither, its text.
//!
//! The texts are those that the servers named beside them are known to write. Each knows where the
//! size of the context stands in it, because a server that says it knows better than any table.

use std::time::Duration;

use crate::failure::FailureKind;
use crate::wire::Told;

/// Codes and types by which an error without a status is told, and the status it would have had.
const WORDS: &[(&str, u16)] = &[
    ("rate_limit_exceeded", 429),
    ("rate_limit_error", 429),
    ("too_many_requests", 429),
    ("insufficient_quota", 429),
    ("resource_exhausted", 429),
    ("context_length_exceeded", 400),
    ("exceed_context_size_error", 400),
    ("invalid_prompt", 400),
    ("invalid_request_error", 400),
    ("invalid_argument", 400),
    ("authentication_error", 401),
    ("billing_error", 402),
    ("permission_error", 403),
    ("not_found_error", 404),
    ("model_not_found", 404),
    ("request_too_large", 413),
    ("timeout_error", 504),
    ("deadline_exceeded", 504),
];

/// Codes and types of a quota that is used up. 1113 is GLM's.
const QUOTA_WORDS: &[&str] =
    &["insufficient_quota", "billing_error", "billing_hard_limit_reached", "1113"];
/// The same in sentences: DeepSeek, Anthropic, OpenRouter.
const QUOTA_TEXTS: &[&str] = &["insufficient balance", "credit balance is too low", "add credits"];

/// Codes and types of a context that is too long. 1261 is GLM's.
const OVERFLOW_WORDS: &[&str] = &["context_length_exceeded", "exceed_context_size_error", "1261"];

/// Texts of a context that is too long, in small letters, and what stands before its size.
const OVERFLOW_TEXTS: &[(&str, &str)] = &[
    // OpenAI, vLLM, SGLang, OpenRouter, DeepSeek.
    ("maximum context length", "maximum context length is "),
    ("maximum context length", "maximum context length of "),
    ("exceeds the context window", ""),
    // vLLM.
    ("longer than the maximum model length", "maximum model length of "),
    // SGLang.
    ("longer than the model's context length", "model's context length ("),
    // llama.cpp.
    ("exceeds the available context size", "available context size ("),
    // Ollama, LM Studio.
    ("exceeds the context length", "context length of "),
    ("exceeded max context length", ""),
    ("context the overflows", "context length of only "),
    ("greater than the context length", "context length ("),
    // Anthropic.
    ("prompt is too long", "> "),
    ("exceed context limit", "> "),
    // Gemini.
    ("exceeds the maximum number of tokens allowed", "tokens allowed ("),
    // xAI, Kimi, Mistral, GLM, Qwen, Bedrock, Text Generation Inference, Groq.
    ("maximum prompt length is", "maximum prompt length is "),
    ("exceeded model token limit", "token limit: "),
    ("maximum context length", "model with "),
    ("prompt exceeds max length", ""),
    ("range of input length should be", "[1, "),
    ("input is too long for requested model", ""),
    ("max_new_tokens` must be <=", "must be <= "),
    ("reduce the length of the messages", ""),
];

/// A request that alone is more than a minute's tokens (OpenAI, Groq): waiting does not help.
const TOO_LARGE_FOR_A_MINUTE: (&str, &str) = ("request too large for", "limit ");

/// What the words and the text of an error say beyond its status.
pub(crate) fn of(status: u16, told: &Told) -> Option<FailureKind> {
    let text = told.message.to_lowercase();
    let has_word = |words: &[&str]| told.words.iter().any(|word| words.contains(&word.as_str()));
    // Keys and paths are told by the status alone; what is quoted there may be anything.
    if matches!(status, 401 | 403 | 404) {
        return None;
    }
    if status == 429 && text.contains(TOO_LARGE_FOR_A_MINUTE.0) {
        return Some(overflow(number_after(&text, TOO_LARGE_FOR_A_MINUTE.1)));
    }
    if has_word(QUOTA_WORDS) || QUOTA_TEXTS.iter().any(|marker| text.contains(marker)) {
        return Some(FailureKind::QuotaExhausted);
    }
    if status == 429 {
        return None;
    }
    let matching = || OVERFLOW_TEXTS.iter().filter(|(marker, _)| text.contains(marker));
    if !has_word(OVERFLOW_WORDS) && matching().next().is_none() {
        return None;
    }
    let window = told.window.or_else(|| matching().find_map(|(_, at)| number_after(&text, at)));
    Some(overflow(window))
}

const fn overflow(window: Option<u64>) -> FailureKind {
    FailureKind::ContextOverflow { window }
}

/// What a status means by itself.
pub(crate) fn kind(status: u16, retry_after: Option<Duration>) -> FailureKind {
    match status {
        401 | 403 => FailureKind::Unauthorized,
        402 => FailureKind::QuotaExhausted,
        404 => FailureKind::NotFound,
        408 | 504 | 522 | 524 => FailureKind::TimedOut,
        409 | 425 | 500..=599 => FailureKind::Server { retry_after },
        413 => FailureKind::ContextOverflow { window: None },
        429 => FailureKind::RateLimited { retry_after },
        _ => FailureKind::BadRequest,
    }
}

/// The status that an error without one would have had.
pub(crate) fn status_of_words(words: &[String]) -> Option<u16> {
    words
        .iter()
        .find_map(|word| WORDS.iter().find(|(known, _)| known == word).map(|(_, status)| *status))
}

/// The number behind this text; its thousands may be set apart.
fn number_after(text: &str, before: &str) -> Option<u64> {
    if before.is_empty() {
        return None;
    }
    text.match_indices(before).find_map(|(at, _)| {
        let rest = text.get(at + before.len()..)?;
        let is_part = |c: &char| c.is_ascii_digit() || matches!(c, ',' | '_');
        let digits: String =
            rest.chars().take_while(is_part).filter(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|tokens| *tokens > 0)
    })
}

#[cfg(test)]
mod tests;
