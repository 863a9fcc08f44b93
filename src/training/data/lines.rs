//! Lines of a file, bounded, with a hash of all that was read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// No line is longer. A sample of 152,000 tokens is two megabytes as JSON.
pub(super) const LINE_BYTES_MAX: usize = 64 << 20;

/// What a line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has this text, without its end; an empty line is no row.
    Line,
    /// It is too long to be held.
    TooLong,
    /// There is none.
    End,
}

/// The lines of a file.
pub(super) struct Lines {
    file: BufReader<File>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        let file = BufReader::with_capacity(1 << 18, file);
        Self { file, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// Bytes that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads the next line into `line`.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Found> {
        line.clear();
        let most = LINE_BYTES_MAX as u64 + 1;
        let count = (&mut self.file).take(most).read_until(b'\n', line)?;
        self.hasher.update(line);
        self.bytes += count as u64;
        if count == 0 {
            return Ok(Found::End);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if line.len() > LINE_BYTES_MAX {
            return Ok(Found::TooLong);
        }
        Ok(Found::Line)
    }

    /// The hash of what was read.
    pub(super) fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}
