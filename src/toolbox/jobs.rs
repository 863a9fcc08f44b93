//! Commands that go on after their call was answered.
//!
//! A job has the number of the execution that it is. A task of its own follows it to its end and
//! hands on what it prints as [`JobEvent`]s, to whoever has taken the receiver; when that one is
//! slow, the job waits. Where nobody has taken it, nothing is handed on and jobs run all the same.
//! How a job ended is told once: by the terminal tool if a call is looking at it, else by its last
//! event. What it printed and nobody has seen stays readable, for a number of jobs.
//!
//! Dropping the table kills all jobs.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sandbox::{Finished, OutputChunk, Remote, Running, SandboxError, TerminalSize, Text};
use tokio::sync::{mpsc, watch};
use trajectory::event::{Exit, OutputRef};

/// Jobs that may run at a time.
pub(crate) const JOBS_MAX: usize = 16;
/// Jobs that have ended and whose last output nobody has read.
const ENDED_MAX: usize = 16;
/// Events that may wait for their taker.
const EVENTS_WAITING_MAX: usize = 8;
/// Lines of the output that are told with a failure.
const LINES_TOLD: usize = 10;
const TITLE_CHARS_MAX: usize = 60;

/// What happens to a command after its call was answered. All of one job come in their order,
/// and [`JobEvent::Ended`] is the last.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent {
    /// It printed something.
    Output {
        /// The execution that it is.
        exec: u32,
        /// What it printed.
        chunk: OutputChunk,
    },
    /// Something was typed.
    Input {
        /// The execution that it is.
        exec: u32,
        /// What was typed; its mark counts from what was typed before, or from the start.
        chunk: OutputChunk,
    },
    /// Nothing of it is left.
    Ended {
        /// The execution that it was.
        exec: u32,
        /// How it ended.
        exit: Exit,
        /// All that it printed, its time as a call included.
        output: Option<OutputRef>,
        /// From its start to its end.
        duration: Duration,
        /// What the model is to be told; empty when it knows.
        shown: String,
    },
}

/// The jobs of a session.
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    receiver: Mutex<Option<mpsc::Receiver<JobEvent>>>,
}

struct Shared {
    table: Mutex<BTreeMap<u32, Arc<Job>>>,
    /// Every command that runs, jobs or not: for the user's own hand on it.
    hands: Mutex<BTreeMap<u32, Hand>>,
    events: mpsc::Sender<JobEvent>,
}

/// A hand on a command that runs.
struct Hand {
    remote: Remote,
    began: Instant,
    /// When the user typed last, or the command began.
    last_typed: Instant,
    /// The user has ended it.
    is_stopped: bool,
}

/// One job.
pub(crate) struct Job {
    pub(crate) exec: u32,
    /// Its command, shortened.
    title: String,
    /// It is what a command left behind whose own end the model was told.
    is_remnant: bool,
    pub(crate) remote: Remote,
    state: Mutex<State>,
    ended: watch::Sender<bool>,
    is_heard: bool,
}

struct State {
    /// Calls that look at it and will tell of its end.
    watchers: usize,
    end: Option<End>,
    /// Why it is being ended, when limn ends it.
    stopped: Option<Stop>,
    last_typed: Instant,
    /// How much of what it printed has been shown, bytes.
    shown_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Asked,
    ByUser,
    SessionEnds,
}

