//! A call that waits for the user's word.
//!
//! An edit can be taken in part: its hunks are taken or left, and what runs is an edit with the
//! user's arguments, which is recorded as such.

use std::time::Duration;

use serde_json::{Map, Value};
use similar::{DiffTag, TextDiff};
use trajectory::event::ApprovalDecision;
use trajectory::{ApprovalMode, Reading};

use crate::composer::Composer;
use crate::diff::Diff;
use crate::keys::Choice;
use crate::protocol::Command;
use crate::text::{clean, headline, kept};

/// Texts with more bytes are taken whole or not at all.
const BYTES_MAX: usize = 256 << 10;

/// For how long the smallest difference is looked for.
pub(crate) const DIFF_TIME_MAX: Duration = Duration::from_millis(100);

/// Arguments that a change shows, which need not be told beside it.
const SHOWN_BY_CHANGE: &[&str] =
    &["file_path", "old_string", "new_string", "content", "input", "patch"];

/// The argument that a user wants to write on, the first that is there.
const EDITED: &[&str] = &["command", "new_string", "content", "input", "patch"];

/// Commands and files of a reading that are shown, and columns of each.
const READ_MAX: usize = 20;
const READ_COLUMNS: usize = 60;

/// A piece of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hunk {
    pub(crate) old: String,
    pub(crate) new: String,
    pub(crate) is_taken: bool,
}

/// The question, and how far the answer is.
pub(crate) struct Decision {
    pub(crate) call: u32,
    pub(crate) name: String,
    pub(crate) arguments: String,
    /// The change that it is, if it is one; the conversation shows what was proposed.
    pub(crate) change: Option<Diff>,
    /// What it would do, for reading: a command, and the arguments that nothing else shows.
    pub(crate) text: String,
    /// The pieces of the text: what stays, and what may change.
    parts: Vec<Part>,
    pub(crate) chosen: usize,
    /// The reason for a denial, while it is written.
    pub(crate) reason: Option<Composer>,
    /// The arguments are the user's.
    pub(crate) is_edited: bool,
    /// Rules that would spare the user this question here from now on.
    pub(crate) rules: Vec<String>,
    /// Whether they are on the screen, whole: what is not read is not agreed to.
    pub(crate) is_offered: bool,
    /// What the command would do, where more than its text says.
    pub(crate) reading: Option<Reading>,
}

enum Part {
    Same(String),
    Hunk(Hunk),
}

impl Decision {
    pub(crate) fn new(call: u32, name: &str, arguments: &str) -> Self {
        let change = crate::diff::of_call(name, arguments);
        Self {
            call,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            text: text(arguments, change.is_some()),
            change,
            parts: parts(name, arguments),
            chosen: 0,
            reason: None,
            is_edited: false,
            rules: Vec::new(),
            is_offered: false,
            reading: None,
        }
    }

    /// What is known beside the arguments.
    pub(crate) fn offered(&mut self, rules: &[String], reading: Option<Reading>) {
        let all_clean = |texts: &[String]| {
            texts.iter().take(READ_MAX).map(|text| headline(text, READ_COLUMNS)).collect()
        };
        self.rules = rules.iter().map(|rule| clean(rule)).collect();
        self.is_offered = false;
        // One command that writes nothing is its own reading.
        let says_more =
            |it: &Reading| it.runs.len() > 1 || !it.writes.is_empty() || it.unclear.is_some();
        self.reading = reading.filter(says_more).map(|reading| Reading {
            runs: all_clean(&reading.runs),
            writes: all_clean(&reading.writes),
            unclear: reading.unclear,
        });
    }

    /// The hunks, where there is a choice.
    pub(crate) fn hunks(&self) -> Vec<&Hunk> {
        let hunks = self.parts.iter().filter_map(|part| match part {
            Part::Hunk(hunk) => Some(hunk),
            Part::Same(_) => None,
        });
        hunks.collect()
    }

    /// Takes an answer; a command, once it is whole.
    pub(crate) fn answer(&mut self, choice: Choice) -> Option<Command> {
        let count = self.hunks().len();
        match choice {
            Choice::Allow => return Some(self.allow(None)),
            Choice::AllowAlways if self.is_offered && !self.is_edited => {
                return Some(self.always());
            }
            Choice::AllowAlways => {}
            Choice::Edit => return Some(Command::Edit(self.to_edit().1)),
            Choice::AllowAll => return Some(self.allow(Some(ApprovalMode::Auto))),
            Choice::Deny => self.reason = Some(Composer::default()),
            Choice::NextHunk => self.chosen = (self.chosen + 1).min(count.saturating_sub(1)),
            Choice::PreviousHunk => self.chosen = self.chosen.saturating_sub(1),
            Choice::Hunk => {
                let hunks = self.parts.iter_mut().filter_map(|part| match part {
                    Part::Hunk(hunk) => Some(hunk),
                    Part::Same(_) => None,
                });
                if count > 1
                    && let Some(hunk) = hunks.into_iter().nth(self.chosen)
                {
                    hunk.is_taken = !hunk.is_taken;
                }
            }
        }
        None
    }

    /// The denial, with what was written as its reason.
    pub(crate) fn deny(&self) -> Command {
        let reason = self.reason.as_ref().map(Composer::content);
        self.command(
            ApprovalDecision::Denied,
            reason.filter(|why| !why.trim().is_empty()),
            None,
            None,
        )
    }

