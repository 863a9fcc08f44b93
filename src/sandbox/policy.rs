//! What commands may do, and how that is enforced.
//!
//! The policy is data ([`Policy`], below `policy/`); a [`Sandbox`] is a policy and the tier that
//! enforces it.

mod address;
mod caches;
mod environment;
mod explain;
mod file;
mod host;
mod paths;
mod places;
mod rules;

use std::fmt;

use thiserror::Error;

use crate::command::CommandSpec;
use crate::error::SandboxError;
use crate::running::{self, Running};

pub use address::is_public;
pub use file::{LimitsFile, NetworkWord, PolicyFile, Surroundings};
pub use host::{Host, HostPattern, Network, Target, WEB_PORTS};
pub use places::{CREDENTIALS, REGISTRIES, SYSTEM_SECRETS};
pub use rules::{Limits, Policy, Preset};

/// How the policy is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Isolation was asked for and this build or machine has none: commands are refused.
    None,
    /// The user runs commands without isolation.
    Off,
}

impl Tier {
    /// Its name, as events record it and the screen shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal: the rule that says no, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{rule}; {remedy}")]
pub struct Refusal {
    /// The rule, as a sentence without its full stop.
    pub rule: String,
    /// What the user can do, likewise.
    pub remedy: String,
}

/// Where commands run: a policy and the tier that enforces it.
#[derive(Clone, Debug)]
pub struct Sandbox {
    policy: Policy,
    tier: Tier,
}

impl Sandbox {
    /// The best isolation there is. There is none yet, so it refuses every command.
    #[must_use]
    pub fn auto() -> Self {
        Self { policy: Policy::default(), tier: Tier::None }
    }

    /// No isolation: commands run as the user, with all the user's rights.
    #[must_use]
    pub fn off() -> Self {
        Self { policy: Policy::default(), tier: Tier::Off }
    }

    /// The same sandbox with another policy.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The tier in force.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.tier
    }

    /// Why commands are refused, if they are.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self.tier {
            Tier::Off => None,
            Tier::None => Some(Refusal {
                rule: "commands run only in isolation, and this version of limn has none".into(),
                remedy: "pass `--sandbox off` to run them without, with all of your rights".into(),
            }),
        }
    }

    /// Starts a command. Takes about a millisecond and does not wait for anything.
    ///
    /// # Errors
    /// [`SandboxError::Refused`] by the policy; else whatever kept the command from starting.
    pub fn spawn(&self, spec: CommandSpec) -> Result<Running, SandboxError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal.into());
        }
        running::start(&spec, &self.policy)
    }
}

#[cfg(test)]
mod tests;
