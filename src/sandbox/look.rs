//! When to look whether a command waits for input: after a moment of quiet, and twice, so that a
//! read that is about to return is not taken for a question; then ever more seldom.

use std::time::{Duration, Instant};

/// How long it must have been quiet.
const QUIET: Duration = Duration::from_millis(150);
/// From the look that found it waiting to the one that confirms it.
const CONFIRM: Duration = Duration::from_millis(100);
/// From a look that did not find it waiting to the next; the last is the longest.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(700),
    Duration::from_millis(1_000),
];

#[derive(Debug)]
pub(crate) struct Look {
    /// Since when it has been quiet, as far as is known.
    since: Instant,
    due: Instant,
    looks: usize,
    seen_once: bool,
}

impl Look {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, due: now + QUIET, looks: 0, seen_once: false }
    }

    /// When to look, if nothing was printed or typed since `stirred`.
    pub(crate) fn due(&mut self, stirred: Instant) -> Instant {
        if stirred > self.since {
            *self = Self::new(stirred);
        }
        self.due
    }

    /// Takes what was seen; whether it is certain now that it waits.
    pub(crate) fn saw(&mut self, waits: bool, now: Instant) -> bool {
        let is_certain = waits && self.seen_once;
        self.seen_once = waits;
        let pause = if waits {
            CONFIRM
        } else {
            let pause = PAUSES.get(self.looks).or(PAUSES.last()).copied().unwrap_or(CONFIRM);
            self.looks += 1;
            pause
        };
        self.due = now + pause;
        is_certain
    }
}
