//! A model behind an OpenAI-compatible server: Chat Completions or Responses, streamed.
//!
//! Lifecycle: [`EndpointModel::new`] checks the settings and touches nothing; the first
//! asking makes the HTTP client, the later ones reuse its connection.
//!
//! A server that says nothing is waited for as long as [`EndpointConfig::silence`] says. Signs that
//! it is still there (comments, pings) prolong that, four times over and no more: gateways send
//! them for ever in the name of a model that has died. Time in which nobody takes our pieces is
//! not the server's. How long a reply may take in all is not limited here: whoever asks drops the
//! future when they have waited enough.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use trajectory::Progress;
use trajectory::event::ModelChanged;

use crate::api::Api;
use crate::catalogue::ModelFacts;
use crate::encode::{Encoder, Request};
use crate::error::ModelError;
use crate::exchange::Exchange;
use crate::failure::Fault;
use crate::hosted::{Host, Way};
use crate::peer::Peer;
use crate::profile::Profile;
use crate::receive::{Appetite, Ending, Head};
use crate::transport::Transport;
use crate::wait;

/// How long the end of the response is waited for behind `[DONE]`. It is there at once, usually,
/// and a connection read to its end can be used again; a server that dawdles costs no more.
const TAIL_TIMEOUT: Duration = Duration::from_millis(25);
const TAIL_TURNS: usize = 8;

/// How long nothing may come unless the settings say otherwise. A model on a slow machine reads a
/// long prompt for minutes before it says its first word.
const SILENCE: Duration = Duration::from_secs(300);
/// How many times that long signs of life are enough.
const SIGNS_FACTOR: u32 = 4;

/// A key that nobody sees: not in `Debug`, not in errors, not in recordings.
#[derive(Clone, Debug)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// A key; white space around it (the end of the line in a file) is not part of it. An empty
    /// one is as good as none.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(key.trim().to_owned().into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }

    pub(crate) const fn secret(&self) -> &SecretString {
        &self.0
    }
}

/// What is needed to ask a server.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The provider's name in the settings, as it is recorded.
    pub provider: String,
    /// The base URL, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// Whoever keeps the server, where that is not said by its base URL: then that, and the key, are
    /// the host's.
    pub host: Option<Arc<dyn Host>>,
    /// The model's name as the server knows it.
    pub model: String,
    /// The key, where the server wants one. Without it no `Authorization` header is sent.
    pub key: Option<ApiKey>,
    /// The API form.
    pub api: Api,
    /// How this kind of server is spoken to.
    pub profile: Profile,
    /// Sampling parameters: members of the request body. The limit on output tokens and
    /// `reasoning_effort` are written as the profile says.
    pub params: Map<String, Value>,
    /// How long a server may say nothing; zero waits for ever.
    pub silence: Duration,
}

impl EndpointConfig {
    /// A server of Chat Completions without key and parameters; the provider is called
    /// `openai-compatible`, and the profile is found from the URL.
    #[must_use]
    pub fn new(base_url: &str, model: &str) -> Self {
        Self {
            provider: "openai-compatible".to_owned(),
            base_url: base_url.to_owned(),
            host: None,
            model: model.to_owned(),
            key: None,
            api: Api::default(),
            profile: Profile::detect(base_url),
            params: Map::new(),
            silence: SILENCE,
        }
    }

    /// The same, knowing what the catalogue says of the model: whether it sees images, whether it
    /// reasons.
    #[must_use]
    pub fn with_facts(mut self, facts: &ModelFacts) -> Self {
        self.profile.images &= facts.images.unwrap_or(true);
        self.profile.reasoning &= facts.reasoning.unwrap_or(true);
        self
    }
}

/// A model behind a server.
#[derive(Debug)]
pub struct EndpointModel {
    provider: String,
    encoder: Encoder,
    way: Way,
    key: Option<ApiKey>,
    silence: Duration,
}

impl EndpointModel {
    /// A model to ask. Nothing is sent yet.
    ///
    /// # Errors
    /// When the base URL is none, the key cannot be sent, or a parameter's name is taken.
    pub fn new(config: EndpointConfig) -> Result<Self, ModelError> {
        let key = config.key.filter(|key| !key.is_empty() && config.host.is_none());
        Ok(Self {
            provider: config.provider,
            encoder: Encoder::new(&config.model, config.api, config.profile, &config.params)?,
            way: match config.host {
                Some(host) => Way::hosted(host),
                None => Way::fixed(&config.base_url, key.as_ref())?,
            },
            key,
            silence: config.silence,
        })
    }

