//! A copy of the data folder that is a data folder itself: whole recordings, taken beside sessions
//! that run, into a folder that can be taken further every time.
//!
//! Recordings first, then the blobs that they name: what a session adds meanwhile is in the next
//! copy. Each file is whole or not there. A recording that was deleted since the last copy stays in
//! the copy, with all that was said of it, and is counted.

use std::collections::HashSet;
use std::fs::{self, File, FileTimes};
use std::io;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use trajectory::SessionId;

use crate::connection::{
    LIBRARY_FORMAT, SESSION_FORMAT, copy_database, copy_database_with, open_to_read, with_suffix,
};
use crate::error::RecordError;
use crate::home::Home;
use crate::library::session_id;

/// The columns of what is said of sessions.
const COLUMNS: &str = "id, session, target, field, value, source, annotator, at_ns, supersedes";

/// What a copy took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Recordings that were copied now.
    pub copied: u64,
    /// Recordings that were there as they are.
    pub unchanged: u64,
    /// Recordings that cannot be read, and why: they are not in the copy.
    pub unreadable: Vec<(SessionId, String)>,
    /// Recordings that only the copy has, since they were deleted here.
    pub only_there: u64,
    /// Blobs of workspaces that were copied now.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
}

impl Home {
    /// Copies everything of this data folder that cannot be made again into another folder: a new
    /// one, an empty one, or one that was copied to before.
    ///
    /// # Errors
    /// When the folder is another data folder or holds something else, or cannot be written. A
    /// recording that cannot be read is no error: it is said.
    pub fn back_up_to(&self, target: &Path) -> Result<BackedUp, RecordError> {
        let there = self.twin(target)?;
        let mut done = BackedUp::default();
        let ids = self.session_ids()?;
        for id in &ids {
            let (from, to) = (self.session_file(*id), there.session_file(*id));
            match back_up_session(&from, &to) {
                Ok(true) => done.copied += 1,
                Ok(false) => done.unchanged += 1,
                Err(Left::Empty) => {}
                Err(Left::Unreadable(error)) => done.unreadable.push((*id, error.to_string())),
                Err(Left::Unwritable(error)) => return Err(error),
            }
        }
        let here: HashSet<SessionId> = ids.into_iter().collect();
        let mut only_there: HashSet<SessionId> = there.session_ids()?.into_iter().collect();
        only_there.retain(|id| !here.contains(id));
        done.only_there = only_there.len() as u64;
        self.back_up_library_to(&target.join("limn.db"), &only_there)?;
        let store = blob::Store::new(self.blobs());
        let copied = store.copy_missing_to(&there.blobs());
        (done.blobs, done.blob_bytes) = copied.map_err(|error| not_copied(target, &error))?;
        Ok(done)
    }

    /// Copies the library. What was said of the recordings that only the copy has is in no other
    /// place than the copy.
    fn back_up_library_to(
        &self,
        to: &Path,
        only_there: &HashSet<SessionId>,
    ) -> Result<(), RecordError> {
        let library = self.path().join("limn.db");
        if !library.exists() {
            return Ok(());
        }
        let connection = open_to_read(&library, LIBRARY_FORMAT)?;
        let said = if only_there.is_empty() || !to.exists() {
            Vec::new()
        } else {
            let failed = |error| RecordError::sqlite("read", to, &error);
            said_of(only_there, &open_to_read(to, LIBRARY_FORMAT)?).map_err(failed)?
        };
        copy_database_with(&connection, to, |copy| say_again(copy, &said))
            .map_err(|error| not_copied(to, &error))
    }

