//! What an import leaves behind when it is killed, and who deletes it.
//!
//! A recording is loaded into a file of its own first, which may come to hold all of it. Such a file
//! counts for nothing until it is whole; but what a recording says is in it, of one too that is
//! deleted here meanwhile. While somebody imports, it is not touched: whoever does holds a lock that
//! is shared by all of them, and the system drops it when they die.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::RecordError;
use crate::home::Home;
use crate::lock;

/// The beginning of the name of a file that is being imported into.
pub(crate) const IMPORT_PREFIX: &str = ".import-";

/// What importers lock; an empty file that stays.
const LOCK: &str = ".import-lock";

/// Held for as long as somebody imports.
#[derive(Debug)]
pub(crate) struct Importing {
    _file: File,
}

impl Importing {
    /// Begins an import into this folder of sessions.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        let file = lock::open(&folder.join(LOCK))?;
        // Whoever deletes what is dead is done in a moment.
        file.lock_shared()?;
        Ok(Self { _file: file })
    }
}

impl Home {
    /// What killed imports left here. None is told while somebody imports: it may be theirs.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn dead_imports(&self) -> Result<Vec<PathBuf>, RecordError> {
        let folder = self.sessions();
        let failed = |error| RecordError::io("list", &folder, &error);
        let left = imports(&folder).map_err(failed)?;
        // To look at a folder that cannot be written, no lock is made.
        let is_under_way = File::open(folder.join(LOCK))
            .is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        Ok(if is_under_way { Vec::new() } else { left })
    }

    /// Deletes what killed imports left here, unless somebody imports; how many files that was.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn remove_dead_imports(&self) -> Result<usize, RecordError> {
        let folder = self.sessions();
        remove(&folder)
            .map_err(|error| RecordError::io("delete what imports left in", &folder, &error))
    }
}

fn remove(folder: &Path) -> io::Result<usize> {
    if imports(folder)?.is_empty() {
        return Ok(0);
    }
    let lock = lock::open(&folder.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(0),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Looked for once more: what was somebody's a moment ago may be whole now, and gone.
    let left = imports(folder)?;
    for path in &left {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(left.len())
}

/// The files that are imported into, or were.
fn imports(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_one = name.to_string_lossy().starts_with(IMPORT_PREFIX) && name != LOCK;
        if is_one && entry.file_type()?.is_file() {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}
