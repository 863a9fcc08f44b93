//! What a model said to held-out prompts, each time it was asked: lines of `answers.jsonl`.
//!
//! The rates of a run say how often a call was valid; these lines say what the calls were. They are
//! for whoever wonders about a rate, and nothing goes on from them: a run that was killed may have
//! answered twice after the same step, and the later answers count.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainingError;

#[cfg(test)]
mod tests;

/// The name of the file within a run folder.
pub const FILE: &str = "answers.jsonl";

/// An answer to a held-out prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// After this step.
    pub step: u64,
    /// The sample that the prompt is from.
    pub sample: String,
    /// The end of the prompt, as the model read it.
    pub asked: String,
    /// What was said to it when it was recorded.
    pub wanted: String,
    /// What the model says.
    pub said: String,
    /// Whether that has a call whose arguments are an object.
    pub valid: bool,
    /// Whether its first call is of the tool that was called.
    pub exact: bool,
}

/// Adds answers to those of a run, in one write.
///
/// # Errors
/// When they cannot be written whole.
pub fn add(folder: &Path, answers: &[Answer]) -> Result<(), TrainingError> {
    let path = folder.join(FILE);
    let failed = |error| TrainingError::io("write", &path, error);
    let mut lines = Vec::new();
    for answer in answers {
        serde_json::to_writer(&mut lines, answer).map_err(|error| failed(error.into()))?;
        lines.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    file.write_all(&lines).map_err(failed)
}

/// All answers of a run, in the order in which they were given. Lines that cannot be read are left
/// out.
///
/// # Errors
/// When the file cannot be read; there may be none yet.
pub fn read_all(folder: &Path) -> Result<Vec<Answer>, TrainingError> {
    let path = folder.join(FILE);
    let failed = |error| TrainingError::io("read", &path, error);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut answers = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        answers.extend(serde_json::from_slice::<Answer>(&line.map_err(failed)?).ok());
    }
    Ok(answers)
}
