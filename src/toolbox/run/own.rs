//! What the user does with the tools: commands of their own, and rules while a session goes on.

use std::sync::PoisonError;
use std::time::Instant;

use sandbox::{OutputChunk, Sandbox};
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
        if !outside {
            gate.attend(sandbox);
        }
        let place = shell::Place { workspace, sandbox, jobs };
        let work = shell::run_own(place, exec, command, out, &cancel);
        let outcome = guarded(work).await.unwrap_or_else(|panic| broken("shell", &*panic));
        Outcome { duration: started.elapsed(), ..outcome.bounded() }
    }

    /// The user allows more from here on.
    pub fn allow(&self, more: impl IntoIterator<Item = String>) {
        let mut rules = self.parts.rules.write().unwrap_or_else(PoisonError::into_inner);
        rules.allow.extend(more);
    }
}
