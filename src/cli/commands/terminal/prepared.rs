//! The sandbox that the next session will work in.
//!
//! To begin one takes longer than to draw the first screen, so it is begun on a thread of its own
//! while the user reads and writes; the session takes it over with its first prompt.

use std::future::pending;
use std::sync::Arc;

use sandbox::Sandbox;
use tokio::task::JoinHandle;
use tui::Update;

use super::driver::Driver;
use crate::compose;
use crate::error::CliError;
use crate::settings::Settings;

/// How far it is.
pub(super) enum Prepared {
    /// Nobody has begun one; or a session has taken it.
    Not,
    Beginning(JoinHandle<Result<Box<Sandbox>, CliError>>),
    Begun(Box<Sandbox>),
}

impl Prepared {
    /// Begins one, as the settings say.
    pub(super) fn begin(settings: &Arc<Settings>) -> Self {
        let settings = Arc::clone(settings);
        Self::Beginning(tokio::task::spawn_blocking(move || {
            compose::sandbox(&settings).map(Box::new)
        }))
    }

    /// Until one that is being begun is there; for ever, where none is. It is handed out once.
    pub(super) async fn begun(&mut self) -> Result<Box<Sandbox>, CliError> {
        let Self::Beginning(task) = self else { return pending().await };
        let begun = task.await;
        *self = Self::Not;
        begun.unwrap_or_else(|_| {
            Err(CliError::failed(
                "The sandbox failed inside limn. Run `limn doctor`, and please report this.",
            ))
        })
    }
}

impl Driver {
    /// The next session has its sandbox; or there is none.
    pub(super) async fn sandbox_begun(&mut self, begun: Result<Box<Sandbox>, CliError>) {
        match begun {
            Ok(sandbox) => {
                self.tell_tier(&sandbox).await;
                self.sandbox = Prepared::Begun(sandbox);
            }
            Err(error) => self.fail(error.to_string()).await,
        }
    }

    async fn tell_tier(&mut self, sandbox: &Sandbox) {
        let tier = sandbox.tier().to_string();
        self.tier = Some(tier.clone());
        self.send(Update::Sandbox(tier)).await;
    }

    /// The sandbox of a session that begins.
    pub(super) async fn take_sandbox(&mut self) -> Result<Box<Sandbox>, CliError> {
        match std::mem::replace(&mut self.sandbox, Prepared::Not) {
            Prepared::Begun(sandbox) => Ok(sandbox),
            mut other => {
                if matches!(other, Prepared::Not) {
                    other = Prepared::begin(&self.chosen.settings);
                }
                let sandbox = other.begun().await?;
                self.tell_tier(&sandbox).await;
                Ok(sandbox)
            }
        }
    }
}
