//! Parquet: the rows of a file of lines as columns, and back.
//!
//! What has a shape of its own, messages and tools, is JSON text in a column: a struct column would
//! give every call the keys of all calls, and a template would train them as `null`. So a row that
//! is read again is the line that was written, byte for byte.

use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::record::Field;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::DatasetError;
use crate::export::Format;

#[cfg(test)]
mod tests;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// JSON, as text.
    Json,
    Text,
    /// A text, or nothing.
    Maybe,
    Number,
    Numbers,
    Flags,
}

/// The columns of a format, in the order of the keys of its lines.
const fn columns(format: Format) -> Option<&'static [(&'static str, Kind)]> {
    match format {
        Format::Messages => Some(&[
            ("messages", Kind::Json),
            ("tools", Kind::Json),
            ("train", Kind::Flags),
            ("session", Kind::Text),
            ("sample", Kind::Number),
            ("row", Kind::Number),
            ("sampled_from", Kind::Maybe),
        ]),
        Format::Tokens => Some(&[
            ("input_ids", Kind::Numbers),
            ("labels", Kind::Numbers),
            ("session", Kind::Text),
            ("sample", Kind::Number),
            ("row", Kind::Number),
            ("sampled_from", Kind::Maybe),
            ("replies", Kind::Json),
        ]),
        _ => None,
    }
}

impl Format {
    /// Whether it can be written as Parquet.
    #[must_use]
    pub fn has_columns(self) -> bool {
        columns(self).is_some()
    }
}

/// Rows are written in groups of about so many bytes; one group is in memory at a time.
const GROUP_BYTES: usize = 64 << 20;

/// A Parquet file that is being written.
pub(crate) struct Columns {
    columns: &'static [(&'static str, Kind)],
    writer: SerializedFileWriter<File>,
    lines: Vec<String>,
    bytes: usize,
}

fn failed(error: ParquetError) -> std::io::Error {
    match error {
        // A full disk is an error of the disk.
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => *error,
            Err(error) => std::io::Error::other(error),
        },
        error => std::io::Error::other(error),
    }
}

impl Columns {
    pub(crate) fn new(file: File, format: Format) -> std::io::Result<Self> {
        let unsupported = || std::io::Error::from(std::io::ErrorKind::Unsupported);
        let columns = columns(format).ok_or_else(unsupported)?;
        let fields: String = columns.iter().map(|(name, kind)| field(name, *kind)).collect();
        let schema = parse_message_type(&format!("message row {{ {fields} }}")).map_err(failed)?;
        let level = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(level).build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        Ok(Self { columns, writer: writer.map_err(failed)?, lines: Vec::new(), bytes: 0 })
    }

    pub(crate) fn put(&mut self, line: &str) -> std::io::Result<()> {
        self.bytes += line.len();
        self.lines.push(line.to_owned());
        if self.bytes >= GROUP_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is left and the end of the file.
    pub(crate) fn finish(mut self) -> std::io::Result<File> {
        self.flush()?;
        self.writer.into_inner().map_err(failed)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        if lines.is_empty() {
            return Ok(());
        }
        let rows: Result<Vec<HashMap<&str, &RawValue>>, serde_json::Error> =
            lines.iter().map(|line| serde_json::from_str(line)).collect();
        let rows = rows.map_err(std::io::Error::from)?;
        let mut group = self.writer.next_row_group().map_err(failed)?;
        for (name, kind) in self.columns {
            let cells = rows.iter().map(|row| row.get(name).map_or("null", |cell| cell.get()));
            let Some(mut column) = group.next_column().map_err(failed)? else { break };
            match kind {
                Kind::Json => {
                    let values: Vec<ByteArray> = cells.map(ByteArray::from).collect();
                    column.typed::<ByteArrayType>().write_batch(&values, None, None)
                }
                Kind::Text | Kind::Maybe => {
                    let texts: Result<Vec<Option<String>>, _> =
                        cells.map(serde_json::from_str).collect();
                    let texts = texts.map_err(std::io::Error::from)?;
                    let there: Vec<i16> =
                        texts.iter().map(|text| i16::from(text.is_some())).collect();
                    let values: Vec<ByteArray> =
                        texts.iter().flatten().map(|text| text.as_str().into()).collect();
                    let levels = (*kind == Kind::Maybe).then_some(there.as_slice());
                    column.typed::<ByteArrayType>().write_batch(&values, levels, None)
                }
                Kind::Number => {
                    let values: Result<Vec<i64>, _> = cells.map(serde_json::from_str).collect();
                    let values = values.map_err(std::io::Error::from)?;
                    column.typed::<Int64Type>().write_batch(&values, None, None)
                }
                Kind::Numbers => {
                    let List { values, there, goes_on } = List::<i64>::of(cells)?;
                    let column = column.typed::<Int64Type>();
                    column.write_batch(&values, Some(&there), Some(&goes_on))
                }
                Kind::Flags => {
                    let List { values, there, goes_on } = List::<bool>::of(cells)?;
                    let column = column.typed::<BoolType>();
                    column.write_batch(&values, Some(&there), Some(&goes_on))
                }
            }
            .map_err(failed)?;
            column.close().map_err(failed)?;
        }
        group.close().map(|_| ()).map_err(failed)
    }
}

fn field(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Json | Kind::Text => format!("required binary {name} (UTF8);"),
        Kind::Maybe => format!("optional binary {name} (UTF8);"),
        Kind::Number => format!("required int64 {name};"),
        Kind::Numbers | Kind::Flags => {
            let of = if kind == Kind::Flags { "boolean" } else { "int64" };
            format!(
                "required group {name} (LIST) {{ repeated group list {{ required {of} element; }} }}"
            )
        }
    }
}

