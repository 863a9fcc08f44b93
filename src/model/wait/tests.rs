use std::time::SystemTime;

use mock_server::http_date;
use reqwest::header::{HeaderName, HeaderValue};

use super::*;

/// Thursday, 2026-11-05 12:00:00 UTC.
const NOW_S: i64 = 1_793_880_000;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(header).collect()
}

#[track_caller]
fn check(pairs: &[(&str, &str)], expected_ms: Option<u64>) {
    let now = Timestamp::from_second(NOW_S).unwrap();
    let wait = of_headers(&headers(pairs), now);
    assert_eq!(wait, expected_ms.map(Duration::from_millis), "{pairs:?}");
}

#[test]
fn seconds_and_milliseconds_are_read() {
    for (text, expected) in [
        ("7", Some(7_000)),
        (" 1.5 ", Some(1_500)),
        ("0", Some(0)),
        ("90000", Some(86_400_000)),
        ("-1", None),
        ("1e30", None),
        ("NaN", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("2m", Some(120_000)),
    ] {
        check(&[("retry-after", text)], expected);
    }
    check(&[("retry-after-ms", "250"), ("retry-after", "9")], Some(250));
    check(&[("retry-after-ms", "x"), ("retry-after", "9")], Some(9_000));
    check(&[], None);
}

#[test]
fn dates_are_read() {
    check(&[("retry-after", "Thu, 05 Nov 2026 12:00:30 GMT")], Some(30_000));
    // In the past: now.
    check(&[("retry-after", "Thu, 05 Nov 2026 11:00:00 GMT")], Some(0));
    // The year after next: longer than is told.
    check(&[("retry-after", "Sun, 05 Nov 2028 11:00:00 GMT")], Some(86_400_000));
    // The server's own clock counts.
    check(
        &[
            ("date", "Thu, 05 Nov 2026 13:00:00 GMT"),
            ("retry-after", "Thu, 05 Nov 2026 13:00:05 GMT"),
        ],
        Some(5_000),
    );
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_S as u64 + 3);
    check(&[("retry-after", &http_date(later))], Some(3_000));
}

#[test]
fn limits_that_are_used_up_say_when_they_are_renewed() {
    check(
        &[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "7h"),
        ],
        Some(360_000),
    );
    let epoch_ms = format!("{}", (NOW_S + 20) * 1000);
    check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &epoch_ms)], Some(20_000));
    let epoch_s = format!("{}", NOW_S + 20);
    check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &epoch_s)], Some(20_000));
    check(
        &[
            ("anthropic-ratelimit-tokens-remaining", "0"),
            ("anthropic-ratelimit-tokens-reset", "2026-11-05T12:00:45Z"),
        ],
        Some(45_000),
    );
    check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "whenever")], None);
}

#[test]
fn durations_and_sentences_are_read() {
    for (text, expected) in [
        ("20ms", Some(20)),
        ("1h2m3.5s", Some(3_723_500)),
        ("34s", Some(34_000)),
        ("34", None),
        ("s", None),
        ("1.2.3s", None),
        ("5 s", None),
        ("é", None),
    ] {
        assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
    }
    for (text, expected) in [
        ("Rate limit reached … Please try again in 6.5s. Visit …", Some(6_500)),
        ("Please Try Again In 20ms.", Some(20)),
        ("try again in 1m30s,", Some(90_000)),
        ("try again in 3 seconds.", Some(3_000)),
        ("try again in a while", None),
        ("try again in 5", None),
        ("try again in ", None),
    ] {
        assert_eq!(in_words(text), expected.map(Duration::from_millis), "{text}");
    }
}

#[test]
fn waits_are_said_in_words() {
    for (seconds, expected) in [(0.2, "1 s"), (3.0, "3 s"), (300.0, "5 min"), (86_400.0, "24 h")] {
        assert_eq!(words(Duration::from_secs_f64(seconds)), expected);
    }
}
