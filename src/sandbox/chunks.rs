//! What was read, gathered into chunks on their way to the channel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::control::Control;
use crate::running::OutputChunk;

/// Chunks that may wait for the reader of [`crate::Output`]; when as many do, the terminal is not
/// read and the command blocks.
pub(crate) const CHUNKS_WAITING_MAX: usize = 16;

const CHUNK_BYTES_MAX: usize = 64 * 1024;
const CHUNK_MARKS_MAX: usize = 512;
/// How long a chunk may wait for more.
const CHUNK_DELAY: Duration = Duration::from_millis(2);

pub(crate) struct Chunks {
    buffer: Vec<u8>,
    marks: Vec<(u32, u32)>,
    /// When the first bytes of the chunk were read.
    since: Instant,
    last_read: Instant,
    /// A chunk for which the channel had no room.
    stalled: Option<OutputChunk>,
    channel: mpsc::Sender<OutputChunk>,
}

impl Chunks {
    pub(crate) fn new(channel: mpsc::Sender<OutputChunk>, started: Instant) -> Self {
        Self {
            buffer: Vec::new(),
            marks: Vec::new(),
            since: started,
            last_read: started,
            stalled: None,
            channel,
        }
    }

    /// How many bytes the chunk may still take.
    pub(crate) fn room(&self) -> usize {
        if self.marks.len() >= CHUNK_MARKS_MAX { 0 } else { CHUNK_BYTES_MAX - self.buffer.len() }
    }

    /// Takes the bytes of one read, no more than there is room for.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        if self.marks.is_empty() {
            self.since = now;
        }
        let since = now.duration_since(self.last_read).as_micros();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.marks.push((u32::try_from(since).unwrap_or(u32::MAX), length));
        self.last_read = now;
        self.buffer.extend_from_slice(bytes);
    }

    /// Nothing is read until somebody has taken a chunk.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// When the chunk is to be sent, even if it is small.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.marks.is_empty() && self.stalled.is_none()).then(|| self.since + CHUNK_DELAY)
    }

    /// Sends the chunk on if it is full, old, or the last. Whether one that had to wait went out.
    pub(crate) fn send(&mut self, is_last: bool, control: &Control) -> bool {
        let mut went_on = false;
        if let Some(chunk) = self.stalled.take() {
            self.offer(chunk, control);
            went_on = self.stalled.is_none();
        }
        let is_due = self.room() == 0 || is_last || self.since.elapsed() >= CHUNK_DELAY;
        if self.stalled.is_none() && is_due && !self.buffer.is_empty() {
            let bytes = Arc::from(self.buffer.as_slice());
            self.buffer.clear();
            let marks = std::mem::take(&mut self.marks);
            self.offer(OutputChunk { bytes, marks }, control);
        }
        went_on
    }

    /// Sends a chunk, or keeps it until there is room. When nobody listens it is dropped.
    fn offer(&mut self, chunk: OutputChunk, control: &Control) {
        let Err(TrySendError::Full(chunk)) = self.channel.try_send(chunk) else { return };
        // The other side looks at this after it has made room: said first, then tried again.
        control.stall();
        if let Err(TrySendError::Full(chunk)) = self.channel.try_send(chunk) {
            self.stalled = Some(chunk);
        }
    }
}
