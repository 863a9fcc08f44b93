//! One connection of a client, from request to request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::Rules;
use super::body::{IDLE_MAX, NoHead, Source, in_time};
use super::head::{self, Framing, Request, Wish};
use super::respond::{fail, refuse, reject};
use crate::policy::{Host, Refusal, Target};

const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const RESOLVE_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a client may take for the head of its next request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a server may think before it answers.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(600);
/// What a tunnel carries at a time, bytes.
const PIECE_BYTES: usize = 64 << 10;
/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 4;

/// Serves a client until either side ends it.
pub(super) async fn serve(stream: TcpStream, rules: &Rules) {
    // Latency of small writes; without it things only go slower.
    let _ = stream.set_nodelay(true);
    let (reader, mut writer) = stream.into_split();
    let mut reader = Source::new(reader);
    loop {
        let bytes = match reader.head(REQUEST_TIME_MAX).await {
            Ok(bytes) => bytes,
            Err(NoHead::Gone) => return,
            Err(NoHead::Wrong(what)) => return reject(&mut writer, what).await,
        };
        let request = match head::request(&bytes) {
            Ok(request) => request,
            Err(what) => return reject(&mut writer, what).await,
        };
        let server = match open(&request, rules).await {
            Ok(server) => server,
            Err(Closed::Refused(refusal)) => {
                // A body that nobody wants would be read as the next request.
                let bare = match request.wish {
                    Wish::Tunnel => true,
                    Wish::Forward { body, .. } => body.is_empty(),
                };
                if refuse(&mut writer, &refusal, request.keeps && bare).await {
                    continue;
                }
                return;
            }
            Err(Closed::Failed(what)) => return fail(&mut writer, &what).await,
        };
        match request.wish {
            Wish::Tunnel => return tunnel(reader, writer, server).await,
            Wish::Forward { head, body, is_head } => {
                let exchange = Exchange { head, body, is_head, keeps: request.keeps };
                if !exchange.run(&mut reader, &mut writer, server).await {
                    return;
                }
            }
        }
    }
}

/// Why there is no connection to the server.
enum Closed {
    /// The policy says no.
    Refused(Refusal),
    /// It cannot be reached, in words.
    Failed(String),
}

/// Decides about a request, puts that on record, and connects.
async fn open(request: &Request, rules: &Rules) -> Result<TcpStream, Closed> {
    let target = &request.target;
    let network = rules.network();
    let mut decision = network.decide(target);
    let mut found = Err(String::new());
    if decision.is_ok() {
        found = resolve(target).await;
        if let Ok(addresses) = &found
            && let Err(refusal) = network.filter(target, addresses)
        {
            decision = Err(refusal);
        }
    }
    if rules.tell(target, request.exec, &decision).await.is_err() {
        return Err(Closed::Failed("the session is ending".to_owned()));
    }
    decision.map_err(Closed::Refused)?;
    let addresses = found.map_err(Closed::Failed)?;
    connect(target, &addresses).await.map_err(Closed::Failed)
}

/// The addresses of a host: what is judged and what is connected to is the same list.
async fn resolve(target: &Target) -> Result<Vec<IpAddr>, String> {
    let name = match &target.host {
        Host::Address(address) => return Ok(vec![*address]),
        Host::Name(name) => name.as_str(),
    };
    let lookup = tokio::net::lookup_host((name, target.port));
    let found = match tokio::time::timeout(RESOLVE_TIME_MAX, lookup).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(format!("{name} cannot be resolved: {error}")),
        Err(_) => return Err(format!("{name} was not resolved in time")),
    };
    match found.is_empty() {
        true => Err(format!("{name} has no address")),
        false => Ok(found),
    }
}

async fn connect(target: &Target, addresses: &[IpAddr]) -> Result<TcpStream, String> {
    let mut last = format!("{target} has no address");
    for address in addresses.iter().take(ADDRESSES_MAX) {
        let connecting = TcpStream::connect(SocketAddr::new(*address, target.port));
        match tokio::time::timeout(CONNECT_TIME_MAX, connecting).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = format!("{target} cannot be reached: {error}"),
            Err(_) => last = format!("{target} did not answer in time"),
        }
    }
    Err(last)
}

/// Carries bytes both ways until both sides are done, or nothing moves.
async fn tunnel(reader: Source<OwnedReadHalf>, mut writer: OwnedWriteHalf, server: TcpStream) {
    if in_time(writer.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")).await.is_err() {
        return;
    }
    let (from_server, mut to_server) = server.into_split();
    let (from_client, early) = reader.into_parts();
    if in_time(to_server.write_all(&early)).await.is_err() {
        return;
    }
    let moved = AtomicU64::new(0);
    let up = carry(from_client, to_server, &moved);
    let down = carry(from_server, writer, &moved);
    tokio::select! {
        // Either may end its half first; an error on one ends both.
        _ = async { tokio::try_join!(up, down) } => {}
        () = stillness(&moved) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(piece.get(..read).unwrap_or_default()).await?;
        moved.fetch_add(1, Ordering::Relaxed);
    }
}

/// Until nothing has moved either way for too long: a download may be silent one way for hours.
async fn stillness(moved: &AtomicU64) {
    loop {
        let before = moved.load(Ordering::Relaxed);
        tokio::time::sleep(IDLE_MAX).await;
        if moved.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

/// A request on its way to a server, and the answer on its way back.
struct Exchange {
    head: Vec<u8>,
    body: Framing,
    is_head: bool,
    keeps: bool,
}

impl Exchange {
    /// Whether the connection to the client can go on.
    async fn run(
        &self,
        client: &mut Source<OwnedReadHalf>,
        writer: &mut OwnedWriteHalf,
        server: TcpStream,
    ) -> bool {
        let (from_server, mut to_server) = server.into_split();
        if in_time(to_server.write_all(&self.head)).await.is_err() {
            fail(writer, "the server closed the connection").await;
            return false;
        }
        let up = client.copy(self.body, &mut to_server);
        let down = self.answer(Source::new(from_server), writer);
        tokio::pin!(up, down);
        // A server may answer before it has read everything. What the client still sends then
        // belongs to nobody, and the connection ends.
        tokio::select! {
            biased;
            sent = &mut up => sent.is_ok() && down.await,
            _ = &mut down => false,
        }
    }

    async fn answer(&self, mut server: Source<OwnedReadHalf>, writer: &mut OwnedWriteHalf) -> bool {
        loop {
            let read = match server.head(ANSWER_TIME_MAX).await {
                Ok(bytes) => head::response(&bytes, self.is_head, self.keeps),
                Err(NoHead::Wrong(what)) => Err(what),
                Err(NoHead::Gone) => Err("the server closed the connection"),
            };
            let response = match read {
                Ok(response) => response,
                Err(what) => {
                    fail(writer, what).await;
                    return false;
                }
            };
            if in_time(writer.write_all(&response.head)).await.is_err() {
                return false;
            }
            if response.is_interim {
                continue;
            }
            let copied = server.copy(response.body, writer).await;
            return copied.is_ok() && self.keeps && response.body != Framing::End;
        }
    }
}
