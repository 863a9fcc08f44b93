//! The tools, one file each.
//!
//! A [`Toolbox`] is opened once for a session: it holds the workspace open and knows the sandbox.
//! [`Toolbox::specs`] is what a model is offered; [`Toolbox::run`] runs one call and always
//! answers with an [`Outcome`], whatever the model sent and whatever the tool did, a panic
//! included. File tools reach nothing outside the workspace and leave some of it alone, whatever the
//! sandbox; the shell runs in the sandbox; the web tools reach the Internet and no private address.
//!
//! Absent: whether a call may run at all (approval is the agent's), and the record (the session's).

mod after;
mod answer;
mod arguments;
mod atomic;
mod beneath;
mod edit;
mod glob;
mod grant;
mod grep;
mod heal;
mod jobs;
mod list;
mod map;
mod nearest;
mod network;
mod outcome;
mod patch;
mod path;
mod pattern;
mod plan;
mod protected;
mod read;
mod rules;
mod run;
mod schema;
mod search;
mod shell;
mod sii;
mod suggest;
mod terminal;
mod walk;
mod web;
mod web_fetch;
mod web_search;
mod write;

pub use jobs::JobEvent;
pub use outcome::{Attached, ExecutionFacts, Outcome, SHOWN_BYTES_MAX};
pub use rules::{Rules, like as rules_like, reading};
pub use run::{Call, Setup, ToolSet, Toolbox, ToolboxError};
pub use web::{SearchEndpoint, Web};

#[cfg(test)]
mod tests;
