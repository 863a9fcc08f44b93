use proptest::prelude::*;

use super::*;

const SERVER: FailureKind = FailureKind::Server { retry_after: None };

fn limited(seconds: u64) -> FailureKind {
    FailureKind::RateLimited { retry_after: Some(Duration::from_secs(seconds)) }
}

#[test]
fn waits_double_up_to_the_cap() {
    let policy = RetryPolicy { attempts_max: 9, ..RetryPolicy::default() };
    let waits = (1..=9).map(|attempt| policy.wait(attempt, SERVER, 1.0).map(|w| w.as_secs()));
    let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(Some).into_iter().chain([None]);
    assert!(waits.eq(expected));
    assert_eq!(policy.wait(5, SERVER, 0.25), Some(Duration::from_secs(4)));
    assert_eq!(policy.wait(5, SERVER, 0.0), Some(Duration::ZERO));
}

#[test]
fn a_server_that_says_how_long_is_taken_at_its_word() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.wait(1, limited(3), 0.0), Some(Duration::from_secs(3)));
    assert_eq!(policy.wait(7, limited(3), 0.5), Some(Duration::from_millis(3500)));
    assert_eq!(policy.wait(1, limited(60), 1.0), Some(Duration::from_secs(60)));
    // Longer than anybody waits: give up, and the message says how long.
    assert_eq!(policy.wait(1, limited(61), 0.0), None);
    let busy = FailureKind::Server { retry_after: Some(Duration::from_secs(2)) };
    assert_eq!(policy.wait(1, busy, 0.0), Some(Duration::from_secs(2)));
}

#[test]
fn what_waiting_does_not_mend_is_not_asked_again() {
    let policy = RetryPolicy::default();
    for kind in [
        FailureKind::Unauthorized,
        FailureKind::QuotaExhausted,
        FailureKind::NotFound,
        FailureKind::ContextOverflow { window: None },
        FailureKind::BadRequest,
        FailureKind::Protocol,
        FailureKind::Unscripted,
        FailureKind::Cancelled,
    ] {
        assert_eq!(policy.wait(1, kind, 0.5), None, "{kind:?}");
    }
    for kind in [FailureKind::TimedOut, FailureKind::Silent, FailureKind::Interrupted] {
        assert!(policy.wait(7, kind, 0.5).is_some(), "{kind:?}");
        assert!(policy.wait(8, kind, 0.5).is_none(), "{kind:?}");
    }
    assert!(policy.wait(2, FailureKind::Unreachable, 0.5).is_some());
    assert!(policy.wait(3, FailureKind::Unreachable, 0.5).is_none());
}

proptest! {
    /// Never longer than the cap, never shorter than asked, never a panic.
    #[test]
    fn waits_are_bounded(
        attempt: u32,
        asked in proptest::option::of(any::<u64>()),
        (base, cap) in (any::<u64>(), any::<u64>()),
        jitter: f64,
    ) {
        let (base, cap) = (Duration::from_secs(base), Duration::from_secs(cap));
        let policy = RetryPolicy { attempts_max: u32::MAX, base, cap };
        let retry_after = asked.map(Duration::from_secs);
        let wait = policy.wait(attempt, FailureKind::RateLimited { retry_after }, jitter);
        if let Some(wait) = wait {
            prop_assert!(wait <= cap);
            prop_assert!(wait >= retry_after.unwrap_or_default());
        }
    }
}
