//! The holder: one process a session that owns its isolation, on Linux.
//!
//! Namespaces last as long as somebody is in them. So that a server of one command answers the
//! next, and a file in `/tmp` lives on to a third, one process holds them for the whole session,
//! and each command is a fork of it: confined already, in less time than it takes to set up
//! anything. limn keeps the other end of a socket pair. It sends commands ([`message::Request`])
//! and gets terminals and news ([`message::Report`]); when it hangs up, everything inside dies.

mod bwrap;
mod confine;
mod failure;
mod filter;
mod git;
pub(crate) mod handle;
mod landlock;
pub(crate) mod message;
mod mounts;
mod opened;
pub(crate) mod plan;
mod process;
mod serve;
mod sockets;
mod start;
mod watch;

pub use handle::{HolderProgram, WORD};
pub use process::run;
