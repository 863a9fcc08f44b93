//! Attempts to get out of the sandbox, and work that has to be possible inside it.
//!
//! An attempt (`probes/*.py`) really tries, and says how it fared; what it changed, the host says
//! ([`ground`]): a file that is not as it was, somebody who came to a socket, a process that lives
//! on. Without a sandbox the same attempts have to succeed, where that does no harm: an attempt
//! that fails everywhere proves nothing. What is expected of each is in [`table`], which is also
//! the table of docs/escapes.md.
//!
//! These tests stand apart from the other scenarios because limn, while a command runs, takes
//! every daemon among its descendants for one of the command's.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test says what is wrong by failing"
)]

mod attempts;
mod cage;
mod decoy;
mod ground;
mod outside;
mod packages;
mod probes;
mod table;
mod usability;
mod whole;
#[allow(dead_code, reason = "only a part of it is needed here")]
#[path = "../scenarios/world.rs"]
mod world;
