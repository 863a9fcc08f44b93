//! Connections: how our SQLite files are opened, set up and brought up to date.

mod copy;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use copy::back_up;
pub(crate) use copy::{backup_path, copy_database, copy_database_with};
use rusqlite::{Connection, OpenFlags};

use crate::error::RecordError;
use crate::migrations;

/// Older SQLite can lose commits when two connections race on a reset of the WAL.
const SQLITE_NEEDED: (i32, &str) = (3_051_003, "3.51.3");

/// The WAL file is cut back to this after a checkpoint, bytes.
const WAL_KEPT_BYTES: i64 = 8 << 20;

/// The number of `PRAGMA auto_vacuum = INCREMENTAL`.
const INCREMENTAL: i64 = 2;

/// Tries of a locked database before it is an error; with the pauses below, about ten seconds.
const BUSY_TRIES_MAX: i32 = 400;

/// What kind of file is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Its `application_id`.
    pub(crate) application_id: i32,
    /// The steps from an empty file to the newest form.
    pub(crate) steps: &'static [&'static str],
    /// What it is called in errors.
    pub(crate) name: &'static str,
    /// A new file need not be on disk before [`sync_new_file`]: making one takes no fsync.
    pub(crate) is_synced_later: bool,
}

/// A session file.
pub(crate) const SESSION_FORMAT: Format = Format {
    application_id: migrations::SESSION_APPLICATION_ID,
    steps: migrations::SESSION,
    name: "a limn session",
    is_synced_later: true,
};

/// `limn.db`.
pub(crate) const LIBRARY_FORMAT: Format = Format {
    application_id: migrations::LIBRARY_APPLICATION_ID,
    steps: migrations::LIBRARY,
    name: "limn's library",
    is_synced_later: false,
};

impl Format {
    /// The newest version.
    pub(crate) const fn newest(&self) -> i64 {
        self.steps.len() as i64
    }
}

/// The version of SQLite that is linked.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Checks that SQLite is new enough to be trusted with a WAL.
///
/// # Errors
/// When it is not.
pub fn check_sqlite_version() -> Result<(), RecordError> {
    if rusqlite::version_number() >= SQLITE_NEEDED.0 {
        Ok(())
    } else {
        let found = sqlite_version().to_owned();
        Err(RecordError::OldSqlite { found, needed: SQLITE_NEEDED.1 })
    }
}

/// What is particular about storing in this folder: `None` on a local disk, a sentence on a
/// network file system, where limn does without a WAL.
#[must_use]
pub fn storage_note(folder: &Path) -> Option<String> {
    let kind = network_file_system(folder)?;
    Some(format!(
        "{} is on {kind}: limn writes there with a rollback journal instead of a WAL, which is \
         safe but slower.",
        folder.display()
    ))
}

/// The name of the network file system that a folder is on.
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    let stat = rustix::fs::statfs(folder).ok()?;
    // The field's type differs between architectures.
    network_name(stat.f_type as u64 & 0xffff_ffff)
}

/// The network file system of this magic number of statfs(2).
#[cfg(target_os = "linux")]
const fn network_name(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b => "SMB",
        0xff53_4d42 => "CIFS",
        0xfe53_4d42 => "SMB2",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        0x5346_414f => "AFS",
        0x7375_7245 => "Coda",
        0x00c3_6400 => "Ceph",
        0x0bd0_0bd0 => "Lustre",
        0x786f_4256 => "a VirtualBox shared folder",
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
const fn network_file_system(_folder: &Path) -> Option<&'static str> {
    None
}

/// Opens a file to write, making it if need be, and brings it up to date.
pub(crate) fn open_to_write(path: &Path, format: Format) -> Result<Connection, RecordError> {
    let is_new = private_file(path).map_err(|error| RecordError::io("open", path, &error))?;
    open_private(path, format, is_new)
}

