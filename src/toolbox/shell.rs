//! Run a command in the workspace, in the sandbox, in a terminal of its own.
//!
//! What is shown is what the terminal shows, then a line that says how the command ended unless
//! it ended well. A command that is to go on in the background, that waits for input, or that ends
//! and leaves something running is answered at once and goes on as a job; the line names it. With
//! that its limit of time is lifted, unless it was given for the background.

use std::ffi::OsString;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sandbox::{
    CommandSpec, Finished, Left, OutputChunk, Policy, Remote, Running, Sandbox, SandboxError,
    Status, TerminalSize, Tier,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use trajectory::event::{CallStatus, Exit, Truncation};

use crate::beneath::Workspace;
use crate::jobs::{JOBS_MAX, Jobs, output, title};
use crate::network::Gate;
use crate::outcome::{ExecutionFacts, Outcome};
use crate::path::Relative;
use crate::suggest;

const TIMEOUT_MS: u64 = 120_000;
const TIMEOUT_MS_MAX: u64 = 3_600_000;
/// How long a command is listened to that is to go on in the background: until it has been quiet
/// after its first output, and no longer than this in any case.
const FIRST_QUIET: Duration = Duration::from_millis(100);
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// Chunks that are handed on as output of the call when it is answered; the rest is the job's.
const LAST_CHUNKS_MAX: usize = 32;
/// Below how it ended.
const BY_USER: &str = "[the user ended it]";

/// Runs a bash command in a terminal and returns what it prints, with its exit code if not 0.
/// One that asks for input, or leaves something running, goes on as a job.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The command.
    pub(crate) command: String,
    /// Directory to run in, relative to the workspace.
    pub(crate) workdir: Option<String>,
    /// Time allowed; 120000 if absent, 3600000 at most.
    pub(crate) timeout_ms: Option<u64>,
    /// Let it go on as a job.
    pub(crate) background: Option<bool>,
}

/// The longest single argument that Linux hands to a program, less its end.
const COMMAND_BYTES_MAX: usize = 128 * 1024 - 1;

/// What the tool works with.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) jobs: &'a Jobs,
    pub(crate) gate: &'a Gate,
}

/// Runs the tool.
pub(crate) async fn run(
    place: Place<'_>,
    exec: u32,
    input: &Input,
    out: mpsc::Sender<OutputChunk>,
    cancel: &CancellationToken,
) -> Outcome {
    let is_background = input.background == Some(true);
    if let Some(problem) = place.jobs.refusal().filter(|_| is_background) {
        return Outcome::told(CallStatus::Error, problem);
    }
    // Models that mean "as usual" send a zero.
    let timeout_ms = input.timeout_ms.filter(|ms| *ms > 0);
    let timeout_ms = timeout_ms.or((!is_background).then_some(TIMEOUT_MS));
    let timeout = timeout_ms.map(|ms| Duration::from_millis(ms.clamp(1, TIMEOUT_MS_MAX)));
    let env = place.sandbox.policy().environment(std::env::vars_os());
    start(place, exec, input, timeout, env, out, cancel).await
}

/// Runs a command of the user's own. Nobody waits for it but the user, so it has the longest time
/// there is; outside the sandbox it has the environment that limn has.
pub(crate) async fn run_own(
    place: Place<'_>,
    exec: u32,
    command: &str,
    out: mpsc::Sender<OutputChunk>,
    cancel: &CancellationToken,
) -> Outcome {
    let env = match place.sandbox.tier() {
        Tier::Off => std::env::vars_os().collect(),
        _ => place.sandbox.policy().environment(std::env::vars_os()),
    };
    let input =
        Input { command: command.to_owned(), workdir: None, timeout_ms: None, background: None };
    let timeout = Some(Duration::from_millis(TIMEOUT_MS_MAX));
    start(place, exec, &input, timeout, env, out, cancel).await
}

