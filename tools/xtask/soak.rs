//! `cargo xtask soak`: loops that run for hours, where the tests run the same thing for seconds.
//!
//! A loop is a function in [`LOOPS`] that plays one round. The framework counts rounds, stops at a
//! number or at a time, says how far it is, and ends with one line. A round gets its own random
//! numbers from the seed and its number, so a failing round is repeated with
//! `cargo xtask soak LOOP --seed SEED --first ROUND --count 1`.

mod checkpoint;
mod export;
mod ground;
mod kill;
mod migration;
mod restore;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Usage;
use crate::random::Random;
use crate::table::time_text;

pub(crate) const HELP: &str = "\
Usage: cargo xtask soak [LOOP] [--count N] [--minutes M] [--seed S] [--first ROUND]

Runs one loop, or all of them, until N rounds are played or M minutes are over, whichever comes
first. The first round that fails ends it, with the command that repeats that round.";

/// A loop: one call plays one round, and an error is a finding.
struct Loop {
    name: &'static str,
    /// Rounds when nothing else is said.
    count: u64,
    /// What has to be there before the first round.
    prepare: fn() -> Result<()>,
    play: fn(&mut Round) -> Result<()>,
}

/// The loops there are.
const LOOPS: &[Loop] = &[
    Loop { name: "kill", count: 10_000, prepare: ground::prepare, play: kill::play },
    Loop { name: "migration", count: 500, prepare: ground::prepare, play: migration::play },
    Loop { name: "checkpoint", count: 500, prepare: ground::prepare, play: checkpoint::play },
    Loop { name: "export", count: 500, prepare: ground::prepare, play: export::play },
    Loop { name: "restore", count: 500, prepare: ground::prepare, play: restore::play },
];

/// One round of a loop.
pub(crate) struct Round {
    /// Random numbers that depend on the seed and the round only.
    pub(crate) random: Random,
}

impl Round {
    /// A moment up to the latest.
    fn moment(&mut self, latest: Duration) -> Duration {
        let latest = u64::try_from(latest.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.random.below(latest))
    }
}

#[derive(Debug, PartialEq)]
struct Options {
    name: Option<String>,
    count: Option<u64>,
    minutes: Option<u64>,
    seed: u64,
    first: u64,
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let options = parse(args)?;
    let wanted = |it: &&Loop| options.name.as_deref().is_none_or(|name| name == it.name);
    let chosen: Vec<&Loop> = LOOPS.iter().filter(wanted).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = LOOPS.iter().map(|it| it.name).collect();
        return Err(Usage(format!("no such loop; there are: {}", names.join(", "))).into());
    }
    for it in chosen {
        println!("{}", soak(it, &options)?);
    }
    Ok(())
}

/// Plays rounds until the count or the time is reached; returns the closing line.
fn soak(it: &Loop, options: &Options) -> Result<String> {
    (it.prepare)()?;
    let started = Instant::now();
    let time_limit = options.minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let count = options.count.unwrap_or(it.count);
    let mut said = started;
    let mut played = 0;
    while played < count && time_limit.is_none_or(|limit| started.elapsed() < limit) {
        let number = options.first.saturating_add(played);
        let mut round = Round { random: Random::new(options.seed, number) };
        (it.play)(&mut round).with_context(|| {
            let repeat = format!("soak {} --seed {} --first", it.name, options.seed);
            format!("round {number} failed; again: cargo xtask {repeat} {number} --count 1")
        })?;
        played += 1;
        if said.elapsed() >= Duration::from_secs(10) {
            said = Instant::now();
            println!("{}: {}", it.name, progress(played, count, started.elapsed(), time_limit));
        }
    }
    if played == 0 {
        bail!("{}: no round was played", it.name);
    }
    let (name, took, seed) = (it.name, time_text(started.elapsed()), options.seed);
    Ok(format!("soak: {name}: {played} of {count} rounds, none failed, {took}, seed {seed}"))
}

/// How far it is, and when it will be over at this pace.
fn progress(played: u64, count: u64, elapsed: Duration, limit: Option<Duration>) -> String {
    let pace = elapsed.as_secs_f64() / played.max(1) as f64;
    let mut left = pace * count.saturating_sub(played) as f64;
    if let Some(limit) = limit {
        left = left.min(limit.saturating_sub(elapsed).as_secs_f64());
    }
    let left = Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX);
    format!("{played} of {count} rounds, {} left", time_text(left))
}

fn parse(args: &[String]) -> Result<Options, Usage> {
    let mut options = Options { name: None, count: None, minutes: None, seed: 1, first: 1 };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') && options.name.is_none() {
            options.name = Some(word.clone());
            continue;
        }
        let value = words.next().and_then(|value| value.parse::<u64>().ok());
        let value = value.ok_or_else(|| Usage(format!("`{word}` takes a number")))?;
        match word.as_str() {
            "--count" => options.count = Some(value),
            "--minutes" => options.minutes = Some(value),
            "--seed" => options.seed = value,
            "--first" => options.first = value,
            _ => return Err(Usage(format!("soak takes no `{word}`"))),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Loop, Options, Random, parse, progress, soak};

    fn options(count: u64) -> Options {
        Options { name: None, count: Some(count), minutes: None, seed: 7, first: 1 }
    }

    #[test]
    fn the_closing_line_says_how_many_rounds_were_played() {
        let it = Loop { name: "count", count: 9, prepare: || Ok(()), play: |_| Ok(()) };
        let line = soak(&it, &options(3)).unwrap();
        assert!(line.starts_with("soak: count: 3 of 3 rounds, none failed"), "{line}");
        assert!(soak(&it, &options(0)).is_err());
    }

    #[test]
    fn a_failing_round_says_how_to_repeat_it() {
        let play = |round: &mut super::Round| {
            if round.random.next() == Random::new(7, 4).next() {
                anyhow::bail!("lost a row");
            }
            Ok(())
        };
        let it = Loop { name: "kill", count: 9, prepare: || Ok(()), play };
        let error = format!("{:#}", soak(&it, &options(9)).unwrap_err());
        assert!(error.contains("soak kill --seed 7 --first 4 --count 1"), "{error}");
        assert!(error.contains("lost a row"), "{error}");
    }

    #[test]
    fn progress_ends_at_the_earlier_limit() {
        let second = Duration::from_secs(1);
        assert_eq!(progress(10, 30, second * 10, None), "10 of 30 rounds, 20.0 s left");
        let text = progress(10, 30, second * 10, Some(second * 15));
        assert_eq!(text, "10 of 30 rounds, 5.00 s left");
    }

    #[test]
    fn arguments() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let parsed = parse(&words("kill --count 10 --minutes 2")).unwrap();
        assert_eq!((parsed.name.as_deref(), parsed.count), (Some("kill"), Some(10)));
        assert_eq!(parsed.minutes, Some(2));
        assert!(parse(&words("kill --count many")).is_err());
        assert!(parse(&words("kill --often 3")).is_err());
    }
}
