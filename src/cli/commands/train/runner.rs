//! `limn-train`: where it is, and how it is started so that it goes on without a terminal.

use std::env;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use training::folder::{LOG, Run};

use crate::error::{CliError, CliResult, Exit};

/// The name of the program.
const PROGRAM: &str = "limn-train";

/// The variable that names it.
const VARIABLE: &str = "LIMN_TRAIN";

/// The program: as the variable says, else beside limn.
pub(super) fn find() -> Result<PathBuf, CliError> {
    if let Some(said) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(said);
        if path.is_file() {
            return Ok(path);
        }
        return Err(CliError::usage(format!(
            "{VARIABLE} names {}, which is no file. Name the program limn-train.",
            path.display()
        )));
    }
    let own = env::current_exe().and_then(|path| path.canonicalize());
    let beside = own.ok().and_then(|own| Some(own.parent()?.join(PROGRAM)));
    beside.filter(|path| path.is_file()).ok_or_else(|| {
        CliError::failed(format!(
            "{PROGRAM}, which trains, is not beside limn. Build it (`cargo xtask libtorch`, then \
             `cargo build --release --package limn-train --features torch`), or name it in {VARIABLE}."
        ))
    })
}

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
    let runner = match find() {
        Ok(runner) => runner,
        Err(error) => return error,
    };
    // It may lead a session already, when somebody else started it.
    let _ = rustix::process::setsid();
    let error = Command::new(&runner).arg("run").arg(run.folder()).exec();
    CliError::failed(format!(
        "Cannot start {}: {error}. See that it can be executed.",
        runner.display()
    ))
}

/// Puts the adapter of a run into its model.
pub(super) fn merge(run: &Run, out: &Path) -> CliResult {
    let runner = find()?;
    let status =
        Command::new(&runner).arg("merge").arg(run.folder()).arg("--out").arg(out).status();
    let status = status.map_err(|error| {
        CliError::failed(format!(
            "Cannot start {}: {error}. See that it can be executed.",
            runner.display()
        ))
    })?;
    match status.code() {
        Some(0) => Ok(Exit::Completed),
        Some(2) => Ok(Exit::Usage),
        // It said why.
        _ => Ok(Exit::Failed),
    }
}
