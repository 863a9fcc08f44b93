//! Create a file, or replace all of it.

use std::fs::File;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::after;
use crate::answer::{Answer, Failure, count};
use crate::atomic::{self, WriteError};
use crate::beneath::{Place, Workspace};
use crate::path::Relative;
use crate::protected::{Access, Refusal};
use crate::read;

/// The longest file whose lines are counted before it is replaced, bytes.
const EARLIER_BYTES_MAX: u64 = 16 << 20;

/// Creates a file, or replaces all of it. Missing directories are made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Path, relative to the workspace.
    pub(crate) file_path: String,
    /// The whole content.
    pub(crate) content: String,
}

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let path = Relative::parse(&input.file_path, workspace)?;
    let place = workspace.place(&path, Access::Create).map_err(|refusal| match refusal {
        Refusal::Denied(rule) => Failure::Denied(rule.explain(&path)),
        Refusal::System(error) => explain(&path, WriteError::System(error)),
    })?;
    let before = atomic::existing(&place).map_err(|error| explain(&path, error))?;
    let earlier = before.as_ref().and_then(|_| earlier(&place));
    let content = input.content.as_bytes();
    atomic::replace(&place, before.as_ref(), content, cancel)
        .map_err(|error| explain(&path, error))?;
    let lines = count(lines(content), "line");
    let faults = after::told(&path, earlier.as_deref().unwrap_or_default(), content);
    Ok(Answer::from(match (before, earlier) {
        (None, _) => format!("Created {path} ({lines}){faults}"),
        (Some(_), None) => format!("Replaced {path} ({lines} now){faults}"),
        (Some(_), Some(earlier)) => {
            let earlier = count(self::lines(&earlier), "line");
            format!("Replaced {path} ({earlier} before, {lines} now){faults}")
        }
    }))
}

/// What is there now, as far as it can be read: it is only compared with.
fn earlier(place: &Place) -> Option<Vec<u8>> {
    let file = File::from(place.open().ok()?);
    read::whole(file, EARLIER_BYTES_MAX).ok().flatten()
}

/// How many lines a text has.
pub(crate) fn lines(content: &[u8]) -> usize {
    let ends = memchr::memchr_iter(b'\n', content).count();
    ends + usize::from(content.last().is_some_and(|last| *last != b'\n'))
}

/// What the model is told when a file could not be written.
pub(crate) fn explain(path: &Relative, error: WriteError) -> Failure {
    match error {
        WriteError::System(error) => {
            Failure::Error(format!("{} Nothing was written.", path.explain(error)))
        }
        WriteError::NotAFile(kind) => {
            Failure::Error(format!("{path} is a {kind}, not a file. Nothing was written."))
        }
        WriteError::Cancelled => Failure::Cancelled(format!("Cancelled: {path} was not written.")),
    }
}

#[cfg(test)]
mod tests;
