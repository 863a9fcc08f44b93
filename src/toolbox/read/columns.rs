//! Parquet files: their columns, how many rows they have, and some of the rows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::ConvertedType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure};
use crate::path::Relative;

const ROWS: u64 = 10;
const ROWS_MAX: u64 = 100;
const COLUMNS_MAX: usize = 200;
const VALUE_CHARS_MAX: usize = 200;
const SHOWN_BYTES_MAX: usize = 32 << 10;
/// How far into the rows an offset may point: those before it are read and dropped.
const OFFSET_MAX: u64 = 100_000;
/// The longest description at the end of a file, bytes: it is read whole.
const FOOTER_BYTES_MAX: u32 = 16 << 20;
/// What a group of rows may unpack to, bytes, before its rows are read.
const GROUP_BYTES_MAX: i64 = 256 << 20;

/// The head of the table. `offset` and `limit` count rows.
pub(super) fn answer(
    path: &Relative,
    file: File,
    offset: Option<u64>,
    limit: Option<u64>,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let damaged = |said: &str| {
        Failure::Error(format!("{path} is a Parquet file that cannot be read: {said}."))
    };
    let first = offset.unwrap_or(1).clamp(1, OFFSET_MAX);
    let limit = limit.unwrap_or(ROWS).clamp(1, ROWS_MAX);
    // The reader trusts what the file says of itself in places.
    if footer_bytes(&file).is_none_or(|bytes| bytes > FOOTER_BYTES_MAX) {
        return Err(damaged("its description is missing or too long"));
    }
    let told = catch_unwind(AssertUnwindSafe(|| describe(file, first, limit, cancel)));
    match told {
        Ok(Ok(_)) if cancel.is_cancelled() => {
            Err(Failure::Cancelled("Cancelled while reading.".to_owned()))
        }
        Ok(Ok(shown)) => Ok(Answer::from(shown)),
        Ok(Err(error)) => Err(damaged(&error.to_string().chars().take(200).collect::<String>())),
        Err(_) => Err(damaged("it is damaged")),
    }
}

/// How long the file says that its description is.
fn footer_bytes(file: &File) -> Option<u32> {
    let end = file.metadata().ok()?.len();
    let mut length = [0; 4];
    file.read_exact_at(&mut length, end.checked_sub(8)?).ok()?;
    Some(u32::from_le_bytes(length))
}

fn describe(
    file: File,
    first: u64,
    limit: u64,
    cancel: &CancellationToken,
) -> Result<String, ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let metadata = reader.metadata();
    let rows = metadata.file_metadata().num_rows();
    let schema = metadata.file_metadata().schema();
    let columns = schema.get_fields();
    let mut shown = format!("Parquet: {rows} rows, {} columns\n", columns.len());
    for column in columns.iter().take(COLUMNS_MAX) {
        shown.push_str(&format!("  {}: {}\n", clipped(column.name()), kind(column)));
    }
    if columns.len() > COLUMNS_MAX {
        shown.push_str(&format!("  [{} more columns]\n", columns.len() - COLUMNS_MAX));
    }
    let groups = metadata.row_groups();
    if groups.iter().any(|group| group.total_byte_size() > GROUP_BYTES_MAX) {
        shown.push_str("[its rows are too many together to be read here; use shell]");
        return Ok(shown);
    }
    let mut last = first - 1;
    let skipped = usize::try_from(first - 1).unwrap_or(0);
    for (index, row) in reader.get_row_iter(None)?.enumerate() {
        if cancel.is_cancelled() || last - (first - 1) == limit || shown.len() > SHOWN_BYTES_MAX {
            break;
        }
        let row = row?;
        if index < skipped {
            continue;
        }
        last += 1;
        let values = row.get_column_iter().take(COLUMNS_MAX);
        let values: Vec<String> =
            values.map(|(name, value)| format!("{}={}", clipped(name), field(value))).collect();
        shown.push_str(&format!("{last}\t{}\n", values.join(", ")));
    }
    let all = u64::try_from(rows).unwrap_or(0);
    if last < all {
        shown.push_str(&format!("[rows {first}-{last} of {all}; go on with offset {}]", last + 1));
    }
    shown.truncate(shown.trim_end().len());
    Ok(shown)
}

fn kind(column: &Type) -> String {
    let info = column.get_basic_info();
    let optional = if column.is_optional() { "?" } else { "" };
    let named = match info.converted_type() {
        ConvertedType::NONE if column.is_primitive() => column.get_physical_type().to_string(),
        ConvertedType::NONE => "GROUP".to_owned(),
        named => named.to_string(),
    };
    format!("{}{optional}", named.to_lowercase())
}

fn field(value: &Field) -> String {
    match value {
        Field::Bytes(bytes) => format!("{} bytes", bytes.len()),
        value => clipped(&value.to_string()),
    }
}

fn clipped(text: &str) -> String {
    let mut short: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    if short.chars().any(char::is_control) { short.escape_debug().to_string() } else { short }
}
