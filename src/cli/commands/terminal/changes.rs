//! How the files differ from when the session began, for the panel; and one of them taken back.
//!
//! It is compared with the checkpoint before the first round. A file that is taken back is the
//! user's own change: it is made between rounds, by the user's key.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc::Sender;
use tokio::task::spawn_blocking;
use trajectory::event::{CheckpointWhen, FileChange};
use trajectory::{Body, Event};
use tui::{Answer, Update};
use workspace::{Hash, Manifest, OnEdits, Policy, Restore, Workspace};

use crate::error::CliError;

/// Files that are shown.
const FILES_MAX: usize = 2_000;

static NEVER: AtomicBool = AtomicBool::new(false);

/// Where to compare, and with what.
#[derive(Clone)]
pub(super) struct Changes {
    root: PathBuf,
    data: PathBuf,
    /// The checkpoint before the first round.
    first: Option<Hash>,
}

impl Changes {
    pub(super) fn of(root: PathBuf, data: PathBuf) -> Self {
        Self { root, data, first: None }
    }

    /// Something is on record.
    pub(super) fn see(&mut self, event: &Event) {
        if let Body::Checkpoint(checkpoint) = &event.body
            && checkpoint.when == CheckpointWhen::BeforeRound
            && self.first.is_none()
        {
            self.first = checkpoint.tree.parse().ok();
        }
    }

    /// Compares beside whatever else goes on, and tells the terminal.
    pub(super) fn answer(&self, updates: Sender<Update>) {
        let this = self.clone();
        spawn_blocking(move || {
            let answer = this.compare().map_err(|error| error.to_string());
            // Without a terminal nobody asks any more.
            let _ = updates.blocking_send(Update::Answer(Answer::Changes(answer)));
        });
    }

    fn compare(&self) -> Result<Vec<FileChange>, CliError> {
        let (workspace, first) = self.open()?;
        let now = workspace.checkpoint(&NEVER)?;
        let before = Manifest::load(workspace.store(), &first)?;
        let mut changes = workspace::diff(workspace.store(), &before, &now.manifest)?;
        changes.truncate(FILES_MAX);
        Ok(workspace::file_changes(workspace.store(), &changes)?)
    }

    fn open(&self) -> Result<(Workspace, Hash), CliError> {
        let first = self.first.ok_or_else(|| {
            CliError::failed(
                "There is no checkpoint of how the files were when this session began. One is \
                 taken with the first prompt, unless `checkpoints` is off in the settings.",
            )
        })?;
        let workspace = Workspace::open(&self.root, &self.data, Policy::default(), true)?;
        Ok((workspace, first))
    }

    /// Takes one file back to how it was when the session began.
    pub(super) async fn revert(&self, path: String) -> Result<String, CliError> {
        let this = self.clone();
        let done = spawn_blocking(move || this.take_back(&path)).await;
        done.unwrap_or_else(|_| Err(CliError::failed("Taking the file back failed inside limn.")))
    }

    fn take_back(&self, path: &str) -> Result<String, CliError> {
        let (workspace, to) = self.open()?;
        let what = Restore {
            to,
            expected: None,
            users: Vec::new(),
            on_edits: OnEdits::Overwrite,
            dry_run: false,
        };
        let restored = workspace.restore_one(&what, path, &NEVER)?;
        let is_back = restored.changes.iter().any(|it| it.path.to_string_lossy() == path);
        if !is_back {
            return Err(CliError::failed(format!(
                "{path} was left as it is. Compare again: it may be as it was already."
            )));
        }
        Ok(format!("{path} is as it was when the session began."))
    }
}
