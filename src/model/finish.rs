//! Why a model stopped, in the words of many servers.

use crate::wire::Told;

/// Their word, and ours.
const REASONS: &[(&str, &str)] = &[
    ("function_call", "tool_calls"),
    ("tool_use", "tool_calls"),
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("eos", "stop"),
    ("max_tokens", "length"),
    ("max_output_tokens", "length"),
    ("model_length", "length"),
    ("model_context_window_exceeded", "length"),
    ("sensitive", "content_filter"),
    ("safety", "content_filter"),
    ("recitation", "content_filter"),
    ("prohibited_content", "content_filter"),
    ("refusal", "content_filter"),
];

/// Words that mean that the server failed, not that the model stopped.
const FAILURES: &[(&str, &str)] = &[
    ("error", "the model's provider failed"),
    ("abort", "the server gave the request up"),
    ("cancelled", "the server gave the request up"),
    ("network_error", "the model's provider failed"),
    ("insufficient_system_resource", "the server was out of resources"),
];

/// The reason in our words; a word that is not known stays as it is.
///
/// # Errors
/// What is told when it is no end but a failure.
pub(crate) fn reason(word: &str) -> Result<&str, Told> {
    let lower = word.to_ascii_lowercase();
    if let Some((_, what)) = FAILURES.iter().find(|(theirs, _)| *theirs == lower) {
        let message = format!("{what} (finish reason {word})");
        return Err(Told { message, ..Told::default() });
    }
    let known = REASONS.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
    let usual = ["stop", "length", "tool_calls", "content_filter"];
    let known = known.or_else(|| usual.into_iter().find(|ours| *ours == lower));
    Ok(known.unwrap_or(word))
}