async fn start(
    place: Place<'_>,
    exec: u32,
    input: &Input,
    timeout: Option<Duration>,
    env: Vec<(OsString, OsString)>,
    out: mpsc::Sender<OutputChunk>,
    cancel: &CancellationToken,
) -> Outcome {
    let spec = match command(place.workspace, exec, input, env, timeout) {
        Ok(spec) => spec,
        Err(problem) => return Outcome::told(CallStatus::Error, problem),
    };
    let execution = Some(facts(&spec, place.sandbox));
    let cwd = spec.cwd.clone();
    // A sandbox that is to be set up anew takes its time; the loop goes on meanwhile.
    let sandbox = place.sandbox.clone();
    let started = tokio::task::spawn_blocking(move || sandbox.spawn(spec)).await;
    // It may have started the processes of the sandbox anew, with another way out.
    place.gate.attend(place.sandbox);
    let outcome = match started.unwrap_or(Err(SandboxError::Ending)) {
        Ok(running) => {
            let jobs = place.jobs;
            jobs.begin(exec, running.remote());
            let (gate, sandbox) = (place.gate, place.sandbox);
            Call { jobs, gate, exec, input, timeout, out, cancel, sandbox, cwd }
                .follow(running)
                .await
        }
        Err(error) => failed(&error),
    };
    Outcome { execution, ..outcome }
}

fn command(
    workspace: &Workspace,
    exec: u32,
    input: &Input,
    env: Vec<(OsString, OsString)>,
    timeout: Option<Duration>,
) -> Result<CommandSpec, String> {
    if input.command.trim().is_empty() {
        return Err("The command is empty.".to_owned());
    }
    if input.command.len() > COMMAND_BYTES_MAX {
        return Err(format!(
            "The command is {} bytes long, and the system takes {COMMAND_BYTES_MAX} at most. \
             Nothing was run. Write it into a file and run that.",
            input.command.len()
        ));
    }
    if input.command.contains('\0') {
        return Err("The command holds a NUL character.".to_owned());
    }
    let argv = vec![shell(&env), "-c".into(), input.command.as_str().into()];
    let cwd = directory(workspace, input.workdir.as_deref())?;
    Ok(CommandSpec {
        argv,
        cwd,
        env,
        size: TerminalSize::default(),
        timeout,
        lingers: true,
        exec: Some(exec),
    })
}

/// bash where there is one on the command's own path, else sh.
fn shell(env: &[(OsString, OsString)]) -> OsString {
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path);
    let found = path.and_then(|path| {
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("bash"))
            .find(|bash| bash.is_file())
    });
    found.map_or_else(|| "/bin/sh".into(), PathBuf::into_os_string)
}

/// Where the command starts: a directory that is beneath the workspace now.
fn directory(workspace: &Workspace, workdir: Option<&str>) -> Result<PathBuf, String> {
    let Some(workdir) = workdir.filter(|workdir| !workdir.is_empty()) else {
        return Ok(workspace.root().to_path_buf());
    };
    let path = Relative::parse(workdir, workspace)?;
    match workspace.open_directory(path.as_path()) {
        Ok(_) => {}
        Err(Errno::NOENT) => return Err(suggest::missing(workspace, &path)),
        Err(Errno::NOTDIR) => return Err(format!("{path} is not a directory.")),
        Err(error) => return Err(path.explain(error)),
    }
    let inside = workspace.root().join(path.as_path()).canonicalize();
    inside
        .ok()
        .filter(|inside| inside.starts_with(workspace.root()))
        .ok_or_else(|| path.explain(Errno::XDEV))
}

fn facts(spec: &CommandSpec, sandbox: &Sandbox) -> ExecutionFacts {
    let text = |part: &OsString| part.to_string_lossy().into_owned();
    ExecutionFacts {
        argv: spec.argv.iter().map(text).collect(),
        cwd: Path::new(&spec.cwd).to_path_buf(),
        env: spec.env.iter().map(|(name, _)| text(name)).collect(),
        policy: sandbox.tier().as_str().to_owned(),
    }
}

/// A command that did not start, or got lost.
fn failed(error: &SandboxError) -> Outcome {
    match error {
        SandboxError::Refused(refusal) => {
            Outcome::told(CallStatus::Denied, format!("The command was refused: {refusal}."))
        }
        error => Outcome::told(CallStatus::Error, format!("The command failed: {error}.")),
    }
}

