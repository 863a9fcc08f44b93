//! Policy, isolation and the pseudo-terminal a command runs in.
//!
//! [`Sandbox::spawn`] starts a command as the leader of its own session on its own terminal and
//! returns a [`Running`]. One thread per execution reads the terminal, keeps time and watches the
//! command; what is printed arrives through [`Output`], bounded, so that a slow reader slows the
//! command down. When the command ends, is stopped, or its time is up, everything it started is
//! killed, whatever it did to get away, and [`Running::wait`] returns how it [`Finished`]. What a
//! command leaves in the background may go on ([`CommandSpec::lingers`]); then it is this that has
//! to end.
//!
//! [`Remote`] is a second hand on a running command: it types, stops, takes what is new as text,
//! and watches its [`Status`], whether it waits for input among it.
//!
//! [`kill_all`] ends every command at once, for a program that is about to end in haste.
//!
//! [`Sandbox::auto`] isolates with the strongest [`Tier`] that works on the machine;
//! [`Sandbox::off`] runs commands as the user. Isolated commands are started by a process of the
//! session's own ([`holder`]), the others by limn.
//!
//! While a command runs that is not isolated, limn is the reaper of orphaned descendants, so that
//! a daemon cannot leave the tree. Other parts of the program must not start children in sessions
//! of their own (`setsid`) meanwhile: they could not be told apart from such daemons.

mod chunks;
mod command;
mod control;
mod error;
#[cfg(target_os = "linux")]
pub mod holder;
mod isolation;
#[cfg(target_os = "linux")]
mod keeper;
mod look;
mod policy;
mod proxy;
mod pump;
mod running;
mod terminal;
mod tree;
mod waiting;

pub use command::CommandSpec;
pub use control::{Left, Status};
pub use error::SandboxError;
pub use isolation::{Sandbox, Tier, Untried};
pub use policy::{
    HostPattern, Limits, LimitsFile, Network, NetworkWord, Policy, PolicyFile, Preset, Refusal,
    Surroundings, Target, is_public,
};
pub use proxy::Proxy;
pub use running::{Finished, Output, OutputChunk, Remote, Running};
pub use screen::{TerminalSize, Text, Truncation};
pub use tree::kill_all;

#[cfg(test)]
mod tests;
