//! Which folder is meant, where what is known of it lies, and who may be at work there.
//!
//! Two locks, always taken in this order. One for each workspace keeps two processes from taking or
//! restoring at once. One for the store is shared by all who use it and held alone by the
//! collector, so that nothing is deleted between being found and being used.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use blob::{Hash, Store};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::{Error, io_error};
use crate::policy::Policy;

/// The folder in the data folder that holds what is known of workspaces.
pub(crate) const FOLDER: &str = "workspaces";

/// How often it is tried to get a lock that another process holds.
const LOCK_TRIED_EVERY: Duration = Duration::from_millis(10);

/// A folder whose checkpoints are taken and restored.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub(crate) root: PathBuf,
    /// What is known of it: `index`, `lock`, and `restore` while one is under way.
    pub(crate) state: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) store: Store,
    pub(crate) policy: Policy,
    pub(crate) durable: bool,
}

impl Workspace {
    /// Opens a folder. `data` is limn's data folder; `durable` checkpoints survive a power cut.
    ///
    /// # Errors
    /// When it is no folder, or one that is nobody's workspace: the root, a home or a folder above
    /// one, or limn's own data folder.
    pub fn open(root: &Path, data: &Path, policy: Policy, durable: bool) -> Result<Self, Error> {
        let gone = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Error::Gone { path: root.to_owned() },
            _ => io_error("open the workspace", root)(error),
        };
        let canonical = fs::canonicalize(root).map_err(gone)?;
        if !canonical.is_dir() {
            return Err(Error::NoWorkspace { path: canonical, why: "it is not a folder" });
        }
        let data = fs::canonicalize(data).map_err(io_error("open the data folder", data))?;
        if let Some(why) = refused(&canonical, &data, std::env::home_dir().as_deref()) {
            return Err(Error::NoWorkspace { path: canonical, why });
        }
        let key = Hash::of(canonical.as_os_str().as_bytes()).to_string();
        let state = data.join(FOLDER).join(key.get(..32).unwrap_or(&key));
        let store = Store::new(data.join("blobs"));
        Ok(Self { root: canonical, state, data, store, policy, durable })
    }

    /// Where the contents lie.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps everybody else from this workspace until it is dropped. Waits for it until `cancel` is
    /// set.
    pub(crate) fn lock(&self, cancel: &AtomicBool) -> Result<Locked, Error> {
        private_folder(&self.state)?;
        let alone = FlockOperation::NonBlockingLockExclusive;
        let own = lock_file(&self.state.join("lock"), alone, cancel)?;
        let store = lock_store(&self.data, FlockOperation::NonBlockingLockShared, cancel)?;
        Ok(Locked { _own: own, _store: store })
    }
}

/// The locks, as long as they are held.
#[derive(Debug)]
pub(crate) struct Locked {
    _own: File,
    _store: File,
}

/// Takes the store's lock, waiting for it until `cancel` is set.
pub(crate) fn lock_store(
    data: &Path,
    how: FlockOperation,
    cancel: &AtomicBool,
) -> Result<File, Error> {
    private_folder(&data.join(FOLDER))?;
    lock_file(&data.join(FOLDER).join("lock"), how, cancel)
}

/// `how` does not block: who waits in the kernel does not see that somebody asked to stop.
fn lock_file(path: &Path, how: FlockOperation, cancel: &AtomicBool) -> Result<File, Error> {
    let failed = io_error("lock", path);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(&failed)?;
    loop {
        match rustix::fs::flock(&file, how) {
            Ok(()) => return Ok(file),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if cancel.load(Ordering::Relaxed) => {
                return Err(Error::Cancelled);
            }
            Err(Errno::WOULDBLOCK) => std::thread::park_timeout(LOCK_TRIED_EVERY),
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Makes a folder that its owner alone can enter.
pub(crate) fn private_folder(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(io_error("make", path))
}

/// Why a folder is nobody's workspace.
fn refused(root: &Path, data: &Path, home: Option<&Path>) -> Option<&'static str> {
    if root.parent().is_none() {
        return Some("it is the root of the file system");
    }
    let home = home.and_then(|home| fs::canonicalize(home).ok());
    if home.as_ref().is_some_and(|home| home == root) {
        return Some("it is your home folder");
    }
    if home.is_some_and(|home| home.starts_with(root)) {
        return Some("your home folder lies in it");
    }
    root.starts_with(data).then_some("it is limn's own data folder")
}

#[cfg(test)]
mod tests;
