//! How commands fail: one sentence that says what failed, one that says what to do, and the exit
//! code of the contract.

use std::fmt;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It went as it should.
    Completed = 0,
    /// The agent failed, hit a limit; or a command could not do its work.
    Failed = 1,
    /// The command line, a settings file or a prompt is wrong.
    Usage = 2,
    /// The model could not be reached.
    ModelUnreachable = 3,
    /// The recording could not be written.
    RecordingFailed = 4,
    /// Ctrl-C or a signal.
    Interrupted = 130,
}

/// A failure with its exit code.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl CliError {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What a command returns.
pub(crate) type CliResult = Result<Exit, CliError>;

/// Reading and writing recordings outside a running session: plain failures.
impl From<record::RecordError> for CliError {
    fn from(error: record::RecordError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<dataset::DatasetError> for CliError {
    fn from(error: dataset::DatasetError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<training::TrainingError> for CliError {
    fn from(error: training::TrainingError) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<workspace::Error> for CliError {
    fn from(error: workspace::Error) -> Self {
        Self::failed(error.to_string())
    }
}
