//! The states and what each remembers.

use std::collections::VecDeque;

use trajectory::event::InterruptionCause;

/// A call that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingCall {
    pub(crate) call: u32,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) malformed: Option<String>,
}

/// The model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) request: u32,
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
    Call(Step),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Asking(Asking),
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
            Self::Deciding(_) => StateName::Deciding,
            Self::Running(_) => StateName::Running,
            Self::Stopping(_) => StateName::Stopping,
            Self::Closed => StateName::Closed,
        }
    }
}
