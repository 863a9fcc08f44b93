//! Checkpoints of a workspace: taken, compared, restored, copied, collected.
//!
//! A checkpoint is a manifest and, below it, a blob for each folder and each file, all in the
//! content-addressed store. Taking one walks the workspace, reads only what the stat index does not
//! know, and adds only what the store does not have ([`Workspace::checkpoint`]). Two are compared
//! folder by folder ([`diff()`]), a workspace is taken back to one ([`Workspace::restore`]), a
//! throw-away copy is made of one ([`FreshCopy`]), and what no checkpoint needs is deleted
//! ([`Collector`]), unless somebody holds it ([`Pin`]). What is in one, what is not and why is in docs/checkpoints.md.
//!
//! Absent here on purpose: when a checkpoint is taken and what is recorded of it; that is the
//! session's.

mod apply;
mod bytes;
mod collect;
mod copy;
mod diff;
mod edits;
mod error;
mod fresh;
mod hands;
mod ignored;
mod index;
mod journal;
mod manifest;
mod node;
mod pin;
mod place;
mod plan;
mod planted;
mod policy;
mod read;
mod restore;
mod snapshot;
mod take;
mod walk;
mod watch;

pub use blob::{Added, Hash, Store, Swept};
pub use collect::{Collected, Collector, Removed, check, size};
pub use diff::{Change, diff, file_changes};
pub use error::Error;
pub use fresh::{FreshCopy, How, Overlay};
pub use manifest::{Manifest, Skipped};
pub use node::{Entry, Kind};
pub use pin::Pin;
pub use place::Workspace;
pub use planted::{Obeyed, Planted};
pub use policy::{Policy, Reason};
pub use restore::{Left, OnEdits, Restore, Restored, Settled, Why};
pub use take::Checkpoint;
pub use watch::Watch;

#[cfg(test)]
mod tests;
