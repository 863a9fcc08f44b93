//! When to ask again: arithmetic, no clock and no loop.
//!
//! A server that says how long to wait is taken at its word; otherwise the wait is drawn between
//! nothing and a bound that doubles with each attempt ("full jitter"), so that many clients that
//! failed together do not come back together.

use std::time::Duration;

use crate::failure::FailureKind;

/// Where nothing listens, nothing will soon: whoever mistyped a port wants to know.
const UNREACHABLE_ATTEMPTS_MAX: u32 = 3;

/// How patiently a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// The bound of the first wait.
    pub base: Duration,
    /// The longest wait; a server that asks for more is not asked again.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    /// Eight attempts, a second, a minute: about a minute in all when each fails at once.
    fn default() -> Self {
        Self { attempts_max: 8, base: Duration::from_secs(1), cap: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// How long to wait after the `attempt`-th attempt (from 1) has failed so; `None` to give up.
    /// `jitter` is a random number from 0 up to 1.
    #[must_use]
    pub fn wait(&self, attempt: u32, kind: FailureKind, jitter: f64) -> Option<Duration> {
        let attempts_max = match kind {
            FailureKind::Unreachable => self.attempts_max.min(UNREACHABLE_ATTEMPTS_MAX),
            _ => self.attempts_max,
        };
        if !kind.is_worth_retrying() || attempt >= attempts_max {
            return None;
        }
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 1.0 };
        if let Some(asked) = kind.retry_after() {
            if asked > self.cap {
                return None;
            }
            // Not a moment earlier, and not all at the same moment.
            return Some(asked.saturating_add(part(self.base, jitter)).min(self.cap));
        }
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let bound = self.base.saturating_mul(doubled).min(self.cap);
        Some(part(bound, jitter))
    }
}

/// A part of a duration, never more than it: numbers with a point are rounded.
fn part(whole: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * share).map_or(whole, |part| part.min(whole))
}

#[cfg(test)]
mod tests;
