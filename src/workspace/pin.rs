//! Checkpoints that somebody works with while no recording names them: they are not collected.
//!
//! Whoever holds some has a file beside the store's lock that lists them, and locks it. One that
//! nobody locks was left by somebody who was killed, and goes with the next collection.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use blob::{Hash, Store};
use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use crate::error::{Error, io_error};
use crate::manifest::Manifest;
use crate::place::{FOLDER, lock_store};

const EXTENSION: &str = "pin";

/// Checkpoints that nobody collects as long as this is held.
#[derive(Debug)]
pub struct Pin {
    _file: NamedTempFile,
}

impl Pin {
    /// Holds checkpoints.
    ///
    /// # Errors
    /// When one of them is not there, or the data folder cannot be written.
    pub fn hold(data: &Path, trees: impl IntoIterator<Item = Hash>) -> Result<Self, Error> {
        // Nobody collects meanwhile, so nobody finds it half made.
        let shared = FlockOperation::NonBlockingLockShared;
        let _lock = lock_store(data, shared, &AtomicBool::new(false))?;
        let store = Store::new(data.join("blobs"));
        let mut names = String::new();
        for tree in trees {
            Manifest::load(&store, &tree)?;
            names.push_str(&format!("{tree}\n"));
        }
        let folder = data.join(FOLDER);
        let write = || -> io::Result<NamedTempFile> {
            let ending = format!(".{EXTENSION}");
            let mut file = tempfile::Builder::new().suffix(&ending).tempfile_in(&folder)?;
            rustix::fs::flock(file.as_file(), FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(names.as_bytes())?;
            Ok(file)
        };
        write().map(|file| Self { _file: file }).map_err(io_error("write into", &folder))
    }
}

/// The checkpoints that are held. What those left who were killed is deleted.
pub(crate) fn held(data: &Path) -> Result<Vec<Hash>, Error> {
    let folder = data.join(FOLDER);
    let mut held = Vec::new();
    for entry in fs::read_dir(&folder).map_err(io_error("list", &folder))? {
        let path = entry.map_err(io_error("list", &folder))?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        match read(&path) {
            // It was let go just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            trees => held.extend(trees.map_err(io_error("read", &path))?),
        }
    }
    Ok(held)
}

fn read(path: &Path) -> io::Result<Vec<Hash>> {
    let file = File::open(path)?;
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        fs::remove_file(path)?;
        return Ok(Vec::new());
    }
    let names = io::read_to_string(file)?;
    Ok(names.lines().filter_map(|name| name.parse().ok()).collect())
}

#[cfg(test)]
mod tests;
