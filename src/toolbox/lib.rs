//! The tools, one file each.
//!
//! A [`Toolbox`] is opened once for a session: it holds the workspace open and knows the sandbox.
//! [`Toolbox::specs`] is what a model is offered; [`Toolbox::run`] runs one call and always
//! answers with an [`Outcome`], whatever the model sent and whatever the tool did, a panic
//! included. File tools reach nothing outside the workspace and leave some of it alone, whatever the
//! sandbox; the shell runs in the sandbox.
//!
//! Absent: whether a call may run at all (approval is the agent's), the record (the session's),
//! and every tool but the five.

mod answer;
mod arguments;
mod atomic;
mod beneath;
mod edit;
mod environment;
mod jobs;
mod list;
mod nearest;
mod outcome;
mod path;
mod protected;
mod read;
mod run;
mod schema;
mod shell;
mod suggest;
mod terminal;
mod write;

pub use jobs::JobEvent;
pub use outcome::{Attached, ExecutionFacts, Outcome, SHOWN_BYTES_MAX};
pub use run::{Call, Setup, ToolSet, Toolbox, ToolboxError};

#[cfg(test)]
mod tests;
