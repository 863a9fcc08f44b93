//! Out of one home and into another: the same rows, or a clear refusal that changes nothing.

use rusqlite::Connection;
use rusqlite::types::Value;
use trajectory::SessionId;

use super::{TABLES, fingerprint};
use crate::connection::{SESSION_FORMAT, open_existing_to_write};
use crate::tests::{Story, home, sound};
use crate::*;

type Dumped = Vec<(String, Vec<String>, Vec<Value>)>;

fn dump(archive: &Archive) -> Dumped {
    let mut rows = Dumped::new();
    archive
        .dump(&mut |table, columns, values| {
            let columns = columns.iter().map(ToString::to_string).collect();
            let values = values.iter().map(|value| Value::try_from(*value).unwrap()).collect();
            rows.push((table.to_owned(), columns, values));
            Ok(())
        })
        .unwrap();
    rows
}

fn load(home: &Home, id: SessionId, rows: &Dumped) -> Result<Imported, RecordError> {
    let mut loader = Loader::new(home)?;
    for (table, columns, values) in rows {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let values: Vec<ValueRef<'_>> = values.iter().map(ValueRef::from).collect();
        loader.row(table, &columns, &values)?;
    }
    loader.finish(id)
}

async fn recorded(home: &Home) -> SessionId {
    let mut story = Story::begin(home);
    story.round("first").await;
    story.round("second").await;
    story.end().await
}

/// The files among the sessions, but for the one that importers lock, which stays.
fn files(home: &Home) -> usize {
    let names = std::fs::read_dir(home.sessions()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name != ".import-lock").count()
}

/// Invariant 1, at the level of rows.
#[tokio::test]
async fn a_dump_is_loaded_to_the_same_dump() {
    let (_folder, from) = home();
    let (_folder, into) = home();
    let id = recorded(&from).await;
    let rows = dump(&sound(&from, id));
    assert_eq!(rows, dump(&sound(&from, id)), "twice the same");
    assert_eq!(load(&into, id, &rows).unwrap(), Imported { id, already_here: false });
    assert_eq!(dump(&sound(&into, id)), rows);
    assert_eq!(load(&into, id, &rows).unwrap(), Imported { id, already_here: true });
    assert_eq!(load(&from, id, &rows).unwrap(), Imported { id, already_here: true });
    let tables: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(tables[0], "session");
    for (table, _, _) in &rows {
        assert!(tables.contains(&table.as_str()));
    }
    let error = Recorder::resume(&into, id).unwrap_err();
    assert!(matches!(error, RecordError::OtherDevice { .. }), "{error}");
}

/// Every column of every table of the schema is dumped, or left out on purpose.
#[test]
fn every_column_is_dumped() {
    let (_folder, home) = home();
    let loader = Loader::new(&home).unwrap();
    let mut statement = loader
        .connection
        .prepare(
            "SELECT t.name, group_concat(c.name) FROM sqlite_schema AS t, \
             pragma_table_info(t.name) AS c WHERE t.type = 'table' GROUP BY t.name",
        )
        .unwrap();
    let schema = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<std::collections::BTreeMap<String, String>, _>>()
        .unwrap();
    for (table, columns) in &schema {
        if ["meta", "draft"].contains(&table.as_str()) {
            continue;
        }
        let dumped = TABLES.iter().find(|known| known.name == table).unwrap().columns;
        assert_eq!(dumped.join(","), *columns, "{table}");
    }
    assert_eq!(schema.len(), TABLES.len() + 2);
}

