//! Recordings as rows: out of one file, into another, for bundles.
//!
//! Everything is dumped in a fixed order, so the same recording always gives the same rows. What
//! is loaded goes into a file of its own, is verified whole, and only then takes its place among
//! the sessions: a bad import changes nothing.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params_from_iter};
use tempfile::NamedTempFile;
use trajectory::SessionId;

use crate::archive::Archive;
use crate::connection::{SESSION_FORMAT, migrate};
use crate::error::RecordError;
use crate::home::Home;
use crate::imports::{IMPORT_PREFIX, Importing};
use crate::schema::{TABLES, Table};

/// How many problems of a bad import are told.
const PROBLEMS_TOLD_MAX: usize = 3;

/// Takes a row: its table, its columns, its values.
pub type TakeRow<'a> = dyn FnMut(&str, &[&str], &[ValueRef<'_>]) -> Result<(), RecordError> + 'a;

impl Archive {
    /// Hands over every row of the recording, in a fixed order. Drafts and what is local to this
    /// home are left out.
    ///
    /// # Errors
    /// When the file cannot be read, or `take` fails.
    pub fn dump(&self, take: &mut TakeRow<'_>) -> Result<(), RecordError> {
        let failed = |error| RecordError::sqlite("read", self.path(), &error);
        let snapshot = self.connection().unchecked_transaction().map_err(failed)?;
        for table in TABLES {
            let columns = columns_there(&snapshot, table).map_err(failed)?;
            let listed = columns.join(", ");
            let sql = format!("SELECT {listed} FROM {} ORDER BY {}", table.name, table.order);
            let mut statement = snapshot.prepare(&sql).map_err(failed)?;
            let mut rows = statement.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let values: Result<Vec<ValueRef<'_>>, _> =
                    (0..columns.len()).map(|column| row.get_ref(column)).collect();
                take(table.name, &columns, &values.map_err(failed)?)?;
            }
        }
        Ok(())
    }
}

/// The columns of a table that this file has: one of an older format lacks some.
fn columns_there(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<&'static str>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?)")?;
    let names = statement.query_map([table.name], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
    let there = |column: &&&str| names.iter().any(|name| name == **column);
    Ok(table.columns.iter().filter(there).copied().collect())
}

/// Builds a session from dumped rows.
#[derive(Debug)]
pub struct Loader {
    home: Home,
    file: NamedTempFile,
    connection: Connection,
    importing: Importing,
}

/// What became of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The session.
    pub id: SessionId,
    /// It was here already, the same in every row; nothing was changed.
    pub already_here: bool,
}

impl Loader {
    /// A loader into this home.
    ///
    /// # Errors
    /// When the home cannot be written.
    pub fn new(home: &Home) -> Result<Self, RecordError> {
        let folder = home.sessions();
        // What cannot be deleted is in nobody's way; `doctor` tells of it.
        let _ = home.remove_dead_imports();
        let importing = Importing::begin(&folder)
            .map_err(|error| RecordError::io("import into", &folder, &error))?;
        let file = tempfile::Builder::new()
            .prefix(IMPORT_PREFIX)
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&folder)
            .map_err(|error| RecordError::io("import into", &folder, &error))?;
        let failed = |error| RecordError::sqlite("import into", &folder, &error);
        let mut connection = Connection::open(file.path()).map_err(failed)?;
        // Nothing counts before it is renamed: no journal, and one sync at the end.
        connection
            .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA synchronous = OFF;")
            .map_err(failed)?;
        connection
            .pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))
            .map_err(failed)?;
        migrate(&mut connection, file.path(), SESSION_FORMAT)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch("BEGIN").map_err(failed)?;
        Ok(Self { home: home.clone(), file, connection, importing })
    }

    /// Takes a row. Columns that are not named are empty.
    ///
    /// # Errors
    /// When there is no such table or column, or the row does not fit into it.
    pub fn row(
        &mut self,
        table: &str,
        columns: &[&str],
        values: &[ValueRef<'_>],
    ) -> Result<(), RecordError> {
        let known = TABLES
            .iter()
            .find(|known| known.name == table)
            .ok_or_else(|| refused(format!("there is no table {:?}.", shorten(table))))?;
        let sql = insert(known, columns)?;
        if columns.len() != values.len() {
            return Err(refused(format!("a row of {table} has {} values.", values.len())));
        }
        let mut statement =
            self.connection.prepare_cached(&sql).map_err(|error| refused_by(table, &error))?;
        let values = values.iter().map(|value| rusqlite::types::ToSqlOutput::Borrowed(*value));
        statement
            .execute(params_from_iter(values))
            .map(|_| ())
            .map_err(|error| refused_by(table, &error))
    }

    /// Verifies what was loaded and puts it among the sessions.
    ///
    /// # Errors
    /// When the rows do not make a sound session or make another one than `expected`, when a
    /// session with its id is here and differs in any row, or when it cannot be written. Then
    /// nothing has changed.
    pub fn finish(self, expected: SessionId) -> Result<Imported, RecordError> {
        let Self { home, file, connection, importing } = self;
        let failed = |error| RecordError::sqlite("import into", file.path(), &error);
        connection.execute_batch("COMMIT").map_err(failed)?;
        connection
            .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
            .map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))?;
        let id = check(file.path())?;
        if id != expected {
            return Err(refused(format!("it holds session {id}, not {expected}.")));
        }
        let lock = home.lock(id)?;
        let path = home.session_file(id);
        if path.exists() {
            let same = fingerprint(&Archive::open(&home, id)?)?
                == fingerprint(&Archive::open_file(file.path())?)?;
            return if same {
                Ok(Imported { id, already_here: true })
            } else {
                Err(RecordError::Conflict { id })
            };
        }
        let io = |error: io::Error| RecordError::io("import into", &path, &error);
        file.as_file().sync_all().map_err(io)?;
        file.persist_noclobber(&path).map_err(|error| io(error.error))?;
        File::open(home.sessions()).and_then(|folder| folder.sync_all()).map_err(io)?;
        drop((lock, importing));
        Ok(Imported { id, already_here: false })
    }
}

