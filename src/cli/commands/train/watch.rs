//! Watching a run: what it says is followed in its file, whoever started it.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{MissedTickBehavior, interval};
use training::folder::{LOG, Run};
use training::metrics::{Follower, History, Line};

use super::runner;
use super::view::View;
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{note, safe};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Of the log the end is shown, when the runner ended without a word.
const LOG_BYTES_MAX: u64 = 2_000;

/// What is to become of a run that is watched.
enum Wish {
    /// It is watched on.
    Watch,
    /// It goes on alone.
    Leave,
    /// It is stopped.
    Stop,
}

/// Watches a run until it is done, stopped or left; with a runner, starts it first.
pub(super) fn run(run: &Run, runner: Option<&Path>, as_json: bool) -> CliResult {
    compose::run(async {
        // Before anything is drawn: whoever sees it may press ctrl-c.
        let mut signals = Signals::new()?;
        let mut watch = Watch::new(run, as_json);
        watch.before(runner)?;
        watch.follow(&mut signals).await
    })?
}

/// Starts a run, and leaves it once it has the run to itself.
pub(super) fn detach(run: &Run, runner: &Path) -> CliResult {
    compose::run(async {
        let mut watch = Watch::new(run, false);
        watch.start(runner)?;
        let mut clock = interval(LOOK_EVERY / 10);
        while run.holder().is_none() {
            if watch.is_over() {
                watch.history.extend(watch.follower.read()?);
                return watch.ended(true).unwrap_or(Ok(Exit::Completed));
            }
            clock.tick().await;
        }
        let folder = run.folder().display();
        note(&format!("begun: watch it with `limn train attach {folder}`"));
        Ok(Exit::Completed)
    })?
}

/// Stops a run, and waits until it has saved.
pub(super) fn stop(run: &Run) -> CliResult {
    let Some(pid) = run.holder() else {
        note("it is not being trained");
        return Ok(Exit::Completed);
    };
    ask_to_stop(pid)?;
    note("it saves and stops …");
    compose::run(async {
        let mut clock = interval(LOOK_EVERY);
        while run.holder() == Some(pid) {
            clock.tick().await;
        }
    })?;
    let mut watch = Watch::new(run, false);
    watch.history.extend(watch.follower.read()?);
    // Stopped or done before it heard of it, both is what was asked for.
    match watch.ended(true) {
        Some(Err(failed)) => Err(failed),
        _ => Ok(Exit::Completed),
    }
}

fn ask_to_stop(pid: u32) -> Result<(), CliError> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else {
        return Err(CliError::failed("The runner is only beginning. Try again in a moment."));
    };
    kill_process(pid, Signal::TERM).map_err(|error| {
        CliError::failed(format!("Cannot stop the process {pid}: {error}. Stop it as its owner."))
    })
}

struct Watch<'a> {
    run: &'a Run,
    child: Option<Child>,
    follower: Follower,
    history: History,
    view: View,
    /// It was asked to stop.
    stopping: bool,
}

impl<'a> Watch<'a> {
    fn new(run: &'a Run, as_json: bool) -> Self {
        Self {
            run,
            child: None,
            follower: Follower::new(run.folder()),
            history: History::default(),
            view: View::new(as_json),
            stopping: false,
        }
    }

    /// What the run said before: it is in the picture, and not told again.
    fn before(&mut self, runner: Option<&Path>) -> Result<(), CliError> {
        match runner {
            Some(runner) => self.start(runner)?,
            None => self.history.extend(self.follower.read()?),
        }
        self.view.draw(&self.history);
        Ok(())
    }

    /// Starts the runner, to which it is nothing how the run ended before.
    fn start(&mut self, runner: &Path) -> Result<(), CliError> {
        self.history.extend(self.follower.read()?);
        self.history.stopped = None;
        self.history.finished = None;
        self.child = Some(runner::start(self.run, runner)?);
        Ok(())
    }

