//! Rules about commands: what runs without asking, what is asked about, what never runs.
//!
//! A workspace may add to what is asked about and to what never runs; what it allows counts once it
//! is trusted.

use serde::Deserialize;
use toolbox::Rules;

/// `[rules]` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RulesFile {
    allow: Vec<Pattern>,
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

impl RulesFile {
    /// The commands that run without asking.
    pub(super) fn allowed(&self) -> Vec<String> {
        self.allow.iter().map(|pattern| pattern.0.clone()).collect()
    }

    /// Asks more and denies more, as a workspace says.
    pub(super) fn tighten(&mut self, theirs: Self) {
        self.ask.extend(theirs.ask);
        self.deny.extend(theirs.deny);
    }

    /// Allows more, as a trusted workspace says.
    pub(super) fn allow(&mut self, theirs: &Self) {
        self.allow.extend(theirs.allow.iter().cloned());
    }
}

/// The rules in force.
pub(super) fn in_force(rules: RulesFile) -> Rules {
    let texts = |patterns: Vec<Pattern>| patterns.into_iter().map(|pattern| pattern.0).collect();
    Rules { allow: texts(rules.allow), ask: texts(rules.ask), deny: texts(rules.deny) }
}
