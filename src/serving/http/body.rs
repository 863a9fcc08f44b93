//! Bodies: those of requests, read within bounds of size and time, and those of streams.
//!
//! What all clients together have sent and nobody has read yet is bounded too. Room is taken as the
//! bytes come, not as they are announced, so a client that promises much and sends nothing has none.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::protocol::ApiError;

#[cfg(test)]
mod tests;

/// No request is larger, whatever would fit into the context.
pub(super) const BODY_BYTES_MAX: usize = 64 << 20;

/// No request takes longer to arrive, in pauses of the longest that is borne.
const PAUSES_MAX: u32 = 10;

/// When to ask again where all the room is taken.
const RETRY_AFTER_S: u32 = 2;

/// The unit in which room is counted, in bytes.
const UNIT: usize = 1024;

/// The body of a request, which takes its room until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Received {
    /// Takes a piece, once there is room for it.
    async fn take(&mut self, piece: &[u8], all: &Arc<Semaphore>) {
        let held = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = (self.bytes.len() + piece.len()).div_ceil(UNIT).saturating_sub(held);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        // It fails when it is closed, which it never is.
        if let Ok(room) = Arc::clone(all).acquire_many_owned(more).await {
            match &mut self.room {
                Some(held) => held.merge(room),
                none => *none = Some(room),
            }
        }
        self.bytes.extend_from_slice(piece);
    }
}

/// So much room for all bodies.
pub(super) fn room(bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS)))
}

/// Reads the body of a request, of which no piece may take longer than `patience`, to come or to
/// find room.
pub(super) async fn read(
    body: Body,
    bytes_max: usize,
    patience: Duration,
    all: &Arc<Semaphore>,
) -> Result<Received, ApiError> {
    let mut stream = body.into_data_stream();
    let mut received = Received::default();
    let end = Instant::now() + patience * PAUSES_MAX;
    let slow = |_| ApiError::new(408, "The request did not arrive in time. Send it again.");
    let full = |_| ApiError {
        retry_after_s: Some(RETRY_AFTER_S),
        ..ApiError::new(503, "Too much is sent to the server at once. Send it again in a while.")
    };
    loop {
        let piece = timeout(patience, poll_fn(|context| Pin::new(&mut stream).poll_next(context)));
        match timeout_at(end, piece).await.map_err(slow)?.map_err(slow)? {
            None => return Ok(received),
            Some(Err(_)) => {
                return Err(ApiError::bad("The request broke off. Send it again."));
            }
            Some(Ok(piece)) if received.bytes.len() + piece.len() > bytes_max => {
                let message =
                    format!("The request is larger than {bytes_max} bytes. Send a smaller one.");
                return Err(ApiError::new(413, message));
            }
            Some(Ok(piece)) => {
                let taken = timeout(patience, received.take(&piece, all));
                timeout_at(end, taken).await.map_err(full)?.map_err(full)?;
            }
        }
    }
}

/// What a channel brings, as a body.
pub(super) fn events(channel: mpsc::Receiver<Bytes>) -> Body {
    Body::from_stream(Events(channel))
}

struct Events(mpsc::Receiver<Bytes>);

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(Ok))
    }
}
