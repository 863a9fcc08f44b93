use serde_json::{Value, json};

use super::*;
use crate::wire::told;

fn judge(status: u16, error: &Value) -> FailureKind {
    let told = told(error.to_string().as_bytes()).unwrap();
    of(status, &told).unwrap_or_else(|| kind(status, told.retry_after))
}

#[track_caller]
fn overflows(status: u16, error: Value, window: Option<u64>) {
    assert_eq!(judge(status, &error), FailureKind::ContextOverflow { window }, "{error}");
}

fn says(message: &str) -> Value {
    json!({"error": {"message": message}})
}

#[test]
fn a_context_that_is_too_long_is_known_whoever_says_it() {
    let openai = "This model's maximum context length is 128000 tokens. However, your messages \
                  resulted in 130212 tokens.";
    overflows(
        400,
        json!({"error": {"message": openai, "code": "context_length_exceeded"}}),
        Some(128_000),
    );
    let responses = "Your input exceeds the context window of this model.";
    overflows(
        400,
        json!({"error": {"message": responses, "code": "context_length_exceeded"}}),
        None,
    );
    // llama.cpp.
    let text = "the request exceeds the available context size";
    overflows(
        400,
        json!({"error": {"code": 400, "message": text, "type": "exceed_context_size_error",
                         "n_prompt_tokens": 5000, "n_ctx": 4096}}),
        Some(4096),
    );
    for (message, window) in [
        // vLLM.
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 \
             tokens (4000 in the messages, 1000 in the completion).",
            Some(4096),
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum \
             context length is 4096 tokens and your request has 300 input tokens",
            Some(4096),
        ),
        (
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
            Some(4096),
        ),
        // SGLang.
        (
            "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
            Some(4096),
        ),
        (
            "Requested token count exceeds the model's maximum context length of 4096 tokens.",
            Some(4096),
        ),
        (
            "request (5000 tokens) exceeds the available context size (4096 tokens), try \
             increasing it",
            Some(4096),
        ),
        // OpenRouter, DeepSeek.
        (
            "This endpoint's maximum context length is 32768 tokens. However, you requested \
             about 40000 tokens.",
            Some(32_768),
        ),
        // Anthropic.
        ("prompt is too long: 210000 tokens > 200000 maximum", Some(200_000)),
        (
            "input length and `max_tokens` exceed context limit: 190000 + 21333 > 200000, \
             decrease input length or `max_tokens` and try again",
            Some(200_000),
        ),
        // Gemini, xAI, Kimi, Mistral, GLM, Qwen, Bedrock, LM Studio.
        (
            "The input token count (1100000) exceeds the maximum number of tokens allowed \
             (1048576).",
            Some(1_048_576),
        ),
        (
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            Some(131_072),
        ),
        ("Invalid request: Your request exceeded model token limit: 262,144", Some(262_144)),
        (
            "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
            Some(32_768),
        ),
        ("Prompt exceeds max length", None),
        ("Range of input length should be [1, 98304]", Some(98_304)),
        ("Input is too long for requested model.", None),
        (
            "Trying to keep the first 5000 tokens when context the overflows. However, the model \
             is loaded with context length of only 4096 tokens",
            Some(4096),
        ),
    ] {
        overflows(400, says(message), window);
    }
    // A body that is too large, and a request that alone is more than a minute's tokens.
    overflows(413, says("Request Entity Too Large"), None);
    let minute = "Request too large for gpt-4o in organization o on tokens per min (TPM): Limit \
                  30000, Requested 40000.";
    overflows(429, says(minute), Some(30_000));
    // Errors of a gateway's gateway.
    overflows(500, says("prompt is too long: 3 tokens > 2 maximum"), Some(2));
}

#[test]
fn what_only_sounds_like_it_is_something_else() {
    assert_eq!(judge(400, &says("temperature must be at most 2")), FailureKind::BadRequest);
    assert_eq!(judge(401, &says("prompt is too long")), FailureKind::Unauthorized);
    assert_eq!(judge(404, &says("maximum context length")), FailureKind::NotFound);
}

#[test]
fn a_quota_that_is_used_up_is_no_rate_limit() {
    for (status, error) in [
        (429, json!({"error": {"message": "no", "type": "insufficient_quota"}})),
        (429, json!({"error": {"message": "no", "code": "1113"}})),
        (402, says("Insufficient Balance")),
        (400, says("Your credit balance is too low to access the API.")),
        (402, json!({"error": {"message": "never purchased credits", "code": 402}})),
    ] {
        let kind = judge(status, &error);
        assert_eq!(kind, FailureKind::QuotaExhausted, "{error}");
        assert!(!kind.is_worth_retrying());
    }
    // Gemini's words for a minute's limit sound alike, but it says how long to wait.
    let gemini = json!([{"error": {
        "code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}],
    }}]);
    let retry_after = Some(Duration::from_secs(34));
    assert_eq!(judge(429, &gemini), FailureKind::RateLimited { retry_after });
    let openai = says("Rate limit reached for gpt-5. Please try again in 1.2s.");
    let retry_after = Some(Duration::from_millis(1200));
    assert_eq!(judge(429, &openai), FailureKind::RateLimited { retry_after });
}

#[test]
fn errors_without_a_status_have_one_by_their_words() {
    let words = |word: &str| [word.to_owned()];
    assert_eq!(status_of_words(&words("rate_limit_error")), Some(429));
    assert_eq!(status_of_words(&words("overloaded_error")), None);
    for (word, _) in WORDS {
        assert_eq!(*word, word.to_lowercase());
    }
}
