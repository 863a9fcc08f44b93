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
//! Absent here: retries. [`FailureKind::is_worth_retrying`] says what a retry could mend, and
//! nothing below asks twice by itself. Absent too: the clock of the session, the recorder, and
//! any reading of settings or environment variables (only proxies are taken from there, and never
//! for loopback).

mod accumulate;
mod cassette;
mod chat;
mod encode;
mod error;
mod exchange;
mod failure;
mod peer;
mod receive;
mod reply;
mod script;
mod scripted;
mod sse;
mod transport;
mod wire;

use std::iter;

use tokio::sync::mpsc;
use trajectory::event::ModelChanged;
use trajectory::{Progress, Transcript};

pub use cassette::CassetteModel;
pub use chat::{ApiKey, ChatConfig, ChatModel};
use encode::Encoder;
pub use encode::Request;
pub use error::ModelError;
pub use exchange::Exchange;
pub use failure::{Failure, FailureKind};
pub use receive::parse;
pub use reply::{Part, Reply};
pub use scripted::ScriptedModel;

/// Whatever answers.
#[derive(Debug)]
pub enum Model {
    /// A server that speaks Chat Completions.
    Chat(ChatModel),
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
            Self::Chat(model) => model.description(),
            Self::Scripted(model) => model.description(),
            Self::Cassette(model) => model.description(),
        }
    }

    /// The n-th request of the session (from 1), for the conversation as it stands.
    #[must_use]
    pub fn encode(&self, number: u32, transcript: &Transcript) -> Request {
        self.encoder().encode(number, transcript)
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
        match self {
            Self::Chat(model) => model.ask(request, sink, exchange).await,
            Self::Scripted(model) => model.ask(request, sink, exchange).await,
            Self::Cassette(model) => model.ask(request, sink, exchange).await,
        }
    }

    /// The prompts of a script, round by round; empty for other models.
    pub fn prompts(&self) -> impl Iterator<Item = &str> {
        let script = match self {
            Self::Scripted(model) => Some(model.prompts()),
            Self::Chat(_) | Self::Cassette(_) => None,
        };
        iter::empty().chain(script.into_iter().flatten())
    }

    fn encoder(&self) -> &Encoder {
        match self {
            Self::Chat(model) => model.encoder(),
            Self::Scripted(model) => model.encoder(),
            Self::Cassette(model) => model.encoder(),
        }
    }
}

impl From<ChatModel> for Model {
    fn from(model: ChatModel) -> Self {
        Self::Chat(model)
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
