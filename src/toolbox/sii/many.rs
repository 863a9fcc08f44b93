//! Read several files at once.

use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::{Answer, Failure};
use crate::beneath::Workspace;
use crate::path::Relative;
use crate::pattern::Pattern;
use crate::read;
use crate::search::unwalked;
use crate::walk::walk;

const FILES_MAX: usize = 50;
const IMAGES_MAX: usize = 8;
/// Beyond this much text, files are only named, bytes.
const SHOWN_BYTES_MAX: usize = 96 << 10;

/// Reads several files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// Paths or patterns such as `src/*.py`.
    paths: Vec<String>,
}

/// Runs the tool.
pub(super) fn run(
    workspace: &Workspace,
    input: &Input,
    sees: bool,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let paths = expanded(workspace, &input.paths, cancel)?;
    if paths.is_empty() {
        return Err(Failure::Error("No file matches the paths.".to_owned()));
    }
    let mut all = Answer::default();
    let mut left = Vec::new();
    let (mut lines_omitted, mut chars_omitted) = (0, 0);
    for (index, path) in paths.iter().enumerate() {
        if index >= FILES_MAX || all.shown.len() > SHOWN_BYTES_MAX {
            left.push(path.as_str());
            continue;
        }
        let one = read::Input { file_path: path.clone(), offset: None, limit: None };
        let sees = sees && all.attachments.len() < IMAGES_MAX;
        let shown = match read::run(workspace, &one, sees, cancel) {
            Ok(answer) => {
                all.attachments.extend(answer.attachments);
                lines_omitted += answer.truncated.map_or(0, |it| it.lines_omitted);
                chars_omitted += answer.truncated.map_or(0, |it| it.chars_omitted);
                answer.shown
            }
            Err(Failure::Error(told) | Failure::Denied(told)) => told,
            Err(cancelled) => return Err(cancelled),
        };
        all.shown.push_str(&format!("--- {path} ---\n{shown}\n"));
    }
    if !left.is_empty() {
        let named: String = left.join(", ").chars().take(2_000).collect();
        let files = left.len();
        all.shown.push_str(&format!("[{files} more files, for which there is no room: {named}]\n"));
    }
    all.shown.truncate(all.shown.trim_end().len());
    let cut = lines_omitted > 0 || chars_omitted > 0 || !left.is_empty();
    all.truncated = cut.then_some(Truncation { lines_omitted, chars_omitted });
    Ok(all)
}

/// The paths, with the files that patterns mean in their places.
fn expanded(
    workspace: &Workspace,
    paths: &[String],
    cancel: &CancellationToken,
) -> Result<Vec<String>, Failure> {
    let mut expanded: Vec<String> = Vec::new();
    for path in paths.iter().take(FILES_MAX * 4) {
        if !path.contains(['*', '?', '{', '['])
            || Relative::parse(path, workspace).is_ok_and(|path| exists(workspace, &path))
        {
            expanded.push(path.clone());
            continue;
        }
        let pattern = Pattern::parse(path, workspace)?;
        let found = Mutex::new(Vec::new());
        let root = Relative::parse(".", workspace)?;
        let walked = walk(
            workspace,
            root.as_path(),
            cancel,
            || (),
            |(), file| {
                if !file.is_link
                    && pattern.is_match(&file.path, root.as_path())
                    && let Some(path) = file.path.to_str()
                {
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
                }
            },
        );
        walked.map_err(|refusal| unwalked(workspace, &root, refusal))?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort();
        expanded.append(&mut found);
    }
    let mut seen = std::collections::HashSet::new();
    expanded.retain(|path| seen.insert(path.clone()));
    Ok(expanded)
}

fn exists(workspace: &Workspace, path: &Relative) -> bool {
    read::open(workspace, path, crate::protected::Access::Read).is_ok()
}
