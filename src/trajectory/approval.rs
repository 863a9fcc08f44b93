//! Who may do what: the one vocabulary of approval.

use serde::{Deserialize, Serialize};

use crate::tool::ToolEffect;

/// How much the agent may do without asking. Approval never widens the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalMode {
    /// Refuses whatever writes, executes or talks to a server.
    ReadOnly,
    /// Asks before whatever does one of these; headless, it denies and says so.
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

/// What the user's rules say to one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub decision: Approval,
    /// The rule that gave it, as the user wrote it.
    pub rule: String,
}

/// What a command line would do, as far as reading it can tell whoever has to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Each command, wherever it stands in the line; an ellipsis is what only the shell knows.
    pub runs: Vec<String>,
    /// Files that redirections write to.
    pub writes: Vec<String>,
    /// Why it may do more than that.
    pub unclear: Option<&'static str>,
}

impl ApprovalMode {
    /// The answer of this mode and a rule together: a rule may always be stricter than the mode,
    /// and it may spare the user a question, but it does not open what the mode keeps shut.
    #[must_use]
    pub fn decide_with(self, effect: ToolEffect, verdict: Option<&Verdict>) -> Approval {
        let by_mode = self.decide(effect);
        match (by_mode, verdict.map(|verdict| verdict.decision)) {
            (Approval::Denied, _) | (_, Some(Approval::Denied)) => Approval::Denied,
            (_, Some(Approval::Allowed)) => Approval::Allowed,
            (_, Some(Approval::Ask)) if self != Self::All => Approval::Ask,
            (by_mode, _) => by_mode,
        }
    }

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
