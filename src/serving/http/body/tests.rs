use std::time::Duration;

use axum::body::Body;
use tokio::sync::mpsc;

use super::{events, read, room};

/// What a test waits for that expects no waiting to end.
const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(60);

const MOST: usize = 100_000;

#[tokio::test]
async fn what_all_clients_send_has_one_room() {
    let all = room(64 << 10);
    let body = |bytes: usize| Body::from(vec![b'x'; bytes]);
    let first = read(body(40_000), MOST, LONG, &all).await.unwrap();
    assert_eq!(first.bytes.len(), 40_000);
    let error = read(body(40_000), MOST, SHORT, &all).await.unwrap_err();
    assert_eq!((error.status, error.retry_after_s.is_some()), (503, true), "{error:?}");
    // A small one finds its place beside it, and what was refused has left none taken.
    drop(read(body(20_000), MOST, LONG, &all).await.unwrap());
    // One that waits is read when the other is done with.
    let waits = read(body(60_000), MOST, LONG, &all);
    let ends = async { drop(first) };
    assert_eq!(tokio::join!(waits, ends).0.unwrap().bytes.len(), 60_000);
    assert_eq!(all.available_permits(), 64);
}

#[tokio::test]
async fn a_body_in_many_pieces_has_the_room_of_its_bytes() {
    let all = room(8 << 10);
    let (sender, pieces) = mpsc::channel(100);
    for _ in 0..100 {
        sender.try_send(vec![b'x'; 50].into()).unwrap();
    }
    drop(sender);
    let received = read(events(pieces), MOST, LONG, &all).await.unwrap();
    assert_eq!((received.bytes.len(), all.available_permits()), (5000, 3));
}
