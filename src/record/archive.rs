//! The archive: reads a session file, beside its writer or without one.

mod drafts;
mod events;
mod outputs;
mod requests;
mod sessions;
mod tokens;
mod verify;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::FromSql;
use trajectory::SessionId;

pub use drafts::Draft;
pub(crate) use drafts::read_drafts;
pub(crate) use events::{EventRow, each_event, last_event, read_events};
pub(crate) use outputs::copy_output;
pub use outputs::{ExecRow, TakePart};
pub(crate) use requests::usage;
pub use requests::{RequestEnd, RequestRow};
pub use sessions::{SessionRow, Status};
pub(crate) use sessions::{genesis, origin_device};
pub use verify::Problem;

use crate::connection::{SESSION_FORMAT, open_to_read};
use crate::error::RecordError;
use crate::home::Home;

/// No stored piece may unpack to more: a hostile file cannot exhaust memory.
pub(crate) const BLOB_BYTES_MAX: u64 = 256 << 20;

/// A session on record. Each method reads one consistent state; between two calls a live writer
/// may add to it.
#[derive(Debug)]
pub struct Archive {
    connection: Connection,
    path: PathBuf,
    id: SessionId,
}

impl Archive {
    /// Opens a session of this home.
    ///
    /// # Errors
    /// When it is not there, or its file cannot be read.
    pub fn open(home: &Home, id: SessionId) -> Result<Self, RecordError> {
        let path = home.session_file(id);
        if !path.exists() {
            return Err(RecordError::NotFound { wanted: id.to_string() });
        }
        let archive = Self::open_file(&path)?;
        if archive.id == id {
            Ok(archive)
        } else {
            let problem = format!("it holds session {}", archive.id);
            Err(RecordError::damaged(&path, "the session it is named after", problem))
        }
    }

    /// Opens a session file, wherever it lies.
    ///
    /// # Errors
    /// When it cannot be read, is no session file, is damaged, or a newer limn wrote it.
    pub fn open_file(path: &Path) -> Result<Self, RecordError> {
        let connection = open_to_read(path, SESSION_FORMAT)?;
        let id = sessions::session_id(&connection, path)?;
        Ok(Self { connection, path: path.to_owned(), id })
    }

    /// The session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of an attachment, named by the hexadecimal BLAKE3 in its event; `None` when they
    /// are not here, or were redacted.
    ///
    /// # Errors
    /// When the file cannot be read, or the bytes are not those that were stored.
    pub fn attachment(&self, blake3: &str) -> Result<Option<Vec<u8>>, RecordError> {
        let Ok(hash) = blake3.parse::<blob::Hash>() else { return Ok(None) };
        requests::blob(&self.connection, hash.as_bytes()).map_err(self.failed())
    }

    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> RecordError + Copy + '_ {
        |error| unreadable(&self.path, &error)
    }
}

/// An error while reading: a value of the wrong form is damage too.
pub(crate) fn unreadable(path: &Path, error: &rusqlite::Error) -> RecordError {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => RecordError::damaged(path, SESSION_FORMAT.name, error),
        _ => RecordError::sqlite("read", path, error),
    }
}

/// A number that is never negative.
fn count(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn optional_count(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(|number| u64::try_from(number).unwrap_or(0)))
}

/// A column that files of older formats lack.
fn later_column<T: FromSql>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    match row.get(column) {
        Err(rusqlite::Error::InvalidColumnName(_)) => Ok(None),
        value => value,
    }
}

/// JSON in a text column.
fn from_json<T: serde::de::DeserializeOwned>(
    row: &rusqlite::Row<'_>,
    column: &str,
) -> rusqlite::Result<T> {
    parse(&row.get::<_, String>(column)?)
}

fn from_optional_json<T: serde::de::DeserializeOwned>(
    row: &rusqlite::Row<'_>,
    column: &str,
) -> rusqlite::Result<Option<T>> {
    row.get::<_, Option<String>>(column)?.map(|text| parse(&text)).transpose()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::FromSqlConversionFailure(0, kind, Box::new(error))
    })
}

/// An id in a column.
fn id<T>(
    row: &rusqlite::Row<'_>,
    column: &str,
    wrap: impl FnOnce(uuid::Uuid) -> T,
) -> rusqlite::Result<T> {
    Ok(wrap(uuid::Uuid::from_bytes(bytes(row, column)?)))
}

fn optional_id<T>(
    row: &rusqlite::Row<'_>,
    column: &str,
    wrap: impl FnOnce(uuid::Uuid) -> T,
) -> rusqlite::Result<Option<T>> {
    let id: Option<[u8; 16]> = row.get(column)?;
    Ok(id.map(|id| wrap(uuid::Uuid::from_bytes(id))))
}

fn bytes<T: FromSql>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<T> {
    row.get(column)
}

#[cfg(test)]
mod tests;
