//! A model behind an OpenAI-compatible server: Chat Completions, streamed.
//!
//! Lifecycle: [`ChatModel::new`] checks the settings and touches nothing; the first
//! [`ChatModel::ask`] makes the HTTP client, the later ones reuse its connection.
//!
//! The time a server may take is not limited here: whoever asks drops the future when they have
//! waited enough. (Noticing a silent server, and asking again, is the place of a layer above.)

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use trajectory::Progress;
use trajectory::event::ModelChanged;

use crate::encode::{Encoder, Request};
use crate::error::ModelError;
use crate::exchange::Exchange;
use crate::failure::{Failure, Fault};
use crate::receive::{Appetite, Ending, Head};
use crate::reply::Reply;
use crate::transport::Transport;

/// How long the end of the response is waited for behind `[DONE]`. It is there at once, usually,
/// and a connection read to its end can be used again; a server that dawdles costs no more.
const TAIL_TIMEOUT: Duration = Duration::from_millis(25);
const TAIL_TURNS: usize = 8;

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

    fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

/// What is needed to ask a server.
#[derive(Clone, Debug)]
pub struct ChatConfig {
    /// The provider's name in the settings, as it is recorded.
    pub provider: String,
    /// The base URL, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// The model's name as the server knows it.
    pub model: String,
    /// The key, where the server wants one. Without it no `Authorization` header is sent.
    pub key: Option<ApiKey>,
    /// Sampling parameters: members of the request body.
    pub params: Map<String, Value>,
}

impl ChatConfig {
    /// A server without key and parameters; the provider is called `openai-compatible`.
    #[must_use]
    pub fn new(base_url: &str, model: &str) -> Self {
        Self {
            provider: "openai-compatible".to_owned(),
            base_url: base_url.to_owned(),
            model: model.to_owned(),
            key: None,
            params: Map::new(),
        }
    }
}

/// A model behind a server.
#[derive(Debug)]
pub struct ChatModel {
    provider: String,
    encoder: Encoder,
    transport: Transport,
    key: Option<ApiKey>,
}

impl ChatModel {
    /// A model to ask. Nothing is sent yet.
    ///
    /// # Errors
    /// When the base URL is none, the key cannot be sent, or a parameter's name is taken.
    pub fn new(config: ChatConfig) -> Result<Self, ModelError> {
        let key = config.key.filter(|key| !key.is_empty());
        Ok(Self {
            provider: config.provider,
            encoder: Encoder::new(&config.model, config.params)?,
            transport: Transport::new(&config.base_url, key.as_ref().map(|key| &key.0))?,
            key,
        })
    }

    /// The event that says which model answers from here on.
    #[must_use]
    pub fn description(&self) -> ModelChanged {
        ModelChanged {
            model: self.encoder.model().to_owned(),
            provider: self.provider.clone(),
            endpoint: Some(self.transport.base_url().to_owned()),
            api: "chat".to_owned(),
            params: self.encoder.params(),
        }
    }

    /// What writes this model's requests.
    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Asks, once: see [`crate::Model::ask`].
    ///
    /// # Errors
    /// A [`Failure`], with everything that had arrived.
    pub async fn ask(
        &self,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<Reply, Failure> {
        exchange.start(request.request, self.key.as_ref().map(|key| key.0.clone()));
        let result = self.receive(request, sink, exchange).await;
        exchange.finish(result)
    }

    async fn receive(
        &self,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let peer = self.transport.peer();
        let mut response = self.transport.send(request.body()).await?;
        exchange.begin(head(&response), true);
        let mut out = Vec::new();
        let ending = loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    let appetite = exchange.push(&bytes, &mut out, peer);
                    send(sink, &mut out).await;
                    if appetite? == Appetite::Sated {
                        read_tail(&mut response, exchange).await;
                        break Ending::Clean;
                    }
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
    let peer = crate::peer::Peer::named("");
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

fn head(response: &Response) -> Head {
    let header = |name: HeaderName| {
        response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into())
    };
    Head {
        status: response.status().as_u16(),
        content_type: header(CONTENT_TYPE),
        retry_after: header(RETRY_AFTER),
        location: header(LOCATION),
    }
}

#[cfg(test)]
mod tests;
