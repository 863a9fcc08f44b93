//! The lock of a session: one writer at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use trajectory::SessionId;

use crate::error::RecordError;

/// Tries before the lock counts as held: a quarter of a second. A program that is being started has
/// a copy of the lock until it executes, which takes its time on a busy machine.
const TRIES_MAX: u32 = 25;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// Held for as long as the session is written. The system drops it when the process dies, however
/// it dies.
#[derive(Debug)]
pub(crate) struct SessionLock {
    _file: File,
}

impl SessionLock {
    /// Takes the lock.
    pub(crate) fn take(path: &Path, id: SessionId) -> Result<Self, RecordError> {
        let failed = |error: io::Error| RecordError::io("take the lock", path, &error);
        // Others hold it for a moment to see whether the session is alive.
        for _ in 0..TRIES_MAX {
            let file = open(path).map_err(failed)?;
            if let Some(lock) = Self::claim(file, path).map_err(failed)? {
                return Ok(lock);
            }
            std::thread::park_timeout(PAUSE);
        }
        Err(RecordError::Locked { id })
    }

    /// Locks this file, unless somebody else has, or it is no longer the one at its path: deleted
    /// with its session before the lock was had, it keeps nobody out.
    fn claim(file: File, path: &Path) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(is_at(&file, path)?.then_some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether somebody holds the lock.
    pub(crate) fn is_held(path: &Path) -> bool {
        File::open(path)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Opens a file that is there to be locked, and makes it.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
}

/// Whether this file is still the one at its path.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
