//! Between jobs and the engine: a thread that owns the engine and computes for all jobs at once.
//!
//! Jobs wait in a queue, first come, first served, whatever their model. One that has a slot is
//! computed in turns ([`turn`]): each turn takes the next token of every job that writes, and a
//! piece of the prompt of those that begin, in one call for each model. So a long prompt holds up
//! nobody's words for longer than its piece takes.
//!
//! It never waits for a reader: a job's channel has room for all that will come of it. A reader that
//! is gone frees its job at the next turn, wherever that is.
//!
//! The thread ends when all [`Handle`]s are gone and their jobs done, or at [`Handle::shutdown`].

mod running;
mod turn;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::watch;

use crate::engine::{Engine, Facts};
use crate::job::{End, Job, Step};
use turn::Scheduler;

#[cfg(test)]
mod tests;

/// How a scheduler works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Jobs that wait at most; more are refused.
    pub(crate) waiting_max: usize,
    /// Tokens of prompts that a turn computes.
    pub(crate) turn_tokens: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { waiting_max: 256, turn_tokens: 512 }
    }
}

/// Why a job is not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many wait already.
    #[error("{0} requests wait already. Try again in a while.")]
    Full(usize),
    /// It fits into no slot.
    #[error(
        "The prompt has {prompt} tokens and the reply may have {reply}, together more than the {most} of the context. Send less, or ask for a shorter reply."
    )]
    TooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens to generate at most.
        reply: usize,
        /// Tokens of a slot.
        most: usize,
    },
    /// There is nothing to go on from.
    #[error("The prompt is empty. Send at least one token.")]
    Empty,
    /// A token or a model that the engine does not have.
    #[error("The engine has no {0}. This is a fault of the server.")]
    Unknown(String),
    /// The server goes down.
    #[error("The server goes down. Send it again when it is back.")]
    Closed,
}

/// What a scheduler is at, and what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Slots with a job.
    pub(crate) busy: usize,
    /// Jobs that wait for one.
    pub(crate) waiting: usize,
    /// Tokens that all slots hold.
    pub(crate) held: usize,
    /// Jobs that ended, however they did.
    pub(crate) ended: u64,
    /// Tokens of prompts that were computed so far.
    pub(crate) prompt_tokens: u64,
    /// Tokens of prompts that needed not be computed.
    pub(crate) cached_tokens: u64,
    /// Tokens that were sampled.
    pub(crate) sampled_tokens: u64,
    /// Calls of the engine that failed, those too that were tried again.
    pub(crate) failures: u64,
}

/// What waits for the thread.
#[derive(Debug, Default)]
struct Inbox {
    jobs: VecDeque<Job>,
    /// No more are taken.
    is_closed: bool,
    /// When those that run are ended.
    deadline: Option<Instant>,
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    /// Something is in the inbox, or nothing will be any more.
    news: Condvar,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when there is something in the inbox, or it is closed.
    fn wait(&self) {
        let is_idle = |inbox: &mut Inbox| inbox.jobs.is_empty() && !inbox.is_closed;
        drop(self.news.wait_while(self.inbox(), is_idle));
    }

    /// Takes no more jobs, and ends those that wait.
    fn close(&self, deadline: Option<Instant>) {
        let mut inbox = self.inbox();
        inbox.is_closed = true;
        inbox.deadline = deadline.or(inbox.deadline);
        let jobs =
            if deadline.is_some() { std::mem::take(&mut inbox.jobs) } else { VecDeque::new() };
        drop(inbox);
        for job in jobs {
            // Whoever is gone need not know.
            let _ = job.steps.send(Step::Ended(End::Shutdown));
        }
        self.news.notify_one();
    }
}

/// Where jobs are handed in; a copy leads to the same thread.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    shared: Arc<Shared>,
    facts: Facts,
    settings: Settings,
    load: watch::Receiver<Load>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Nobody can hand in anything any more; what was handed in is done.
        self.shared.close(None);
    }
}

/// Starts the thread.
///
/// # Errors
/// When the system gives none.
pub(crate) fn start(engine: Box<dyn Engine>, settings: Settings) -> io::Result<Handle> {
    let facts = engine.facts();
    let shared = Arc::<Shared>::default();
    let (said, load) = watch::channel(Load::default());
    let inner = Arc::clone(&shared);
    thread::Builder::new().name("scheduler".to_owned()).spawn(move || {
        // However it ends, nobody waits for it afterwards.
        let _closed = Closed(Arc::clone(&inner));
        Scheduler::new(engine, settings, inner, said).run();
    })?;
    Ok(Handle(Arc::new(Seat { shared, facts, settings, load })))
}

/// Closes the inbox of a thread that has ended.
struct Closed(Arc<Shared>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.close(Some(Instant::now()));
    }
}

impl Handle {
    /// Hands in a job. It is ended by dropping the receiver of its steps.
    ///
    /// # Errors
    /// When it cannot be done, or not now.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Refused> {
        let Facts { vocab, slot_tokens, variants, .. } = self.0.facts;
        if job.prompt.is_empty() {
            return Err(Refused::Empty);
        }
        let (prompt, reply) = (job.prompt.len(), job.tokens_max);
        if prompt.saturating_add(reply) > slot_tokens {
            return Err(Refused::TooLong { prompt, reply, most: slot_tokens });
        }
        if job.variant >= variants {
            return Err(Refused::Unknown(format!("model {}", job.variant)));
        }
        let is_unknown = |token: &&u32| usize::try_from(**token).is_ok_and(|token| token >= vocab);
        if let Some(token) = job.prompt.iter().find(is_unknown) {
            return Err(Refused::Unknown(format!("token {token}")));
        }
        let mut inbox = self.0.shared.inbox();
        if inbox.is_closed {
            return Err(Refused::Closed);
        }
        // Those whose readers are gone take nobody's place.
        inbox.jobs.retain(|job| !job.steps.is_closed());
        if inbox.jobs.len() >= self.0.settings.waiting_max {
            return Err(Refused::Full(inbox.jobs.len()));
        }
        inbox.jobs.push_back(job);
        drop(inbox);
        self.0.shared.news.notify_one();
        Ok(())
    }

    /// What it is at.
    pub(crate) fn load(&self) -> Load {
        let load = *self.0.load.borrow();
        Load { waiting: self.0.shared.inbox().jobs.len(), ..load }
    }

    /// Takes no more jobs and ends those that wait; those that run have so long to end by
    /// themselves. Returns at once: [`Handle::ended`] waits.
    pub(crate) fn shutdown(&self, patience: Duration) {
        let now = Instant::now();
        self.0.shared.close(Some(now.checked_add(patience).unwrap_or(now)));
    }

    /// Returns when the thread has ended, and the engine is gone.
    pub(crate) async fn ended(&self) {
        let mut load = self.0.load.clone();
        while load.changed().await.is_ok() {}
    }

    /// Returns when the load is like this, or will not change any more.
    #[cfg(test)]
    pub(crate) async fn until(&self, is_so: impl FnMut(&Load) -> bool) -> Load {
        let mut load = self.0.load.clone();
        load.wait_for(is_so).await.map(|load| *load).unwrap_or_default()
    }
}