#[tokio::test]
async fn bad_rows_change_nothing() {
    let (_folder, from) = home();
    let (_folder, into) = home();
    let id = recorded(&from).await;
    let good = dump(&sound(&from, id));
    let place = |table: &str| good.iter().position(|row| row.0 == table).unwrap();
    let (event, blob) = (place("event"), place("blob"));
    let text = |text: &str| Value::Text(text.to_owned());
    let mut cases: Vec<(&str, Dumped)> = Vec::new();
    let mut case = |expected, change: &dyn Fn(&mut Dumped)| {
        let mut rows = good.clone();
        change(&mut rows);
        cases.push((expected, rows));
    };
    case("no session", &Vec::clear);
    case("no table \"sqlite_schema\"", &|rows| rows[event].0 = "sqlite_schema".into());
    case("no table", &|rows| rows[event].0 = "event; DROP TABLE event".into());
    case("no column", &|rows| rows[event].1[0] = "seq, id".into());
    case("values", &|rows| rows[event].2.truncate(3));
    case("does not fit", &|rows| rows[event].2[0] = text("zero"));
    case("does not fit", &|rows| rows[event].2[1] = Value::Null);
    case("does not fit", &|rows| rows.push(rows[event].clone()));
    case("should be event 0", &|rows| drop(rows.remove(event)));
    case("commitment", &|rows| rows[event].2[9] = text("{}"));
    case("missing", &|rows| rows.retain(|row| row.0 != "blob"));
    case("at most", &|rows| rows[blob].2[2] = Value::Integer(1 << 50));
    for (expected, rows) in cases {
        let error = load(&into, id, &rows).unwrap_err();
        assert!(matches!(error, RecordError::BadImport { .. }), "{expected}: {error:?}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(error.to_string().len() < 1000, "{error}");
        assert!(into.session_ids().unwrap().is_empty());
    }
    assert_eq!(files(&into), 0, "no temporary file is left");
    let error = load(&into, SessionId::new(), &good).unwrap_err();
    assert!(matches!(error, RecordError::BadImport { .. }), "not what was announced: {error:?}");
    assert!(error.to_string().contains(&id.to_string()), "{error}");
    assert_eq!(files(&into), 0);
    load(&into, id, &good).unwrap();

    // The same events, another row: the chain does not cover it, the comparison does.
    let call = place("llm_call");
    let mut other = good.clone();
    let column = other[call].1.iter().position(|column| column == "finish_reason").unwrap();
    other[call].2[column] = text("length");
    let error = load(&into, id, &other).unwrap_err();
    assert!(matches!(error, RecordError::Conflict { .. }), "{error:?}");
    assert_eq!(dump(&sound(&into, id)), good);

    // The same id, another history.
    let recorder = Recorder::resume(&from, id).unwrap().recorder;
    let prompt = trajectory::event::Prompt { text: "more".into(), ..Default::default() };
    let write = Write::event(3, trajectory::Source::User, prompt);
    recorder.commit(write, Durability::Relaxed).await.unwrap();
    recorder.close().await.unwrap();
    let error = load(&into, id, &dump(&sound(&from, id))).unwrap_err();
    assert!(matches!(error, RecordError::Conflict { .. }), "{error:?}");
    assert_eq!(dump(&sound(&into, id)), good);
}

#[tokio::test]
async fn a_recording_of_the_first_format_is_read_and_dumped_as_it_is() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("a prompt").await;
    let id = story.end().await;
    let path = home.session_file(id);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "ALTER TABLE llm_call DROP COLUMN context_digest; \
             ALTER TABLE environment DROP COLUMN repository; \
             ALTER TABLE tool_exec DROP COLUMN sizes; PRAGMA user_version = 1;",
        )
        .unwrap();
    drop(connection);
    let archive = Archive::open(&home, id).unwrap();
    assert_eq!(archive.requests().unwrap()[0].context_digest, None);
    assert!(archive.verify().unwrap().is_empty());
    let before = fingerprint(&archive).unwrap();
    drop(archive);
    // Whoever writes to it brings it up to date; it is the same recording.
    drop(open_existing_to_write(&path, SESSION_FORMAT).unwrap());
    assert_eq!(fingerprint(&Archive::open(&home, id).unwrap()).unwrap(), before);
}
