//! Bodies: those of requests, read within bounds of size and time, and those of streams.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::protocol::ApiError;

/// No request is larger.
pub(super) const BODY_BYTES_MAX: usize = 64 << 20;

/// No request takes longer to arrive, in pauses of the longest that is borne.
const PAUSES_MAX: u32 = 10;

/// Reads the body of a request, of which no piece may take longer than `patience`.
pub(super) async fn read(body: Body, patience: Duration) -> Result<Vec<u8>, ApiError> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    let end = Instant::now() + patience * PAUSES_MAX;
    let slow = |_| ApiError::new(408, "The request did not arrive in time. Send it again.");
    loop {
        let piece = timeout(patience, poll_fn(|context| Pin::new(&mut stream).poll_next(context)));
        match timeout_at(end, piece).await.map_err(slow)?.map_err(slow)? {
            None => return Ok(bytes),
            Some(Err(_)) => {
                return Err(ApiError::bad("The request broke off. Send it again."));
            }
            Some(Ok(piece)) if bytes.len() + piece.len() > BODY_BYTES_MAX => {
                let message = format!(
                    "The request is larger than {BODY_BYTES_MAX} bytes. Send a smaller one."
                );
                return Err(ApiError::new(413, message));
            }
            Some(Ok(piece)) => bytes.extend_from_slice(&piece),
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