    /// The event that says which model answers from here on.
    #[must_use]
    pub fn description(&self) -> ModelChanged {
        ModelChanged {
            provider: self.provider.clone(),
            endpoint: self.way.base_url().map(str::to_owned),
            ..self.encoder.description()
        }
    }

    /// What writes this model's requests.
    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The key it sends.
    pub(crate) fn key(&self) -> Option<SecretString> {
        self.key.as_ref().map(|key| key.0.clone())
    }

    /// Asks, and puts what comes into the exchange: the work within [`crate::Model::ask`].
    pub(crate) async fn receive(
        &self,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let open = self.way.open().await?;
        if let Some(key) = open.key {
            exchange.hide(key);
        }
        match self.receive_by(&open.transport, request, sink, exchange).await {
            Ok(()) => Ok(()),
            Err(fault) => Err(self.way.explained(fault).await),
        }
    }

    async fn receive_by(
        &self,
        transport: &Transport,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let peer = transport.peer();
        let mut silence = Silence::new(self.silence);
        let sending = transport.send(self.encoder.api(), request.body());
        let Some(sent) = silence.watch(sending).await else {
            return Err(silence.fault(peer));
        };
        let mut response = sent?;
        silence.heard(true);
        exchange.begin(head(&response), true);
        let mut out = Vec::new();
        let mut signs = 0;
        let ending = loop {
            let Some(piece) = silence.watch(response.chunk()).await else {
                exchange.stop();
                return Err(silence.fault(peer));
            };
            match piece {
                Ok(Some(bytes)) => {
                    let appetite = exchange.push(&bytes, &mut out, peer);
                    send(sink, &mut out).await;
                    if appetite? == Appetite::Sated {
                        read_tail(&mut response, exchange).await;
                        break Ending::Clean;
                    }
                    silence.heard(exchange.signs() > signs);
                    signs = exchange.signs();
                }
                Ok(None) => break Ending::Clean,
                Err(_) => break Ending::Broken,
            }
        };
        let result = exchange.end(ending, &mut out, peer);
        send(sink, &mut out).await;
        result
    }
}

/// How long nothing has come.
struct Silence {
    /// Zero: for ever.
    limit: Duration,
    /// Waited since something came that was more than a sign of life.
    waited: Duration,
    heard: bool,
}

impl Silence {
    fn new(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, heard: false }
    }

    /// Waits for what comes next; `None` when the patience is over.
    async fn watch<T>(&mut self, next: impl Future<Output = T>) -> Option<T> {
        if self.limit.is_zero() {
            return Some(next.await);
        }
        let left = self.limit.saturating_mul(SIGNS_FACTOR).saturating_sub(self.waited);
        let began = Instant::now();
        let result = tokio::time::timeout(self.limit.min(left), next).await.ok();
        self.waited = self.waited.saturating_add(began.elapsed());
        result
    }

    /// Something came; whether it was more than a sign of life.
    fn heard(&mut self, more: bool) {
        self.heard = true;
        if more {
            self.waited = Duration::ZERO;
            self.heard = false;
        }
    }

    fn fault(&self, peer: &Peer) -> Fault {
        peer.silent(self.waited, self.heard)
    }
}

/// Hands the pieces over as fast as they are taken. Nobody there to take them is no reason to
/// stop: the reply is recorded all the same.
pub(crate) async fn send(sink: &mpsc::Sender<Progress>, out: &mut Vec<Progress>) {
    for progress in out.drain(..) {
        if sink.send(progress).await.is_err() {
            break;
        }
    }
}

/// Reads what little stands behind the end, so that the connection can be used again.
async fn read_tail(response: &mut Response, exchange: &Exchange) {
    let peer = Peer::named("");
    let rest = async {
        let mut out = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            if exchange.push(&bytes, &mut out, &peer).is_err() {
                break;
            }
        }
    };
    tokio::pin!(rest);
    if tokio::time::timeout(TAIL_TIMEOUT, &mut rest).await.is_err() {
        // On a busy machine the time may be up before the task that reads the connection had its
        // turn. It gets some; where the end has arrived, that is enough.
        let turns = async {
            for _ in 0..TAIL_TURNS {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = &mut rest => {}
            () = turns => {}
        }
    }
}

pub(crate) fn head(response: &Response) -> Head {
    let header = |name: HeaderName| {
        response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into())
    };
    Head {
        status: response.status().as_u16(),
        content_type: header(CONTENT_TYPE),
        retry_after: wait::of_headers(response.headers(), Timestamp::now()),
        location: header(LOCATION),
    }
}

#[cfg(test)]
mod tests;