/// How a job ended, and what nobody has seen of it.
struct End {
    /// As in `ended with exit code 1`.
    how: String,
    text: Text,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command in a few words.
pub(crate) fn title(command: &str) -> String {
    let mut lines = command.trim().lines();
    let line = lines.next().unwrap_or_default().trim();
    let is_cut = lines.next().is_some() || line.chars().count() > TITLE_CHARS_MAX;
    let title: String = line.chars().take(TITLE_CHARS_MAX).collect();
    if is_cut { format!("{title} …") } else { title }
}

impl Jobs {
    pub(crate) fn new() -> Self {
        let (events, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let shared = Shared { table: Mutex::default(), hands: Mutex::default(), events };
        Self { shared: Arc::new(shared), receiver: Mutex::new(Some(receiver)) }
    }

    /// What jobs report, for the one who takes it first.
    pub(crate) fn take_events(&self) -> Option<mpsc::Receiver<JobEvent>> {
        lock(&self.receiver).take()
    }

    /// Lets a command go on as a job, which is looked at; gives it back when there are too many.
    pub(crate) fn adopt(
        &self,
        exec: u32,
        title: String,
        is_remnant: bool,
        running: Running,
    ) -> Result<Looking, Running> {
        let mut table = lock(&self.shared.table);
        if is_full(&table) {
            return Err(running);
        }
        let remote = running.remote();
        let job = Arc::new(Job {
            exec,
            title,
            is_remnant,
            state: Mutex::new(State {
                watchers: 0,
                end: None,
                stopped: None,
                last_typed: Instant::now(),
                shown_bytes: remote.printed(),
            }),
            remote,
            ended: watch::Sender::new(false),
            is_heard: lock(&self.receiver).is_none(),
        });
        table.insert(exec, Arc::clone(&job));
        drop(table);
        let looking = job.look();
        tokio::spawn(follow(Arc::clone(&self.shared), job, running));
        Ok(looking)
    }

    /// Why no more jobs can be started, if so.
    pub(crate) fn refusal(&self) -> Option<String> {
        let table = lock(&self.shared.table);
        is_full(&table).then(|| {
            format!("{JOBS_MAX} jobs run already; stop one with terminal: {}.", listed(&table))
        })
    }

    /// A job by its number.
    pub(crate) fn find(&self, exec: u32) -> Result<Arc<Job>, String> {
        let table = lock(&self.shared.table);
        table.get(&exec).cloned().ok_or_else(|| match table.len() {
            0 => format!("There is no job {exec}. There are no jobs; shell starts them."),
            _ => format!("There is no job {exec}. The jobs are {}.", listed(&table)),
        })
    }

    /// Forgets a job that has ended and has nothing left to show.
    pub(crate) fn forget(&self, exec: u32) {
        lock(&self.shared.table).remove(&exec);
    }

    /// Tells a job what was typed into it.
    pub(crate) async fn tell_input(&self, job: &Job, bytes: &[u8]) {
        if !job.is_heard {
            return;
        }
        let since = std::mem::replace(&mut lock(&job.state).last_typed, Instant::now());
        let chunk = typed(since, bytes);
        let _ = self.shared.events.send(JobEvent::Input { exec: job.exec, chunk }).await;
    }

    /// A command has begun: the user may put a hand on it until it has ended.
    pub(crate) fn begin(&self, exec: u32, remote: Remote) {
        let began = Instant::now();
        let hand = Hand { remote, began, last_typed: began, is_stopped: false };
        lock(&self.shared.hands).insert(exec, hand);
    }

    /// A command that became no job has ended; whether the user ended it.
    pub(crate) fn part(&self, exec: u32) -> bool {
        lock(&self.shared.hands).remove(&exec).is_some_and(|hand| hand.is_stopped)
    }

    /// Changes the size of a command's terminal; how long after its start that was.
    pub(crate) fn resize(&self, exec: u32, size: TerminalSize) -> Result<Duration, SandboxError> {
        let hands = lock(&self.shared.hands);
        let hand = hands.get(&exec).ok_or(SandboxError::Ended)?;
        hand.remote.resize(size)?;
        Ok(hand.began.elapsed())
    }

    /// The user types into a command; the piece to be recorded of it.
    pub(crate) fn type_into(&self, exec: u32, bytes: &[u8]) -> Result<OutputChunk, SandboxError> {
        let mut hands = lock(&self.shared.hands);
        let hand = hands.get_mut(&exec).ok_or(SandboxError::Ended)?;
        hand.remote.paste(bytes)?;
        let since = std::mem::replace(&mut hand.last_typed, Instant::now());
        Ok(typed(since, bytes))
    }

    /// The user ends a command.
    pub(crate) fn stop_by_user(&self, exec: u32) -> Result<(), SandboxError> {
        let job = lock(&self.shared.table).get(&exec).cloned();
        if let Some(job) = job {
            job.stop(Stop::ByUser);
            return Ok(());
        }
        let mut hands = lock(&self.shared.hands);
        let hand = hands.get_mut(&exec).ok_or(SandboxError::Ended)?;
        hand.is_stopped = true;
        hand.remote.kill();
        Ok(())
    }

    /// Ends all jobs and waits until that was reported.
    pub(crate) async fn stop(&self) {
        let jobs: Vec<Arc<Job>> = lock(&self.shared.table).values().cloned().collect();
        for job in &jobs {
            job.stop(Stop::SessionEnds);
        }
        for job in &jobs {
            job.ended().await;
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        for job in lock(&self.shared.table).values() {
            job.remote.kill();
        }
    }
}

/// What was typed, so long after what was typed before.
fn typed(since: Instant, bytes: &[u8]) -> OutputChunk {
    let since = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
    let marks = vec![(since, u32::try_from(bytes.len()).unwrap_or(u32::MAX))];
    OutputChunk { bytes: bytes.into(), marks }
}

fn is_full(table: &BTreeMap<u32, Arc<Job>>) -> bool {
    table.values().filter(|job| !job.has_ended()).count() >= JOBS_MAX
}

fn listed(table: &BTreeMap<u32, Arc<Job>>) -> String {
    let names: Vec<String> = table
        .values()
        .map(|job| {
            let ended = if job.has_ended() { ", ended" } else { "" };
            format!("{} ({}{ended})", job.exec, job.title)
        })
        .collect();
    names.join(", ")
}

impl Job {
    /// Whether nothing of it is left.
    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    /// Until its end was reported.
    pub(crate) async fn ended(&self) {
        // It cannot fail: the sender is the job's own.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Whether it has printed what nobody was shown.
    pub(crate) fn has_news(&self) -> bool {
        self.remote.printed() > lock(&self.state).shown_bytes
    }

    /// Ends it, as it was asked for by a call.
    pub(crate) fn stop_as_asked(&self) {
        self.stop(Stop::Asked);
    }

    fn stop(&self, why: Stop) {
        lock(&self.state).stopped.get_or_insert(why);
        self.remote.kill();
    }

    /// Looks at it: while this is held, its end is not told by an event.
    pub(crate) fn look(self: &Arc<Self>) -> Looking {
        lock(&self.state).watchers += 1;
        Looking { job: Arc::clone(self), is_over: false }
    }

    /// Notes its end; what the model is to be told of it.
    fn end(&self, finished: Result<&Finished, &SandboxError>) -> String {
        let mut state = lock(&self.state);
        let how = match finished {
            Ok(_) if state.stopped == Some(Stop::Asked) => "stopped".to_owned(),
            Ok(_) if state.stopped == Some(Stop::ByUser) => "was stopped by the user".to_owned(),
            Ok(_) if state.stopped.is_some() => "was stopped as the session ended".to_owned(),
            Ok(finished) if finished.exit.timed_out => {
                format!("timed out after {} s and was killed", finished.duration.as_secs())
            }
            Ok(_) if self.is_remnant => "ended".to_owned(),
            Ok(finished) => ended_with(finished.exit),
            Err(error) => format!("was lost: {error}"),
        };
        let text = finished.map_or_else(|_| Text::default(), |finished| finished.text.clone());
        let is_told = state.watchers > 0;
        let is_good = finished.is_ok_and(|finished| finished.exit.success()) || self.is_remnant;
        let shown = if is_told { String::new() } else { self.told(&how, is_good, &text.text) };
        state.end = Some(End { how, text });
        shown
    }

    fn told(&self, how: &str, is_good: bool, text: &str) -> String {
        let line = format!("Job {} ({}) {how}", self.exec, self.title);
        if text.is_empty() {
            return format!("{line}.");
        }
        if is_good {
            return format!("{line}. Its last output can be read with terminal.");
        }
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LINES_TOLD)..).unwrap_or_default();
        format!("{line}:\n{}", last.join("\n"))
    }
}

/// How a process ended, as a part of a sentence.
pub(crate) fn ended_with(exit: Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended, nobody knows how".to_owned(),
    }
}

/// Somebody looks at a job.
pub(crate) struct Looking {
    job: Arc<Job>,
    is_over: bool,
}

impl Looking {
    /// What is new on its terminal, and how it ended if it has; then nothing is left to be shown.
    /// An end that comes later is told by an event.
    pub(crate) fn take(mut self) -> (Text, Option<String>) {
        let mut state = lock(&self.job.state);
        state.watchers -= 1;
        self.is_over = true;
        if let Some(end) = &mut state.end {
            return (std::mem::take(&mut end.text), Some(end.how.clone()));
        }
        state.shown_bytes = self.job.remote.printed();
        drop(state);
        (self.job.remote.take_text(), None)
    }
}

impl Deref for Looking {
    type Target = Job;

