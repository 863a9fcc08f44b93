//! Expanded checkpoints: each is written out once, never changed, and the ground of any number of
//! throw-away copies.
//!
//! They lie in `snapshots/` of the data folder by the name of their checkpoint. A lock file beside
//! each is held shared by whoever uses it; its time says when that last began.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blob::{Hash, Store};
use rustix::fs::FlockOperation;

use crate::copy::{copy, remove_all};
use crate::error::{Error, io_error};
use crate::manifest::Manifest;
use crate::place::private_folder;

const FOLDER: &str = "snapshots";

/// An expanded checkpoint. It stays as long as this is held. Nobody may write in it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    path: PathBuf,
    _lock: File,
}

impl Snapshot {
    /// Finds the expanded checkpoint, or writes it out.
    ///
    /// # Errors
    /// When the checkpoint is missing or damaged, or the data folder cannot be written.
    pub(crate) fn of(data: &Path, tree: &Hash) -> Result<Self, Error> {
        let folder = data.join(FOLDER);
        private_folder(&folder)?;
        let path = folder.join(tree.to_string());
        let lock_path = folder.join(format!("{tree}.lock"));
        let lock = open_lock(&lock_path)?;
        let lock_failed = io_error("lock", &lock_path);
        rustix::fs::flock(&lock, FlockOperation::LockShared).map_err(&lock_failed)?;
        if !path.is_dir() {
            // One writes it out, the others wait.
            rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(&lock_failed)?;
            if !path.is_dir() {
                let store = Store::new(data.join("blobs"));
                let manifest = Manifest::load(&store, tree)?;
                let unfinished = folder.join(format!("{tree}.new"));
                remove_all(&unfinished);
                copy(&store, &manifest, &unfinished, None)?;
                fs::rename(&unfinished, &path).map_err(io_error("name", &path))?;
            }
            rustix::fs::flock(&lock, FlockOperation::LockShared).map_err(&lock_failed)?;
        }
        lock.set_modified(SystemTime::now()).map_err(io_error("touch", &lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn open_lock(path: &Path) -> Result<File, Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map_err(io_error("lock", path))
}

/// Deletes the expanded copy of a checkpoint that is gone, unless somebody is using it.
pub(crate) fn remove(data: &Path, tree: &Hash) -> Result<(), Error> {
    let lock_path = data.join(FOLDER).join(format!("{tree}.lock"));
    if !lock_path.exists() {
        return Ok(());
    }
    let lock = open_lock(&lock_path)?;
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
        remove_all(&lock_path.with_extension("new"));
        remove_all(&lock_path.with_extension(""));
    }
    Ok(())
}

/// Deletes those that nobody uses and nobody used lately. Returns how many.
pub(crate) fn sweep(data: &Path, older_than: SystemTime) -> Result<u64, Error> {
    let folder = data.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(io_error("list", &folder))?,
    };
    let mut removed = 0;
    for entry in entries {
        let lock_path = entry.map_err(io_error("list", &folder))?.path();
        if lock_path.extension().is_none_or(|extension| extension != "lock") {
            continue;
        }
        let lock = open_lock(&lock_path)?;
        let used = lock.metadata().and_then(|metadata| metadata.modified());
        let is_young = used.map_or(true, |used| used >= older_than);
        let taken = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
        if is_young || taken.is_err() {
            continue;
        }
        let path = lock_path.with_extension("");
        remove_all(&lock_path.with_extension("new"));
        removed += u64::from(path.is_dir());
        remove_all(&path);
        // The empty lock stays: whoever waits for it must find the same file as everybody else.
    }
    Ok(removed)
}
