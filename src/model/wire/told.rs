//! What a server says of an error, in whichever of the usual shapes.

use std::time::Duration;

use serde_json::Value;

use crate::wait;

/// An error as a server tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) message: String,
    /// A number that looks like an HTTP status.
    pub(crate) status: Option<u16>,
    /// The words by which programs tell errors apart: code and type, in small letters.
    pub(crate) words: Vec<String>,
    /// The size of the context, where the error names it.
    pub(crate) window: Option<u64>,
    /// How long it asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

/// Finds what is said of an error.
pub(crate) fn told(body: &[u8]) -> Option<Told> {
    let mut value: Value = serde_json::from_str(&String::from_utf8_lossy(body)).ok()?;
    // Gemini's gateway wraps its errors in a list.
    if let Some(first) = value.get_mut(0).map(Value::take) {
        value = first;
    }
    let inner = value.get("error").filter(|error| !error.is_null()).unwrap_or(&value);
    let message = ["message", "msg", "detail", "error", "title"]
        .into_iter()
        .find_map(|key| inner.get(key).filter(|found| !found.is_null()))
        .unwrap_or(inner);
    let message = match message {
        Value::String(text) => text.clone(),
        Value::Object(object) if object.is_empty() => return None,
        other => other.to_string(),
    };
    let status = ["code", "status", "status_code"].into_iter().find_map(|key| {
        let found = inner.get(key)?;
        let number = found.as_u64().or_else(|| found.as_str()?.parse().ok())?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    });
    let word = |key: &str| match inner.get(key)? {
        Value::String(word) => Some(word.to_ascii_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let words = ["code", "type", "status"].into_iter().filter_map(word).collect();
    let window = inner.get("n_ctx").and_then(Value::as_u64);
    let retry_after = retry_info(inner).or_else(|| wait::in_words(&message));
    Some(Told { message, status, words, window, retry_after })
}

/// Google's way of asking to wait: `{"@type": "…RetryInfo", "retryDelay": "34s"}`.
fn retry_info(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    details.iter().find_map(|detail| wait::duration(detail.get("retryDelay")?.as_str()?))
}
