//! Checkpoints of the workspace, taken beside the session.
//!
//! One is begun when the user has asked, and one after each call that may have changed something.
//! They are taken on a thread of their own while the model is asked; only what could change the
//! workspace next waits for them, and the end of a round that was completed. What comes of one goes
//! on record as soon as it is there. A checkpoint that cannot be taken is said, once for each
//! reason, and the session goes on without.
//!
//! Two checkpoints between which nothing of the agent was at work differ by what the user did: that
//! is told to the model. A watch says whether it is worth looking; when it is, the next request and
//! the next tool with side effects wait for the comparison. While a command or a job runs, nobody
//! can say whose work a change is, and nothing is told. What a command left behind for the user's
//! git to obey is told to the user.

use std::collections::{HashSet, VecDeque};
use std::future::pending;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use agent::{Effect, Invocation};
use record::{ExecStarted, ExecTrees, Row};
use tokio::task::JoinHandle;
use trajectory::Body;
use trajectory::event::{Checkpoint, CheckpointWhen, Ended, ErrorEvent, ErrorStage, UserEdit};
use workspace::{Error, Hash, Manifest, Planted, Policy, Watch, Workspace};

use crate::options::Options;

/// As many things that git would obey are named; the rest is counted.
const PLANTED_NAMED_MAX: usize = 8;

/// So often in a round it is looked what the user changed while something changes all the time.
const RESTLESS_MAX: u32 = 3;

const RESTLESS: &str = "Something writes to the workspace all the time, so what you edit while the \
                        agent works is told only with your next prompt. Let git ignore what it \
                        writes, and it is told at once again.";

/// Why a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    BeforeRound {
        round: u32,
    },
    /// The user changed something.
    Edited {
        round: u32,
    },
    After {
        exec: u32,
        round: u32,
    },
}

impl Why {
    const fn round(self) -> u32 {
        let (Self::BeforeRound { round } | Self::Edited { round } | Self::After { round, .. }) =
            self;
        round
    }
}

/// What is found when a checkpoint is taken.
#[derive(Debug)]
struct Found {
    checkpoint: workspace::Checkpoint,
    /// What the user changed since the one before.
    edit: Option<UserEdit>,
    /// What a command left for git to obey since then.
    planted: Vec<Planted>,
    /// It was waited for a moment in which nothing changes, and none came.
    is_restless: bool,
}

/// What goes on record of a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The round that it belongs to.
    pub(crate) round: u32,
    pub(crate) bodies: Vec<Body>,
    pub(crate) rows: Vec<Row>,
}

struct Taking {
    why: Why,
    /// The model is to learn what comes of it before it is asked.
    has_news: bool,
    task: JoinHandle<Result<Found, Error>>,
}

/// The checkpoints of a session.
pub(crate) struct Checkpoints {
    workspace: Option<Arc<Workspace>>,
    /// What the session hides from the model.
    hidden: Arc<[PathBuf]>,
    taking: Option<Taking>,
    /// What is to be taken when the one under way is done.
    next: VecDeque<Why>,
    /// The execution that may change something, and those that go on behind their answers.
    running: Option<u32>,
    jobs: HashSet<u32>,
    /// The workspace as it was last seen.
    last: Option<Hash>,
    /// Something of the agent was at work since then.
    is_mixed: bool,
    /// Begins with the first checkpoint.
    watch: Arc<OnceLock<Watch>>,
    /// What went wrong and was not said yet, and what was said last.
    problem: Option<String>,
    said: Option<String>,
    /// It was said that nobody sees what the user does.
    is_blind: bool,
    /// How often in this round the workspace did not come to rest.
    restless: u32,
    cancel: Arc<AtomicBool>,
}