/// Why an answer is due.
#[derive(Debug)]
enum Due {
    /// Nothing of the command is left.
    Ended,
    /// It waits for input.
    Waits,
    /// The command itself has ended; what it left goes on.
    Left(Left),
    /// It was to go on in the background, and has been listened to for long enough.
    Settled,
}

/// A call while its command runs.
struct Call<'a> {
    jobs: &'a Jobs,
    gate: &'a Gate,
    exec: u32,
    input: &'a Input,
    timeout: Option<Duration>,
    out: mpsc::Sender<OutputChunk>,
    cancel: &'a CancellationToken,
    sandbox: &'a Sandbox,
    /// Where the command runs.
    cwd: PathBuf,
}

impl Call<'_> {
    fn is_background(&self) -> bool {
        self.input.background == Some(true)
    }

    /// Follows the command until there is an answer.
    async fn follow(self, mut running: Running) -> Outcome {
        let mut note = None;
        let mut cancelled = false;
        let mut may_go_on = true;
        loop {
            let due = self.listen(&mut running, may_go_on, &mut cancelled).await;
            if let Due::Ended = due {
                let finished = running.wait().await;
                let is_stopped = self.jobs.part(self.exec);
                return match finished {
                    Ok(finished) => {
                        let ended_well = finished.exit.code == Some(0);
                        let by_user = (is_stopped && !ended_well).then(|| BY_USER.to_owned());
                        let note = note.or(by_user).or_else(|| self.explain(&finished));
                        let wall = self.sandbox.policy().limits.wall();
                        let limit = self.timeout.map_or(wall, |timeout| timeout.min(wall));
                        conclude(finished, limit, cancelled, note)
                    }
                    Err(error) => failed(&error),
                };
            }
            match self.go_on(running, &due).await {
                Ok(outcome) => return outcome,
                Err(back) => running = back,
            }
            // There is no room for another job: what waits runs out of its time, the rest ends.
            may_go_on = false;
            if !matches!(due, Due::Waits) {
                note = Some(format!("[what went on was killed: {JOBS_MAX} jobs run already]"));
                running.kill();
            }
        }
    }

    /// The rule of the sandbox that a command failed by, as far as it can be told.
    fn explain(&self, finished: &Finished) -> Option<String> {
        if finished.exit.code == Some(0) || finished.exit.timed_out {
            return None;
        }
        // The user may have allowed a host since.
        let policy = Policy { network: self.gate.network(), ..self.sandbox.policy().clone() };
        let reaches_hosts = self.sandbox.tier().reaches_hosts();
        let refusal = policy.explain(&finished.text.text, &self.cwd, reaches_hosts)?;
        Some(format!("[sandbox: {refusal}]"))
    }

    /// Hands on what the command prints until an answer is due; kills it when it is cancelled.
    async fn listen(&self, running: &mut Running, may_go_on: bool, cancelled: &mut bool) -> Due {
        let remote = running.remote();
        let mut watcher = remote.watch();
        let mut settled = pin!(settled(&remote, self.is_background()));
        loop {
            let goes_on = may_go_on && !*cancelled;
            let chunk = tokio::select! {
                biased;
                () = self.cancel.cancelled(), if !*cancelled => {
                    *cancelled = true;
                    running.kill();
                    continue;
                }
                chunk = running.output.recv() => chunk,
                due = noteworthy(&mut watcher), if goes_on => return due,
                () = &mut settled, if goes_on => return Due::Settled,
            };
            let Some(chunk) = chunk else { return Due::Ended };
            tokio::select! {
                // A taker that is gone misses the rest; the command goes on.
                _ = self.out.send(chunk) => {}
                () = self.cancel.cancelled(), if !*cancelled => {
                    *cancelled = true;
                    running.kill();
                }
            }
        }
    }

    /// Lets the command go on as a job and answers; gives it back when there are too many.
    async fn go_on(&self, mut running: Running, due: &Due) -> Result<Outcome, Running> {
        tokio::select! {
            () = hand_over(&mut running, &self.out) => {}
            () = self.cancel.cancelled() => {}
        }
        let (title, is_remnant) = match due {
            Due::Left(left) => (title(&left.names.join(", ")), true),
            _ => (title(&self.input.command), false),
        };
        let job = self.jobs.adopt(self.exec, title, is_remnant, running)?;
        if !self.is_background() {
            job.remote.lift_limit();
        }
        let (text, end) = job.take();
        let exec = self.exec;
        let line = match (end, due) {
            (Some(how), _) => {
                self.jobs.forget(exec);
                format!("[job {exec} {how}]")
            }
            (None, Due::Waits) => {
                format!("[waits for input: job {exec}; answer with terminal]")
            }
            (None, Due::Left(left)) => {
                let exit =
                    ending(left.exit, Duration::ZERO).map_or_else(String::new, |line| line + "\n");
                let names = left.names.join(", ");
                format!("{exit}[still running in the background as job {exec}: {names}]")
            }
            (None, _) => format!("[running in the background: job {exec}]"),
        };
        Ok(Outcome {
            truncated: truncation(text.truncation),
            is_running: true,
            ..Outcome::told(CallStatus::Ok, with_line(text.text, &line))
        })
    }
}

