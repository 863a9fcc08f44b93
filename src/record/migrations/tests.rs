//! Every format that was ever released is opened, brought up to date and gone on with.
//!
//! `fixtures/` holds a file of each, as SQL: the tables as that format had them, and the rows of a
//! session whose process was killed. A fixture is never changed once its format is released. A new
//! format gets its own from `the_fixtures_of_new_formats_are_made`, run by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;
use trajectory::{Body, Progress, SessionId};

use super::{LIBRARY, LIBRARY_APPLICATION_ID, SESSION, SESSION_APPLICATION_ID};
use crate::archive::origin_device;
use crate::connection::{backup_path, with_suffix};
use crate::schema::TABLES;
use crate::tests::{Story, home, sound, start};
use crate::*;

/// What SQLite makes for itself beside the index of words.
const SHADOWS: &[&str] =
    &["passage_config", "passage_content", "passage_data", "passage_docsize", "passage_idx"];

fn fixture(kind: &str, version: usize) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    folder.join(format!("{kind}-{version}.sql"))
}

/// A home with the session of a format in it, and the library of another.
fn laid(session: usize, library: usize) -> (TempDir, Home, SessionId) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limn");
    fs::create_dir_all(path.join("sessions")).unwrap();
    let load = |kind: &str, version: usize| {
        let file = path.join("sessions").join("fixture");
        let sql = fs::read_to_string(fixture(kind, version)).unwrap();
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch(&sql).unwrap();
        (file, connection)
    };
    let (file, connection) = load("session", session);
    let device = origin_device(&connection, &file).unwrap();
    let id: [u8; 16] =
        connection.query_row("SELECT id FROM session", [], |row| row.get(0)).unwrap();
    let id = SessionId::from_uuid(uuid::Uuid::from_bytes(id));
    drop(connection);
    fs::rename(&file, path.join("sessions").join(format!("{id}.db"))).unwrap();
    let (file, connection) = load("library", library);
    drop(connection);
    fs::rename(&file, path.join("limn.db")).unwrap();
    fs::write(path.join("device"), device.to_string()).unwrap();
    let home = Home::open(&path).unwrap();
    (folder, home, id)
}

fn version_of(path: &Path) -> usize {
    let connection = Connection::open(path).unwrap();
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    usize::try_from(version).unwrap()
}

/// Every row of a recording, as text.
fn rows(archive: &Archive) -> Vec<String> {
    let mut rows = Vec::new();
    let take: &mut TakeRow<'_> = &mut |table, columns, values| {
        let values: Vec<String> = columns
            .iter()
            .zip(values)
            .filter(|(_, value)| **value != ValueRef::Null)
            .map(|(column, value)| format!("{column} {value:?}"))
            .collect();
        rows.push(format!("{table}: {}", values.join(", ")));
        Ok(())
    };
    archive.dump(take).unwrap();
    rows
}

#[tokio::test]
async fn a_session_of_each_format_is_read_closed_and_gone_on_with() {
    for version in 1..=SESSION.len() {
        let (_folder, home, id) = laid(version, LIBRARY.len());
        let file = home.session_file(id);
        // It is read as it is, and is whole.
        let old = sound(&home, id);
        assert_eq!(version_of(&file), version);
        let (before, events) = (rows(&old), old.events().unwrap());
        assert_eq!(old.status().unwrap().title.as_deref(), Some("first"));
        let mut printed = Vec::new();
        assert_eq!(old.output(1, &mut printed).unwrap(), 6000, "format {version}");
        assert_eq!(old.drafts().unwrap()[0].text, "half an ans");
        drop(old);
        // To close what its process left open, it is brought up to date.
        assert!(recover(&home, id).unwrap());
        assert_eq!(version_of(&file), SESSION.len());
        let new = sound(&home, id);
        let after = rows(&new);
        let is_kept = |row: &&String| after.contains(*row) || row.starts_with("llm_call:");
        assert_eq!(before.iter().filter(|row| !is_kept(row)).count(), 0, "format {version}");
        assert_eq!(new.events().unwrap()[..events.len()], events);
        let half = new.events().unwrap().into_iter().find_map(|event| match &event.body {
            Body::Message(text) if text.interrupted => Some(text.text.clone()),
            _ => None,
        });
        assert_eq!(half.as_deref(), Some("half an ans"));
        drop(new);
        // What it was is kept, whole.
        let backup = backup_path(&file, i64::try_from(version).unwrap());
        assert_eq!(backup.exists(), version < SESSION.len());
        if backup.exists() {
            assert_eq!(version_of(&backup), version);
            assert_eq!(rows(&Archive::open_file(&backup).unwrap()), before);
        }
        let mut story = Story::resume(&home, id);
        story.round("third").await;
        story.end().await;
        assert_eq!(sound(&home, id).status().unwrap().rounds, 3);
        home.remove(id).unwrap();
        assert!(!backup.exists(), "what it was goes with it");
    }
}