impl Checkpoints {
    /// `left_at` is how the session left the workspace when it was last at work, where that is known.
    pub(crate) fn of(options: &Options, left_at: Option<Hash>) -> Self {
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
            hidden: options.toolbox.hidden().into(),
            taking: None,
            next: VecDeque::new(),
            running: None,
            jobs: HashSet::new(),
            last: left_at,
            is_mixed: false,
            watch: Arc::default(),
            problem,
            said: None,
            is_blind: false,
            restless: 0,
            cancel: Arc::default(),
        }
    }

    /// A round has begun.
    pub(crate) fn round_began(&mut self, round: u32) {
        self.restless = 0;
        self.begin(Why::BeforeRound { round });
    }

    /// A call was answered: its execution has ended, or goes on as a job.
    pub(crate) fn ran(&mut self, exec: u32, round: u32, goes_on: bool) {
        if self.running.take() == Some(exec) {
            if goes_on {
                self.jobs.insert(exec);
            }
            self.begin(Why::After { exec, round });
        }
    }

    /// A command of the user's own has started: what changes now may be its work.
    pub(crate) fn own_started(&mut self, exec: u32) {
        self.jobs.insert(exec);
        self.is_mixed = true;
    }

    /// A job has ended, or a command of the user's own.
    pub(crate) fn job_ended(&mut self, exec: u32, round: u32) {
        self.jobs.remove(&exec);
        self.begin(Why::After { exec, round });
    }

    /// The row of an execution that is about to begin.
    pub(crate) fn started_row(&mut self, invocation: &Invocation) -> ExecStarted {
        self.running = invocation.effect.has_side_effects().then_some(invocation.exec);
        self.is_mixed |= self.running.is_some();
        let mut row = crate::tool::started_row(invocation);
        row.facts.tree_before = self.last.map(|tree| tree.to_string());
        row
    }

    /// Whether this must not be done before what is under way was taken. What the user changed
    /// meanwhile is looked for first.
    pub(crate) fn holds_up(&mut self, effect: &Effect, round: u32) -> bool {
        let (spoils, tells) = match effect {
            Effect::Run(invocation) => {
                let spoils = invocation.effect.has_side_effects();
                (spoils, spoils)
            }
            Effect::RoundOver(ended) => {
                let is_completed = *ended == Ended::Completed;
                (is_completed, is_completed)
            }
            Effect::Ask { .. } => (false, true),
            _ => (false, false),
        };
        let is_worth_it = self.restless < RESTLESS_MAX;
        if tells && self.taking.is_none() && is_worth_it && self.has_news() {
            self.begin(Why::Edited { round });
        }
        let has_news = || self.taking.as_ref().is_some_and(|taking| taking.has_news);
        (spoils && self.taking.is_some()) || (tells && has_news())
    }

    /// Whether the user seems to have changed something that nobody was told of.
    fn has_news(&self) -> bool {
        let is_known = self.last.is_some() && !self.is_mixed;
        // Before there is a watch, there may be what was done since the session was last at work.
        is_known && self.watch.get().is_none_or(Watch::has_seen)
    }

    /// Whether nothing is under way.
    pub(crate) const fn is_at_rest(&self) -> bool {
        self.taking.is_none()
    }

    /// What goes on record of the one under way, when it is done; waits for ever when there is none.
    /// Whoever stops waiting has missed nothing.
    pub(crate) async fn taken(&mut self) -> Told {
        let Some(taking) = &mut self.taking else { return pending().await };
        let taken = (&mut taking.task).await.unwrap_or(Err(Error::Cancelled));
        let why = taking.why;
        self.taking = None;
        let told = self.take_in(why, taken);
        if let Some(next) = self.next.pop_front() {
            self.begin(next);
        }
        told
    }

    /// Who leaves does not wait; a checkpoint that was not finished leaves nothing.
    pub(crate) async fn leave(&mut self) -> Told {
        self.cancel.store(true, Ordering::Relaxed);
        self.next.clear();
        if self.is_at_rest() { Told::default() } else { self.taken().await }
    }

    /// What went wrong and was not said yet.
    pub(crate) fn problem(&mut self) -> Option<Body> {
        let message = self.problem.take()?;
        if self.said.as_ref() == Some(&message) {
            return None;
        }
        self.said = Some(message.clone());
        Some(said(message))
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
        // An edit is looked at because there is news: to ask takes its time.
        let has_news = matches!(why, Why::Edited { .. }) || self.has_news();
        let since = Since { tree: self.last, is_users: !self.is_mixed, why };
        self.is_mixed = self.running.is_some() || !self.jobs.is_empty();
        let (workspace, cancel) = (Arc::clone(workspace), Arc::clone(&self.cancel));
        let (watch, hidden) = (Arc::clone(&self.watch), Arc::clone(&self.hidden));
        let task =
            tokio::task::spawn_blocking(move || look(&workspace, &watch, since, &hidden, &cancel));
        self.taking = Some(Taking { why, has_news, task });
    }

    fn take_in(&mut self, why: Why, found: Result<Found, Error>) -> Told {
        let mut told = Told { round: why.round(), ..Told::default() };
        let Found { checkpoint, edit, planted, is_restless } = match found {
            Ok(found) => found,
            Err(Error::Cancelled) => {
                self.last = None;
                return told;
            }
            Err(error) => {
                // It will be no smaller at the next call.
                if matches!(error, Error::TooMuch { .. }) {
                    self.workspace = None;
                    self.next.clear();
                }
                self.last = None;
                self.problem = Some(error.to_string());
                told.bodies.extend(self.problem());
                return told;
            }
        };
        told.bodies.extend(checkpoint.finished.as_ref().map(|settled| said(settled.to_string())));
        let is_new = self.last != Some(checkpoint.tree);
        match why {
            Why::BeforeRound { .. } => {
                told.bodies.push(event(&checkpoint, CheckpointWhen::BeforeRound).into());
            }
            Why::Edited { .. } if is_new => {
                told.bodies.push(event(&checkpoint, CheckpointWhen::Edited).into());
            }
            Why::Edited { .. } => {}
            Why::After { exec, .. } => {
                let after = Some(checkpoint.tree.to_string());
                told.rows.push(ExecTrees { exec, after }.into());
            }
        }
        told.bodies.extend(edit.map(Body::from));
        told.bodies.extend(warning(&planted));
        if let Some(blindness) = self.watch.get().and_then(Watch::blindness)
            && !self.is_blind
        {
            self.is_blind = true;
            told.bodies.push(said(blindness));
        }
        self.restless += u32::from(is_restless);
        if is_restless && self.restless == RESTLESS_MAX {
            self.problem = Some(RESTLESS.to_owned());
            told.bodies.extend(self.problem());
        }
        self.last = Some(checkpoint.tree);
        told
    }
}