    fn allow(&self, mode: Option<ApprovalMode>) -> Command {
        let hunks = self.hunks();
        let taken = hunks.iter().filter(|hunk| hunk.is_taken).count();
        if taken == hunks.len() {
            if self.is_edited {
                let reason = Some("Edited by the user.".to_owned());
                let arguments = Some(self.arguments.clone());
                return self.command(ApprovalDecision::Amended, reason, arguments, mode);
            }
            return self.command(ApprovalDecision::Allowed, None, None, mode);
        }
        if taken == 0 {
            let reason = Some("None of its hunks was taken.".to_owned());
            return self.command(ApprovalDecision::Denied, reason, None, mode);
        }
        let reason = Some(format!("{taken} of {} hunks were taken.", hunks.len()));
        match self.amended() {
            Some(arguments) => {
                self.command(ApprovalDecision::Amended, reason, Some(arguments), mode)
            }
            None => self.command(ApprovalDecision::Denied, reason, None, mode),
        }
    }

    /// Allows it, and whatever is like it, in this folder.
    fn always(&self) -> Command {
        let reason = Some(format!("Always here: {}.", self.rules.join(", ")));
        match self.command(ApprovalDecision::Allowed, reason, None, None) {
            Command::Decide { call, decision, reason, arguments, mode, .. } => {
                let always = self.rules.clone();
                Command::Decide { call, decision, reason, arguments, mode, always }
            }
            other => other,
        }
    }

    /// The argument that is written on in an editor, and its text; all of them, where none stands
    /// out.
    fn to_edit(&self) -> (Option<&'static str>, String) {
        let fields: Option<Map<String, Value>> = serde_json::from_str(&self.arguments).ok();
        let Some(fields) = fields else { return (None, self.arguments.clone()) };
        let found = EDITED.iter().find_map(|key| Some((*key, fields.get(*key)?.as_str()?)));
        match found {
            Some((key, text)) => (Some(key), text.to_owned()),
            None => {
                let text = serde_json::to_string_pretty(&fields);
                (None, text.unwrap_or_else(|_| self.arguments.clone()))
            }
        }
    }

    /// Takes what was written in the editor; false when it is nothing that can be called.
    pub(crate) fn edited(&mut self, text: &str) -> bool {
        let (key, before) = self.to_edit();
        if text == before || text.trim_end_matches('\n') == before {
            return true;
        }
        let fields: Option<Map<String, Value>> = serde_json::from_str(&self.arguments).ok();
        let arguments = match (key, fields) {
            (Some(key), Some(mut fields)) => {
                // Editors end a file with a line feed, whether the text had one or not.
                let ends = before.ends_with('\n') || !text.ends_with('\n');
                let text = if ends { text } else { text.strip_suffix('\n').unwrap_or(text) };
                fields.insert(key.to_owned(), Value::String(text.to_owned()));
                serde_json::to_string(&fields).ok()
            }
            (None, Some(_)) => {
                let fields = serde_json::from_str::<Map<String, Value>>(text).ok();
                fields.and_then(|fields| serde_json::to_string(&fields).ok())
            }
            (_, None) => Some(text.to_owned()),
        };
        let Some(arguments) = arguments else { return false };
        *self = Self {
            is_edited: true,
            rules: std::mem::take(&mut self.rules),
            ..Self::new(self.call, &self.name, &arguments)
        };
        true
    }

    fn amended(&self) -> Option<String> {
        let mut fields: Map<String, Value> = serde_json::from_str(&self.arguments).ok()?;
        let text = self.parts.iter().map(|part| match part {
            Part::Same(text) => text.as_str(),
            Part::Hunk(hunk) if hunk.is_taken => hunk.new.as_str(),
            Part::Hunk(hunk) => hunk.old.as_str(),
        });
        *fields.get_mut("new_string")? = Value::String(text.collect());
        serde_json::to_string(&fields).ok()
    }

    fn command(
        &self,
        decision: ApprovalDecision,
        reason: Option<String>,
        arguments: Option<String>,
        mode: Option<ApprovalMode>,
    ) -> Command {
        let (call, always) = (self.call, Vec::new());
        Command::Decide { call, decision, reason, arguments, mode, always }
    }
}

/// What a call would do: a command as it stands, then whatever else is asked for.
fn text(arguments: &str, is_change: bool) -> String {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(arguments) else {
        return if is_change { String::new() } else { kept(arguments.trim_end()) };
    };
    let command = fields.get("command").and_then(Value::as_str).filter(|_| !is_change);
    let mut text = command.map(|command| format!("{}\n", command.trim_end())).unwrap_or_default();
    // Which file it is about is never what is left out.
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| *key != "file_path");
    for (key, value) in fields {
        let is_shown = match is_change {
            true => SHOWN_BY_CHANGE.contains(&key.as_str()),
            false => command.is_some() && key == "command",
        };
        if !is_shown {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.push_str(&format!("{key}: {value}\n"));
        }
    }
    kept(text.trim_end())
}

/// The pieces of an edit; none where there is no choice.
fn parts(name: &str, arguments: &str) -> Vec<Part> {
    if !matches!(name, "edit" | "replace") {
        return Vec::new();
    }
    let fields: Map<String, Value> = serde_json::from_str(arguments).unwrap_or_default();
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let (Some(old), Some(new)) = (text("old_string"), text("new_string")) else {
        return Vec::new();
    };
    if old.is_empty() || old.len() + new.len() > BYTES_MAX {
        return Vec::new();
    }
    let diff = TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(old, new);
    let lines = |slices: &[&str], range: std::ops::Range<usize>| -> String {
        slices.get(range).unwrap_or_default().concat()
    };
    let part = |op: &similar::DiffOp| {
        let old = lines(diff.old_slices(), op.old_range());
        if op.tag() == DiffTag::Equal {
            return Part::Same(old);
        }
        Part::Hunk(Hunk { old, new: lines(diff.new_slices(), op.new_range()), is_taken: true })
    };
    diff.ops().iter().map(part).collect()
}

#[cfg(test)]
mod tests;
