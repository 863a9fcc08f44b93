//! The bundle: every row of a recording as lines of JSON, compressed with zstd.
//!
//! ```text
//! {"format":"limn-bundle","version":1,"session":"0198…"}
//! {"table":"session","columns":["id","query_id",…]}
//! [{"b64":"AZjy…"},null,…]
//! …
//! {"end":{"rows":1234,"blake3":"…"}}
//! ```
//!
//! A row is an array: null, numbers and strings as they are, bytes in base64. The last line holds
//! the hash of all bytes before it, so that a bundle that was cut or altered is known before
//! anything of it counts. Uncompressed lines are read too. `docs/format.md` names the tables.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use record::{Archive, Home, Imported, Loader, RecordError, Value as Cell, ValueRef};
use serde_json::{Value, json};
use trajectory::SessionId;

use crate::error::DatasetError;
use crate::ledger::Ledger;
use crate::lines;
use crate::recording::Recording;
use crate::write::Pass;

const FORMAT: &str = "limn-bundle";
const VERSION: u64 = 1;
const ZSTD_LEVEL: i32 = 6;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// No line is longer: the largest piece of a recording, in base64, with room to spare.
const LINE_BYTES_MAX: u64 = 400 << 20;

/// Imports a bundle: identical rows, identical hashes, or nothing at all.
///
/// # Errors
/// When it is no bundle, is damaged, does not verify, or another session has its id.
pub fn import_bundle(home: &Home, path: &Path) -> Result<Imported, DatasetError> {
    let mut lines = Lines::open(path)?;
    let mut loader = Loader::new(home)?;
    let id = read_header(&mut lines)?;
    read_rows(&mut lines, |table, columns, cells| {
        let values: Vec<ValueRef<'_>> = cells.iter().map(ValueRef::from).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        loader.row(table, &columns, &values)
    })?;
    loader.finish(id).map_err(|error| match error {
        RecordError::BadImport { problem } => lines.bad(problem),
        other => other.into(),
    })
}

/// Reads a bundle to its end without keeping anything.
fn check(path: &Path) -> Result<(), DatasetError> {
    let mut lines = Lines::open(path)?;
    read_header(&mut lines)?;
    read_rows(&mut lines, |_, _, _| Ok(()))
}

/// Writes a bundle of each session.
pub(crate) fn write_all(pass: &mut Pass<'_>) -> Result<(), DatasetError> {
    for chosen in pass.chosen() {
        let recording = Recording::open_whole(pass.home(), chosen)?;
        let path = pass.folder.join(format!("{}.limn", chosen.id));
        let file = write(&recording.archive, chosen.id, lines::create(&path)?, &path)?;
        lines::finish(file, &path)?;
        check(&path)?;
        pass.ledger.keep("sessions");
        count_images(&recording, &mut pass.ledger)?;
        // Not how many there are: a bundle stays the same whatever is said later.
        let note = "Sessions without what is said about them: it is kept beside recordings.";
        pass.ledger.lose("annotations", 1, note);
        pass.sessions.push(recording.facts);
    }
    Ok(())
}

/// A bundle has the images that its recording has.
fn count_images(recording: &Recording, ledger: &mut Ledger) -> Result<(), DatasetError> {
    let attachments = recording.events.iter().flat_map(|event| event.body.attachments());
    let named: BTreeSet<&str> = attachments.map(|it| it.blake3.as_str()).collect();
    for blake3 in named {
        if recording.archive.attachment(blake3)?.is_some() {
            ledger.keep("images");
        } else {
            ledger.lose("images_missing", 1, "Images whose bytes are gone from the recording.");
        }
    }
    Ok(())
}

/// Writes a bundle.
fn write(
    archive: &Archive,
    id: SessionId,
    file: BufWriter<File>,
    path: &Path,
) -> Result<BufWriter<File>, DatasetError> {
    let failed = |error| DatasetError::io("write", path, error);
    let encoder = zstd::Encoder::new(file, ZSTD_LEVEL).map_err(failed)?;
    let mut out = Hashed { inner: encoder, hasher: blake3::Hasher::new() };
    let header = json!({ "format": FORMAT, "version": VERSION, "session": id });
    out.line(&header).map_err(failed)?;
    let (mut rows, mut table_now, mut problem) = (0u64, String::new(), None);
    let dumped = archive.dump(&mut |table, columns, values| {
        let mut put = || {
            if table_now != table {
                table.clone_into(&mut table_now);
                out.line(&json!({ "table": table, "columns": columns }))?;
            }
            rows += 1;
            out.line(&Value::Array(values.iter().map(|value| to_json(*value)).collect()))
        };
        put().map_err(|error| {
            let problem_text = error.to_string();
            problem = Some(error);
            RecordError::BadImport { problem: problem_text }
        })
    });
    if let Some(error) = problem {
        return Err(failed(error));
    }
    dumped?;
    let hash = out.hasher.finalize().to_hex().to_string();
    out.line(&json!({ "end": { "rows": rows, "blake3": hash } })).map_err(failed)?;
    out.inner.finish().map_err(failed)
}

/// A writer that hashes what goes through it.
struct Hashed<W: Write> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Hashed<W> {
    fn line(&mut self, value: &Value) -> std::io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.hasher.update(line.as_bytes());
        self.inner.write_all(line.as_bytes())
    }
}

