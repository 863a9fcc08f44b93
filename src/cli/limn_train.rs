//! `limn-train`, the program with libtorch in it: where it lies. It trains, and it serves.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{CliError, CliResult, Exit};

/// The name of the program.
const PROGRAM: &str = "limn-train";

/// The variable that names it.
pub(crate) const VARIABLE: &str = "LIMN_TRAIN";

/// The program: as the variable says, else beside limn.
pub(crate) fn find() -> Result<PathBuf, CliError> {
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
            "{PROGRAM}, which trains and serves, is not beside limn. Build it (`cargo xtask \
             libtorch`, then `cargo build --release --package limn-train --features torch`), or \
             name it in {VARIABLE}."
        ))
    })
}

/// What is said when it cannot be started.
pub(crate) fn cannot_start(program: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!(
        "Cannot start {}: {error}. See that it can be executed.",
        program.display()
    ))
}

/// Its exit code as one of ours; it said why.
pub(crate) fn exit_of(status: std::process::ExitStatus) -> CliResult {
    Ok(match status.code() {
        Some(0) => Exit::Completed,
        Some(2) => Exit::Usage,
        _ => Exit::Failed,
    })
}