/// Opens a file that is there to write and brings it up to date; makes none.
pub(crate) fn open_existing_to_write(
    path: &Path,
    format: Format,
) -> Result<Connection, RecordError> {
    close_to_others(path).map_err(|error| RecordError::io("open", path, &error))?;
    open_private(path, format, false)
}

fn open_private(path: &Path, format: Format, is_new: bool) -> Result<Connection, RecordError> {
    check_sqlite_version()?;
    let failed = |error| RecordError::sqlite("open", path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    patient(&mut connection).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    check_format(&connection, path, format)?;
    if is_new && format.is_synced_later {
        connection.pragma_update(None, "synchronous", "OFF").map_err(failed)?;
    }
    let network = network_file_system(path.parent().unwrap_or(path));
    set_up(&connection, network).map_err(failed)?;
    migrate(&mut connection, path, format)?;
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
    Ok(connection)
}

/// Makes the file for its owner alone, or closes the one that is there; true when it is new.
/// SQLite gives `-wal` and `-shm` the permissions of the file itself.
fn private_file(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o600)).map(|()| true),
        // Never opened here when it may be in use: to close any descriptor of a file drops the
        // locks that SQLite holds on it in this process.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            close_to_others(path).map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// What is no file is none of ours, and left as it is.
fn close_to_others(path: &Path) -> io::Result<()> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if about.permissions().mode() & 0o777 == 0o600 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// How a new file was made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncedBy {
    /// The WAL was folded into it.
    Checkpoint,
    /// Its whole file system was synced.
    FileSystem,
}

/// Makes durable what was written while a new file was not synced, without waiting for anybody.
///
/// The commit that follows syncs the WAL and its folder, but never the file itself, and a WAL beside
/// a file that has no first page yet is thrown away by whoever opens it after a power cut. So the
/// file has to be synced once. SQLite does that only in a checkpoint that reaches the end of the
/// WAL, and a reader in an older snapshot keeps it from that for as long as it reads; a descriptor
/// of our own cannot be used, since closing it would drop SQLite's locks. Then the file system is
/// told to write everything, which costs more and waits for no reader.
pub(crate) fn sync_new_file(connection: &Connection, folder: &Path) -> rusqlite::Result<SyncedBy> {
    let whole = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let (busy, frames, done): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && frames == done)
    })?;
    if whole {
        return Ok(SyncedBy::Checkpoint);
    }
    sync_file_system(folder).map(|()| SyncedBy::FileSystem).map_err(|error| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
    })
}

#[cfg(target_os = "linux")]
fn sync_file_system(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_folder: &Path) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

/// Refuses what is not ours and what is newer than we are.
pub(crate) fn check_format(
    connection: &Connection,
    path: &Path,
    format: Format,
) -> Result<i64, RecordError> {
    // In one look: whoever makes it may be just about to.
    let (version, application_id, empty): (i64, i64, bool) = connection
        .query_row(
            "SELECT user_version, application_id, NOT EXISTS (SELECT * FROM sqlite_schema)
             FROM pragma_user_version, pragma_application_id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .map_err(|error| RecordError::sqlite("open", path, &error))?;
    if empty && version == 0 {
        return Ok(0);
    }
    if application_id != i64::from(format.application_id) {
        return Err(RecordError::damaged(path, format.name, "another program made it"));
    }
    if version > format.newest() {
        let known = format.newest();
        return Err(RecordError::NewerSchema { path: path.to_owned(), found: version, known });
    }
    Ok(version)
}

/// Waits for other connections, a little longer each time and never in step with them.
pub(crate) fn patient(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(|tries: i32| {
        let mut noise = [0; 2];
        // Without noise the pauses are only less varied.
        let _ = getrandom::fill(&mut noise);
        let longest_us = 500 * (1 + u64::from(tries.unsigned_abs()).min(100));
        let jitter_us = u64::from(u16::from_le_bytes(noise)) % longest_us;
        std::thread::park_timeout(Duration::from_micros(longest_us / 2 + jitter_us / 2));
        tries < BUSY_TRIES_MAX
    }))
}

