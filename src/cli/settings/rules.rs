//! Rules about commands: what runs without asking, what is asked about, what never runs.
//!
//! A workspace may add to what is asked about and to what never runs; it cannot allow anything.

use serde::{Deserialize, Serialize};

/// `[rules]` of the user's file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RulesFile {
    allow: Vec<Pattern>,
    ask: Vec<Pattern>,
    deny: Vec<Pattern>,
}

/// `[rules]` of a workspace's file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StricterRulesFile {
    ask: Vec<Pattern>,
    deny: Vec<Pattern>,
}

/// The beginning of a command, or all of it; `*` at its end stands for anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let trimmed = text.trim();
        // A rule for everything is an approval mode, and those have names.
        if trimmed.trim_matches('*').trim().is_empty() {
            return Err("a rule names a command, such as \"git status\"".to_owned());
        }
        if trimmed.contains(['\n', '\r', '\0']) {
            return Err("a rule is one line".to_owned());
        }
        Ok(Self(trimmed.to_owned()))
    }
}

/// The rules in force, the user's before the workspace's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rules {
    /// Runs without being asked about.
    pub(crate) allow: Vec<String>,
    /// Is asked about, whatever the mode allows.
    pub(crate) ask: Vec<String>,
    /// Never runs.
    pub(crate) deny: Vec<String>,
}

impl Rules {
    pub(super) fn of(ours: RulesFile, theirs: StricterRulesFile) -> Self {
        let texts = |patterns: Vec<Pattern>| patterns.into_iter().map(|pattern| pattern.0);
        Self {
            allow: texts(ours.allow).collect(),
            ask: texts(ours.ask).chain(texts(theirs.ask)).collect(),
            deny: texts(ours.deny).chain(texts(theirs.deny)).collect(),
        }
    }
}