#[test]
fn a_library_of_each_format_keeps_what_was_said() {
    for version in 1..=LIBRARY.len() {
        let (_folder, home, id) = laid(SESSION.len(), version);
        let file = home.path().join("limn.db");
        let library = Library::open(&home).unwrap();
        assert_eq!(library.outcome(id).unwrap(), Some(Outcome::Success));
        let said = library.annotations(id).unwrap();
        assert_eq!(said.len(), 2, "format {version}: {said:?}");
        assert_eq!(said[0].annotator.as_deref(), Some("fox"));
        assert_eq!(library.damage().unwrap(), None);
        let rows = library.list().unwrap();
        assert_eq!((rows.len(), rows[0].session, rows[0].status.rounds), (1, id, 2));
        let search = Search { text: "second".to_owned(), ..Search::default() };
        assert_eq!(library.search(&search).unwrap().len(), 1);
        drop(library);
        assert_eq!(version_of(&file), LIBRARY.len());
        let backup = backup_path(&file, i64::try_from(version).unwrap());
        assert_eq!(backup.exists(), version < LIBRARY.len());
        assert!(!backup.exists() || version_of(&backup) == version);
    }
}

#[test]
fn a_backup_that_was_killed_is_made_anew() {
    let (_folder, home, id) = laid(1, 1);
    let file = home.session_file(id);
    let part = with_suffix(&backup_path(&file, 1), ".part");
    fs::write(&part, b"half of a copy, and nonsense").unwrap();
    fs::write(with_suffix(&part, "-journal"), b"to be undone").unwrap();
    assert!(recover(&home, id).unwrap());
    assert!(!part.exists() && !with_suffix(&part, "-journal").exists());
    Archive::open_file(&backup_path(&file, 1)).unwrap();
    // One that nobody came back for goes with its recording.
    fs::write(&part, b"half of a copy").unwrap();
    home.remove(id).unwrap();
    assert!(!part.exists());
}

/// The words of a value in SQL.
fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => {
            format!("'{}'", String::from_utf8(text.to_vec()).unwrap().replace('\'', "''"))
        }
        ValueRef::Blob(bytes) => {
            let mut text = "x'".to_owned();
            bytes.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
            text + "'"
        }
    }
}

/// A file in a format: its tables, and the rows of another file, as far as it has a place for them.
fn dumped((application_id, steps): (i32, &[&str]), tables: &[&str], from: &Connection) -> String {
    let plain = Connection::open_in_memory().unwrap();
    steps.iter().for_each(|step| plain.execute_batch(step).unwrap());
    let mut sql = format!("PRAGMA application_id = {application_id};\n");
    writeln!(sql, "PRAGMA user_version = {};", steps.len()).unwrap();
    let mut made = plain.prepare("SELECT name, sql FROM sqlite_schema WHERE sql NOT NULL").unwrap();
    let mut made = made.query([]).unwrap();
    while let Some(row) = made.next().unwrap() {
        if !SHADOWS.contains(&row.get::<_, String>(0).unwrap().as_str()) {
            writeln!(sql, "{};", row.get::<_, String>(1).unwrap()).unwrap();
        }
    }
    for table in tables {
        let mut there = plain.prepare("SELECT name FROM pragma_table_info(?)").unwrap();
        let there = there.query_map([table], |row| row.get(0)).unwrap();
        let columns: Vec<String> = there.collect::<Result<_, _>>().unwrap();
        let columns = columns.join(", ");
        let mut found = from.prepare(&format!("SELECT {columns} FROM {table}")).unwrap();
        let count = found.column_count();
        let mut found = found.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<String> =
                (0..count).map(|column| literal(row.get_ref(column).unwrap())).collect();
            writeln!(sql, "INSERT INTO {table} ({columns}) VALUES ({});", values.join(", "))
                .unwrap();
        }
    }
    sql
}

/// What is there is left as it is: a released format does not change.
#[tokio::test]
#[ignore = "writes into fixtures/; once for each new format"]
async fn the_fixtures_of_new_formats_are_made() {
    let (_folder, home) = home();
    // The same in every fixture: libraries tell of it.
    let id = SessionId::from_uuid(uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));
    let mut story = Story::of(Recorder::create(&home, start(id)).unwrap());
    story.round("first").await;
    story.prompt("second").await;
    let request = story.ask().await;
    let text = "half an ans".to_owned();
    story.recorder.draft(&Progress::Text { request, text }).await.unwrap();
    story.commit(Write::default(), Durability::Durable).await;
    let library = Library::open(&home).unwrap();
    library.set_outcome(id, Outcome::Success, "user", Some("fox")).unwrap();
    library.annotate_step(id, 2, ("rating", "good"), "user", None).unwrap();
    library.list().unwrap();
    let tables: Vec<&str> =
        TABLES.iter().map(|table| table.name).chain(["draft", "meta"]).collect();
    let session = Connection::open(home.session_file(id)).unwrap();
    let library = Connection::open(home.path().join("limn.db")).unwrap();
    let write = |kind: &str, version: usize, sql: String| {
        let path = fixture(kind, version);
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, sql).unwrap();
        }
    };
    for version in 1..=SESSION.len() {
        let format = (SESSION_APPLICATION_ID, &SESSION[..version]);
        write("session", version, dumped(format, &tables, &session));
    }
    for version in 1..=LIBRARY.len() {
        let format = (LIBRARY_APPLICATION_ID, &LIBRARY[..version]);
        write("library", version, dumped(format, &["annotation", "catalogue"], &library));
    }
}
