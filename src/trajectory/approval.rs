//! Who may do what: the one vocabulary of approval.

use serde::{Deserialize, Serialize};

use crate::tool::ToolEffect;

/// How much the agent may do without asking. Approval never widens the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalMode {
    /// Refuses whatever writes or executes.
    ReadOnly,
    /// Asks before whatever writes or executes; headless, it denies and says so.
    Ask,
    /// Allows what stays inside the workspace policy.
    #[default]
    Auto,
    /// Never asks.
    All,
}

/// What a mode says to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Go on.
    Allowed,
    /// A person has to answer first.
    Ask,
    /// No; the model is told why.
    Denied,
}

impl ApprovalMode {
    /// The answer of this mode to a tool with that effect.
    #[must_use]
    pub const fn decide(self, effect: ToolEffect) -> Approval {
        match (self, effect) {
            (_, ToolEffect::ReadOnly) | (Self::Auto | Self::All, _) => Approval::Allowed,
            (Self::Ask, _) => Approval::Ask,
            (Self::ReadOnly, _) => Approval::Denied,
        }
    }

    /// The word for it, as on the command line and in settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::Ask => "ask",
            Self::Auto => "auto",
            Self::All => "all",
        }
    }
}
