//! Copies of a database, whole and durable: a backup before a file leaves a format, and backups of the
//! whole data folder.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use super::with_suffix;
use crate::error::RecordError;
use crate::lock::is_at;

/// Where a file is backed up to before it leaves a version.
pub(crate) fn backup_path(path: &Path, version: i64) -> PathBuf {
    path.with_extension(format!("v{version}.bak"))
}

pub(super) fn back_up(
    connection: &Connection,
    path: &Path,
    version: i64,
) -> Result<(), RecordError> {
    let target = backup_path(path, version);
    copy_database(connection, &target).map_err(|error| RecordError::Storage {
        doing: "back up",
        path: path.to_owned(),
        problem: error.to_string(),
        hint: format!("It was to become {}; nothing was changed.", target.display()),
    })
}

/// Copies a database through SQLite, live or not, durably and whole.
pub(crate) fn copy_database(
    connection: &Connection,
    target: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    copy_database_with(connection, target, |_| Ok(()))
}

/// The same, with something more in the copy before it takes its place.
pub(crate) fn copy_database_with(
    connection: &Connection,
    target: &Path,
    add: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), Box<dyn std::error::Error>> {
    let folder = target.parent().unwrap_or(target);
    let part = Part::beside(target)?;
    let mut to = Connection::open(&part.path)?;
    rusqlite::backup::Backup::new(connection, &mut to)?.run_to_completion(
        1024,
        Duration::ZERO,
        None,
    )?;
    to.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    add(&to)?;
    drop(to);
    part.put_in_place(target)?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// A copy that is being made, beside its place. A copy whose process was killed is found by its
/// name: by the next one, which makes it anew, and by whoever deletes the recording.
struct Part {
    /// Locked, so that no two processes make it.
    file: File,
    path: PathBuf,
    is_in_place: bool,
}

impl Part {
    fn beside(target: &Path) -> io::Result<Self> {
        let path = with_suffix(target, ".part");
        loop {
            let mut how = OpenOptions::new();
            how.create(true).truncate(false).read(true).write(true).mode(0o600);
            let file = how.open(&path)?;
            file.lock()?;
            // Whoever held the lock before may have put it in its place.
            if is_at(&file, &path)? {
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.set_len(0)?;
                let part = Self { file, path, is_in_place: false };
                part.remove_journal()?;
                return Ok(part);
            }
        }
    }

    /// What SQLite would undo in the next copy.
    fn remove_journal(&self) -> io::Result<()> {
        match fs::remove_file(with_suffix(&self.path, "-journal")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn put_in_place(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.is_in_place = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_in_place {
            // What cannot be removed is used again by the next copy.
            let _ = self.remove_journal();
            let _ = fs::remove_file(&self.path);
        }
    }
}