/// What a checkpoint is compared with.
#[derive(Clone, Copy)]
struct Since {
    tree: Option<Hash>,
    /// Only the user can have changed something.
    is_users: bool,
    why: Why,
}

/// Takes a checkpoint, and finds what there is to tell about it.
fn look(
    workspace: &Workspace,
    watch: &OnceLock<Watch>,
    since: Since,
    hidden: &[PathBuf],
    cancel: &AtomicBool,
) -> Result<Found, Error> {
    if watch.get().is_none() {
        // Before the workspace is looked at: so nothing falls between the two.
        let began = Watch::begin(workspace)?;
        let _ = watch.set(began);
    }
    let mut is_restless = false;
    if let Some(watch) = watch.get() {
        if matches!(since.why, Why::Edited { .. }) {
            is_restless = !watch.wait_for_rest(cancel);
        }
        watch.forget();
    }
    let checkpoint = workspace.checkpoint(cancel)?;
    let mut found = Found { checkpoint, edit: None, planted: Vec::new(), is_restless };
    let Some(tree) = since.tree.filter(|tree| *tree != found.checkpoint.tree) else {
        return Ok(found);
    };
    // A checkpoint that is lost or damaged is no reason to go without the new one.
    let Ok(before) = Manifest::load(workspace.store(), &tree) else { return Ok(found) };
    let after = &found.checkpoint.manifest;
    if matches!(since.why, Why::After { .. }) {
        found.planted = workspace.planted(&before, after).unwrap_or_default();
    } else if since.is_users {
        found.edit = workspace.user_edit(&before, after, hidden).unwrap_or_default();
    }
    Ok(found)
}

/// Something about the workspace that the user should know.
fn said(message: String) -> Body {
    ErrorEvent { stage: ErrorStage::Workspace, message, request: None }.into()
}

/// That a command left something for git to obey.
fn warning(planted: &[Planted]) -> Option<Body> {
    let named: Vec<String> =
        planted.iter().take(PLANTED_NAMED_MAX).map(Planted::to_string).collect();
    let more = match planted.len().saturating_sub(named.len()) {
        0 if named.is_empty() => return None,
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(said(format!(
        "A command has left what your own git would obey: {}{more}. Read it before you use git \
         there, or take it back with `limn rewind`.",
        named.join(", ")
    )))
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
