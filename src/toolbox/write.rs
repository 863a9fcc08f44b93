//! Create a file, or replace all of it.

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure, count};
use crate::atomic::{self, WriteError};
use crate::beneath::Workspace;
use crate::path::Relative;
use crate::protected::{Access, Refusal};

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
    let content = input.content.as_bytes();
    atomic::replace(&place, before.as_ref(), content, cancel)
        .map_err(|error| explain(&path, error))?;
    let verb = if before.is_some() { "Replaced" } else { "Created" };
    let lines = count(input.content.lines().count(), "line");
    Ok(Answer::from(format!("{verb} {path} ({lines})")))
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
