//! A command as it is asked for.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use screen::TerminalSize;

use crate::error::SandboxError;

/// What to run, where, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// The folder it runs in.
    pub cwd: PathBuf,
    /// Its complete environment; `TERM` and `LIMN_EXEC` are set on top of it.
    pub env: Vec<(OsString, OsString)>,
    /// The size of its terminal.
    pub size: TerminalSize,
    /// How long it may run; then its whole tree is ended.
    pub timeout: Option<Duration>,
    /// What it leaves in the background goes on after its end, until that ends too or is killed.
    /// Otherwise it is killed with the command, as everywhere but on Linux.
    pub lingers: bool,
    /// The number of the execution, by which the proxy of the network tells who asks.
    pub exec: Option<u32>,
}

impl CommandSpec {
    /// Finds the program, so that what is wrong is said before anything is started.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        let program = self.argv.first().filter(|word| !word.is_empty());
        let program = program.ok_or(SandboxError::EmptyCommand)?;
        let has_nul = |text: &OsStr| text.as_bytes().contains(&0);
        if self.argv.iter().any(|word| has_nul(word)) {
            return Err(SandboxError::Nul("the command"));
        }
        if self.env.iter().any(|(name, value)| has_nul(name) || has_nul(value)) {
            return Err(SandboxError::Nul("the environment"));
        }
        self.check_cwd()?;
        self.check_program(program)
    }

    fn check_cwd(&self) -> Result<(), SandboxError> {
        let reason = match std::fs::metadata(&self.cwd) {
            Ok(metadata) if !metadata.is_dir() => "it is not a folder".to_owned(),
            Ok(_) => match access(&self.cwd, Access::EXEC_OK) {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        Err(SandboxError::WorkingFolder { path: self.cwd.clone(), reason })
    }

    fn check_program(&self, program: &OsStr) -> Result<(), SandboxError> {
        let not_found = |place: String| SandboxError::ProgramNotFound {
            program: program.to_string_lossy().into_owned(),
            place,
        };
        if program.as_bytes().contains(&b'/') {
            let path = self.cwd.join(program);
            return match path.exists() {
                false => Err(not_found(format!("in `{}`", self.cwd.display()))),
                true if is_program(&path) => check_interpreter(&path),
                true => Err(SandboxError::NotExecutable(path)),
            };
        }
        let Some((_, path)) = self.env.iter().rev().find(|(name, _)| name == "PATH") else {
            return Err(not_found("(its environment has no PATH)".to_owned()));
        };
        std::env::split_paths(path)
            .map(|folder| self.cwd.join(folder).join(program))
            .find(|candidate| is_program(candidate))
            .map_or_else(
                || Err(not_found("on the PATH".to_owned())),
                |found| check_interpreter(&found),
            )
    }
}

/// Finds the interpreter that a script names. The start itself cannot report that it is missing:
/// portable-pty closes the pipe by which the standard library learns of it.
fn check_interpreter(program: &Path) -> Result<(), SandboxError> {
    let mut first = Vec::new();
    // A program that may be executed but not read is none of ours to judge.
    let read = File::open(program).and_then(|file| file.take(256).read_to_end(&mut first));
    let (Ok(_), Some(line)) = (read, first.strip_prefix(b"#!")) else { return Ok(()) };
    let word =
        line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).unwrap_or_default();
    let interpreter = Path::new(OsStr::from_bytes(word));
    if is_program(interpreter) {
        return Ok(());
    }
    Err(SandboxError::ProgramNotFound {
        program: interpreter.display().to_string(),
        place: format!("(the interpreter that `{}` names in its first line)", program.display()),
    })
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