    /// The data folder of the same device at another place.
    fn twin(&self, target: &Path) -> Result<Self, RecordError> {
        let inside = target.canonicalize().unwrap_or_else(|_| target.to_owned());
        let own = self.path().canonicalize().unwrap_or_else(|_| self.path().to_owned());
        if inside.starts_with(&own) {
            return Err(not_a_place(target, "it lies in the data folder itself"));
        }
        if !target.join("device").exists() {
            let is_empty = match fs::read_dir(target) {
                Ok(mut entries) => entries.next().is_none(),
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            if !is_empty {
                return Err(not_a_place(target, "it holds something else"));
            }
            self.found_twin(target).map_err(|error| RecordError::io("make", target, &error))?;
        }
        let there = Self::open(target)?;
        if there.device() != self.device() {
            return Err(not_a_place(target, "it is the data folder of another device"));
        }
        Ok(there)
    }

    fn found_twin(&self, target: &Path) -> io::Result<()> {
        crate::home::private_folder(target)?;
        let device = tempfile::NamedTempFile::new_in(target)?;
        fs::copy(self.path().join("device"), device.path())?;
        device.as_file().sync_all()?;
        device.persist(target.join("device")).map_err(|error| error.error)?;
        File::open(target)?.sync_all()
    }
}

/// Why a recording is not in the copy.
enum Left {
    Empty,
    Unreadable(RecordError),
    /// The copy cannot be written at all.
    Unwritable(RecordError),
}

/// Copies a recording; false when it is there as it is.
fn back_up_session(from: &Path, to: &Path) -> Result<bool, Left> {
    let stamp =
        stamp(from).map_err(|error| Left::Unreadable(RecordError::io("look at", from, &error)))?;
    if stamp.is_some() && stamp == modified(to) {
        return Ok(false);
    }
    let connection = open_to_read(from, SESSION_FORMAT).map_err(|error| match error {
        RecordError::Empty { .. } => Left::Empty,
        error => Left::Unreadable(error),
    })?;
    copy_database(&connection, to).map_err(|error| match error.downcast_ref() {
        Some(damage) if is_damage(damage) => {
            Left::Unreadable(RecordError::sqlite("read", from, damage))
        }
        _ => Left::Unwritable(not_copied(to, &error)),
    })?;
    let marked = mark(to, stamp);
    marked.map_err(|error| Left::Unwritable(RecordError::io("mark", to, &error)))?;
    Ok(true)
}

/// Whether it is what was to be copied that is at fault.
fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Everything that was ever said of these sessions, row by row.
fn said_of(
    sessions: &HashSet<SessionId>,
    library: &Connection,
) -> rusqlite::Result<Vec<[Value; 9]>> {
    let mut statement = library.prepare(&format!("SELECT {COLUMNS} FROM annotation"))?;
    let mut rows = statement.query([])?;
    let mut said = Vec::new();
    while let Some(row) = rows.next()? {
        if sessions.contains(&session_id(row, "session")?) {
            let mut values = [const { Value::Null }; 9];
            for (column, value) in values.iter_mut().enumerate() {
                *value = row.get(column)?;
            }
            said.push(values);
        }
    }
    Ok(said)
}

fn say_again(library: &Connection, said: &[[Value; 9]]) -> rusqlite::Result<()> {
    let values = "?, ?, ?, ?, ?, ?, ?, ?, ?";
    let sql = format!("INSERT OR IGNORE INTO annotation ({COLUMNS}) VALUES ({values})");
    let mut insert = library.prepare(&sql)?;
    said.iter().try_for_each(|values| insert.execute(params_from_iter(values)).map(|_| ()))
}

fn not_a_place(target: &Path, problem: &str) -> RecordError {
    RecordError::Storage {
        doing: "back up to",
        path: target.to_owned(),
        problem: problem.to_owned(),
        hint: "Name a new folder, or one that was backed up to before; nothing was changed.".into(),
    }
}

fn not_copied(to: &Path, error: &dyn ToString) -> RecordError {
    RecordError::Storage {
        doing: "write",
        path: to.to_owned(),
        problem: error.to_string(),
        hint: "What was copied before is whole; back up again.".into(),
    }
}

/// When a recording last changed; `None` while some of it may be in its WAL.
fn stamp(file: &Path) -> io::Result<Option<std::time::SystemTime>> {
    let has_wal = fs::metadata(with_suffix(file, "-wal")).is_ok_and(|wal| wal.len() > 0);
    let modified = fs::metadata(file)?.modified()?;
    Ok((!has_wal).then_some(modified))
}

fn modified(file: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// Gives a copy the time of what it is a copy of. What may change again gets one that nothing has.
fn mark(copy: &Path, stamp: Option<std::time::SystemTime>) -> io::Result<()> {
    let time = stamp.unwrap_or(std::time::SystemTime::UNIX_EPOCH);
    File::options().write(true).open(copy)?.set_times(FileTimes::new().set_modified(time))
}

#[cfg(test)]
mod tests;
