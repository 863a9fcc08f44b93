//! Events: each a line of JSON, the last one `[DONE]`.
//!
//! A task writes them into a channel that is the body. It ends when the client is gone, and the
//! reply with it. While nothing is heard, for a prompt may be long, a comment says now and then that
//! the server is alive; no client shows it.

use std::future::Future;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::{App, body, guard};
use crate::protocol::ApiError;
use crate::reply::{Piece, Reply};

/// Events that wait for their client.
const WAITING_MAX: usize = 32;

/// The client is gone, or takes nothing.
#[derive(Debug)]
pub(super) struct Gone;

/// Where events go.
#[derive(Clone)]
pub(super) struct Events {
    sender: mpsc::Sender<Bytes>,
    silence: Duration,
    unread: Duration,
}

/// Why no more events are written.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nobody reads them.
    Gone,
    /// The reply failed.
    Failed(ApiError),
}

impl From<Gone> for Broken {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl Events {
    /// One event.
    pub(super) async fn say(&self, value: &impl Serialize) -> Result<(), Gone> {
        let mut line = b"data: ".to_vec();
        // What is said are texts and numbers, of which every one can be written.
        let _ = serde_json::to_writer(&mut line, value);
        line.extend_from_slice(b"\n\n");
        self.send(Bytes::from(line)).await
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        match timeout(self.unread, self.sender.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Gone),
        }
    }

    /// What is heard next; `None` after the end. While nothing is, that is said.
    pub(super) async fn next(&self, reply: &mut Reply) -> Result<Option<Piece>, Broken> {
        loop {
            match timeout(self.silence, reply.next()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(piece))) => return Ok(Some(piece)),
                Ok(Some(Err(error))) => return Err(Broken::Failed(error)),
                Err(_) => self.send(Bytes::from_static(b": still here\n\n")).await?,
            }
        }
    }
}

/// An answer of the events that `tell` says.
pub(super) fn stream<T>(app: &App, tell: impl FnOnce(Events) -> T) -> Response
where
    T: Future<Output = Result<(), Broken>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let events = Events { sender, silence: app.patience.silence, unread: app.patience.unread };
    let last = events.clone();
    let told = guard::caught(tell(events));
    tokio::spawn(async move {
        let told = tokio::select! {
            () = last.sender.closed() => return,
            told = told => told,
        };
        let error = match told {
            Some(Ok(())) => None,
            Some(Err(Broken::Gone)) => return,
            Some(Err(Broken::Failed(error))) => Some(error),
            None => Some(guard::failure()),
        };
        if let Some(error) = error {
            let _ = last.say(&error.body()).await;
        }
        let _ = last.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
    });
    let mut response = Response::new(body::events(receiver));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