/// Hands on what the command has printed so far, and waits until all of it was taken: what it
/// prints as a job must not overtake it.
async fn hand_over(running: &mut Running, out: &mpsc::Sender<OutputChunk>) {
    for _ in 0..LAST_CHUNKS_MAX {
        let Some(chunk) = running.output.try_recv() else { break };
        if out.send(chunk).await.is_err() {
            return;
        }
    }
    let _ = out.reserve_many(out.max_capacity()).await;
}

/// Until the command waits for input, or has left something behind.
async fn noteworthy(watcher: &mut watch::Receiver<Status>) -> Due {
    let status = watcher.wait_for(|status| status.waits || status.left.is_some()).await;
    match status.map(|status| status.left.clone()) {
        Ok(Some(left)) => Due::Left(left),
        Ok(None) => Due::Waits,
        // Nobody will tell any more; its end is told otherwise.
        Err(_) => pending().await,
    }
}

/// Until a command in the background has been listened to for long enough.
async fn settled(remote: &Remote, is_background: bool) {
    if !is_background {
        return pending().await;
    }
    let limit = Instant::now() + FIRST_WAIT;
    loop {
        let due = match remote.printed() {
            0 => limit,
            _ => limit.min(remote.stirred() + FIRST_QUIET),
        };
        if due <= Instant::now() {
            return;
        }
        let pause = due.min(Instant::now() + FIRST_QUIET);
        tokio::time::sleep_until(pause.into()).await;
    }
}

/// What was left out, in the record's words.
pub(crate) fn truncation(truncation: Option<sandbox::Truncation>) -> Option<Truncation> {
    truncation.map(|truncation| Truncation {
        lines_omitted: truncation.lines_omitted,
        chars_omitted: truncation.chars_omitted,
    })
}

/// A text and a line below it.
pub(crate) fn with_line(mut text: String, line: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text
}

fn conclude(finished: Finished, limit: Duration, cancelled: bool, note: Option<String>) -> Outcome {
    let truncated = truncation(finished.text.truncation);
    let ending = match cancelled {
        true => Some("[cancelled; killed]".to_owned()),
        false => ending(finished.exit, limit),
    };
    let lines: Vec<String> = ending.into_iter().chain(note).collect();
    let mut shown = finished.text.text;
    if !lines.is_empty() {
        shown = with_line(shown, &lines.join("\n"));
    } else if shown.is_empty() {
        shown.push_str("(no output)");
    }
    let status = if cancelled { CallStatus::Cancelled } else { CallStatus::Ok };
    Outcome {
        exit: Some(finished.exit),
        output: output(finished.bytes, finished.blake3),
        truncated,
        ..Outcome::told(status, shown)
    }
}

/// How a command that had this much time ended, unless it ended well.
fn ending(exit: Exit, limit: Duration) -> Option<String> {
    if exit.timed_out {
        let seconds = limit.as_secs_f64();
        return Some(format!("[timed out after {seconds} s; killed]"));
    }
    match (exit.code, exit.signal) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("[exit code {code}]")),
        (None, Some(signal)) => Some(format!("[killed by signal {signal}]")),
        (None, None) => Some("[how it ended is not known]".to_owned()),
    }
}

#[cfg(test)]
mod tests;
