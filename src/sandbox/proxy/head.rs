//! The heads of requests and responses, read strictly.
//!
//! What two readers could understand differently is refused: line ends other than CR LF, lines
//! that go on in the next, a length beside a transfer coding, two lengths, a `Host` that is not
//! the host of the request line. So there is nothing to smuggle.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::policy::Target;

/// The largest head, bytes.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 128;

/// Headers that are between two ends of one connection, and not handed on.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// By its length.
    Length(u64),
    /// By its chunks.
    Chunked,
    /// By the end of the connection.
    End,
}

impl Framing {
    /// Nothing follows the head.
    pub(super) const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A tunnel.
    Tunnel,
    /// A request to be handed on: its head in the form for the server.
    Forward { head: Vec<u8>, body: Framing, is_head: bool },
}

/// A request as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) target: Target,
    pub(super) wish: Wish,
    /// The execution that it says it is of.
    pub(super) exec: Option<u32>,
    /// The client may ask again on this connection.
    pub(super) keeps: bool,
}

/// Where a head ends, once all of it is there. What stands before `seen` was looked at already.
///
/// # Errors
/// A sentence, when no end can come that would be right.
pub(super) fn end(bytes: &[u8], seen: usize) -> Result<Option<usize>, &'static str> {
    for (at, byte) in bytes.iter().enumerate().skip(seen) {
        if at >= HEAD_BYTES_MAX {
            return Err("the headers are too long");
        }
        let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
        match (byte, before) {
            (b'\n', Some(b'\r')) => {}
            (b'\n', _) => return Err("a line does not end in CR LF"),
            (_, Some(b'\r')) => return Err("a CR stands inside a line"),
            (0, _) => return Err("there is a NUL byte"),
            (b' ' | b'\t', Some(b'\n')) => return Err("a header goes on in the next line"),
            _ => {}
        }
        if *byte == b'\n' && at >= 3 && bytes.get(at - 3..=at) == Some(b"\r\n\r\n") {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// Reads the head of a request.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn request(bytes: &[u8]) -> Result<Request, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err("the headers end too early"),
        Err(httparse::Error::TooManyHeaders) => return Err("there are too many headers"),
        Err(_) => return Err("the request is no HTTP"),
    }
    let (Some(method), Some(path)) = (parsed.method, parsed.path) else {
        return Err("the request is no HTTP");
    };
    let is_old = parsed.version == Some(0);
    let headers = Headers(parsed.headers);
    let exec = headers.exec();
    let keeps = !is_old && !headers.says("connection", "close");
    if method == "CONNECT" {
        let target = Target::parse(path, None).ok_or("CONNECT names no host and port")?;
        headers.check_host(&target)?;
        if !headers.framing(is_old)?.is_empty() {
            return Err("CONNECT has a body");
        }
        return Ok(Request { target, wish: Wish::Tunnel, exec, keeps });
    }
    let (authority, rest) = absolute(path)?;
    let target = Target::parse(authority, Some(80)).ok_or("the URL names no host")?;
    headers.check_host(&target)?;
    let body = headers.framing(is_old)?;
    // Asked in its own version, a server does not answer in chunks that the client cannot read.
    let version = if is_old { "1.0" } else { "1.1" };
    let mut head = format!("{method} {rest} HTTP/{version}\r\nHost: {authority}\r\n").into_bytes();
    headers.copy(&mut head, &["host", "expect"]);
    head.extend(framing_header(body));
    head.extend(b"Connection: close\r\n\r\n");
    let is_head = method == "HEAD";
    Ok(Request { target, wish: Wish::Forward { head, body, is_head }, exec, keeps })
}

/// A response as it was understood: its head in the form for the client, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) head: Vec<u8>,
    pub(super) body: Framing,
    /// Another response follows this one, which only says that something goes on.
    pub(super) is_interim: bool,
}