/// The statement that inserts these columns, if the table has them.
fn insert(table: &Table, columns: &[&str]) -> Result<String, RecordError> {
    if let Some(unknown) = columns.iter().find(|column| !table.columns.contains(column)) {
        let unknown = shorten(unknown);
        return Err(refused(format!("{} has no column {unknown:?}.", table.name)));
    }
    let places = vec!["?"; columns.len()].join(", ");
    Ok(format!("INSERT INTO {} ({}) VALUES ({places})", table.name, columns.join(", ")))
}

/// The session in a loaded file, if it is sound.
fn check(path: &Path) -> Result<SessionId, RecordError> {
    let unsound = |error: RecordError| match error {
        RecordError::Empty { .. } => refused("it holds no session.".to_owned()),
        RecordError::Damaged { problem, .. } => refused(format!("{problem}.")),
        other => other,
    };
    let archive = Archive::open_file(path).map_err(unsound)?;
    let problems = archive.verify().map_err(unsound)?;
    if problems.is_empty() {
        return Ok(archive.id());
    }
    let told: Vec<String> = problems
        .iter()
        .take(PROBLEMS_TOLD_MAX)
        .map(|problem| format!("{}: {}", problem.place, problem.problem))
        .collect();
    let rest = problems.len().saturating_sub(told.len());
    let more = if rest > 0 { format!(" And {rest} more.") } else { String::new() };
    Err(refused(format!("{}{more}", told.join(" "))))
}

/// A hash over every row of a recording. The chain alone does not tell: it covers neither requests
/// nor output.
fn fingerprint(archive: &Archive) -> Result<blake3::Hash, RecordError> {
    let mut hasher = blake3::Hasher::new();
    archive.dump(&mut |table, columns, values| {
        // Each value stands behind its type and its length: no two recordings share a stream.
        let mut put = |sort: u8, bytes: &[u8]| {
            hasher.update(&[sort]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        put(0, table.as_bytes());
        for (column, value) in columns.iter().zip(values) {
            // A column that an older format lacks and one that is empty are the same.
            if *value != ValueRef::Null {
                put(1, column.as_bytes());
            }
            match value {
                ValueRef::Null => {}
                ValueRef::Integer(number) => put(2, &number.to_le_bytes()),
                ValueRef::Real(number) => put(3, &number.to_bits().to_le_bytes()),
                ValueRef::Text(text) => put(4, text),
                ValueRef::Blob(bytes) => put(5, bytes),
            }
        }
        Ok(())
    })?;
    Ok(hasher.finalize())
}

const fn refused(problem: String) -> RecordError {
    RecordError::BadImport { problem }
}

fn refused_by(table: &str, error: &rusqlite::Error) -> RecordError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure) => {
            RecordError::sqlite("import into", Path::new(table), error)
        }
        _ => refused(format!("a row of {table} does not fit: {error}.")),
    }
}

/// Hostile names are not repeated at length.
fn shorten(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests;
