//! Event files of TensorBoard: scalars, step by step.
//!
//! A file is a sequence of records, each with its length, a checksum of the length, its bytes, and a
//! checksum of those. A record is a message of protocol buffers, of which three kinds of fields
//! matter here, so they are written by hand.

mod crc;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::TrainingError;
use crate::metrics::{Line, Metric};

/// A file of events that is being written.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a file in a folder. Each process has its own; TensorBoard reads them together. `name`
    /// tells the machine and the process.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(folder: &Path, at_ms: u64, name: &str) -> Result<Self, TrainingError> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = name.chars().map(plain).collect();
        let path = folder.join(format!("events.out.tfevents.{:010}.{name}", at_ms / 1_000));
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| TrainingError::io("create", &path, error))?;
        let mut events = Self { path, file };
        let version = event(at_ms, 0, &text(3, b"brain.Event:2"));
        events.write(&version)?;
        Ok(events)
    }

    /// Adds what a line of the metrics says in numbers, or that a process began.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, line: &Line) -> Result<(), TrainingError> {
        let (step, what) = match &line.metric {
            Metric::Started(started) => (started.step + 1, begun()),
            Metric::Step(step) => (step.step, summary(&of_step(step))),
            Metric::HeldOut(held_out) => (held_out.step, summary(&of_held_out(held_out))),
            _ => return Ok(()),
        };
        let event = event(line.at_ms, step, &what);
        self.write(&event)
    }

    fn write(&mut self, event: &[u8]) -> Result<(), TrainingError> {
        let record = record(event);
        self.file.write_all(&record).map_err(|error| TrainingError::io("write", &self.path, error))
    }
}

fn of_step(step: &crate::metrics::Step) -> Vec<(&'static str, f64)> {
    vec![
        ("train/loss", step.loss),
        ("train/grad_norm", step.grad_norm),
        ("train/lr", step.lr),
        ("train/epoch", step.epoch),
        ("speed/tokens_per_s", step.tokens_per_s),
        ("speed/mfu", step.mfu),
        ("memory/peak_gib", step.peak_bytes as f64 / f64::from(1 << 30)),
        ("memory/reserved_gib", step.reserved_bytes as f64 / f64::from(1 << 30)),
    ]
}

fn of_held_out(held_out: &crate::metrics::HeldOut) -> Vec<(&'static str, f64)> {
    let mut scalars = vec![("held_out/loss", held_out.loss)];
    scalars.extend(held_out.tool_validity.map(|rate| ("held_out/tool_validity", rate)));
    scalars.extend(held_out.exact_name.map(|rate| ("held_out/exact_name", rate)));
    scalars
}

/// `Event`: when, after which step, and what.
fn event(at_ms: u64, step: u64, what: &[u8]) -> Vec<u8> {
    let mut event = Vec::with_capacity(what.len() + 24);
    event.push(1 << 3 | 1);
    event.extend_from_slice(&(at_ms as f64 / 1_000.0).to_le_bytes());
    if step > 0 {
        event.push(2 << 3);
        varint(step, &mut event);
    }
    event.extend_from_slice(what);
    event
}

/// `Event.session_log`, whose status is `START`: what was said of this step and later ones by a
/// process that was killed no longer counts.
fn begun() -> Vec<u8> {
    text(7, &[1 << 3, 1])
}

/// `Event.summary`, with a value for each scalar.
fn summary(scalars: &[(&str, f64)]) -> Vec<u8> {
    let mut values = Vec::new();
    for (tag, number) in scalars {
        let mut value = text(1, tag.as_bytes());
        value.push(2 << 3 | 5);
        #[allow(clippy::cast_possible_truncation, reason = "TensorBoard keeps single precision")]
        value.extend_from_slice(&(*number as f32).to_le_bytes());
        values.extend_from_slice(&text(1, &value));
    }
    text(5, &values)
}

/// A field of bytes.
fn text(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(bytes.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&crc::masked(&length).to_le_bytes());
    record.extend_from_slice(bytes);
    record.extend_from_slice(&crc::masked(bytes).to_le_bytes());
    record
}
