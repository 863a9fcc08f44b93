//! What has come of a reply so far, in the hands of whoever asked.
//!
//! Asking is a future, and dropping it is how asking is cancelled. So the reply that is being put
//! together does not live in the future: it lies here, and survives it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;
use trajectory::Progress;

use crate::api::Dialect;
use crate::failure::{Failure, Fault};
use crate::peer::Peer;
use crate::receive::{Appetite, Ending, Head, Reception};
use crate::reply::Reply;

/// One asking: pass it to [`crate::Model::ask`], keep a clone, and take from that what had come
/// when the future was dropped. May be used again for the next request.
#[derive(Clone, Debug)]
pub struct Exchange(Arc<Mutex<Reception>>);

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}

impl Exchange {
    /// An exchange in which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Reception::new(0, Dialect::default()))))
    }

    /// After the future of an asking was dropped: what had come, as a failure of the kind
    /// [`crate::FailureKind::Cancelled`]. Empty when the asking had ended: the reply or the
    /// failure it gave holds everything.
    #[must_use]
    pub fn cancelled(&self) -> Failure {
        let mut reception = self.lock();
        reception.stop();
        Failure::cancelled(reception.take_reply())
    }

    /// An asking begins. The secret, if there is one, is blotted out of what comes.
    pub(crate) fn start(&self, request: u32, dialect: Dialect, secret: Option<SecretString>) {
        *self.lock() = Reception::new(request, dialect).without(secret);
    }

    /// A secret that became known only after the asking began.
    pub(crate) fn hide(&self, secret: SecretString) {
        self.lock().hide(secret);
    }

    pub(crate) fn begin(&self, head: Head, of_server: bool) {
        self.lock().begin(head, of_server);
    }

    /// The response, once it has ended: how it began, how it ended, its bytes.
    pub(crate) fn answer(&self) -> Option<(Head, Ending, Vec<u8>)> {
        let reception = self.lock();
        Some((reception.head()?.clone(), reception.ending()?, reception.raw().to_vec()))
    }

    pub(crate) fn push(
        &self,
        bytes: &[u8],
        out: &mut Vec<Progress>,
        peer: &Peer,
    ) -> Result<Appetite, Fault> {
        self.lock().push(bytes, out, peer)
    }

    pub(crate) fn end(
        &self,
        ending: Ending,
        out: &mut Vec<Progress>,
        peer: &Peer,
    ) -> Result<(), Fault> {
        self.lock().end(ending, out, peer)
    }

    /// How often something came that was more than a sign of life.
    pub(crate) fn signs(&self) -> u64 {
        self.lock().signs()
    }

    /// No more is waited for.
    pub(crate) fn stop(&self) {
        self.lock().stop();
    }

    /// The asking is over: everything leaves with its result, and the secret with nothing.
    pub(crate) fn finish(&self, result: Result<(), Fault>) -> Result<Reply, Failure> {
        let mut reception = self.lock();
        let reply = reception.take_reply();
        match result {
            Ok(()) => Ok(reply),
            Err(Fault { kind, message, hint }) => {
                let message = reception.without_secret(message);
                Err(Failure { kind, message, hint, partial: Box::new(reply) })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reception> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
