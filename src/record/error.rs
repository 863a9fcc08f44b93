//! What can go wrong: a sentence for what failed, a sentence for what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use trajectory::SessionId;

/// Why something could not be recorded or read back.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecordError {
    /// Another process is writing the session.
    #[error(
        "Session {id} is being written by another limn. Follow it with `limn resume {id}`, or end \
         the other one first."
    )]
    Locked {
        /// The session.
        id: SessionId,
    },
    /// There is no such session.
    #[error("No session matches {wanted:?}. `limn sessions` lists them.")]
    NotFound {
        /// What was asked for.
        wanted: String,
    },
    /// Several sessions begin like that.
    #[error("{prefix:?} fits {count} sessions: {listed}. Give more of the id.")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many fit.
        count: usize,
        /// The first few of them, separated by commas.
        listed: String,
    },
    /// The folder that was named as the data folder holds other things.
    #[error(
        "{} is not empty and is no data folder of limn's; it was left as it is. Set LIMN_HOME to an \
         empty or a new folder.",
        path.display()
    )]
    NotAHome {
        /// The folder.
        path: PathBuf,
    },
    /// A newer limn wrote the file.
    #[error(
        "{} has format {found}; this limn knows formats up to {known}. Update limn to open it.",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format this version knows.
        known: i64,
    },
    /// It is not one of our files, or no longer whole.
    #[error("{} cannot be read as {expected}: {problem}. {hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The session was being created when its process died: nothing was recorded in it.
    #[error("{} holds no session yet: its process died while it began. Delete it.", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The session began on another device.
    #[error(
        "Session {id} began on another device and is not appended to here. `limn fork {id}` begins one that goes on from it."
    )]
    OtherDevice {
        /// The session.
        id: SessionId,
    },
    /// A session with this id was begun before.
    #[error("Session {id} is there already. Resume it with `limn exec --resume {id}`.")]
    Exists {
        /// The session.
        id: SessionId,
    },
    /// The session is there already, and is another one.
    #[error(
        "Session {id} is here already and differs from the one being imported. One of the two was \
         altered: compare them with `limn show {id}`."
    )]
    Conflict {
        /// The session.
        id: SessionId,
    },
    /// The rows of an import do not make a session.
    #[error("The import is refused, nothing was changed: {problem}")]
    BadImport {
        /// What is wrong with them.
        problem: String,
    },
    /// What was to be recorded contradicts what is on record. Nothing of it was written.
    #[error("This cannot be recorded in session {id}: {problem} This is a bug in limn: report it.")]
    Refused {
        /// The session.
        id: SessionId,
        /// The contradiction.
        problem: String,
    },
    /// SQLite or the file system failed.
    #[error("Cannot {doing} {}: {problem}. {hint}", path.display())]
    Storage {
        /// What was being done.
        doing: &'static str,
        /// With what file or folder.
        path: PathBuf,
        /// What failed.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The SQLite library has a known fault.
    #[error(
        "SQLite {found} can lose commits; limn needs {needed} or newer. Rebuild limn with its \
         bundled SQLite."
    )]
    OldSqlite {
        /// The version that is linked.
        found: String,
        /// The oldest version without the fault.
        needed: &'static str,
    },
}

impl RecordError {
    /// An error of the file system.
    pub(crate) fn io(doing: &'static str, path: &Path, error: &io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FULL,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => READ_ONLY,
            _ => "Check the disk and the path.",
        };
        let problem = error.to_string();
        Self::Storage { doing, path: path.to_owned(), problem, hint: hint.to_owned() }
    }

    /// An error of SQLite.
    pub(crate) fn sqlite(doing: &'static str, path: &Path, error: &rusqlite::Error) -> Self {
        let hint = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                return Self::Damaged {
                    path: path.to_owned(),
                    expected: "a limn database",
                    problem: error.to_string(),
                    hint: DAMAGED,
                };
            }
            Some(ErrorCode::DiskFull) => FULL,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => READ_ONLY,
            Some(ErrorCode::CannotOpen) => "Check that the file and its folder can be opened.",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "Another program keeps it locked: close that one."
            }
            Some(ErrorCode::SystemIoFailure) => "Check the disk, its quota and its free space.",
            _ => "`limn doctor --store` says more.",
        };
        let problem = match error {
            rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
            other => other.to_string(),
        };
        Self::Storage { doing, path: path.to_owned(), problem, hint: hint.to_owned() }
    }

    /// The same error with the way back into the session.
    pub(crate) fn while_recording(self, id: SessionId) -> Self {
        match self {
            Self::Storage { doing, path, problem, hint } => {
                let hint = format!("{hint} Then resume with `limn exec --resume {id}`.");
                Self::Storage { doing, path, problem, hint }
            }
            other => other,
        }
    }

    /// The file is not what it should be.
    pub(crate) fn damaged(path: &Path, expected: &'static str, problem: impl ToString) -> Self {
        let problem = problem.to_string();
        Self::Damaged { path: path.to_owned(), expected, problem, hint: DAMAGED }
    }
}

const FULL: &str = "Free some space there.";
const READ_ONLY: &str = "Make the file and its folder writable, or set LIMN_HOME to one that is.";
const DAMAGED: &str = "Restore it from a backup; no other session is affected.";
