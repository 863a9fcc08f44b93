//! The agent: pure decisions.
//!
//! [`Agent::handle`] takes what happened and returns what to do about it, as data. It reads no
//! clock, starts no task and stores nothing; the session performs the effects in their order, and
//! records every [`Effect::Emit`] before the effects behind it are performed. One file for each
//! state:
//!
//! ```text
//!          Submit            Reply with calls          Decide
//! idle ────────────► asking ────────────────► running ◄──────► deciding
//!   ▲                 │  ▲  ▲                   │ │                │
//!   │  Reply, no call │  │  └ all calls answered┘ │ Interrupt      │ Interrupt
//!   ├─────────────────┤  │                        ▼                ▼
//!   └─────────────────│──│───────────────────  stopping (what is running comes to rest)
//!            Overfull ▼  │ Reply
//!                  compacting
//! ```
//!
//! Whatever the order of inputs, the log it emits is consistent: a call is answered exactly once,
//! a round that began ends.

mod asking;
mod compacting;
mod deciding;
mod habit;
mod idle;
mod running;
mod state;
mod stopping;

use std::time::Duration;

use trajectory::event::{
    ApprovalDecision, Attachment, CallStatus, ConfigChanged, Ended, Exit, InterruptionCause,
    Observation, OutputRef, Plan, Prompt, RoundEnded, Steering, Truncation,
};
use trajectory::{ApprovalMode, Body, Part, ToolEffect, ToolSpec, Usage, Verdict};

use habit::Habit;
use state::State;
pub use state::StateName;

/// How far an agent may go by itself. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests to the model.
    pub steps_max: Option<u32>,
    /// Input and output tokens of all requests together.
    pub tokens_max: Option<u64>,
}

/// Where the numbering of a session stands: the last number given out of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Rounds.
    pub round: u32,
    /// Requests to the model.
    pub request: u32,
    /// Tool calls.
    pub call: u32,
    /// Executions.
    pub exec: u32,
}

/// What an agent starts from.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The tools on offer.
    pub tools: Vec<ToolSpec>,
    /// How much it may do without asking.
    pub approval: ApprovalMode,
    /// Whether somebody is there to be asked.
    pub interactive: bool,
    /// How far it may go.
    pub limits: Limits,
    /// Where the log stands.
    pub counters: Counters,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The user asks.
    Submit(Prompt),
    /// The model has answered.
    Reply {
        /// What it said, in order.
        parts: Vec<Part>,
        /// The tokens it took.
        usage: Usage,
        /// Why the server ended it before the model did (`length`, `content_filter`), if it did.
        cut_off: Option<String>,
        /// What the user's rules say to its calls, in their order; missing ones say nothing.
        verdicts: Vec<Option<Verdict>>,
    },
    /// The model has not answered, or not to the end.
    ReplyFailed {
        /// What it had said by then.
        partial: Vec<Part>,
        /// What went wrong and what to do, in two sentences; none when it was told to stop.
        message: String,
        /// What can be done about it without anybody's help.
        remedy: Remedy,
    },
    /// The context that was to be sent is too large for the model: nothing was sent.
    Overfull {
        /// Whether the model can at least be asked for a summary of it.
        can_be_asked: bool,
    },
    /// The user has decided about a call.
    Decided {
        /// The call.
        call: u32,
        /// The decision.
        decision: ApprovalDecision,
        /// Why.
        reason: Option<String>,
        /// The user's arguments, when amended.
        arguments: Option<String>,
    },
    /// A call has come to its end.
    Finished {
        /// The call.
        call: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// The user says something to the round that is under way; without one, it is a prompt.
    Steer(String),
    /// The user wants the conversation replaced by a summary, now.
    Compact {
        /// What the summary should heed, in the user's words.
        words: Option<String>,
    },
    /// How much may be done without asking, from here on.
    Approval(ApprovalMode),
    /// Stop what you are doing.
    Interrupt(InterruptionCause),
    /// No more prompts will come.
    Close,
}

/// What can be done about a request that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing.
    #[default]
    None,
    /// Ask again after a while.
    AskAgain {
        /// How long to wait.
        wait: Duration,
    },
    /// The server said that the context is too large: make it smaller.
    Compact,
}

/// What came of running a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How it ended.
    pub status: CallStatus,
    /// What the model is shown.
    pub shown: String,
    /// How its process ended, when it was one.
    pub exit: Option<Exit>,
    /// All that was printed.
    pub output: Option<OutputRef>,
    /// What `shown` leaves out.
    pub truncated: Option<Truncation>,
    /// Images that the model is shown beside the text.
    pub attachments: Vec<Attachment>,
    /// The checklist, when the call changed it.
    pub plan: Option<Plan>,
    /// How long it ran, microseconds.
    pub duration_us: u64,
}

