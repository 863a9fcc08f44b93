//! Type into a job, read what is new on its terminal, or end it.
//!
//! A call returns when the job waits for input, when it has ended, when it has printed something
//! and been quiet for a while, or when the time is over, whatever comes first; the last line says
//! which. Text that was shown once is not shown again. A call that is cancelled leaves the job
//! alone and still answers with what is new.

use std::time::{Duration, Instant};

use sandbox::SandboxError;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::CallStatus;

use crate::jobs::{Job, Jobs, Looking, ended_with};
use crate::outcome::Outcome;
use crate::shell::{truncation, with_line};

mod keys;

const WAIT_MS: u64 = 2_000;
const WAIT_MS_MAX: u64 = 600_000;
/// How long a job must be quiet: a tenth of the wait, within these bounds.
const QUIET_MIN: Duration = Duration::from_millis(300);
const QUIET_MAX: Duration = Duration::from_secs(3);
/// The same after something was typed: the terminal's echo is no answer yet.
const QUIET_TYPED_MIN: Duration = Duration::from_secs(1);

/// Types into a job's terminal and returns what is new on it, or its screen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Number of the job.
    pub(crate) job: u32,
    /// Text to type; \n is Enter.
    pub(crate) input: Option<String>,
    /// Keys to press then, such as: ctrl-c up esc enter.
    pub(crate) keys: Option<String>,
    /// Longest wait until it is quiet; 2000 if absent.
    pub(crate) wait_ms: Option<u64>,
    /// End the job.
    pub(crate) stop: Option<bool>,
}

/// Runs the tool.
pub(crate) async fn run(jobs: &Jobs, input: &Input, cancel: &CancellationToken) -> Outcome {
    let error = |text: String| Outcome::told(CallStatus::Error, text);
    let job = match jobs.find(input.job) {
        Ok(job) => job,
        Err(problem) => return error(problem),
    };
    let typed = match typed(input, job.remote.application_cursor()) {
        Ok(typed) => typed,
        Err(problem) => return error(problem),
    };
    let looking = job.look();
    if input.stop == Some(true) {
        job.stop_as_asked();
        tokio::select! {
            () = job.ended() => {}
            () = cancel.cancelled() => {}
        }
    } else {
        if !typed.is_empty() && !job.has_ended() {
            match job.remote.write(&typed) {
                Ok(()) => jobs.tell_input(&job, &typed).await,
                // Its end is on its way, and says more than an error.
                Err(SandboxError::Ended) => {}
                Err(problem) => return error(format!("Nothing was typed: {problem}.")),
            }
        }
        let wait = Duration::from_millis(input.wait_ms.unwrap_or(WAIT_MS).min(WAIT_MS_MAX));
        tokio::select! {
            () = settle(&job, wait, !typed.is_empty()) => {}
            () = cancel.cancelled() => {}
        }
    }
    let outcome = report(jobs, looking);
    let status = if cancel.is_cancelled() { CallStatus::Cancelled } else { CallStatus::Ok };
    Outcome { status, ..outcome }
}

/// The bytes that the keyboard would send.
fn typed(input: &Input, application_cursor: bool) -> Result<Vec<u8>, String> {
    let text = input.input.as_deref().unwrap_or_default();
    let mut bytes = text.replace("\r\n", "\r").replace('\n', "\r").into_bytes();
    bytes.extend(keys::bytes(input.keys.as_deref().unwrap_or_default(), application_cursor)?);
    Ok(bytes)
}

/// Until there is something to tell, or the time is over.
async fn settle(job: &Job, wait: Duration, was_typed: bool) {
    let mut watcher = job.remote.watch();
    let limit = Instant::now() + wait;
    let mut quiet = (wait / 10).clamp(QUIET_MIN, QUIET_MAX);
    if was_typed {
        quiet = quiet.max(QUIET_TYPED_MIN);
    }
    loop {
        if job.has_ended() || watcher.borrow_and_update().waits {
            return;
        }
        let due = match job.has_news() {
            true => limit.min(job.remote.stirred() + quiet),
            false => limit,
        };
        if due <= Instant::now() {
            return;
        }
        // What is printed wakes nobody: it only moves the time, which is looked at again then.
        let pause = due.min(Instant::now() + quiet);
        tokio::select! {
            _ = watcher.changed() => {}
            () = job.ended() => {}
            () = tokio::time::sleep_until(pause.into()) => {}
        }
    }
}

fn report(jobs: &Jobs, looking: Looking) -> Outcome {
    let exec = looking.exec;
    let status = looking.remote.watch().borrow().clone();
    let (text, end) = looking.take();
    let what = match (&end, status.left) {
        (Some(how), _) => {
            jobs.forget(exec);
            how.clone()
        }
        (None, Some(left)) => {
            format!("{}; {} goes on", ended_with(left.exit), left.names.join(", "))
        }
        (None, None) if status.waits => "waits for input".to_owned(),
        (None, None) => "runs".to_owned(),
    };
    let nothing = if text.text.is_empty() && end.is_none() { "; nothing new" } else { "" };
    let line = format!("[job {exec} {what}{nothing}]");
    Outcome {
        truncated: truncation(text.truncation),
        ..Outcome::told(CallStatus::Ok, with_line(text.text, &line))
    }
}

#[cfg(test)]
mod tests;
