//! Another program is asked something, and not waited for for ever: drivers hang.

use std::fmt;
use std::io;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::compose;

#[cfg(test)]
mod tests;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// It cannot be started.
    Start(io::Error),
    /// It says nothing for so long.
    Silent(Duration),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => write!(f, "cannot be started: {error}"),
            Self::Silent(patience) => write!(f, "has not answered for {} s", patience.as_secs()),
        }
    }
}

/// Runs a program of ours, or of a driver, to its end. One that takes longer is killed, which a
/// program that hangs in the kernel does not notice: it is left behind.
pub(crate) fn ask(command: &mut Command, patience: Duration) -> Result<Output, Unanswered> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(Unanswered::Start)?;
    // Nobody waits for it yet, so the number is its own, and what is opened by it stays this process.
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
    let asked = compose::run(async {
        let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
        tokio::time::timeout(patience, waiting).await
    });
    match asked {
        Ok(Ok(Ok(output))) => output.map_err(Unanswered::Start),
        Ok(Ok(Err(panicked))) => Err(Unanswered::Start(io::Error::other(panicked))),
        Err(failed) => Err(Unanswered::Start(io::Error::other(failed.message))),
        Ok(Err(_)) => {
            // It may have ended at the last moment; then there is nothing to kill.
            let _ = process.map(|process| pidfd_send_signal(process, Signal::KILL));
            Err(Unanswered::Silent(patience))
        }
    }
}
