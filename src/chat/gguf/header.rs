//! What stands before the weights in a GGUF file: named values, and where each tensor lies.
//!
//! This is the one reader of the format. The tokenizer is made of the values; whoever loads the
//! weights asks for the tensors. Everything is bounded, and what nobody asks for is not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use crate::error::ChatError;

/// How every GGUF begins.
const MAGIC: [u8; 4] = *b"GGUF";

/// No file names more values or tensors, and none is larger.
const VALUES_MAX: u64 = 1 << 16;
const TENSORS_MAX: u64 = 1 << 17;
const TEXT_BYTES_MAX: u64 = 16 << 20;
const ITEMS_MAX: u64 = 4 << 20;
const SIZES_MAX: u32 = 8;

/// All that is read before the weights.
const HEADER_BYTES_MAX: u64 = 512 << 20;

/// Texts that are longer are kept only when they are the tokenizer's.
const PLAIN_TEXT_BYTES_MAX: usize = 256;

/// Weights begin at a multiple of this, unless the file says otherwise.
const ALIGNMENT: u64 = 32;

/// Kinds of values that are not plain numbers.
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A tensor in a GGUF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The name that llama.cpp gives it: `blk.0.attn_q.weight`.
    pub name: String,
    /// Its sizes, the outermost first.
    pub sizes: Vec<u64>,
    /// How its numbers are packed, as `ggml` numbers it.
    pub packing: u32,
    /// Where it begins, in bytes from the beginning of the file.
    pub at: u64,
}

/// What stands before the weights.
#[derive(Debug, Default)]
pub struct Header {
    values: BTreeMap<String, Value>,
    tensors: Vec<Tensor>,
}

/// Whether a file begins as a GGUF does.
#[must_use]
pub fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    path.is_file()
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == MAGIC
}

impl Header {
    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// When it cannot be read or is no GGUF.
    pub fn open(path: &Path) -> Result<Self, ChatError> {
        let file =
            File::open(path).map_err(|source| ChatError::Io { path: path.to_owned(), source })?;
        Self::read(BufReader::new(file)).map_err(|error| ChatError::Format {
            path: path.to_owned(),
            reason: format!("its beginning is damaged ({error})"),
        })
    }

    /// Reads the beginning of a file that is open.
    ///
    /// # Errors
    /// When it ends too early or is no GGUF.
    pub fn read(file: impl Read) -> io::Result<Self> {
        let mut file = file.take(HEADER_BYTES_MAX);
        let mut header = Self::default();
        let mut magic = [0; 4];
        file.read_exact(&mut magic)?;
        let version = u32_of(&mut file)?;
        if magic != MAGIC || !(2..=3).contains(&version) {
            return Err(io::Error::other("no GGUF of version 2 or 3"));
        }
        let tensors = at_most(u64_of(&mut file)?, TENSORS_MAX)?;
        for _ in 0..at_most(u64_of(&mut file)?, VALUES_MAX)? {
            let key = text_of(&mut file)?;
            let kind = u32_of(&mut file)?;
            if let Some(value) = value_of(&mut file, &key, kind)? {
                header.values.insert(key, value);
            }
        }
        for _ in 0..tensors {
            header.tensors.push(tensor_of(&mut file)?);
        }
        let begin = header.aligned(HEADER_BYTES_MAX - file.limit())?;
        let mut names = BTreeSet::new();
        for tensor in &mut header.tensors {
            let at = tensor.at.checked_add(begin);
            tensor.at = at.ok_or_else(|| io::Error::other("a tensor that lies nowhere"))?;
            if !names.insert(tensor.name.as_str()) {
                return Err(io::Error::other(format!("{} is there twice", tensor.name)));
            }
        }
        Ok(header)
    }

    /// Where the weights begin when the header ends here.
    fn aligned(&self, end: u64) -> io::Result<u64> {
        let alignment = self.number("general.alignment").unwrap_or(ALIGNMENT);
        // No power of two is how a damaged file looks, and 0 would divide.
        if !alignment.is_power_of_two() || alignment > HEADER_BYTES_MAX {
            return Err(io::Error::other(format!("tensors at multiples of {alignment}")));
        }
        Ok(end.next_multiple_of(alignment))
    }

