//! What executions print: every byte with its timing, in parts.
//!
//! A part holds up to 256 KiB of one execution's terminal. Chunks are appended to the last part
//! until it is full; a part that was flushed while it was still smaller than a page is rewritten
//! longer instead of being followed by another, so a command that prints a line a second does not
//! leave a row a second.

use std::collections::BTreeMap;
use std::sync::Arc;

use blob::{Codec, Encoder};

/// The most bytes of output in one part.
pub(crate) const PART_BYTES_MAX: usize = 256 * 1024;

/// A flushed part below this is rewritten when more comes; above, another part begins.
const REWRITE_BELOW_BYTES: usize = 4096;

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the command.
    Out,
    /// To the command, typed by the model.
    In,
    /// To the command, typed by the user.
    ByUser,
}

impl Direction {
    /// The number it is stored as.
    pub(crate) const fn as_number(self) -> u8 {
        match self {
            Self::Out => 0,
            Self::In => 1,
            Self::ByUser => 2,
        }
    }
}

/// A piece of output as it arrived: how long after the piece before, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Microseconds since the mark before it, or since the execution began.
    pub dt_us: u32,
    /// Bytes.
    pub len: u32,
}

/// Terminal bytes, in final form.
#[derive(Clone, Debug)]
pub struct OutputChunk {
    /// The bytes.
    pub bytes: Arc<[u8]>,
    /// How they arrived; what they leave uncovered counts as having come at once.
    pub marks: Vec<Mark>,
    /// Which way they went.
    pub direction: Direction,
}

/// A part as it goes into its row.
#[derive(Debug)]
pub(crate) struct PartRow {
    pub(crate) exec: u32,
    pub(crate) direction: Direction,
    pub(crate) idx: u32,
    pub(crate) offset: u64,
    pub(crate) raw_len: u64,
    pub(crate) codec: Codec,
    pub(crate) data: Vec<u8>,
    pub(crate) marks: Vec<u8>,
}

/// The part of an execution that still grows.
#[derive(Debug, Default)]
struct Tail {
    idx: u32,
    offset: u64,
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    dirty: bool,
}

/// The parts of all running executions that are not in their rows yet.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    tails: BTreeMap<(u32, Direction), Tail>,
    sealed: Vec<PartRow>,
    sealed_bytes: usize,
    encoder: Encoder,
}

impl Outputs {
    /// Whether an execution's parts have been begun here.
    pub(crate) fn knows(&self, exec: u32, direction: Direction) -> bool {
        self.tails.contains_key(&(exec, direction))
    }

    /// Begins behind the parts that are on record already, if any are: output that comes late is
    /// added, never written over.
    pub(crate) fn begin(&mut self, exec: u32, direction: Direction, idx: u32, offset: u64) {
        self.tails.insert((exec, direction), Tail { idx, offset, ..Tail::default() });
    }

    /// Takes the next bytes of an execution.
    pub(crate) fn push(&mut self, exec: u32, chunk: &OutputChunk) {
        let mut marks = chunk.marks.iter().copied();
        let mut mark = marks.next();
        let mut rest: &[u8] = &chunk.bytes;
        while !rest.is_empty() {
            let tail = self.tails.entry((exec, chunk.direction)).or_default();
            let room = PART_BYTES_MAX.saturating_sub(tail.bytes.len());
            let covered = mark.map_or(rest.len(), |mark| mark.len as usize);
            let taken = covered.min(room).min(rest.len()).min(u32::MAX as usize);
            let (now, later) = rest.split_at(taken);
            tail.bytes.extend_from_slice(now);
            let dt_us = mark.map_or(0, |mark| mark.dt_us);
            tail.marks.push(Mark { dt_us, len: u32::try_from(taken).unwrap_or(u32::MAX) });
            tail.dirty = true;
            rest = later;
            // A mark cut in two by the end of a part goes on in the next, without delay.
            mark = match mark {
                Some(mark) if taken < mark.len as usize => Some(Mark {
                    dt_us: 0,
                    len: mark.len - u32::try_from(taken).unwrap_or(mark.len),
                }),
                _ => marks.next(),
            };
            if tail.bytes.len() >= PART_BYTES_MAX {
                self.seal(exec, chunk.direction);
            }
        }
    }

    /// Bytes that wait in finished parts.
    pub(crate) const fn sealed_bytes(&self) -> usize {
        self.sealed_bytes
    }

    /// Whether anything waits to be written.
    pub(crate) fn is_clean(&self) -> bool {
        self.sealed.is_empty() && !self.tails.values().any(|tail| tail.dirty)
    }

    /// All parts that have something new, in the order of their output.
    pub(crate) fn take(&mut self) -> Vec<PartRow> {
        let dirty: Vec<(u32, Direction)> =
            self.tails.iter().filter(|(_, tail)| tail.dirty).map(|(key, _)| *key).collect();
        for (exec, direction) in dirty {
            self.seal(exec, direction);
        }
        self.sealed_bytes = 0;
        std::mem::take(&mut self.sealed)
    }

    /// Forgets an execution that has ended; what it printed must have been taken.
    pub(crate) fn forget(&mut self, exec: u32) {
        self.tails.retain(|(of, _), _| *of != exec);
    }

    fn seal(&mut self, exec: u32, direction: Direction) {
        let Some(tail) = self.tails.get_mut(&(exec, direction)) else {
            return;
        };
        let packed = self.encoder.encode(&tail.bytes);
        self.sealed_bytes += packed.data.len();
        self.sealed.push(PartRow {
            exec,
            direction,
            idx: tail.idx,
            offset: tail.offset,
            raw_len: packed.raw_len,
            codec: packed.codec,
            data: packed.data,
            marks: encode_marks(&tail.marks),
        });
        tail.dirty = false;
        if tail.bytes.len() >= REWRITE_BELOW_BYTES {
            tail.idx += 1;
            tail.offset += tail.bytes.len() as u64;
            tail.bytes.clear();
            tail.marks.clear();
        }
    }
}

/// Marks as pairs of LEB128 numbers.
pub(crate) fn encode_marks(marks: &[Mark]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(marks.len() * 4);
    for number in marks.iter().flat_map(|mark| [mark.dt_us, mark.len]) {
        let mut number = number;
        while number >= 0x80 {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
    bytes
}

/// Reads marks back; `None` when the bytes are not what [`encode_marks`] writes.
pub(crate) fn decode_marks(bytes: &[u8]) -> Option<Vec<Mark>> {
    let mut numbers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut number: u64 = 0;
        let mut shift = 0;
        loop {
            let (byte, later) = rest.split_first()?;
            rest = later;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                // The last byte of a longer number is never empty: one form for each number.
                if *byte == 0 && shift > 7 {
                    return None;
                }
                break;
            }
            if shift > 28 {
                return None;
            }
        }
        numbers.push(u32::try_from(number).ok()?);
    }
    let (pairs, odd) = numbers.as_chunks::<2>();
    odd.is_empty().then(|| pairs.iter().map(|&[dt_us, len]| Mark { dt_us, len }).collect())
}

#[cfg(test)]
mod tests;