/// What to do. Effects are performed in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Record this, then show it.
    Emit(Body),
    /// Send the context as it stands now to the model.
    Ask {
        /// The number of the request.
        request: u32,
    },
    /// Send a request once more, as it was, after a while.
    AskAgain {
        /// The number of the request.
        request: u32,
        /// Which attempt this is, from 2.
        attempt: u32,
        /// How long to wait first.
        wait: Duration,
    },
    /// Ask the model for a summary of the conversation; answer as to [`Effect::Ask`].
    AskSummary {
        /// The number of the request.
        request: u32,
        /// What the user wants it to heed.
        words: Option<String>,
    },
    /// Replace the conversation by a summary, and record that it was.
    Compact {
        /// The request that asked for it, if the model was asked.
        request: Option<u32>,
        /// The model's words; none when it gave no answer.
        summary: Option<String>,
        /// Of the whole conversation: no round waits to go on with its latest turns.
        whole: bool,
    },
    /// Drop the request; answer with `ReplyFailed`.
    StopAsking,
    /// Run a call; answer with `Finished`.
    Run(Invocation),
    /// End a running call; answer with `Finished`.
    StopRunning {
        /// The call.
        call: u32,
    },
    /// Ask the user about a call; answer with `Decided`.
    Decide {
        /// The call.
        call: u32,
    },
    /// The round is over: the next prompt may come.
    RoundOver(Ended),
    /// The session is over.
    Closed,
}

/// A call to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The call.
    pub call: u32,
    /// The execution it becomes.
    pub exec: u32,
    /// The tool.
    pub name: String,
    /// Its arguments, the text of a JSON object.
    pub arguments: String,
    /// What it can do.
    pub effect: ToolEffect,
}

/// The agent of one session.
#[derive(Clone, Debug)]
pub struct Agent {
    setup: Setup,
    counters: Counters,
    state: State,
    /// Requests of this run, for the step limit.
    steps: u32,
    /// Tokens of this run, for the token limit.
    spent: Usage,
    round_usage: Usage,
    last_ended: Ended,
    closing: bool,
    /// The user has said something that no request has told the model yet.
    is_steered: bool,
    habit: Habit,
}

impl Agent {
    /// An agent at rest.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            counters: setup.counters,
            setup,
            state: State::Idle,
            steps: 0,
            spent: Usage::default(),
            round_usage: Usage::default(),
            last_ended: Ended::Completed,
            closing: false,
            is_steered: false,
            habit: Habit::default(),
        }
    }

    /// Takes what happened, returns what to do. Inputs that make no sense in the present state
    /// (a reply after an interruption, a second decision) do nothing.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        if let Input::Approval(mode) = input {
            return self.approve_as(mode);
        }
        let is_at_rest = matches!(self.state, State::Idle | State::Closed);
        let input = match input {
            Input::Steer(text) if !is_at_rest => {
                self.is_steered = true;
                return vec![Effect::Emit(Steering { text }.into())];
            }
            Input::Steer(text) => Input::Submit(Prompt { text, ..Prompt::default() }),
            input => input,
        };
        let mut effects = Vec::new();
        let state = std::mem::replace(&mut self.state, State::Idle);
        self.state = match (state, input) {
            (State::Closed, _) => State::Closed,
            (State::Idle, input) => idle::handle(self, input, &mut effects),
            (State::Asking(asking), input) => asking::handle(self, asking, input, &mut effects),
            (State::Compacting(asking), input) => {
                compacting::handle(self, asking, input, &mut effects)
            }
            (State::Deciding(step), input) => deciding::handle(self, step, input, &mut effects),
            (State::Running(step), input) => running::handle(self, step, input, &mut effects),
            (State::Stopping(stop), input) => stopping::handle(self, stop, input, &mut effects),
        };
        effects
    }

    /// The number of the present round; 0 before the first prompt.
    #[must_use]
    pub const fn round(&self) -> u32 {
        self.counters.round
    }

    /// Where the numbering stands.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The number of an execution that is not the agent's: a command of the user's own.
    pub const fn next_exec(&mut self) -> u32 {
        self.counters.exec += 1;
        self.counters.exec
    }

    /// The state it is in, by name.
    #[must_use]
    pub const fn state(&self) -> StateName {
        self.state.name()
    }

    /// Another mode holds for the calls that come; one that waits for a person still does.
    fn approve_as(&mut self, mode: ApprovalMode) -> Vec<Effect> {
        if self.setup.approval == mode || self.state.name() == StateName::Closed {
            return Vec::new();
        }
        self.setup.approval = mode;
        let changed = ConfigChanged { approval: Some(mode), ..ConfigChanged::default() };
        vec![Effect::Emit(changed.into())]
    }

    fn spend(&mut self, usage: Usage) {
        self.spent += usage;
        self.round_usage += usage;
    }

    /// Ends the round.
    fn end_round(&mut self, ended: Ended, effects: &mut Vec<Effect>) -> State {
        self.last_ended = ended;
        let usage = std::mem::take(&mut self.round_usage);
        effects.push(Effect::Emit(RoundEnded { ended, usage }.into()));
        self.rest(ended, effects)
    }

    /// The user has the floor again.
    fn rest(&mut self, ended: Ended, effects: &mut Vec<Effect>) -> State {
        self.is_steered = false;
        effects.push(Effect::RoundOver(ended));
        if self.closing { idle::close(self, effects) } else { State::Idle }
    }
}

/// The observation of a call that brought nothing back.
fn unrun(call: u32, status: CallStatus, shown: String) -> Body {
    Body::Observation(Observation {
        call,
        status,
        shown,
        exec: None,
        exit: None,
        output: None,
        truncated: None,
        attachments: Vec::new(),
        duration_us: 0,
    })
}

#[cfg(test)]
mod tests;
