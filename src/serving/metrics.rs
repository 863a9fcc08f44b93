//! What `/metrics` says, in the text form of Prometheus: what the scheduler counts, and beside it
//! what only HTTP sees, answers and how long they took.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::scheduler::Load;

/// Upper bounds of the histograms, in milliseconds.
const BOUNDS_MS: [u64; 14] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 15_000, 60_000];

/// How often times fell below each bound, and what they are together.
#[derive(Debug, Default)]
struct Histogram {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    fn add(&self, time: Duration) {
        let above = |bound: &u64| time > Duration::from_millis(*bound);
        let place = BOUNDS_MS.partition_point(above);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(time_us, Ordering::Relaxed);
    }

    fn write(&self, out: &mut String, name: &str, help: &str) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut count = 0;
        for (place, of_place) in self.counts.iter().enumerate() {
            count += of_place.load(Ordering::Relaxed);
            let _ = match BOUNDS_MS.get(place) {
                Some(bound_ms) => {
                    let bound = *bound_ms as f64 / 1000.0;
                    writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}")
                }
                None => writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}"),
            };
        }
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum {sum}\n{name}_count {count}");
    }
}

/// What has happened since the server began.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By route and status.
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    first_token: Histogram,
    next_token: Histogram,
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn request(&self, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
    }

    /// A token came, so long after the request or after the token before it.
    pub(crate) fn token(&self, is_first: bool, after: Duration) {
        if is_first { &self.first_token } else { &self.next_token }.add(after);
    }

    /// All of it, of a server with so many slots.
    pub(crate) fn text(&self, slots: usize, load: &Load) -> String {
        let mut out = String::new();
        let name = "limn_requests_total";
        let _ = writeln!(out, "# HELP {name} Requests answered.\n# TYPE {name} counter");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, status), count) in requests.iter() {
            let _ = writeln!(out, "{name}{{route=\"{route}\",status=\"{status}\"}} {count}");
        }
        drop(requests);
        let counters = [
            (
                "limn_prompt_tokens_total",
                "Tokens of prompts.",
                load.prompt_tokens + load.cached_tokens,
            ),
            ("limn_cached_tokens_total", "Of these, computed before.", load.cached_tokens),
            ("limn_generated_tokens_total", "Tokens generated.", load.sampled_tokens),
            (
                "limn_engine_failures_total",
                "Calls of the engine that failed, those too that were tried again.",
                load.failures,
            ),
        ];
        for (name, help, count) in counters {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {count}");
        }
        let gauges = [
            ("limn_slots", "Texts that can be generated at once.", slots),
            ("limn_requests_running", "Requests in a slot.", load.busy),
            ("limn_requests_waiting", "Requests that wait for one.", load.waiting),
            ("limn_held_tokens", "Tokens whose keys and values are kept.", load.held),
        ];
        for (name, help, value) in gauges {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        }
        self.first_token.write(
            &mut out,
            "limn_time_to_first_token_seconds",
            "From the request to the first token.",
        );
        self.next_token.write(
            &mut out,
            "limn_time_per_token_seconds",
            "From a token to the next one of the same request.",
        );
        out
    }
}
