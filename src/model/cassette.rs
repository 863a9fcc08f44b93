//! Cassettes: a server's answers, kept byte for byte and given again without it.
//!
//! An answer is two files named after the BLAKE3 hash of the request's body: `<hash>.body`, the
//! response body as it came, and `<hash>.json`, what else is needed to read it. The second is
//! written last, so an answer is there whole or not at all. Whatever a server answered is kept,
//! errors and broken streams included; no request header is.
//!
//! For tests: files are read and written in place, on the caller's thread.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use trajectory::Progress;
use trajectory::event::ModelChanged;

use crate::api::Api;
use crate::encode::{Encoder, Request};
use crate::endpoint::{EndpointModel, send};
use crate::error::ModelError;
use crate::exchange::Exchange;
use crate::failure::{FailureKind, Fault};
use crate::peer::Peer;
use crate::profile::Profile;
use crate::receive::{Ending, Head};

const FORMAT: &str = "limn-cassette";
const VERSION: u32 = 1;
/// How much of a recorded answer is read at once.
const PIECE_BYTES: usize = 4096;

/// The file beside the body.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Label {
    format: String,
    version: u32,
    model: String,
    #[serde(default)]
    api: Api,
    #[serde(default)]
    profile: Profile,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    params: Map<String, Value>,
    http_status: u16,
    /// The connection broke before the body had ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    broken: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

#[derive(Debug)]
enum Mode {
    Record(Box<EndpointModel>),
    Play(Box<Encoder>),
}

/// A model that records a server, or plays what was recorded.
#[derive(Debug)]
pub struct CassetteModel {
    folder: PathBuf,
    mode: Mode,
}

impl CassetteModel {
    /// Asks `inner` and keeps every answer in `folder`, which is made.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn record(inner: EndpointModel, folder: &Path) -> Result<Self, ModelError> {
        fs::create_dir_all(folder)
            .map_err(|source| ModelError::Io { path: folder.to_owned(), source })?;
        Ok(Self { folder: folder.to_owned(), mode: Mode::Record(Box::new(inner)) })
    }

    /// Answers from `folder` alone. Model, API form, profile and parameters are those of the
    /// recording: they are part of the bodies that answers are found by.
    ///
    /// # Errors
    /// When the folder is not there, or nothing was recorded in it.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let io = |source| ModelError::Io { path: folder.to_owned(), source };
        for entry in fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|end| end == "json")
                && let Ok(label) = serde_json::from_slice::<Label>(&fs::read(&path).map_err(io)?)
            {
                // The parameters are as they were sent: written once more they stay what they are.
                let Label { model, api, profile, params, .. } = label;
                let encoder = Encoder::as_sent(&model, api, profile, params);
                return Ok(Self { folder: folder.to_owned(), mode: Mode::Play(Box::new(encoder)) });
            }
        }
        Err(io(io::Error::new(io::ErrorKind::NotFound, "no recorded answer lies there")))
    }

    /// The event that says which model answers from here on.
    #[must_use]
    pub fn description(&self) -> ModelChanged {
        match &self.mode {
            Mode::Record(inner) => inner.description(),
            Mode::Play(encoder) => {
                ModelChanged { provider: "cassette".to_owned(), ..encoder.description() }
            }
        }
    }

    /// What writes this model's requests.
    pub(crate) fn encoder(&self) -> &Encoder {
        match &self.mode {
            Mode::Record(inner) => inner.encoder(),
            Mode::Play(encoder) => encoder,
        }
    }

    /// The key that is sent where an answer is recorded.
    pub(crate) fn key(&self) -> Option<SecretString> {
        match &self.mode {
            Mode::Record(inner) => inner.key(),
            Mode::Play(_) => None,
        }
    }

    /// Asks the server and keeps the answer, or gives the kept one: the work within
    /// [`crate::Model::ask`].
    pub(crate) async fn receive(
        &self,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        match &self.mode {
            Mode::Record(inner) => {
                let result = inner.receive(request, sink, exchange).await;
                self.keep(request, exchange)?;
                result
            }
            Mode::Play(_) => self.give(request, sink, exchange).await,
        }
    }

    fn keep(&self, request: &Request, exchange: &Exchange) -> Result<(), Fault> {
        // No server has answered, or too much: there is nothing to keep.
        let Some((head, ending, raw)) = exchange.answer() else { return Ok(()) };
        let hash = hash(request);
        let written = self.write(&hash, head, ending, &raw);
        written.map_err(|error| self.fault(&hash, &error.to_string()))
    }

    fn write(&self, hash: &str, head: Head, ending: Ending, raw: &[u8]) -> io::Result<()> {
        let encoder = self.encoder();
        let label = Label {
            format: FORMAT.to_owned(),
            version: VERSION,
            model: encoder.model().to_owned(),
            api: encoder.api(),
            profile: encoder.profile().clone(),
            params: encoder.params().clone(),
            http_status: head.status,
            broken: ending == Ending::Broken,
            content_type: head.content_type,
            retry_after_ms: head.retry_after.map(milliseconds),
            location: head.location,
        };
        let mut label = serde_json::to_vec_pretty(&label)?;
        label.push(b'\n');
        self.write_file(&format!("{hash}.body"), raw)?;
        self.write_file(&format!("{hash}.json"), &label)?;
        // The names are durable only with the folder they stand in.
        File::open(&self.folder)?.sync_all()
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let passing = self.folder.join(format!(".{name}.{}", std::process::id()));
        let mut file = File::create(&passing)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&passing, self.folder.join(name))
    }

    async fn give(
        &self,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let hash = hash(request);
        let (head, ending, raw) = self.read(&hash)?;
        let peer = Peer::named(&format!("the cassette {}", self.folder.display()));
        let mut out = Vec::new();
        exchange.begin(head, true);
        for piece in raw.chunks(PIECE_BYTES) {
            let pushed = exchange.push(piece, &mut out, &peer);
            send(sink, &mut out).await;
            pushed?;
        }
        let result = exchange.end(ending, &mut out, &peer);
        send(sink, &mut out).await;
        result
    }

    fn read(&self, hash: &str) -> Result<(Head, Ending, Vec<u8>), Fault> {
        let read = |name: String| {
            fs::read(self.folder.join(&name)).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => self.fault(hash, "it is not there"),
                _ => self.fault(hash, &format!("{name}: {error}")),
            })
        };
        let label = read(format!("{hash}.json"))?;
        let label: Label = serde_json::from_slice(&label)
            .map_err(|error| self.fault(hash, &format!("{hash}.json: {error}")))?;
        if label.format != FORMAT || label.version != VERSION {
            let reason = format!("{hash}.json is {} {}", label.format, label.version);
            return Err(self.fault(hash, &reason));
        }
        let Label { http_status: status, broken, content_type, location, .. } = label;
        let retry_after = label.retry_after_ms.map(Duration::from_millis);
        let ending = if broken { Ending::Broken } else { Ending::Clean };
        let head = Head { status, content_type, retry_after, location };
        Ok((head, ending, read(format!("{hash}.body"))?))
    }

    fn fault(&self, hash: &str, reason: &str) -> Fault {
        let folder = self.folder.display();
        Fault::new(
            FailureKind::Unscripted,
            format!("The answer {hash} of the cassette {folder} cannot be used: {reason}."),
            "Record the cassette again: the request is not the one it was recorded for, or the \
             files were changed.",
        )
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The name of the answer to a request.
fn hash(request: &Request) -> String {
    blake3::hash(request.body().as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests;
