//! How long a server asks to wait, in whichever of the usual ways.
//!
//! `Retry-After` is seconds or a date, `retry-after-ms` is milliseconds; where neither is there,
//! the limits that are used up say when they are renewed (`x-ratelimit-reset…`: a duration such as
//! `6m0s`, an instant, or a number of seconds or milliseconds since 1970).

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::HeaderMap;

/// The longest wait that is told: a day. Whoever is asked to wait longer will not wait anyway.
const WAIT_MAX: Duration = Duration::from_secs(86_400);
/// Numbers from here on are instants, not durations: seconds since 1970, then milliseconds.
const EPOCH_S_MIN: f64 = 1e9;
const EPOCH_MS_MIN: f64 = 1e12;
/// A limit, and when it is renewed.
const LIMITS: [(&str, &str); 6] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
];

/// What the headers of an answer ask for; `now` is when it came.
pub(crate) fn of_headers(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let milliseconds = header("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok());
    if let Some(wait) = milliseconds.and_then(|ms| seconds(ms / 1e3)) {
        return Some(wait);
    }
    if let Some(text) = header("retry-after") {
        // A server's clock may be wrong, but it is wrong in both of its headers.
        let now = header("date").and_then(date).unwrap_or(now);
        return instant(text, now);
    }
    let is_used_up = |name: &str| header(name).is_some_and(|left| left.trim() == "0");
    let resets = LIMITS.iter().filter(|(left, _)| is_used_up(left));
    resets.filter_map(|(_, reset)| instant(header(reset)?, now)).max()
}

/// A number of seconds, a duration, a date.
fn instant(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let now_s = now.as_millisecond() as f64 / 1e3;
        return match number {
            number if number >= EPOCH_MS_MIN => seconds((number / 1e3 - now_s).max(0.0)),
            number if number >= EPOCH_S_MIN => seconds((number - now_s).max(0.0)),
            number => seconds(number),
        };
    }
    if let Some(wait) = duration(text) {
        return Some(wait);
    }
    let until = date(text).or_else(|| text.parse().ok())?;
    let wait = until.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(WAIT_MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text.trim()).ok()
}

/// `1h2m3.5s`, `20ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        total += number.parse::<f64>().ok()? * factor(unit)?;
        rest = after;
    }
    seconds(total)
}

/// `… try again in 6.5s …`, as OpenAI and Groq say it in a sentence.
pub(crate) fn in_words(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let (_, after) = lower.split_once("try again in ")?;
    let mut words = after.split_whitespace();
    let first = words.next()?.trim_end_matches(['.', ',']);
    match first.parse::<f64>() {
        // A number and its unit as two words.
        Ok(number) => seconds(number * factor(words.next()?.trim_end_matches(['.', ',']))?),
        Err(_) => duration(first),
    }
}

fn factor(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" | "milliseconds" => 1e-3,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    })
}

fn seconds(seconds: f64) -> Option<Duration> {
    let is_sane = (0.0..EPOCH_S_MIN).contains(&seconds);
    is_sane.then(|| Duration::from_secs_f64(seconds).min(WAIT_MAX))
}

/// A wait in words, for a sentence.
pub(crate) fn words(wait: Duration) -> String {
    let seconds = wait.as_secs_f64().ceil();
    match seconds {
        s if s < 120.0 => format!("{s} s"),
        s if s < 7_200.0 => format!("{} min", (s / 60.0).ceil()),
        s => format!("{} h", (s / 3_600.0).ceil()),
    }
}

#[cfg(test)]
mod tests;