    /// A named value: a number, a flag, a text, or a list that belongs to the tokenizer.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// A named value that is a whole number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.value(key)?.as_u64()
    }

    /// A named value that is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key)?.as_str()
    }

    /// A named value that is a list.
    #[must_use]
    pub fn list(&self, key: &str) -> Option<&[Value]> {
        self.value(key)?.as_array().map(Vec::as_slice)
    }

    /// The tensors, as the file lists them. That they lie within the file is not checked here.
    #[must_use]
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }
}

/// A value, if it is one that somebody asks for.
fn value_of(file: &mut impl Read, key: &str, kind: u32) -> io::Result<Option<Value>> {
    match kind {
        STRING => {
            let text = text_of(file)?;
            let keep = text.len() <= PLAIN_TEXT_BYTES_MAX || key.starts_with("tokenizer.");
            Ok(keep.then_some(Value::String(text)))
        }
        ARRAY => {
            let kind = u32_of(file)?;
            let count = at_most(u64_of(file)?, ITEMS_MAX)?;
            list_of(file, key, kind, count)
        }
        kind => number_of(file, kind).map(Some),
    }
}

fn list_of(file: &mut impl Read, key: &str, kind: u32, count: u64) -> io::Result<Option<Value>> {
    let keep = key.starts_with("tokenizer.ggml.");
    if kind == STRING {
        let mut list = Vec::new();
        for _ in 0..count {
            let text = text_of(file)?;
            if keep {
                list.push(Value::String(text));
            }
        }
        return Ok(keep.then_some(Value::Array(list)));
    }
    if key != "tokenizer.ggml.token_type" {
        skip(file, width(kind)? * count)?;
        return Ok(None);
    }
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(number_of(file, kind)?);
    }
    Ok(Some(Value::Array(list)))
}

fn number_of(file: &mut impl Read, kind: u32) -> io::Result<Value> {
    let mut bytes = [0; 8];
    let width = usize::try_from(width(kind)?).unwrap_or(bytes.len());
    file.read_exact(&mut bytes[..width])?;
    let [a, b, c, d, ..] = bytes;
    Ok(match kind {
        0 => bytes[0].into(),
        1 => i8::from_le_bytes([a]).into(),
        2 => u16::from_le_bytes([a, b]).into(),
        3 => i16::from_le_bytes([a, b]).into(),
        4 => u32::from_le_bytes([a, b, c, d]).into(),
        5 => i32::from_le_bytes([a, b, c, d]).into(),
        6 => f64::from(f32::from_le_bytes([a, b, c, d])).into(),
        7 => (bytes[0] != 0).into(),
        10 => u64::from_le_bytes(bytes).into(),
        11 => i64::from_le_bytes(bytes).into(),
        _ => f64::from_le_bytes(bytes).into(),
    })
}

fn tensor_of(file: &mut impl Read) -> io::Result<Tensor> {
    let name = text_of(file)?;
    let count = u32_of(file)?;
    at_most(count.into(), SIZES_MAX.into())?;
    let mut sizes = Vec::new();
    for _ in 0..count {
        sizes.push(u64_of(file)?);
    }
    // The file has the innermost first.
    sizes.reverse();
    Ok(Tensor { name, sizes, packing: u32_of(file)?, at: u64_of(file)? })
}

/// How many bytes a number of this kind has.
fn width(kind: u32) -> io::Result<u64> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        other => Err(io::Error::other(format!("a value of the unknown kind {other}"))),
    }
}

fn at_most(count: u64, max: u64) -> io::Result<u64> {
    if count > max { Err(io::Error::other(format!("{count} of something"))) } else { Ok(count) }
}

fn u32_of(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn u64_of(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn text_of(file: &mut impl Read) -> io::Result<String> {
    let length = at_most(u64_of(file)?, TEXT_BYTES_MAX)?;
    let mut bytes = Vec::new();
    if file.take(length).read_to_end(&mut bytes)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Tokens that are no text are of the kinds that are refused.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn skip(file: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut file.take(bytes), &mut io::sink())?;
    if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