    fn deref(&self) -> &Job {
        &self.job
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if !self.is_over {
            lock(&self.job.state).watchers -= 1;
        }
    }
}

/// Follows a job to its end.
async fn follow(shared: Arc<Shared>, job: Arc<Job>, mut running: Running) {
    let exec = job.exec;
    if job.is_heard {
        while let Some(chunk) = running.output.recv().await {
            if shared.events.send(JobEvent::Output { exec, chunk }).await.is_err() {
                break;
            }
        }
    }
    let finished = running.wait().await;
    lock(&shared.hands).remove(&exec);
    let shown = job.end(finished.as_ref());
    forget_old(&shared);
    if job.is_heard {
        let (exit, output, duration) = match finished {
            Ok(it) => (it.exit, output(it.bytes, it.blake3), it.duration),
            Err(_) => (Exit::default(), None, Duration::ZERO),
        };
        let ended = JobEvent::Ended { exec, exit, output, duration, shown };
        let _ = shared.events.send(ended).await;
    }
    job.ended.send_replace(true);
}

/// All that was printed, if anything was.
pub(crate) fn output(bytes: u64, blake3: String) -> Option<OutputRef> {
    (bytes > 0).then_some(OutputRef { blake3, bytes })
}

fn forget_old(shared: &Shared) {
    let mut table = lock(&shared.table);
    let ended: Vec<u32> =
        table.values().filter(|job| job.has_ended()).map(|job| job.exec).collect();
    for exec in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
        table.remove(exec);
    }
}

#[cfg(test)]
pub(crate) mod tests;
