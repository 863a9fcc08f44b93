//! A server over real HTTP on an engine of arithmetic, for tests.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Listen, Patience, Ready, serve_with};
use crate::engine::Facts;
use crate::fixtures::{Arithmetic, Control};
use crate::scheduler::Settings;
use crate::server::{Model, ServeError, Server};

/// What is waited for whatever happens: a test that needs it has failed.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

pub(crate) fn chat() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../chat/fixtures")
}

pub(crate) fn qwen3() -> Server {
    let template = chat().join("templates/qwen3.jinja");
    let server = Server::open(&chat().join("model"), Some(&template)).unwrap();
    server.with_models(vec![
        Model { name: "run".to_owned(), variant: 1 },
        Model { name: "base/model".to_owned(), variant: 0 },
    ])
}

/// What a site is like.
pub(crate) struct Plan {
    pub(crate) server: Server,
    pub(crate) facts: Facts,
    pub(crate) patience: Patience,
    pub(crate) settings: Settings,
}

impl Plan {
    pub(crate) fn new() -> Self {
        let server = qwen3();
        let vocab = server.tokenizer().size();
        Self {
            server,
            facts: Facts { vocab, slots: 4, slot_tokens: 2048, variants: 2 },
            patience: Patience { end: Duration::from_millis(200), ..Patience::default() },
            settings: Settings::default(),
        }
    }

    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { server: self.server.with_key(SecretString::from(key.to_owned())), ..self }
    }

    /// Serves it on a free port until it is dropped.
    pub(crate) fn open(self) -> Site {
        let Self { server, facts, patience, settings } = self;
        let tokenizer = server.tokenizer().clone();
        let (engine, control) = Arithmetic::new(facts);
        let (said, heard) = mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let listen = Listen { host: "127.0.0.1".to_owned(), port: 0 };
            let ready = |ready: &Ready| said.send(ready.clone()).unwrap();
            let until = async { drop(ended.await) };
            serve_with(server, Box::new(engine), &listen, (patience, settings), ready, until)
        });
        let ready = heard.recv().expect("it serves");
        Site { ready, control, tokenizer, end: Some(end), thread: Some(thread) }
    }
}

/// A server that answers.
pub(crate) struct Site {
    pub(crate) ready: Ready,
    pub(crate) control: Control,
    pub(crate) tokenizer: chat::Tokenizer,
    pub(crate) end: Option<oneshot::Sender<()>>,
    pub(crate) thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.control.release();
        drop(self.end.take());
        let served = self.thread.take().map(JoinHandle::join);
        if let (Some(served), false) = (served, std::thread::panicking()) {
            served.unwrap().unwrap();
        }
    }
}

impl Site {
    pub(crate) fn open() -> Self {
        Plan::new().open()
    }

    pub(crate) fn ids(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text).unwrap().ids
    }

    /// When a user says one thing, the model says another, and stops.
    pub(crate) fn when(&self, user: &str, reply: &str) {
        let asked = self.ids(&format!("{user}<|im_end|>\n<|im_start|>assistant\n"));
        self.control.say(&asked, &self.ids(&format!("{reply}<|im_end|>")));
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.request(method, format!("{}{path}", self.root())).timeout(WAIT_MAX)
    }

    pub(crate) fn root(&self) -> &str {
        self.ready.url.strip_suffix("/v1").unwrap()
    }

    pub(crate) fn address(&self) -> &str {
        self.root().strip_prefix("http://").unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.request(Method::GET, path).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub(crate) async fn send(&self, path: &str, body: impl ToString) -> Response {
        self.request(Method::POST, path).body(body.to_string()).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> (u16, Value) {
        let response = self.send(path, body).await;
        let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// What comes of a chat that goes well.
    pub(crate) async fn chat(&self, body: Value) -> Value {
        let (status, answer) = self.post("/v1/chat/completions", body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The events of a stream that goes well.
    pub(crate) async fn stream(&self, path: &str, mut body: Value) -> Vec<Value> {
        body["stream"] = true.into();
        let response = self.send(path, body).await;
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        let text = response.text().await.unwrap();
        let (events, done) = text.rsplit_once("data: ").unwrap();
        assert_eq!(done, "[DONE]\n\n");
        events
            .split("\n\n")
            .filter(|event| !event.is_empty() && !event.starts_with(':'))
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect()
    }

    /// Returns when `/metrics` says this.
    pub(crate) async fn until(&self, line: &str) {
        let wait = async {
            while !self.get("/metrics").await.1.lines().any(|said| said == line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, wait).await.expect("the metric is never said");
    }

    /// A connection on which one writes oneself.
    pub(crate) fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }
}

/// All that comes on a connection until the other side closes it.
pub(crate) fn rest(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // It may be closed with what was sent still unread.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A request of one message.
pub(crate) fn says(text: &str) -> Value {
    json!({ "model": "run", "messages": [{ "role": "user", "content": text }] })
}

/// The same with more fields.
pub(crate) fn says_with(text: &str, fields: Value) -> Value {
    let mut body = says(text);
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// All pieces of a field of deltas, put together.
pub(crate) fn joined(events: &[Value], pointer: &str) -> String {
    events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect()
}
