//! The runner: how it is started so that it goes on without a terminal.

use std::env;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use training::folder::{LOG, Run};

use crate::error::{CliError, CliResult};
use crate::limn_train::{self, VARIABLE, cannot_start};

/// Starts the runner of a run. In between stands limn itself, which leaves this terminal's session
/// before it becomes the runner: a terminal that is closed ends nothing.
pub(super) fn start(run: &Run, runner: &Path) -> Result<Child, CliError> {
    let log = run.folder().join(LOG);
    let failed = |error: std::io::Error| {
        CliError::failed(format!(
            "Cannot start {}: {error}. See that it can be executed, and {} be written.",
            runner.display(),
            log.display()
        ))
    };
    let out = OpenOptions::new().create(true).append(true).open(&log).map_err(failed)?;
    let own = env::current_exe().map_err(failed)?;
    Command::new(own)
        .args(["train", "runner"])
        .arg(run.folder())
        .env(VARIABLE, runner)
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(out)
        .spawn()
        .map_err(failed)
}

/// Becomes the runner. Comes back only with an error.
pub(super) fn become_it(run: &Run) -> CliError {
    let runner = match limn_train::find() {
        Ok(runner) => runner,
        Err(error) => return error,
    };
    // It may lead a session already, when somebody else started it.
    let _ = rustix::process::setsid();
    let error = Command::new(&runner).arg("run").arg(run.folder()).exec();
    cannot_start(&runner, &error)
}

/// Puts the adapter of a run into its model.
pub(super) fn merge(run: &Run, out: &Path) -> CliResult {
    let runner = limn_train::find()?;
    let status =
        Command::new(&runner).arg("merge").arg(run.folder()).arg("--out").arg(out).status();
    limn_train::exit_of(status.map_err(|error| cannot_start(&runner, &error))?)
}
