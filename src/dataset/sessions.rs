//! Whole sessions for viewers and evaluations, a file each: what was said and done in its order,
//! nothing cut where the context was changed, and no word of what is trained.

mod atif;
mod steps;
mod traces;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::error::DatasetError;
use crate::facts::Facts;
use crate::images::Images;
use crate::ledger::Ledger;
use crate::lines;
use crate::recording::Recording;
use crate::stats::RowFacts;
use crate::write::Pass;

#[cfg(test)]
mod tests;

/// A form for whole sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionForm {
    /// ATIF 1.8, the interchange format of Harbor: `ID.trajectory.json`.
    Atif,
    /// The session traces of Hugging Face: `ID.jsonl`.
    Traces,
}

impl SessionForm {
    /// Every one there is.
    pub(crate) const ALL: [Self; 2] = [Self::Atif, Self::Traces];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Atif => "atif",
            Self::Traces => "traces",
        }
    }

    /// How the names of its files end.
    pub(crate) const fn ending(self) -> &'static str {
        match self {
            Self::Atif => ".trajectory.json",
            Self::Traces => ".jsonl",
        }
    }

    /// Reads a file again: whether it is sound, and how much is in it.
    pub(crate) fn read(self, text: &str) -> Result<RowFacts, String> {
        match self {
            Self::Atif => atif::read(text),
            Self::Traces => traces::read(text),
        }
    }
}

/// Writes a file for each session and reads it back: as many steps, calls and results are in it as
/// the ledger counts.
pub(crate) fn write(pass: &mut Pass<'_>, form: SessionForm) -> Result<Vec<RowFacts>, DatasetError> {
    let mut images = Images::new(pass.folder);
    let mut rows = Vec::new();
    for chosen in pass.chosen() {
        let Some(mut recording) = pass.open_plain(chosen)? else { continue };
        let mut ledger = Ledger::default();
        let steps = steps::of(&recording, &mut images, form == SessionForm::Atif, &mut ledger)?;
        let note = "What is trained and what is not: this form does not say.";
        ledger.lose("loss_marks", 1, note);
        let text = match form {
            SessionForm::Atif => atif::text(&recording, &steps)?,
            SessionForm::Traces => traces::text(&recording, &steps, &mut ledger)?,
        };
        let path = place(pass.folder, &recording.facts, form)?;
        lines::write_whole(&path, &text)?;
        rows.push(read_back(&path, &recording, form, &ledger)?);
        pass.ledger.add(&ledger);
        recording.facts.rows = 1;
        pass.sessions.push(recording.facts);
    }
    images.finish()?;
    Ok(rows)
}

/// Where the file of a session goes: in the folder of its part, where there are parts.
fn place(
    folder: &Path,
    facts: &Facts,
    form: SessionForm,
) -> Result<std::path::PathBuf, DatasetError> {
    let folder = facts.split.as_ref().map_or_else(|| folder.to_owned(), |part| folder.join(part));
    fs::create_dir_all(&folder).map_err(|error| DatasetError::io("create", &folder, error))?;
    Ok(folder.join(format!("{}{}", facts.session, form.ending())))
}

fn read_back(
    path: &Path,
    recording: &Recording,
    form: SessionForm,
    ledger: &Ledger,
) -> Result<RowFacts, DatasetError> {
    let differs = |what: String| DatasetError::ReadBack { session: recording.name.clone(), what };
    let text =
        fs::read_to_string(path).map_err(|error| DatasetError::io("read back", path, error))?;
    let facts = form.read(&text).map_err(differs)?;
    let kept = |what: &str| ledger.kept.get(what).copied().unwrap_or_default();
    if facts.steps as u64 != kept("replies") {
        return Err(differs("it has not as many replies as the ledger counts".to_owned()));
    }
    Ok(facts)
}

/// A JSON object of arguments: what was sent, or an object that holds what was sent.
fn arguments(raw: &str) -> Value {
    match serde_json::from_str::<Value>(raw) {
        Ok(object @ Value::Object(_)) => object,
        _ if raw.trim().is_empty() => serde_json::json!({}),
        _ => serde_json::json!({ "malformed": raw }),
    }
}

/// The calls that a session made, by their number, under ids that no two of them share.
#[derive(Default)]
struct Ids {
    by_call: BTreeMap<u32, String>,
}

impl Ids {
    /// The provider's id, unless it is empty or another call has it.
    fn of(&mut self, call: u32, id: &str) -> String {
        let is_taken = id.is_empty() || self.by_call.values().any(|other| other == id);
        let id = if is_taken { format!("limn-call-{call}") } else { id.to_owned() };
        self.by_call.insert(call, id.clone());
        id
    }

    fn get(&self, call: u32) -> Option<&String> {
        self.by_call.get(&call)
    }
}