/// Lists one after the other, with what tells where one begins and which are empty.
struct List<T> {
    values: Vec<T>,
    there: Vec<i16>,
    goes_on: Vec<i16>,
}

impl<T: serde::de::DeserializeOwned> List<T> {
    fn of<'a>(cells: impl Iterator<Item = &'a str>) -> std::io::Result<Self> {
        let mut list = Self { values: Vec::new(), there: Vec::new(), goes_on: Vec::new() };
        for cell in cells {
            let values: Vec<T> = serde_json::from_str(cell)?;
            let count = values.len();
            list.there.extend(std::iter::repeat_n(i16::from(count > 0), count.max(1)));
            list.goes_on.extend((0..count.max(1)).map(|place| i16::from(place > 0)));
            list.values.extend(values);
        }
        Ok(list)
    }
}

/// Reads a file again, line by line; `take` answers whether to go on.
pub(crate) fn each_line(
    path: &Path,
    format: Format,
    take: &mut dyn FnMut(String) -> Result<bool, DatasetError>,
) -> Result<(), DatasetError> {
    let wrong = |error: std::io::Error| DatasetError::io("read", path, error);
    let file = File::open(path).map_err(wrong)?;
    let Some(columns) = columns(format) else {
        return Err(DatasetError::UnknownFormat(format.as_str().to_owned()));
    };
    // The library panics on some files that are none.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let reader = SerializedFileReader::new(file).map_err(|error| wrong(failed(error)))?;
        for row in reader.get_row_iter(None).map_err(|error| wrong(failed(error)))? {
            let row = row.map_err(|error| wrong(failed(error)))?;
            let cells: HashMap<&str, &Field> =
                row.get_column_iter().map(|(name, cell)| (name.as_str(), cell)).collect();
            let cell = |(name, kind): &(&str, Kind)| {
                let text = cells.get(name).and_then(|cell| text(cell, *kind));
                format!("\"{name}\":{}", text.unwrap_or_else(|| "null".to_owned()))
            };
            let cells: Vec<String> = columns.iter().map(cell).collect();
            if !take(format!("{{{}}}", cells.join(",")))? {
                break;
            }
        }
        Ok(())
    }));
    read.unwrap_or_else(|_| Err(wrong(std::io::ErrorKind::InvalidData.into())))
}

/// A cell as the JSON that it was.
fn text(cell: &Field, kind: Kind) -> Option<String> {
    match (kind, cell) {
        (Kind::Json, Field::Str(json)) => Some(json.clone()),
        (Kind::Text | Kind::Maybe, Field::Str(text)) => {
            Some(Value::from(text.as_str()).to_string())
        }
        (Kind::Number, Field::Long(number)) => Some(number.to_string()),
        (Kind::Numbers | Kind::Flags, Field::ListInternal(list)) => {
            let element = |element: &Field| match element {
                Field::Long(number) => number.to_string(),
                Field::Bool(flag) => flag.to_string(),
                _ => "null".to_owned(),
            };
            let elements: Vec<String> = list.elements().iter().map(element).collect();
            Some(format!("[{}]", elements.join(",")))
        }
        _ => None,
    }
}