/// Settings of the connection and, in a new file, of the file. The memory that a WAL is shared by
/// reaches no other machine, so there is none on a network file system.
pub(crate) fn set_up(connection: &Connection, network: Option<&str>) -> rusqlite::Result<()> {
    let vacuum: i64 = connection.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if vacuum != INCREMENTAL {
        // Only then: it is a write, even where it changes nothing.
        connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    }
    connection.execute_batch("PRAGMA secure_delete = ON;")?;
    let mode = if network.is_some() { "TRUNCATE" } else { "WAL" };
    connection.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Whether the file is written through a WAL.
pub(crate) fn uses_wal(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))
        .map(|mode| mode == "wal")
}

/// Takes the steps that a file has not taken yet, all or none, after a backup of what it was.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    format: Format,
) -> Result<(), RecordError> {
    let version = check_format(connection, path, format)?;
    if version == format.newest() {
        return Ok(());
    }
    if version > 0 {
        back_up(connection, path, version)?;
    }
    let failed = |error| RecordError::sqlite("bring up to date", path, &error);
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    // Another process may have been faster.
    let version = check_format(&transaction, path, format)?;
    for step in format.steps.iter().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction.pragma_update(None, "application_id", format.application_id).map_err(failed)?;
    transaction.pragma_update(None, "user_version", format.newest()).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// A path with something behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How long this folder's disk takes to make a commit durable: the median of 21.
///
/// # Errors
/// When the folder cannot be written.
pub fn measure_fsync(folder: &Path) -> Result<Duration, RecordError> {
    let failed = |error: io::Error| RecordError::io("measure", folder, &error);
    let scratch = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(folder)
        .map_err(failed)?;
    let path = scratch.path().join("fsync.db");
    let measure = || -> rusqlite::Result<Duration> {
        let connection = Connection::open(&path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE t (x BLOB) STRICT;")?;
        let mut times = Vec::with_capacity(21);
        for _ in 0..21 {
            let begun = Instant::now();
            connection.execute("INSERT INTO t VALUES (zeroblob(2048))", [])?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        Ok(times.get(10).copied().unwrap_or_default())
    };
    measure().map_err(|error| RecordError::sqlite("measure", folder, &error))
}

/// Opens a file to read, beside a writer or not.
///
/// First as a writer's equal that may not write: then the last one out also tidies up the WAL.
/// Where the folder cannot be written and no WAL is left, as a file that nobody changes.
pub(crate) fn open_to_read(path: &Path, format: Format) -> Result<Connection, RecordError> {
    check_sqlite_version()?;
    let metadata = fs::metadata(path).map_err(|error| RecordError::io("open", path, &error))?;
    if !metadata.is_file() {
        return Err(RecordError::damaged(path, format.name, "it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(RecordError::Empty { path: path.to_owned() });
    }
    let shared = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        patient(&mut connection)?;
        connection.execute_batch("PRAGMA query_only = ON; SELECT count(*) FROM sqlite_schema;")?;
        Ok(connection)
    };
    let connection = match shared() {
        Ok(connection) => connection,
        Err(error) if cannot_write(&error) && !has_wal(path) => {
            open_immutable(path).map_err(|error| RecordError::sqlite("open", path, &error))?
        }
        Err(error) => return Err(RecordError::sqlite("open", path, &error)),
    };
    if check_format(&connection, path, format)? == 0 {
        return Err(RecordError::Empty { path: path.to_owned() });
    }
    Ok(connection)
}

fn cannot_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly))
}

/// Whether there is a WAL with something in it.
fn has_wal(path: &Path) -> bool {
    fs::metadata(with_suffix(path, "-wal")).is_ok_and(|metadata| metadata.len() > 0)
}

fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt;

    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.execute_batch("SELECT count(*) FROM sqlite_schema;")?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