    async fn follow(&mut self, signals: &mut Signals) -> CliResult {
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                is_hand = signals.next() => match self.wish(is_hand, signals).await {
                    Wish::Watch => {}
                    Wish::Leave => return Ok(self.left(is_hand)),
                    Wish::Stop => self.stop()?,
                },
                _ = clock.tick() => {
                    // Looked at first: what it said before it ended is read after.
                    let is_over = self.is_over();
                    let lines = self.follower.read()?;
                    let is_new = !lines.is_empty();
                    lines.into_iter().for_each(|line| self.take(line));
                    if is_new {
                        self.view.draw(&self.history);
                    }
                    if let Some(ended) = self.ended(is_over) {
                        return ended;
                    }
                }
            }
        }
    }

    fn take(&mut self, line: Line) {
        self.view.tell(&line, &self.history);
        self.history.add(line);
    }

    /// Whether the process that trains is gone.
    fn is_over(&mut self) -> bool {
        match &mut self.child {
            Some(child) => child.try_wait().is_ok_and(|status| status.is_some()),
            None => self.run.holder().is_none(),
        }
    }

    /// How it ended, if it did.
    fn ended(&mut self, is_over: bool) -> Option<CliResult> {
        // A process that said how it ends may still be saving.
        if !is_over {
            return None;
        }
        let folder = self.run.folder().display().to_string();
        if let Some(finished) = &self.history.finished {
            let path = self.run.folder().join(&finished.folder);
            self.view.end("completed", &format!("done: {}", path.display()));
            return Some(Ok(Exit::Completed));
        }
        let Some(stopped) = &self.history.stopped else {
            self.view.end("failed", "");
            return Some(Err(self.silent()));
        };
        if stopped.failed {
            let why = safe(&stopped.why);
            self.view.end("failed", "");
            return Some(Err(CliError::failed(why)));
        }
        let saved = stopped.saved;
        let what =
            format!("stopped; saved after step {saved}. Go on with `limn train resume {folder}`");
        self.view.end("stopped", &what);
        Some(Ok(Exit::Interrupted))
    }

    /// Nobody trains it, and it did not say why.
    fn silent(&self) -> CliError {
        let folder = self.run.folder().display();
        let log = log_end(self.run).unwrap_or_default();
        let said = match log.trim() {
            "" => String::new(),
            log => format!(" It printed last:\n{}\n", safe(log)),
        };
        CliError::failed(format!(
            "Nobody trains {folder}: its runner ended without a word.{said} Go on from its last \
             checkpoint with `limn train resume {folder}`."
        ))
    }

    fn left(&mut self, is_hand: bool) -> Exit {
        let what = format!(
            "it goes on; watch it with `limn train attach {}`",
            self.run.folder().display()
        );
        self.view.end("left", &what);
        if is_hand && self.view.is_live() { Exit::Completed } else { Exit::Interrupted }
    }

    fn stop(&mut self) -> Result<(), CliError> {
        let pid = self.child.as_ref().map(Child::id).or_else(|| self.run.holder());
        if let Some(pid) = pid {
            ask_to_stop(pid)?;
            self.stopping = true;
            note("it saves and stops …");
        }
        Ok(())
    }

    /// What is to become of it. Somebody at a terminal is asked; a second ctrl-c leaves.
    async fn wish(&mut self, is_hand: bool, signals: &mut Signals) -> Wish {
        if !is_hand || self.stopping || !self.view.is_live() || !io::stdin().is_terminal() {
            return Wish::Leave;
        }
        self.view.ask("leave it running (l), stop it (s), or watch on (enter)? ");
        let asked = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            // A terminal that is gone leaves it running.
            let read = io::stdin().lock().read_line(&mut line);
            read.is_ok_and(|bytes| bytes > 0).then_some(line)
        });
        let answer = tokio::select! {
            answer = asked => answer.ok().flatten(),
            _ = signals.next() => None,
        };
        self.view.forget();
        match answer.as_deref().map(str::trim) {
            None | Some("l" | "leave") => Wish::Leave,
            Some("s" | "stop") => Wish::Stop,
            Some(_) => {
                self.view.draw(&self.history);
                Wish::Watch
            }
        }
    }
}

/// Ctrl-C, and what else ends a program.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let failed = |error| CliError::failed(format!("Cannot listen for signals: {error}."));
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: unix::signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: unix::signal(SignalKind::hangup()).map_err(failed)?,
        })
    }

    /// The next one; whether somebody's hand gave it.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => false,
            _ = self.hang_up.recv() => false,
        }
    }
}

fn log_end(run: &Run) -> Option<String> {
    let mut file = File::open(run.folder().join(LOG)).ok()?;
    let from = file.metadata().ok()?.len().saturating_sub(LOG_BYTES_MAX);
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
