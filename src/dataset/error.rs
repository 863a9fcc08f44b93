//! What can go wrong with a dataset.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A failed export or import. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A recording could not be read or written.
    #[error(transparent)]
    Record(#[from] record::RecordError),
    /// A file could not be read or written.
    #[error("Cannot {doing} {path}: {source}.", path = path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The disk is full.
    #[error(
        "There is no space left for {}. Nothing was written: free some, or name a folder on another disk with --out.", .0.display()
    )]
    NoSpace(PathBuf),
    /// The target of an export is in the way.
    #[error("{} is there already and not an empty folder. Name another folder with --out.", .0.display())]
    TargetExists(PathBuf),
    /// A bundle is not what it should be.
    #[error("{path}, line {line}: {what}. The bundle is damaged or not a bundle; export it again.", path = path.display())]
    BadBundle {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected and what came.
        what: String,
    },
    /// An export does not hold what it should: a defect, found before anything was put in place.
    #[error(
        "The export of session {session} does not read back as it was written: {what}. Please report this."
    )]
    ReadBack {
        /// The session.
        session: String,
        /// What differs.
        what: String,
    },
    /// An export holds something else than its ledger says: a defect, found in time.
    #[error(
        "The export holds {found} {what}, and its ledger counts {counted}: nothing was written. Please report this."
    )]
    LedgerDiffers {
        /// What is counted, as the ledger calls it.
        what: &'static str,
        /// How much was read back.
        found: usize,
        /// How much the ledger says.
        counted: u64,
    },
    /// A sample cannot be written as the model reads it.
    #[error("Session {session}, sample {sample}: {error}")]
    Chat {
        /// The session.
        session: String,
        /// The sample of it, from 0.
        sample: usize,
        /// Why.
        error: chat::ChatError,
    },
    /// A file of rows has a line that is none.
    #[error("{path}, line {line}: no row of this format. Run `limn dataset verify` on its folder, or export it again.", path = path.display())]
    BadRow {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A folder is no export, or not one of the kind that is asked for.
    #[error("{folder} {what}. Name a folder that `limn export` wrote.", folder = folder.display())]
    NoExport {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An export of a format that is not known.
    #[error("The format {0:?} is not known. Update limn.")]
    UnknownFormat(String),
    /// A manifest names a session or an event that cannot be one.
    #[error(
        "The manifest names the session {0:?}, or its last event, which is none. Run `limn dataset verify` on its folder."
    )]
    BadSession(String),
    /// A session that was named is private.
    #[error(
        "Session {0} is private and goes into no dataset. `limn export --format bundle --session {0}` makes a backup."
    )]
    Private(String),
    /// A session of a version that is exported again became private.
    #[error(
        "Session {session} is private now. Make a version without it: `limn export --format {format} --parent DIR`."
    )]
    PrivateNow {
        /// The session.
        session: String,
        /// The format of the version.
        format: String,
    },
    /// A session does not have the event up to which it was exported.
    #[error(
        "Session {session} has no event {head}: it is not the one that was exported. Import its bundle, or make a new version."
    )]
    HeadGone {
        /// The session.
        session: String,
        /// The event.
        head: String,
    },
    /// A session went on after its bundle was written.
    #[error(
        "Session {session} went on since: a bundle has all of it. Export it anew, without --again."
    )]
    WentOn {
        /// The session.
        session: String,
    },
    /// Exported again, a version is not what it was.
    #[error(
        "Exported again, version {id} is not what it was: {what}, and nothing was written. Make a new version with `limn export --parent DIR`."
    )]
    NotTheSame {
        /// The version.
        id: String,
        /// What differs.
        what: String,
    },
    /// After the gates, there is nothing left.
    #[error(
        "Nothing is left to export: {what}. Waive a gate with --waive GATE=REASON, or choose other sessions."
    )]
    NothingLeft {
        /// What the gates found.
        what: String,
    },
    /// The tokens are those of another tokenizer.
    #[error("{} was made with another tokenizer. Name the one that its manifest.json gives the hash of.", .0.display())]
    OtherTokenizer(PathBuf),
    /// A request on record is not what the fold over the events gives.
    #[error(
        "Session {session}, request {request}: the context on record is not the one its events give. Run `limn doctor --store`."
    )]
    ContextMismatch {
        /// The session.
        session: String,
        /// The request.
        request: u32,
    },
}

impl DatasetError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            return Self::NoSpace(path.to_owned());
        }
        Self::Io { doing, path: path.to_owned(), source }
    }
}
