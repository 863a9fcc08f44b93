//! What a session is given.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent::Limits;
use model::{Model, RetryPolicy};
use record::{Durability, Home};
use serde_json::Value;
use toolbox::Toolbox;
use trajectory::ApprovalMode;

use crate::context::Window;

/// Everything a session works with.
pub struct Options {
    /// Where recordings lie.
    pub home: Home,
    /// The folder that is worked in; absolute.
    pub workspace: PathBuf,
    /// What answers.
    pub model: Arc<Model>,
    /// When a request that failed is sent again.
    pub retry: RetryPolicy,
    /// How large the context may get.
    pub window: Window,
    /// Whether `AGENTS.md` files are read.
    pub instructions: Instructions,
    /// What can be called.
    pub toolbox: Arc<Toolbox>,
    /// The name of the tier that commands run in.
    pub sandbox: String,
    /// How much the agent may do without asking.
    pub approval: ApprovalMode,
    /// Whether the driver answers [`crate::Notice::Decide`].
    pub interactive: bool,
    /// How far the agent may go.
    pub limits: Limits,
    /// How long the session may take.
    pub timeout: Option<Duration>,
    /// Whether the workspace is snapshotted before rounds and after commands.
    pub checkpoints: bool,
    /// Whether durable points wait for the disk.
    pub fsync: bool,
    /// Kept out of datasets.
    pub private: bool,
    /// The annotator's pseudonym.
    pub annotator: Option<String>,
    /// The settings in force, for the record; an object without secrets.
    pub config: Value,
}

/// Whether `AGENTS.md` files are read into the system prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Instructions {
    /// They are not.
    #[default]
    Ignored,
    /// Those of the workspace and its repository are, after the user's own.
    Read {
        /// The user's own file, which need not exist.
        own: Option<PathBuf>,
    },
}

impl Options {
    pub(crate) const fn durability(&self, wanted: bool) -> Durability {
        if wanted && self.fsync { Durability::Durable } else { Durability::Relaxed }
    }
}
