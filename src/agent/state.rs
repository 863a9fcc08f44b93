//! The states and what each remembers.

use std::collections::VecDeque;

use trajectory::Verdict;
use trajectory::event::InterruptionCause;

/// A call that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingCall {
    pub(crate) call: u32,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) malformed: Option<String>,
    /// It is malformed because the server cut the reply off.
    pub(crate) is_cut_off: bool,
    /// What the user's rules say to it.
    pub(crate) verdict: Option<Verdict>,
}

/// The model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) request: u32,
    /// Which attempt is under way, from 1.
    pub(crate) attempt: u32,
    /// The context was made smaller just now: if it is too large still, it stays so.
    pub(crate) is_compacted: bool,
}

/// The model is asked for a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summing {
    pub(crate) request: u32,
    /// Which attempt is under way, from 1.
    pub(crate) attempt: u32,
    /// A round waits for it; else the user asked for it between two rounds.
    pub(crate) goes_on: bool,
}

/// One call of a reply has the floor, the rest wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) current: PendingCall,
    pub(crate) exec: u32,
    pub(crate) waiting: VecDeque<PendingCall>,
}

/// Told to stop; something still has to come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopping {
    pub(crate) cause: InterruptionCause,
    pub(crate) rest: Unrest,
}

/// What has to come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unrest {
    Request(u32),
    /// A request for a summary: nobody wants to read what came of it.
    Summary {
        /// A round waits for it.
        goes_on: bool,
    },
    Call(Step),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Asking(Asking),
    Compacting(Summing),
    Deciding(Step),
    Running(Step),
    Stopping(Stopping),
    Closed,
}

/// The name of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    /// Waits for a prompt.
    Idle,
    /// Waits for the model.
    Asking,
    /// Waits for the model's summary.
    Compacting,
    /// Waits for the user's decision.
    Deciding,
    /// Waits for a tool.
    Running,
    /// Waits for something to come to rest.
    Stopping,
    /// Over.
    Closed,
}

impl State {
    pub(crate) const fn name(&self) -> StateName {
        match self {
            Self::Idle => StateName::Idle,
            Self::Asking(_) => StateName::Asking,
            Self::Compacting(_) => StateName::Compacting,
            Self::Deciding(_) => StateName::Deciding,
            Self::Running(_) => StateName::Running,
            Self::Stopping(_) => StateName::Stopping,
            Self::Closed => StateName::Closed,
        }
    }
}
