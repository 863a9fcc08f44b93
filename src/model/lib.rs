//! What answers: an OpenAI-compatible server, a script, or a cassette.
//!
//! A [`Model`] turns a [`trajectory::Transcript`] into a [`Request`] (whose body is stored and
//! sent byte for byte as it stands) and a request into a [`Reply`]. While a reply arrives its
//! pieces go to a bounded channel as [`trajectory::Progress`], and what has come so far lies in
//! the [`Exchange`] that the caller passed in: whoever drops the future of [`Model::ask`] in order
//! to cancel still gets the parts and the raw bytes up to that instant from it.
//!
//! All three models speak through one decoder: the script writes the same kind of stream that a
//! server does, a cassette keeps a server's bytes. So for every reply, whoever gave it,
//! [`parse`] of the stored bytes gives the recorded parts.
//!
//! A reply is complete only when the model said why it ended. Everything else, from a refused
//! connection to a stream that stops early, is a [`Failure`] that says what happened, what to do,
//! and carries what had arrived.
//!
//! Where a server is, is said by a base URL, or by a [`Host`] that starts it when it is asked.
//!
//! In what servers differ is data: a [`Profile`] for what one kind of server accepts, the
//! [`Catalogue`] for what is known of a model.
//!
//! Absent here: retries. [`RetryPolicy`] computes when another attempt is due, and nothing below
//! asks twice by itself. Absent too: the clock of the session, the recorder, and
//! any reading of settings or environment variables (only proxies are taken from there, and never
//! for loopback).

mod accumulate;
mod api;
mod cassette;
mod catalogue;
mod encode;
mod endpoint;
mod error;
mod exchange;
mod failure;
mod finish;
mod hosted;
mod list;
mod peer;
mod profile;
mod receive;
mod reply;
mod retry;
mod script;
mod scripted;
mod sse;
mod transport;
mod verdict;
mod wait;
mod wire;

use std::iter;

use secrecy::SecretString;
use tokio::sync::mpsc;
use trajectory::event::{Attachment, ModelChanged};
use trajectory::{Progress, Transcript};

pub use api::{Api, Dialect};
pub use cassette::CassetteModel;
pub use catalogue::{Catalogue, ModelFacts, Price, ToolSet};
use encode::Encoder;
pub use encode::{OUTPUT_MAX, Request, Written};
pub use endpoint::{ApiKey, EndpointConfig, EndpointModel};
pub use error::ModelError;
pub use exchange::Exchange;
pub use failure::{Failure, FailureKind};
pub use hosted::{Address, Host, HostFailure, Saying};
pub use list::list;
pub use profile::{EffortForm, EmptyContent, MalformedBack, Profile, ReasoningBack};
pub use receive::parse;
pub use reply::{Part, Reply, TokenIds};
pub use retry::RetryPolicy;
pub use scripted::ScriptedModel;

/// Whatever answers.
#[derive(Debug)]
pub enum Model {
    /// A server.
    Endpoint(EndpointModel),
    /// A script: nobody thinks, the same words every time.
    Scripted(ScriptedModel),
    /// Recorded answers of a server, or the recording of them.
    Cassette(CassetteModel),
}

impl Model {
    /// The event that says which model answers from here on.
    #[must_use]
    pub fn description(&self) -> ModelChanged {
        match self {
            Self::Endpoint(model) => model.description(),
            Self::Scripted(model) => model.description(),
            Self::Cassette(model) => model.description(),
        }
    }

    /// The n-th request of the session (from 1), for the conversation as it stands. `media` gives
    /// an attachment's bytes as a `data:` URL; a line of text stands for what it does not give,
    /// and for every image where the model sees none.
    #[must_use]
    pub fn encode(
        &self,
        number: u32,
        transcript: &Transcript,
        media: &dyn Fn(&Attachment) -> Option<String>,
    ) -> Request {
        self.encode_on(number, transcript, media, &mut Written::default())
    }

    /// The same, going on from what was written for the last request: it costs what is new.
    #[must_use]
    pub fn encode_on(
        &self,
        number: u32,
        transcript: &Transcript,
        media: &dyn Fn(&Attachment) -> Option<String>,
        written: &mut Written,
    ) -> Request {
        self.encoder().encode(number, transcript, media, written)
    }

    /// Asks, once. Pieces go to `sink` as they arrive, and no faster than it takes them; a sink
    /// whose receiver is gone is ignored. Dropping the future cancels: `exchange` then holds what
    /// had come.
    ///
    /// # Errors
    /// A [`Failure`], with everything that had arrived.
    pub async fn ask(
        &self,
        request: &Request,
        sink: &mpsc::Sender<Progress>,
        exchange: &Exchange,
    ) -> Result<Reply, Failure> {
        exchange.start(request.request, self.encoder().dialect(), self.key());
        let result = match self {
            Self::Endpoint(model) => model.receive(request, sink, exchange).await,
            Self::Scripted(model) => model.play(request, sink, exchange).await,
            Self::Cassette(model) => model.receive(request, sink, exchange).await,
        };
        exchange.finish(result)
    }

    /// The prompts of a script, round by round; empty for other models.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        let script = match self {
            Self::Scripted(model) => Some(model.prompts()),
            Self::Endpoint(_) | Self::Cassette(_) => None,
        };
        iter::empty().chain(script.into_iter().flatten())
    }

    /// What is sent to a server and must not come back out.
    fn key(&self) -> Option<SecretString> {
        match self {
            Self::Endpoint(model) => model.key(),
            Self::Scripted(_) => None,
            Self::Cassette(model) => model.key(),
        }
    }

    fn encoder(&self) -> &Encoder {
        match self {
            Self::Endpoint(model) => model.encoder(),
            Self::Scripted(model) => model.encoder(),
            Self::Cassette(model) => model.encoder(),
        }
    }
}

impl From<EndpointModel> for Model {
    fn from(model: EndpointModel) -> Self {
        Self::Endpoint(model)
    }
}

impl From<ScriptedModel> for Model {
    fn from(model: ScriptedModel) -> Self {
        Self::Scripted(model)
    }
}

impl From<CassetteModel> for Model {
    fn from(model: CassetteModel) -> Self {
        Self::Cassette(model)
    }
}

#[cfg(test)]
mod tests;
