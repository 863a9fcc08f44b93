//! What can go wrong, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use blob::{Hash, StoreError};

/// Why a checkpoint was not taken, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder that is nobody's workspace.
    #[error("{path} cannot be a workspace for checkpoints: {why}. Work in a folder below it.")]
    NoWorkspace {
        /// The folder.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// The workspace is not there any more.
    #[error("The workspace {path} is gone. Name the folder it was moved to with --workspace.")]
    Gone {
        /// Where it was.
        path: PathBuf,
    },
    /// There is too much in it.
    #[error(
        "The workspace {path} holds more than {limit}, so no checkpoint is taken. Work in a \
         smaller folder, or put a CACHEDIR.TAG into folders that need not be kept."
    )]
    TooMuch {
        /// The workspace.
        path: PathBuf,
        /// The limit, in words.
        limit: String,
    },
    /// The file system says no.
    #[error("Cannot {doing} {path}: {error}. {}", remedy(error))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// The store says no, or holds what is damaged.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A blob that a checkpoint needs is not there.
    #[error(
        "Blob {hash} of the checkpoint is missing. Nothing was changed; choose another checkpoint, \
         or restore the blob from a backup."
    )]
    Missing {
        /// Its name.
        hash: Hash,
    },
    /// A blob is whole and is no part of a checkpoint.
    #[error(
        "Blob {hash} is not what a checkpoint holds: {problem}. Nothing was changed; choose \
         another checkpoint."
    )]
    Malformed {
        /// Its name.
        hash: Hash,
        /// What is wrong.
        problem: &'static str,
    },
    /// A restore could neither be finished nor undone.
    #[error(
        "The restore of {path} stopped half-way: {error} It goes on when it is tried again; to keep \
         the workspace as it is, delete {journal}."
    )]
    HalfRestored {
        /// The workspace.
        path: PathBuf,
        /// Why.
        error: String,
        /// Where it says what is still to be done.
        journal: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("The checkpoint was cancelled. Nothing of it was kept.")]
    Cancelled,
    /// There is no such way to make a copy here.
    #[error("Cannot mount an overlay here: {error}. Use a plain copy.")]
    NoOverlay {
        /// What the system said.
        error: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Free some space.",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Check who owns it, and whether it may be written."
        }
        _ => "Check the disk and the folder.",
    }
}

/// Makes an error of what the file system said about a path.
pub(crate) fn io_error<E: Into<io::Error>>(
    doing: &'static str,
    path: &Path,
) -> impl Fn(E) -> Error + use<E> {
    let path = path.to_owned();
    move |error| Error::Io { doing, path: path.clone(), error: error.into() }
}