/// Reads the head of a response to a request.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn response(bytes: &[u8], is_head: bool, keeps: bool) -> Result<Response, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err("the answer is no HTTP"),
    }
    let code = parsed.code.unwrap_or(502);
    if code == 101 {
        return Err("the server changes the protocol, which was not asked for");
    }
    let headers = Headers(parsed.headers);
    let body = match headers.framing(false)? {
        _ if is_head || code < 200 || code == 204 || code == 304 => Framing::None,
        Framing::None => Framing::End,
        framing => framing,
    };
    let reason = parsed.reason.unwrap_or_default();
    let mut head = format!("HTTP/1.1 {code} {reason}\r\n").into_bytes();
    headers.copy(&mut head, &[]);
    if body != Framing::None {
        head.extend(framing_header(body));
    } else if let Some(length) = headers.all("content-length").next() {
        // Of the body that there would be.
        head.extend([b"Content-Length: ", length, b"\r\n"].concat());
    }
    if code >= 200 {
        let keeps = keeps && body != Framing::End;
        head.extend(if keeps {
            &b"Connection: keep-alive\r\n"[..]
        } else {
            b"Connection: close\r\n"
        });
    }
    head.extend(b"\r\n");
    Ok(Response { head, body, is_interim: code < 200 })
}

/// The authority of an absolute URL, and what the server is asked for.
fn absolute(url: &str) -> Result<(&str, String), &'static str> {
    let scheme = url.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let rest = scheme.and_then(|_| url.get(7..));
    let rest = rest.ok_or("only http:// URLs are handed on; https goes through CONNECT")?;
    let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if authority.contains('@') {
        return Err("the URL holds a user");
    }
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((authority, format!("{slash}{path}")))
}

fn framing_header(body: Framing) -> Vec<u8> {
    match body {
        Framing::Length(length) => format!("Content-Length: {length}\r\n").into_bytes(),
        Framing::Chunked => b"Transfer-Encoding: chunked\r\n".to_vec(),
        Framing::None | Framing::End => Vec::new(),
    }
}

struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let same = move |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
        self.0.iter().filter(same).map(|header| header.value)
    }

    /// Whether a header that is a list of words has this one.
    fn says(&self, name: &'static str, word: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|found| found.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    }

    /// `Host` has to be there once and mean the same host, else the server could be asked for
    /// another one than was decided about.
    fn check_host(&self, target: &Target) -> Result<(), &'static str> {
        let mut hosts = self.all("host");
        let Some(host) = hosts.next() else { return Ok(()) };
        if hosts.next().is_some() {
            return Err("there are two Host headers");
        }
        let host = std::str::from_utf8(host).ok();
        let host = host.and_then(|host| Target::parse(host.trim(), Some(target.port)));
        match host.as_ref() == Some(target) {
            true => Ok(()),
            false => Err("the Host header is not the host of the request line"),
        }
    }

    fn framing(&self, is_old: bool) -> Result<Framing, &'static str> {
        let mut codings = self.all("transfer-encoding");
        let mut lengths = self.all("content-length");
        match (codings.next(), lengths.next()) {
            (None, None) => Ok(Framing::None),
            (Some(_), Some(_)) => Err("there are a length and a transfer coding"),
            (Some(_), None) if is_old => Err("HTTP/1.0 has no transfer codings"),
            (Some(coding), None) => {
                let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
                match is_chunked && codings.next().is_none() {
                    true => Ok(Framing::Chunked),
                    false => Err("the transfer coding is not chunked alone"),
                }
            }
            (None, Some(length)) => {
                if lengths.next().is_some() {
                    return Err("there are two lengths");
                }
                let digits = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
                let length = std::str::from_utf8(length).ok().filter(|_| digits);
                let length = length.and_then(|length| length.parse().ok());
                length.map(Framing::Length).ok_or("the length is no number")
            }
        }
    }

    /// Writes down what is handed on: all but what is about this connection, the framing, and
    /// what the caller writes itself.
    fn copy(&self, head: &mut Vec<u8>, but: &[&str]) {
        for header in self.0 {
            let is = |name: &&str| header.name.eq_ignore_ascii_case(name);
            let named = || {
                self.all("connection")
                    .flat_map(|value| value.split(|byte| *byte == b','))
                    .any(|word| word.trim_ascii().eq_ignore_ascii_case(header.name.as_bytes()))
            };
            if HOP_BY_HOP.iter().any(is) || but.iter().any(is) || is(&"content-length") || named() {
                continue;
            }
            head.extend([header.name.as_bytes(), b": ", header.value, b"\r\n"].concat());
        }
    }

    /// Commands are given the proxy with their execution for a user name, so that the record can
    /// say who asked. Whoever says otherwise only puts another number on record.
    fn exec(&self) -> Option<u32> {
        let value = std::str::from_utf8(self.all("proxy-authorization").next()?).ok()?;
        let (scheme, token) = value.split_once(' ')?;
        let user =
            STANDARD.decode(token.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        std::str::from_utf8(&user).ok()?.split(':').next()?.strip_prefix("exec-")?.parse().ok()
    }
}
