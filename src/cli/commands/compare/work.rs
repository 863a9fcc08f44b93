//! The sessions of a comparison, so many at a time, and what is kept of each as it comes.
//!
//! A signal is heard here from before the first session until after the last, between two of them
//! too: the first one stops those that run and lets none begin, the second ends limn at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::columns::verdict;
use super::outcome::{Key, Outcome};
use super::results::Results;
use super::session::{Job, Servers};
use crate::commands::exec::Stop;
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{note, safe_line};

/// The place of a session, and what came of it; `None` when it was stopped.
type Done = (usize, Result<Option<Outcome>, CliError>);

/// What is left to do, for those who do it.
struct Work<'a> {
    left: &'a [Job<'a>],
    /// The place of the session that is begun next.
    next: AtomicUsize,
    /// None is begun any more.
    is_over: AtomicBool,
    servers: Servers,
}

/// Runs what is left, so many at a time, and keeps what comes of it.
pub(super) fn work(at_a_time: u32, left: &[Job<'_>], results: &mut Results) -> CliResult {
    let work = Work {
        left,
        next: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        servers: Servers::default(),
    };
    let work = &work;
    thread::scope(|scope| {
        compose::run(async {
            let signals = Stop::new()?;
            let (stop, stopped) = watch::channel(false);
            let (sender, done) = unbounded_channel();
            for _ in 0..left.len().min(at_a_time as usize) {
                let (sender, stopped) = (sender.clone(), stopped.clone());
                scope.spawn(move || work.run(&stopped, &sender));
            }
            // What is told ends when the last of them has.
            drop(sender);
            work.keep(signals, &stop, done, results).await
        })?
    })
}

impl Work<'_> {
    /// Runs one session after the other.
    fn run(&self, stopped: &watch::Receiver<bool>, done: &UnboundedSender<Done>) {
        while !self.is_over.load(Ordering::Relaxed) {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.left.get(place) else { return };
            let result = job.run(&self.servers, stopped.clone());
            // Here, not where it is read: nothing more is begun meanwhile.
            if !matches!(result, Ok(Some(_))) {
                self.is_over.store(true, Ordering::Relaxed);
            }
            if done.send((place, result)).is_err() {
                return;
            }
        }
    }

    /// Keeps what comes, until all of it has.
    async fn keep(
        &self,
        mut signals: Stop,
        stop: &watch::Sender<bool>,
        mut done: UnboundedReceiver<Done>,
        results: &mut Results,
    ) -> CliResult {
        let (mut count, mut ended) = (0, Ok(Exit::Completed));
        loop {
            let (place, result) = tokio::select! {
                biased;
                () = signals.signalled() => {
                    signals.told = true;
                    self.is_over.store(true, Ordering::Relaxed);
                    stop.send_replace(true);
                    continue;
                }
                one = done.recv() => match one {
                    Some(one) => one,
                    None => break,
                },
            };
            count += 1;
            let kept = result.and_then(|outcome| match outcome {
                None => Ok(Exit::Interrupted),
                Some(outcome) => {
                    self.progress(count, place, &outcome);
                    results.put(outcome).map(|()| Exit::Completed)
                }
            });
            match kept {
                Ok(Exit::Completed) => {}
                // The first that ends it says why; those that run are waited for.
                other => {
                    self.is_over.store(true, Ordering::Relaxed);
                    if matches!(ended, Ok(Exit::Completed)) {
                        ended = other;
                    }
                }
            }
        }
        match ended {
            Ok(Exit::Completed) if count < self.left.len() => Ok(Exit::Interrupted),
            ended => ended,
        }
    }

    fn progress(&self, count: usize, place: usize, outcome: &Outcome) {
        let Key { query, repeat, side } = &outcome.key;
        let again = if *repeat > 1 { format!(" ({repeat})") } else { String::new() };
        let has_check = self.left.get(place).is_some_and(|job| job.query.check.is_some());
        note(&format!(
            "[{count}/{}] {}{again} · {} {} · {}",
            self.left.len(),
            safe_line(query),
            side.letter(),
            safe_line(&outcome.model),
            verdict(outcome, has_check),
        ));
    }
}
