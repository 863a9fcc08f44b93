//! Checkpoints of the workspace, taken beside the session.
//!
//! One is begun when the user has asked, and one after each call that may have changed something.
//! They are taken on a thread of their own while the model is asked; only what could change the
//! workspace next waits for them, and the end of a round. A checkpoint that cannot be taken is said,
//! once for each reason, and the session goes on without.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agent::{Effect, Invocation};
use record::{ExecStarted, ExecTrees, Row};
use tokio::task::JoinHandle;
use trajectory::Body;
use trajectory::event::{Checkpoint, CheckpointWhen, Ended, ErrorEvent, ErrorStage};
use workspace::{Error, Policy, Workspace};

use crate::options::Options;

/// Why a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    BeforeRound,
    After { exec: u32 },
}

/// What goes on record of checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) bodies: Vec<Body>,
    pub(crate) rows: Vec<Row>,
}

struct Taking {
    why: Why,
    task: JoinHandle<Result<workspace::Checkpoint, Error>>,
}

/// The checkpoints of a session.
pub(crate) struct Checkpoints {
    workspace: Option<Arc<Workspace>>,
    taking: Option<Taking>,
    /// What is to be taken when the one under way is done.
    next: VecDeque<Why>,
    /// The execution that may change something.
    running: Option<u32>,
    /// The workspace as it was last seen.
    last: Option<String>,
    /// What went wrong and was not said yet, and what was said last.
    problem: Option<String>,
    said: Option<String>,
    cancel: Arc<AtomicBool>,
}

impl Checkpoints {
    pub(crate) fn of(options: &Options) -> Self {
        let opened = options.checkpoints.then(|| {
            let data = options.home.path();
            Workspace::open(&options.workspace, data, Policy::default(), options.fsync)
        });
        let (workspace, problem) = match opened {
            None => (None, None),
            Some(Ok(workspace)) => (Some(Arc::new(workspace)), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        Self {
            workspace,
            taking: None,
            next: VecDeque::new(),
            running: None,
            last: None,
            problem,
            said: None,
            cancel: Arc::default(),
        }
    }

    /// A round has begun.
    pub(crate) fn round_began(&mut self) {
        self.begin(Why::BeforeRound);
    }

    /// A call was answered: its execution has ended, or goes on as a job.
    pub(crate) fn ran(&mut self, exec: u32) {
        if self.running.take() == Some(exec) {
            self.begin(Why::After { exec });
        }
    }

    /// A job has ended.
    pub(crate) fn job_ended(&mut self, exec: u32) {
        self.begin(Why::After { exec });
    }

    /// The row of an execution that is about to begin.
    pub(crate) fn started_row(&mut self, invocation: &Invocation) -> ExecStarted {
        self.running = invocation.effect.has_side_effects().then_some(invocation.exec);
        let mut row = crate::tool::started_row(invocation);
        row.facts.tree_before.clone_from(&self.last);
        row
    }

    /// Waits for what has to be known before something is done, and says what goes on record.
    pub(crate) async fn before(&mut self, effect: &Effect) -> Told {
        let waits = match effect {
            Effect::Run(invocation) => invocation.effect.has_side_effects(),
            Effect::RoundOver(ended) => *ended == Ended::Completed,
            Effect::Closed => {
                // Who leaves does not wait; a checkpoint that was not finished leaves nothing.
                self.cancel.store(true, Ordering::Relaxed);
                self.next.clear();
                true
            }
            _ => return Told::default(),
        };
        let mut told = Told::default();
        while let Some(taking) = self.taking.take() {
            if !waits && !taking.task.is_finished() {
                self.taking = Some(taking);
                break;
            }
            let taken = taking.task.await;
            let taken = taken.unwrap_or(Err(Error::Cancelled));
            self.take_in(taking.why, taken, &mut told);
            if let Some(next) = self.next.pop_front() {
                self.begin(next);
            }
        }
        if let Some(message) = self.problem.take()
            && self.said.as_ref() != Some(&message)
        {
            self.said = Some(message.clone());
            let (stage, request) = (ErrorStage::Workspace, None);
            told.bodies.push(ErrorEvent { stage, message, request }.into());
        }
        told
    }

    /// Nothing more can be recorded: what is under way ends.
    pub(crate) async fn stop(&mut self) {
        self.cancel.store(true, Ordering::Relaxed);
        self.next.clear();
        if let Some(taking) = self.taking.take() {
            let _ = taking.task.await;
        }
    }

    fn begin(&mut self, why: Why) {
        let Some(workspace) = &self.workspace else { return };
        if self.taking.is_some() {
            // The one under way may have passed by what has changed since.
            self.next.push_back(why);
            return;
        }
        let (workspace, cancel) = (Arc::clone(workspace), Arc::clone(&self.cancel));
        let task = tokio::task::spawn_blocking(move || workspace.checkpoint(&cancel));
        self.taking = Some(Taking { why, task });
    }

    fn take_in(&mut self, why: Why, taken: Result<workspace::Checkpoint, Error>, told: &mut Told) {
        let taken = match taken {
            Ok(taken) => taken,
            Err(Error::Cancelled) => return,
            Err(error) => {
                // It will be no smaller at the next call.
                if matches!(error, Error::TooMuch { .. }) {
                    self.workspace = None;
                    self.next.clear();
                }
                self.last = None;
                self.problem = Some(error.to_string());
                return;
            }
        };
        let tree = taken.tree.to_string();
        match why {
            Why::BeforeRound => told.bodies.push(event(&taken, CheckpointWhen::BeforeRound).into()),
            Why::After { exec } => {
                let row = ExecTrees { exec, before: None, after: Some(tree.clone()) };
                told.rows.push(row.into());
            }
        }
        self.last = Some(tree);
    }
}

/// What is recorded of a checkpoint.
#[must_use]
pub fn event(taken: &workspace::Checkpoint, when: CheckpointWhen) -> Checkpoint {
    let manifest = &taken.manifest;
    Checkpoint {
        tree: taken.tree.to_string(),
        when,
        files: manifest.files,
        bytes: manifest.bytes,
        skipped: manifest.skipped.len() as u64 + manifest.skipped_more,
        restored: None,
    }
}

#[cfg(test)]
mod tests;
