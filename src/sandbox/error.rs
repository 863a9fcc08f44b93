//! What can go wrong between a command and its end.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::policy::Refusal;

/// A command that could not be run, or could not be followed to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Policy says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The command has no words.
    #[error("the command is empty; give at least a program")]
    EmptyCommand,
    /// A word or a variable holds a NUL byte, which no program can be given.
    #[error("{0} holds a NUL byte; remove it")]
    Nul(&'static str),
    /// There is no such program.
    #[error("the program `{program}` was not found {place}; check its name, or install it")]
    ProgramNotFound {
        /// The program as it was asked for.
        program: String,
        /// Where it was looked for.
        place: String,
    },
    /// There is a file of that name, but it is no program.
    #[error("`{0}` cannot be executed; is it a program, and is its executable bit set?")]
    NotExecutable(PathBuf),
    /// The folder to run in is gone.
    #[error("the working folder `{path}` cannot be used ({reason}); create it, or run elsewhere")]
    WorkingFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gave no terminal.
    #[error("no pseudo-terminal could be opened ({0}); close some programs and try again")]
    Terminal(String),
    /// The program could not be started.
    #[error("`{program}` could not be started: {reason}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// The terminal takes no more input: nobody reads it.
    #[error("the command does not read its input, and {0} bytes already wait for it")]
    InputFull(usize),
    /// [`crate::kill_all`] was called.
    #[error("limn is ending, and no command is started any more")]
    Ending,
    /// The command has ended.
    #[error("the command has already ended")]
    Ended,
    /// The thread that follows a command died; the command's tree was killed.
    #[error("the reader of the command's terminal stopped before the command's end")]
    ReaderLost,
    /// The sandbox could not be set up, and nothing was run.
    #[error("the sandbox could not be set up ({0}); `limn doctor` says what this machine can do")]
    Isolation(String),
    /// The process that holds the sandbox is gone, and everything that ran in it with it.
    #[error(
        "the sandbox ended while the command ran, and everything in it was killed; run it again"
    )]
    IsolationLost,
    /// The process that holds the sandbox was gone before it took the command.
    #[error("the sandbox had ended, and the command was not started; run it again")]
    IsolationGone,
    /// The process that holds the sandbox took the command and did not say that it began.
    #[error(
        "the sandbox did not answer, and the command has most likely not begun; look whether it \
         has begun before you run it again"
    )]
    NotStarted,
    /// The system refused something that it always grants.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
