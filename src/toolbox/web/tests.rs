//! Fetching, from a server of our own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::tests::Bench;
use crate::{Setup, Web};

/// What a server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

/// A server that answers each path by a function, on a port of its own. It ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) fn start(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Who goes away early misses the answer.
                let _ = serve(stream.unwrap(), &answer, &log);
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// A bench whose tools may go to this server.
    pub(crate) fn bench(&self) -> Bench {
        let allow_private = vec![self.address.to_string()];
        Bench::with(Setup {
            web: Web { fetch: true, search: None, allow_private },
            images: true,
            ..Setup::default()
        })
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &impl Fn(&str) -> Vec<u8>,
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_owned();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        headers.push(header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let line = line.trim().to_owned();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = String::from_utf8(body).unwrap();
    log.lock().unwrap().push(Asked { line, headers, body });
    stream.write_all(&answer(&path))
}

/// A response with a body.
pub(crate) fn response(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn redirect(to: &str) -> Vec<u8> {
    response("302 Found", &format!("location: {to}\r\n"), "")
}
