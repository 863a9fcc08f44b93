//! What commands ask the network for, on its way into the record.

use std::future::pending;

use tokio::sync::mpsc;
use toolbox::Toolbox;
use trajectory::event::NetworkRequest;

/// The requests of a session's commands, decided already.
pub(crate) struct Network(Option<mpsc::Receiver<NetworkRequest>>);

impl Network {
    pub(crate) fn of(toolbox: &Toolbox) -> Self {
        Self(toolbox.network_requests())
    }

    /// The next request; waits for ever when there are none.
    pub(crate) async fn next(&mut self) -> NetworkRequest {
        let next = match &mut self.0 {
            Some(requests) => requests.recv().await,
            None => None,
        };
        match next {
            Some(request) => request,
            None => pending().await,
        }
    }
}
