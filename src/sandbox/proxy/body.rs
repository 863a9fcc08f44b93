//! Bytes on their way through: what is buffered of a connection, and bodies of a known end.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::head::{Framing, end};

/// A connection on which nothing moves for this long is closed.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(300);
const PIECE_BYTES: usize = 64 << 10;
/// The line before a chunk, and all trailers together.
const CHUNK_LINE_BYTES_MAX: usize = 4 << 10;

/// A reader, and what was read of it too early.
pub(super) struct Source<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the unread part of the buffer begins.
    at: usize,
}

/// Why no head came.
#[derive(Debug)]
pub(super) enum NoHead {
    /// The other side has gone, is silent, or the system says so.
    Gone,
    /// What came is wrong.
    Wrong(&'static str),
}

impl<R: AsyncRead + Unpin> Source<R> {
    pub(super) const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), at: 0 }
    }

    /// What was read and not taken.
    pub(super) fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// The reader, and what was read of it and not taken.
    pub(super) fn into_parts(self) -> (R, Vec<u8>) {
        let rest = self.rest().to_vec();
        (self.reader, rest)
    }

    /// Takes a whole head, which has to come within this time.
    pub(super) async fn head(&mut self, time_max: Duration) -> Result<Vec<u8>, NoHead> {
        let read = async {
            let mut seen = 0;
            loop {
                if let Some(end) = end(self.rest(), seen).map_err(NoHead::Wrong)? {
                    return Ok(self.take(end));
                }
                seen = self.rest().len();
                if self.fill().await.map_err(|_| NoHead::Gone)? == 0 {
                    return Err(NoHead::Gone);
                }
            }
        };
        tokio::time::timeout(time_max, read).await.unwrap_or(Err(NoHead::Gone))
    }

    /// Copies a body to its end, and writes it with the same framing.
    pub(super) async fn copy(
        &mut self,
        body: Framing,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        match body {
            Framing::None => {}
            Framing::Length(length) => self.copy_exactly(length, to).await?,
            Framing::End => while self.copy_some(u64::MAX, to).await? > 0 {},
            Framing::Chunked => self.copy_chunks(to).await?,
        }
        to.flush().await
    }

    async fn copy_exactly(
        &mut self,
        mut length: u64,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        while length > 0 {
            match self.copy_some(length, to).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                copied => length -= copied,
            }
        }
        Ok(())
    }

    async fn copy_some(
        &mut self,
        limit: u64,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<u64> {
        if self.rest().is_empty() && self.fill().await? == 0 {
            return Ok(0);
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let piece = self.rest();
        let piece = piece.get(..limit).unwrap_or(piece);
        in_time(to.write_all(piece)).await?;
        let copied = piece.len();
        self.at += copied;
        Ok(copied as u64)
    }

    /// Chunk by chunk; extensions and trailers are left out.
    async fn copy_chunks(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let Ok(httparse::Status::Complete((_, size))) = httparse::parse_chunk_size(&line)
            else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if size == 0 {
                break;
            }
            in_time(to.write_all(format!("{size:x}\r\n").as_bytes())).await?;
            self.copy_exactly(size, to).await?;
            if self.line().await? != b"\r\n" {
                return Err(io::ErrorKind::InvalidData.into());
            }
            in_time(to.write_all(b"\r\n")).await?;
        }
        let mut left = CHUNK_LINE_BYTES_MAX;
        loop {
            let line = self.line().await?;
            left = left.checked_sub(line.len()).ok_or(io::ErrorKind::InvalidData)?;
            if line == b"\r\n" {
                return in_time(to.write_all(b"0\r\n\r\n")).await;
            }
        }
    }

    /// A line with its CR LF; one that ends otherwise is an error.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.rest().iter().position(|byte| *byte == b'\n') {
                let line = self.take(at + 1);
                let whole = line.strip_suffix(b"\r\n").filter(|line| !line.contains(&b'\r'));
                return whole.map(|_| line.clone()).ok_or(io::ErrorKind::InvalidData.into());
            }
            if self.rest().len() > CHUNK_LINE_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let end = self.buffer.len().min(self.at + length);
        let taken = self.buffer.get(self.at..end).unwrap_or_default().to_vec();
        self.at = end;
        taken
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.reserve(PIECE_BYTES);
        in_time(self.reader.read_buf(&mut self.buffer)).await
    }
}

/// Something that must not stand still.
pub(super) async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(IDLE_MAX, work).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