fn to_json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => text.into(),
            // Text is written as UTF-8 only; what is not is damage that verification names.
            Err(_) => String::from_utf8_lossy(text).into(),
        },
        ValueRef::Blob(bytes) => json!({ "b64": BASE64.encode(bytes) }),
    }
}

fn from_json(value: Value) -> Result<Cell, &'static str> {
    match value {
        Value::Null => Ok(Cell::Null),
        Value::String(text) => Ok(Cell::Text(text)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Ok(Cell::Integer(number)),
            (None, Some(number)) => Ok(Cell::Real(number)),
            (None, None) => Err("a number out of range"),
        },
        Value::Object(object) => {
            let text =
                object.get("b64").and_then(Value::as_str).ok_or("a value of no known form")?;
            BASE64.decode(text).map(Cell::Blob).map_err(|_| "bytes that are no base64")
        }
        Value::Bool(_) | Value::Array(_) => Err("a value of no known form"),
    }
}

/// The lines of a bundle, numbered and hashed.
struct Lines<'a> {
    path: &'a Path,
    reader: Box<dyn BufRead>,
    number: usize,
    hasher: blake3::Hasher,
}

impl<'a> Lines<'a> {
    fn open(path: &'a Path) -> Result<Self, DatasetError> {
        let failed = |error| DatasetError::io("read", path, error);
        let mut file = BufReader::with_capacity(1 << 18, File::open(path).map_err(failed)?);
        let compressed = file.fill_buf().map_err(failed)?.starts_with(&ZSTD_MAGIC);
        let reader: Box<dyn BufRead> = if compressed {
            let decoder = zstd::Decoder::with_buffer(file).map_err(failed)?;
            Box::new(BufReader::with_capacity(1 << 18, decoder))
        } else {
            Box::new(file)
        };
        Ok(Self { path, reader, number: 0, hasher: blake3::Hasher::new() })
    }

    fn bad(&self, what: impl Into<String>) -> DatasetError {
        DatasetError::BadBundle {
            path: self.path.to_owned(),
            line: self.number,
            what: what.into().trim_end_matches('.').to_owned(),
        }
    }

    /// The next line as JSON, with the hash of everything before it.
    fn next(&mut self) -> Result<(Value, blake3::Hash), DatasetError> {
        self.number += 1;
        let before = self.hasher.finalize();
        let mut line = Vec::new();
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(|error| self.bad(format!("it cannot be read ({error})")))?;
        if line.is_empty() {
            return Err(self.bad("it ends here, without its last line"));
        }
        if line.last() != Some(&b'\n') {
            return Err(self.bad("the line is cut off"));
        }
        self.hasher.update(&line);
        let value = serde_json::from_slice(&line)
            .map_err(|error| self.bad(format!("it is no JSON ({error})")))?;
        Ok((value, before))
    }

    fn expect_end(&mut self) -> Result<(), DatasetError> {
        let rest = self.reader.fill_buf().map(<[u8]>::is_empty);
        if rest.unwrap_or(false) {
            Ok(())
        } else {
            Err(self.bad("something follows its last line"))
        }
    }
}

fn read_header(lines: &mut Lines<'_>) -> Result<SessionId, DatasetError> {
    let (header, _) = lines.next()?;
    if header["format"] != FORMAT {
        return Err(lines.bad(format!("expected a line with \"format\":\"{FORMAT}\"")));
    }
    match header["version"].as_u64() {
        Some(VERSION) => {}
        Some(newer) => {
            let what = format!("version {newer}; this limn reads version {VERSION}: update limn");
            return Err(lines.bad(what));
        }
        None => return Err(lines.bad("expected a version")),
    }
    let id = header["session"].as_str().and_then(|id| id.parse().ok());
    id.ok_or_else(|| lines.bad("expected a session's id"))
}

fn read_rows(
    lines: &mut Lines<'_>,
    mut take: impl FnMut(&str, &[String], &[Cell]) -> Result<(), RecordError>,
) -> Result<(), DatasetError> {
    let (mut table, mut columns, mut rows) = (String::new(), Vec::new(), 0u64);
    loop {
        let (line, before) = lines.next()?;
        match line {
            Value::Array(values) => {
                let cells: Result<Vec<Cell>, _> = values.into_iter().map(from_json).collect();
                let cells = cells.map_err(|what| lines.bad(what))?;
                take(&table, &columns, &cells).map_err(|error| match error {
                    RecordError::BadImport { problem } => lines.bad(problem),
                    other => other.into(),
                })?;
                rows += 1;
            }
            Value::Object(object) if object.contains_key("end") => {
                let end = &object["end"];
                if end["rows"] != rows || end["blake3"] != before.to_hex().as_str() {
                    return Err(lines.bad("it is not what was written: its hash differs"));
                }
                return lines.expect_end();
            }
            Value::Object(object) => {
                let names = |value: &Value| {
                    let names =
                        value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned));
                    names.collect::<Option<Vec<String>>>()
                };
                let named = object.get("table").and_then(Value::as_str);
                let listed = object.get("columns").and_then(names);
                let (Some(named), Some(listed)) = (named, listed) else {
                    return Err(lines.bad("expected a table with its columns, a row, or the end"));
                };
                (table, columns) = (named.to_owned(), listed);
            }
            _ => return Err(lines.bad("expected a table with its columns, a row, or the end")),
        }
    }
}
