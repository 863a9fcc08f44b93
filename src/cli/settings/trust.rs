//! Which workspaces' files the user has trusted: a list in the data folder, by content.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use record::Home;
use serde::{Deserialize, Serialize};

use crate::error::CliError;

const FILE: &str = "trust.json";

/// A file that was trusted as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The workspace.
    pub(crate) workspace: PathBuf,
    /// The BLAKE3 hash of its settings file.
    pub(crate) blake3: String,
    /// When, seconds since 1970.
    pub(crate) at_s: u64,
}

/// What is trusted.
#[derive(Debug)]
pub(crate) struct Trusted {
    place: PathBuf,
    entries: Vec<Entry>,
}

impl Trusted {
    /// Reads the list; an absent one is empty.
    pub(crate) fn read(home: &Path) -> Result<Self, CliError> {
        let place = home.join(FILE);
        let entries = match fs::read(&place) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                CliError::usage(format!(
                    "{} cannot be read: {error}. Remove it and trust your workspaces again.",
                    place.display()
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(CliError::usage(format!("Cannot read {}: {error}.", place.display())));
            }
        };
        Ok(Self { place, entries })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the file of a workspace is trusted with this content.
    pub(crate) fn is_trusted(&self, workspace: &Path, digest: &str) -> bool {
        self.entries.iter().any(|it| it.workspace == workspace && it.blake3 == digest)
    }

    /// Trusts a file, and what it was before no more.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<(), CliError> {
        self.entries.retain(|it| it.workspace != entry.workspace);
        self.entries.push(entry);
        self.write()
    }

    /// Whether there was something to take back.
    pub(crate) fn revoke(&mut self, workspace: &Path) -> Result<bool, CliError> {
        let before = self.entries.len();
        self.entries.retain(|it| it.workspace != workspace);
        if self.entries.len() == before {
            return Ok(false);
        }
        self.write().map(|()| true)
    }

    /// The whole list at once, so that a crash leaves the old one.
    fn write(&self) -> Result<(), CliError> {
        let failed = |error: io::Error| {
            CliError::failed(format!("Cannot write {}: {error}.", self.place.display()))
        };
        let folder = self.place.parent().unwrap_or(Path::new("."));
        // Makes the data folder where there is none yet, readable by its owner only.
        Home::open(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let text = serde_json::to_vec_pretty(&self.entries).map_err(io::Error::from);
        file.write_all(&text.map_err(failed)?).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.place).map(drop).map_err(|error| failed(error.error))
    }
}
