//! Files and folders that appear whole or not at all, and stay when the power goes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::{Builder, NamedTempFile, TempDir};

use crate::error::TrainingError;

#[cfg(test)]
mod tests;

/// How the names of what is being made begin. Leftovers of killed processes are told by it.
pub(crate) const MAKING: &str = ".making-";

/// Puts a file in place of another: what is there is the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TrainingError> {
    let failed = |error| TrainingError::io("write", path, error);
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file: NamedTempFile =
        Builder::new().prefix(MAKING).tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder).map_err(failed)
}

/// A folder that is being made beside its final place.
#[derive(Debug)]
pub(crate) struct Making {
    folder: TempDir,
}

impl Making {
    /// Begins a folder within another.
    pub(crate) fn within(parent: &Path) -> Result<Self, TrainingError> {
        let failed = |error| TrainingError::io("create a folder in", parent, error);
        let folder = Builder::new().prefix(MAKING).tempdir_in(parent).map_err(failed)?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Syncs all that is in it and gives it its name. Answers whether it did: not when there is a
    /// folder of that name already, which stays as it is.
    pub(crate) fn place(self, path: &Path) -> Result<bool, TrainingError> {
        let failed = |error| TrainingError::io("write", path, error);
        sync_all_within(self.folder.path()).map_err(failed)?;
        match fs::rename(self.folder.path(), path) {
            Ok(()) => {}
            Err(_) if path.is_dir() => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        // It has another name now: nothing is to be removed.
        let _ = self.folder.keep();
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new("."))).map_err(failed)?;
        Ok(true)
    }
}

/// Removes what killed processes left within a folder and nobody has touched for so long. Without a
/// lock somebody may be making theirs there just now.
pub(crate) fn sweep(folder: &Path, untouched: Duration) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_made = entry.file_name().to_string_lossy().starts_with(MAKING);
        let touched = entry.metadata().and_then(|about| about.modified());
        let is_old = touched.is_ok_and(|time| time.elapsed().unwrap_or_default() >= untouched);
        if !is_made || !is_old {
            continue;
        }
        // What cannot be removed is in nobody's way.
        let _ = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
    }
}

/// Writes the rest of a file and waits until it is on the disk.
pub(crate) fn finish(file: BufWriter<File>) -> io::Result<()> {
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Syncs every file and folder within one, and itself.
fn sync_all_within(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_all_within(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}
