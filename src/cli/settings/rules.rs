//! Rules about commands: what runs without asking, what is asked about, what never runs.
//!
//! A workspace may add to what is asked about and to what never runs; it cannot allow anything.

use serde::Deserialize;
use toolbox::Rules;

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
pub(super) fn in_force(ours: RulesFile, theirs: StricterRulesFile) -> Rules {
    let texts = |patterns: Vec<Pattern>| patterns.into_iter().map(|pattern| pattern.0);
    Rules {
        allow: texts(ours.allow).collect(),
        ask: texts(ours.ask).chain(texts(theirs.ask)).collect(),
        deny: texts(ours.deny).chain(texts(theirs.deny)).collect(),
    }
}
