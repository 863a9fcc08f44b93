//! Connections: how many, how long they may keep still, and how they end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{App, Patience, routes};
use crate::server::ServeError;

#[cfg(test)]
mod tests;

/// No head of a request is larger.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long it may take to say that the server goes down.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long to leave the system alone when it has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until `shutdown` is over, and then lets those that are there come to an end.
///
/// # Errors
/// When the scheduler ends by itself: nothing would be answered any more.
pub(super) async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (patience, handle) = (app.patience, app.handle.clone());
    let routes = routes::routes(app);
    let free = Arc::new(Semaphore::new(patience.connections));
    let (closing, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let mut failed = pin!(handle.ended());
    let served = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            () = &mut failed => break Err(ServeError::Scheduler),
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, permit) = accept(&listener, &free) => {
                let service = TowerToHyperService::new(routes.clone());
                let closed = closed.clone();
                connections.spawn(async move {
                    attend(stream, service, patience, closed).await;
                    drop(permit);
                });
            }
        }
    };
    drop(listener);
    let _ = closing.send(true);
    handle.shutdown(patience.end);
    let all = async { while connections.join_next().await.is_some() {} };
    // The scheduler ends what is not done by then, and that has to be said to the client too. What
    // is still there after that is dropped.
    let _ = timeout(patience.end + LAST_WORDS, all).await;
    // The engine ends its call before the program does.
    let _ = timeout(patience.end, handle.ended()).await;
    served
}

/// The next connection, once there is room for one.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let permit = Arc::clone(free).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            // One that was closed before it was taken, or no descriptor is left: others may close.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Answers the requests of one connection.
async fn attend(
    stream: TcpStream,
    service: TowerToHyperService<axum::Router>,
    patience: Patience,
    mut closed: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    give_up_when_unread(&stream, patience.unread);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        // What goes wrong with a connection is its client's to see.
        _ = connection.as_mut() => return,
        _ = closed.wait_for(|closed| *closed) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Lets the system close a connection whose other side takes nothing for so long. Nothing else
/// would: what is written waits in buffers, and the request is long over.
#[cfg(target_os = "linux")]
fn give_up_when_unread(stream: &TcpStream, after: Duration) {
    let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, after_ms);
}

#[cfg(not(target_os = "linux"))]
fn give_up_when_unread(_stream: &TcpStream, _after: Duration) {}
