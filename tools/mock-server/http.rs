//! The little of HTTP/1.1 that is needed: reading a request, framing a response.

use std::io::{self, BufRead, Read, Write};
use std::time::Instant;

use serde_json::Value;

/// No test sends more; a client gone wild is cut off.
const BODY_BYTES_MAX: usize = 256 << 20;
const BODY_BYTES_AHEAD: usize = 8 << 20;
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct RecordedRequest {
    /// `POST`, `GET`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Headers in the order and the spelling they came in.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// Which connection it came over, from 0: equal numbers mean that one was kept alive.
    pub connection: usize,
    /// When its headers had been read. From here until it has arrived the body is on its way: that
    /// is the share of a step that the connection and this server take.
    pub head_arrived: Instant,
    /// When its last byte had been read.
    pub arrived: Instant,
    /// When the last byte of its reply had been handed to the kernel; `None` until then, and when
    /// the client left before.
    pub reply_ended: Option<Instant>,
}

impl RecordedRequest {
    /// The first header with this name, in any spelling.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The `messages` of the body; empty when there are none.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        self.list("messages")
    }

    /// The `input` of the body, as Responses call it; empty when there is none.
    #[must_use]
    pub fn input(&self) -> Vec<Value> {
        self.list("input")
    }

    fn list(&self, key: &str) -> Vec<Value> {
        match self.json().get_mut(key).map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
    }
}

/// Reads the next request; `None` when the client has closed the connection.
pub(crate) fn read_request<S: Read + Write>(
    stream: &mut io::BufReader<S>,
    connection: usize,
) -> io::Result<Option<RecordedRequest>> {
    let Some(first) = read_line(stream)? else { return Ok(None) };
    let mut words = first.split_ascii_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(invalid("no request line"));
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut headers = Vec::new();
    loop {
        match read_line(stream)? {
            None => return Err(invalid("the headers end early")),
            Some(line) if line.is_empty() => break,
            Some(line) => {
                let (key, value) = line.split_once(':').ok_or_else(|| invalid("no header"))?;
                headers.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
    }
    let mut request = RecordedRequest {
        method,
        path,
        headers,
        body: Vec::new(),
        connection,
        head_arrived: Instant::now(),
        arrived: Instant::now(),
        reply_ended: None,
    };
    if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = read_body(stream, &request)?;
    request.arrived = Instant::now();
    Ok(Some(request))
}

fn read_body(stream: &mut impl BufRead, request: &RecordedRequest) -> io::Result<Vec<u8>> {
    let chunked = request
        .header("transfer-encoding")
        .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    if chunked {
        return read_chunks(stream);
    }
    let length = request.header("content-length").map_or(Ok(0), str::parse::<usize>);
    let length = length.map_err(|_| invalid("content-length is no number"))?;
    // What is announced is not always sent.
    let mut body = Vec::with_capacity(length.min(BODY_BYTES_AHEAD));
    read_exactly(stream, length, &mut body)?;
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(stream)?.ok_or_else(|| invalid("the chunks end early"))?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(|_| invalid("no chunk length"))?;
        if length > 0 {
            read_exactly(stream, length, &mut body)?;
        }
        read_line(stream)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn read_exactly(stream: &mut impl BufRead, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
    if body.len().saturating_add(length) > BODY_BYTES_MAX {
        return Err(invalid("the body is too large"));
    }
    let read = stream.take(length as u64).read_to_end(body)?;
    if read == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_line(stream: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    if stream.take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(Some(line))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The status line, the headers and the empty line that ends them.
pub(crate) fn head(status: u16, headers: &[(String, String)]) -> String {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (key, value) in headers {
        head.push_str(key);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// Adds one chunk of the chunked encoding.
pub(crate) fn push_chunk(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
