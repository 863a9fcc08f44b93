//! What commands may do: data ([`Policy`]), which a [`crate::Sandbox`] enforces.

mod address;
mod caches;
mod environment;
mod explain;
mod file;
mod host;
#[cfg(target_os = "linux")]
mod memory;
mod paths;
mod places;
mod repository;
mod rules;

use thiserror::Error;

pub use address::is_public;
pub use file::{LimitsFile, NetworkWord, PolicyFile, Surroundings};
pub(crate) use host::Host;
pub use host::{HostPattern, Network, Target};
pub use rules::{Limits, Policy, Preset};

/// A refusal: the rule that says no, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{rule}; {remedy}")]
pub struct Refusal {
    /// The rule, as a sentence without its full stop.
    pub rule: String,
    /// What the user can do, likewise.
    pub remedy: String,
}

#[cfg(test)]
mod tests;
