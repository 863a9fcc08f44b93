//! What can go wrong while a model is loaded, trained or saved.

use std::io;
use std::path::PathBuf;

use tch::TchError;
use thiserror::Error;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, TrainError>;

/// Why something of a run failed, in two sentences: what, and what to do.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A tensor did not fit into the memory of its device.
    #[error(
        "The memory of the device is full: {0}. Train an adapter, allow shorter samples only \
         (--sequence-max), or go on with several GPUs (--hand-over)."
    )]
    OutOfMemory(String),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(String),
    /// Something that needs no tensors: a description, a dataset, a run folder.
    #[error(transparent)]
    Training(#[from] training::TrainingError),
    /// A file could not be read or written.
    #[error(
        "Cannot read or write {path}: {source}. Look at the disk that it lies on, and at who may use it."
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file says something else than it should.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The loss is no number any more.
    #[error(
        "The loss of step {step} is {loss}, at {samples}. Look at these samples, or choose a lower \
         learning rate; the last checkpoint is good."
    )]
    Loss {
        /// The step, from 1.
        step: u64,
        /// What it is.
        loss: f64,
        /// The samples of the step.
        samples: String,
    },
}

impl From<TchError> for TrainError {
    fn from(error: TchError) -> Self {
        let text = match error {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        // Only the first line is about us; a trace through libtorch follows.
        let line = text.lines().next().unwrap_or_default().to_owned();
        if text.contains("out of memory") || text.contains("can't allocate memory") {
            Self::OutOfMemory(line)
        } else {
            Self::Torch(line)
        }
    }
}
