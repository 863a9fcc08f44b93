//! What the user does with the tools: commands of their own, a hand on those that run, and rules
//! while a session goes on.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use sandbox::{OutputChunk, Sandbox, SandboxError, TerminalSize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Parts, Toolbox, broken, guarded};
use crate::outcome::Outcome;
use crate::shell;

impl Toolbox {
    /// Runs a command of the user's own, in the session's sandbox or outside it, like a call of the
    /// shell tool: with its output as it comes, and as a job where it goes on.
    pub async fn run_own(
        &self,
        exec: u32,
        command: &str,
        outside: bool,
        out: mpsc::Sender<OutputChunk>,
        cancel: CancellationToken,
    ) -> Outcome {
        let started = Instant::now();
        let Parts { workspace, sandbox, jobs, gate, .. } = &*self.parts;
        let open = Sandbox::off();
        let sandbox = if outside { &open } else { sandbox };
        let place = shell::Place { workspace, sandbox, jobs, gate };
        let work = shell::run_own(place, exec, command, out, &cancel);
        let outcome = guarded(work).await.unwrap_or_else(|panic| broken("shell", &*panic));
        Outcome { duration: started.elapsed(), ..outcome.bounded() }
    }

    /// The user allows more from here on.
    pub fn allow(&self, more: impl IntoIterator<Item = String>) {
        let mut rules = self.parts.rules.write().unwrap_or_else(PoisonError::into_inner);
        rules.allow.extend(more);
    }

    /// The user types into the terminal of a command that runs, job or not; what is to be recorded
    /// of it.
    ///
    /// # Errors
    /// [`SandboxError::Ended`] when it runs no more, [`SandboxError::InputFull`].
    pub fn type_into(&self, exec: u32, bytes: &[u8]) -> Result<OutputChunk, SandboxError> {
        self.parts.jobs.type_into(exec, bytes)
    }

    /// The user ends a command that runs, job or not.
    ///
    /// # Errors
    /// [`SandboxError::Ended`] when it runs no more.
    pub fn stop_by_user(&self, exec: u32) -> Result<(), SandboxError> {
        self.parts.jobs.stop_by_user(exec)
    }

    /// Changes the size of the terminal of a command that runs, job or not; how long after its start
    /// that was.
    ///
    /// # Errors
    /// [`SandboxError::Ended`] when it runs no more.
    pub fn resize_job(&self, exec: u32, size: TerminalSize) -> Result<Duration, SandboxError> {
        self.parts.jobs.resize(exec, size)
    }
}
