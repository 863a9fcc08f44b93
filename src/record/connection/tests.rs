//! Formats: older ones are brought up to date after a backup, newer ones are refused.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use crate::connection::*;
use crate::error::RecordError;

const ONE: Format = Format {
    application_id: 77,
    steps: &["CREATE TABLE a (x INTEGER) STRICT"],
    is_synced_later: true,
    name: "a test",
};
const TWO: Format = Format { steps: &[ONE.steps[0], "ALTER TABLE a ADD COLUMN y TEXT"], ..ONE };
const BROKEN: Format =
    Format { steps: &[ONE.steps[0], "ALTER TABLE a ADD COLUMN y TEXT", "nonsense"], ..ONE };

fn columns(connection: &Connection) -> i64 {
    connection
        .query_row("SELECT count(*) FROM pragma_table_info('a')", [], |row| row.get(0))
        .unwrap()
}

fn number(path: &Path, pragma: &str) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, pragma, |row| row.get(0)).unwrap()
}

#[test]
fn sqlite_is_new_enough() {
    check_sqlite_version().unwrap();
    assert!(sqlite_version().starts_with("3."));
}

#[test]
fn an_older_file_is_backed_up_and_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let connection = open_to_write(&path, ONE).unwrap();
    connection.execute("INSERT INTO a VALUES (5)", []).unwrap();
    drop(connection);

    let error = open_to_write(&path, BROKEN).unwrap_err();
    assert!(error.to_string().contains("bring up to date"), "{error}");
    assert_eq!(number(&path, "user_version"), 1, "a step that fails undoes those before it");

    let connection = open_to_write(&path, TWO).unwrap();
    assert_eq!(columns(&connection), 2);
    let x: i64 = connection.query_row("SELECT x FROM a", [], |row| row.get(0)).unwrap();
    assert_eq!(x, 5);
    drop(connection);
    let backup = backup_path(&path, 1);
    assert_eq!(columns(&Connection::open(&backup).unwrap()), 1);
    assert_eq!(number(&backup, "user_version"), 1);
    drop(open_to_write(&path, TWO).unwrap());
}

#[test]
fn a_newer_file_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    drop(open_to_write(&path, TWO).unwrap());
    for error in [open_to_write(&path, ONE).unwrap_err(), open_to_read(&path, ONE).unwrap_err()] {
        let text = error.to_string();
        assert!(matches!(error, RecordError::NewerSchema { found: 2, known: 1, .. }), "{text}");
        assert!(text.contains("format 2") && text.contains("up to 1"), "{text}");
        assert!(text.contains("Update limn"), "{text}");
    }
}

#[test]
fn an_older_file_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    drop(open_to_write(&path, ONE).unwrap());
    assert_eq!(columns(&open_to_read(&path, TWO).unwrap()), 1);
    assert_eq!(number(&path, "user_version"), 1);
}

#[test]
fn other_programs_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&path).unwrap();
    for error in [open_to_write(&path, ONE).unwrap_err(), open_to_read(&path, ONE).unwrap_err()] {
        assert!(error.to_string().contains("another program"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A reader in an old snapshot keeps the WAL from being folded in, and nobody waits for it.
#[test]
fn a_new_file_is_synced_beside_a_reader() {
    static WAITS: AtomicU32 = AtomicU32::new(0);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let mut writer = open_to_write(&path, ONE).unwrap();
    if !uses_wal(&writer).unwrap() {
        return;
    }
    writer
        .busy_handler(Some(|_| {
            WAITS.fetch_add(1, Ordering::SeqCst);
            false
        }))
        .unwrap();
    let count = "SELECT count(*) FROM a";
    let insert = "INSERT INTO a VALUES (5)";
    let mut reader = open_to_read(&path, ONE).unwrap();
    let snapshot = reader.transaction().unwrap();
    let before: i64 = snapshot.query_row(count, [], |row| row.get(0)).unwrap();
    writer.execute(insert, []).unwrap();
    assert_eq!(sync_new_file(&writer, folder.path()).unwrap(), SyncedBy::FileSystem);
    assert_eq!(before, snapshot.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap());
    drop(snapshot);
    // One that looks at the newest state, or at none, is in nobody's way.
    assert_eq!(sync_new_file(&writer, folder.path()).unwrap(), SyncedBy::Checkpoint);
    assert_eq!(WAITS.load(Ordering::SeqCst), 0);
}

#[test]
fn a_writer_uses_a_wal_and_says_where_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open_to_write(&folder.path().join("x.db"), ONE).unwrap();
    let note = storage_note(folder.path());
    assert_eq!(uses_wal(&connection).unwrap(), note.is_none());
    if let Some(note) = note {
        assert!(note.contains("rollback journal"), "{note}");
    }
    assert!(storage_note(&folder.path().join("absent")).is_none());
    assert!(measure_fsync(folder.path()).unwrap().as_nanos() > 0);
}
