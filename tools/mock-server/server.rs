//! The listening socket, a thread for each connection, and the record of what arrived.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http::{RecordedRequest, push_chunk, read_request};
use crate::render::{Form, Rendered, Then};
use crate::reply::Reply;
use crate::scenario::Scenario;

#[derive(Default)]
struct State {
    stopping: bool,
    requests: Vec<RecordedRequest>,
    /// How many of the requests asked for a completion, and so used up a reply.
    asked: usize,
    /// The live connections, so that a drop can break them.
    streams: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    scenario: Scenario,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless the server is dropped before: then false.
    fn pause(&self, pause: Duration) -> bool {
        let state = self.lock();
        if pause.is_zero() {
            return !state.stopping;
        }
        let waited = self.changed.wait_timeout_while(state, pause, |state| !state.stopping);
        !waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }
}

/// A server that runs until it is dropped.
pub struct MockServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for MockServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MockServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl MockServer {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port or no thread can be had.
    pub fn start(scenario: Scenario) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), scenario)
    }

    /// Listens at an address, such as that of a server that is gone: so one comes back.
    ///
    /// # Errors
    /// When the address is taken, or no thread can be had.
    pub fn start_at(address: SocketAddr, scenario: Scenario) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { scenario, state: Mutex::default(), changed: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        let accepting = std::thread::Builder::new()
            .name("mock-server".to_owned())
            .spawn(move || accept(&listener, &for_thread))?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// The base URL of its API, `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/v1", self.root_url())
    }

    /// The same without `/v1`: everything there is a web page.
    #[must_use]
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far, in the order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.lock().requests.clone()
    }

    /// Waits until so many requests have arrived; false when the time is up before.
    #[must_use]
    pub fn wait_for_requests(&self, count: usize, at_most: Duration) -> bool {
        let state = self.shared.lock();
        let few = |state: &mut State| state.requests.len() < count;
        let waited = self.shared.changed.wait_timeout_while(state, at_most, few);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// For a benchmark of n steps: from the end of each reply to the arrival of the next request.
    #[must_use]
    pub fn steps(&self) -> Vec<Duration> {
        self.steps_until(|request| request.arrived)
    }

    /// The same until the headers of the next request have arrived: without the way of its body.
    #[must_use]
    pub fn steps_to_head(&self) -> Vec<Duration> {
        self.steps_until(|request| request.head_arrived)
    }

    fn steps_until(&self, arrival: fn(&RecordedRequest) -> Instant) -> Vec<Duration> {
        let state = self.shared.lock();
        let requests = &state.requests;
        let pairs = requests.iter().zip(requests.iter().skip(1));
        pairs
            .filter_map(|(this, next)| {
                Some(arrival(next).saturating_duration_since(this.reply_ended?))
            })
            .collect()
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        let threads = {
            let mut state = self.shared.lock();
            state.stopping = true;
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            std::mem::take(&mut state.threads)
        };
        self.shared.changed.notify_all();
        // A connection from ourselves wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        for thread in self.accepting.take().into_iter().chain(threads) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for (number, stream) in listener.incoming().enumerate() {
        let mut state = shared.lock();
        if state.stopping {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(handle) = stream.try_clone() else { continue };
        let for_thread = Arc::clone(shared);
        let thread = std::thread::Builder::new().name(format!("mock-connection-{number}")).spawn(
            move || {
                // An error here is a client that left; tests look at the requests.
                let _ = serve(stream, &for_thread, number);
            },
        );
        state.streams.push(handle);
        state.threads.extend(thread);
    }
}

fn serve(stream: TcpStream, shared: &Shared, connection: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader, connection)? {
        let (number, asked) = record(shared, &request);
        let stream = reader.get_mut();
        let then = if let Some((turn, form)) = asked {
            let write = |reply: &Rendered| write(shared, stream, reply);
            shared.scenario.with_reply(turn, form, &request, write)?
        } else {
            write(shared, stream, &elsewhere(&request).render(Form::Chat, "none"))?
        };
        match then {
            Then::KeepAlive => {
                let ended = Instant::now();
                if let Some(request) = shared.lock().requests.get_mut(number) {
                    request.reply_ended = Some(ended);
                }
            }
            Then::Hang => return wait_until_gone(stream),
            Then::Comments(every) => return comment_until_gone(shared, stream, every),
            Then::Cut | Then::Reset => return stream.shutdown(Shutdown::Both),
        }
    }
    // The handle that a drop breaks it by would keep the connection open.
    reader.get_ref().shutdown(Shutdown::Both)
}

/// Keeps the request: its number among all, and among those that ask for a completion, with the
/// form in which they do.
fn record(shared: &Shared, request: &RecordedRequest) -> (usize, Option<(usize, Form)>) {
    let path = request.path.split('?').next().unwrap_or_default();
    let mut state = shared.lock();
    let number = state.requests.len();
    state.requests.push(request.clone());
    let form = match (request.method.as_str(), path) {
        ("POST", "/v1/chat/completions") => Some(Form::Chat),
        ("POST", "/v1/responses") => Some(Form::Responses),
        _ => None,
    };
    let asked = form.map(|form| {
        state.asked += 1;
        (state.asked - 1, form)
    });
    drop(state);
    shared.changed.notify_all();
    (number, asked)
}

/// What any other path gets: the list of models, or what a web server says to a wrong path.
fn elsewhere(request: &RecordedRequest) -> Reply {
    if request.path == "/v1/models" {
        return Reply::json(&serde_json::json!({
            "object": "list", "data": [{"id": "mock-model", "object": "model"}],
        }));
    }
    let page = "<!DOCTYPE html><html><head><title>404 Not Found</title></head></html>";
    Reply::status(404, &[("content-type", "text/html")], page)
}

fn write(shared: &Shared, stream: &mut TcpStream, reply: &Rendered) -> io::Result<Then> {
    if reply.then == Then::Reset {
        return Ok(Then::Reset);
    }
    if !shared.pause(reply.first_pause) {
        return Ok(Then::Cut);
    }
    let mut out = Vec::new();
    out.extend_from_slice(reply.head.as_bytes());
    let last = reply.writes.len().saturating_sub(1);
    for (index, data) in reply.writes.iter().enumerate() {
        if reply.chunked {
            // An empty chunk would end the body.
            if !data.is_empty() {
                push_chunk(&mut out, data);
            }
        } else {
            out.extend_from_slice(data);
        }
        // The head leaves with the first data, the end with the last: as few packets as possible.
        if index < last {
            stream.write_all(&out)?;
            out.clear();
            if !shared.pause(reply.pause) {
                return Ok(Then::Cut);
            }
        }
    }
    if reply.chunked && reply.then == Then::KeepAlive {
        out.extend_from_slice(b"0\r\n\r\n");
    }
    stream.write_all(&out)?;
    Ok(reply.then)
}

/// Reads until the client closes the connection, or a drop of the server does.
fn wait_until_gone(stream: &mut TcpStream) -> io::Result<()> {
    let mut rest = [0; 1024];
    while stream.read(&mut rest)? > 0 {}
    Ok(())
}

/// Says that it is still there, and nothing else, until the client leaves or a drop of the server.
fn comment_until_gone(shared: &Shared, stream: &mut TcpStream, every: Duration) -> io::Result<()> {
    while shared.pause(every) {
        let mut out = Vec::new();
        push_chunk(&mut out, b": keepalive\n\n");
        stream.write_all(&out)?;
    }
    Ok(())
}
