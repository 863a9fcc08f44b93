//! A server that somebody keeps for us: started when it is first asked, at an address that is
//! known only then, and started again when it has died.
//!
//! Who keeps it is a [`Host`]; here is what a model makes of that. The address is on no record: it
//! is another one each time, and what was sent is the same wherever it was sent to.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;

use crate::endpoint::ApiKey;
use crate::error::ModelError;
use crate::failure::{FailureKind, Fault};
use crate::transport::Transport;

/// What a host says, once it knows.
pub type Saying<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whoever keeps a server running.
pub trait Host: fmt::Debug + Send + Sync {
    /// Where the server answers. It is started where it does not run; to drop this is to give that
    /// up. The same address is the same process.
    fn address(&self) -> Saying<'_, Result<Arc<Address>, HostFailure>>;

    /// After an exchange broke: what became of the server, where it is gone.
    fn fate(&self) -> Saying<'_, Option<HostFailure>>;
}

/// Where a server answers that was started.
#[derive(Debug)]
pub struct Address {
    /// The base URL, such as `http://127.0.0.1:41234/v1`.
    pub base_url: String,
    /// The key it wants.
    pub key: ApiKey,
}

/// Why there is no server: one sentence that says what failed, one that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFailure {
    /// What failed.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for HostFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.message, self.hint)
    }
}

/// Where the requests of a model go.
#[derive(Debug)]
pub(crate) enum Way {
    /// To an address that stays.
    Fixed(Arc<Transport>),
    /// To wherever the host says.
    Hosted {
        host: Arc<dyn Host>,
        /// The last address, and its connections.
        last: Mutex<Option<(Arc<Address>, Arc<Transport>)>>,
    },
}

/// A way that can be gone now.
pub(crate) struct Open {
    pub(crate) transport: Arc<Transport>,
    /// The key that a host gave with the address.
    pub(crate) key: Option<SecretString>,
}

impl Way {
    pub(crate) fn fixed(base_url: &str, key: Option<&ApiKey>) -> Result<Self, ModelError> {
        Ok(Self::Fixed(Arc::new(Transport::new(base_url, key.map(ApiKey::secret))?)))
    }

    pub(crate) const fn hosted(host: Arc<dyn Host>) -> Self {
        Self::Hosted { host, last: Mutex::new(None) }
    }

    /// The address that stays; nothing of one that does not.
    pub(crate) fn base_url(&self) -> Option<&str> {
        match self {
            Self::Fixed(transport) => Some(transport.base_url()),
            Self::Hosted { .. } => None,
        }
    }

    /// What a request can be sent by, once the server runs.
    pub(crate) async fn open(&self) -> Result<Open, Fault> {
        let (host, last) = match self {
            Self::Fixed(transport) => {
                return Ok(Open { transport: Arc::clone(transport), key: None });
            }
            Self::Hosted { host, last } => (host, last),
        };
        let address = host.address().await.map_err(|failure| {
            // Nothing that is asked again by itself: loading takes long, and would fail again.
            Fault::new(FailureKind::NotFound, failure.message, failure.hint)
        })?;
        let key = Some(address.key.secret().clone());
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, transport)) = &*last
            && Arc::ptr_eq(known, &address)
        {
            return Ok(Open { transport: Arc::clone(transport), key });
        }
        let transport =
            Transport::new(&address.base_url, Some(address.key.secret())).map_err(|error| {
                Fault::new(FailureKind::Protocol, error.to_string(), "Please report this.")
            })?;
        let transport = Arc::new(transport);
        *last = Some((address, Arc::clone(&transport)));
        Ok(Open { transport, key })
    }

    /// The same fault, or that the server is gone: then that is why. A new one is started when the
    /// request is sent again, which is done a few times.
    pub(crate) async fn explained(&self, fault: Fault) -> Fault {
        let Self::Hosted { host, .. } = self else { return fault };
        if !matches!(fault.kind, FailureKind::Unreachable | FailureKind::Interrupted) {
            return fault;
        }
        match host.fate().await {
            Some(fate) => Fault::new(FailureKind::Unreachable, fate.message, fate.hint),
            None => fault,
        }
    }
}

#[cfg(test)]
mod tests;
