//! Rules about commands: what runs without asking, what is asked about, what never runs.
//!
//! A workspace may add to what is asked about and to what never runs; what it allows counts once it
//! is trusted.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toolbox::Rules;

use super::file::{read_text, write_user_file};
use super::place::user_file_path;
use crate::error::CliError;

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

/// An entry of `[[allowed]]`: what the user allowed for good while a call waited.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowedFile {
    /// The workspace for which it holds.
    folder: PathBuf,
    rule: Pattern,
}

/// Allows for good what is like these rules, in one folder: added at the end of the user's own
/// settings file, which is theirs to read and to change.
pub(crate) fn remember(folder: &Path, rules: &[String]) -> Result<PathBuf, CliError> {
    let path = user_file_path()?;
    let mut text = read_text(&path)?.unwrap_or_default();
    for rule in rules {
        Pattern::try_from(rule.clone()).map_err(CliError::usage)?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let folder = toml::Value::String(folder.display().to_string());
        let rule = toml::Value::String(rule.clone());
        text.push_str(&format!("\n[[allowed]]\nfolder = {folder}\nrule = {rule}\n"));
    }
    write_user_file(&path, &text)?;
    Ok(path)
}

impl RulesFile {
    /// Takes over what was allowed for good in this folder.
    pub(super) fn remembered(&mut self, allowed: Vec<AllowedFile>, workspace: &Path) {
        let here = allowed.into_iter().filter(|allowed| allowed.folder == workspace);
        self.allow.extend(here.map(|allowed| allowed.rule));
    }

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
