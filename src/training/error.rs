//! What can go wrong before, beside and after the arithmetic of a fine-tune.

use std::path::{Path, PathBuf};

/// Why something about a fine-tune cannot be done. Each message says what failed, then what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The system refused a file or a folder.
    #[error("Cannot {action} {}: {source}. {}", path.display(), remedy(source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A model's description is not one that can be trained.
    #[error("{} cannot be trained: {reason}. {remedy}", path.display())]
    Model {
        /// The file that says so.
        path: PathBuf,
        /// What is wrong, without a full stop.
        reason: String,
        /// What to do, a whole sentence.
        remedy: String,
    },
    /// The weights are not those of the description.
    #[error("The weights in {} are not those of its config.json: {what}. Download the model again, or convert it again.", path.display())]
    Tensors {
        /// The folder or file of weights.
        path: PathBuf,
        /// Which tensors, and how they differ.
        what: String,
    },
    /// A recipe cannot be followed.
    #[error("The recipe cannot be followed: {key} {reason}. {remedy}")]
    Recipe {
        /// The key.
        key: String,
        /// What is wrong with it, without a full stop.
        reason: String,
        /// What to do, a whole sentence.
        remedy: String,
    },
    /// A dataset as a whole cannot be used.
    #[error("{} cannot be trained on: {reason}. {remedy}", path.display())]
    Dataset {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, without a full stop.
        reason: String,
        /// What to do, a whole sentence.
        remedy: String,
    },
    /// A line of a dataset cannot be used.
    #[error("{}:{line}: {reason}. {remedy}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, without a full stop.
        reason: String,
        /// What to do, a whole sentence.
        remedy: String,
    },
    /// The template cannot write a line as tokens.
    #[error("{}:{line}: {error}", path.display())]
    LineChat {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        error: chat::ChatError,
    },
    /// A model's tokenizer or template cannot be used.
    #[error(transparent)]
    Chat(#[from] chat::ChatError),
    /// A run folder is not one, or is in the way.
    #[error("{} {reason}. {remedy}", path.display())]
    Run {
        /// The folder.
        path: PathBuf,
        /// What is wrong, without a full stop.
        reason: String,
        /// What to do, a whole sentence.
        remedy: String,
    },
}

impl TrainingError {
    /// What the system refused.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn model(path: &Path, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Model { path: path.to_owned(), reason: reason.into(), remedy: remedy.into() }
    }

    pub(crate) fn recipe(key: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Recipe { key: key.to_owned(), reason: reason.into(), remedy: remedy.into() }
    }

    pub(crate) fn dataset(
        path: &Path,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Dataset { path: path.to_owned(), reason: reason.into(), remedy: remedy.into() }
    }

    pub(crate) fn run(path: &Path, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Run { path: path.to_owned(), reason: reason.into(), remedy: remedy.into() }
    }
}

/// What helps against an error of the system.
fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "Make room on that disk and start again; what was saved before is whole."
        }
        std::io::ErrorKind::NotFound => "Check the path.",
        std::io::ErrorKind::PermissionDenied => "Check who may read and write there.",
        _ => "Check the disk it lies on.",
    }
}
