//! Replace a piece of a file as often as the model says it is there.

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure};
use crate::beneath::Workspace;
use crate::path::Relative;
use crate::protected::{Access, Refusal};
use crate::{edit, read, write};

/// What is read to count, bytes; a longer file is refused by the edit itself.
const COUNTED_BYTES_MAX: u64 = 16 << 20;

/// Replaces old_string by new_string. It must occur exactly once, or expected_replacements times.
/// An empty old_string creates a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    file_path: String,
    /// Exact text, without line numbers, with enough lines around it to be unique.
    old_string: String,
    new_string: String,
    expected_replacements: Option<u64>,
}

/// Runs the tool.
pub(super) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let Input { file_path, old_string, new_string, .. } = input;
    let path = Relative::parse(file_path, workspace)?;
    if old_string.is_empty() && is_missing(workspace, &path) {
        let input = write::Input { file_path: file_path.clone(), content: new_string.clone() };
        return write::run(workspace, &input, cancel);
    }
    let expected = input.expected_replacements.unwrap_or(1);
    if expected > 1 && !old_string.is_empty() {
        let found = occurrences(workspace, &path, old_string)?;
        // What does not occur at all is the edit's to explain, or to find in another spelling.
        if found > 0 && found != expected {
            return Err(Failure::Error(format!(
                "old_string occurs {found} times in {path}, not {expected}. Nothing was changed."
            )));
        }
    }
    let input = edit::Input {
        file_path: file_path.clone(),
        old_string: old_string.clone(),
        new_string: new_string.clone(),
        replace_all: Some(expected > 1),
    };
    edit::run(workspace, &input, cancel)
}

fn is_missing(workspace: &Workspace, path: &Relative) -> bool {
    let opened = workspace.place(path, Access::Read).and_then(|place| Ok(place.open()?));
    matches!(opened, Err(Refusal::System(rustix::io::Errno::NOENT)))
}

fn occurrences(workspace: &Workspace, path: &Relative, piece: &str) -> Result<u64, Failure> {
    let (_, file) = read::open(workspace, path, Access::Change)?;
    let (file, _) = read::regular(path, file)?;
    let content = read::whole(file, COUNTED_BYTES_MAX).ok().flatten().unwrap_or_default();
    let times = |piece: &str| memchr::memmem::find_iter(&content, piece.as_bytes()).count() as u64;
    // A file may end its lines in CRLF where the model does not.
    let returned = piece.replace("\r\n", "\n").replace('\n', "\r\n");
    Ok(if returned == piece { times(piece) } else { times(piece) + times(&returned) })
}
