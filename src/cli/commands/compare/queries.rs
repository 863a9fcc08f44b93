//! The tasks of a comparison: lines of JSON, or a whole file that is one prompt.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::CompareArgs;
use crate::error::CliError;

/// No file of tasks is larger, and no comparison has more of them.
const FILE_BYTES_MAX: u64 = 64 << 20;
const QUERIES_MAX: usize = 10_000;

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) id: String,
    pub(super) prompt: String,
    /// The folder that it works in a copy of; an empty one where there is none.
    pub(super) workspace: Option<PathBuf>,
    /// Exits with 0 when the task is done.
    pub(super) check: Option<String>,
}

/// A task as a line has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    prompt: String,
    workspace: Option<PathBuf>,
    check: Option<String>,
}

/// All tasks, in the order in which they are named.
pub(super) fn read(args: &CompareArgs) -> Result<Vec<Query>, CliError> {
    let mut queries = Vec::new();
    for path in &args.queries {
        let text = text(path)?;
        let is_lines = path.extension().is_some_and(|it| it == "jsonl" || it == "json");
        if is_lines {
            lines(path, &text, &mut queries)?;
        } else {
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let prompt = text.trim().to_owned();
            queries.push(Query { id, prompt, workspace: None, check: None });
        }
    }
    let mut ids = HashSet::new();
    for query in &mut queries {
        if query.prompt.trim().is_empty() {
            return Err(CliError::usage(format!(
                "The prompt of the task {:?} is empty. Say what to do.",
                query.id
            )));
        }
        if !ids.insert(query.id.clone()) {
            return Err(CliError::usage(format!(
                "Two tasks are called {:?}. Give each an \"id\" of its own.",
                query.id
            )));
        }
        query.workspace = query.workspace.take().or_else(|| args.workspace.clone());
        query.check = query.check.take().or_else(|| args.check.clone());
        query.workspace = query.workspace.take().map(|folder| real(&folder)).transpose()?;
    }
    match queries.len() {
        0 => Err(CliError::usage("There is no task in --queries. Write one a line.")),
        count if count > QUERIES_MAX => Err(CliError::usage(format!(
            "There are {count} tasks; at most {QUERIES_MAX} are compared at once."
        ))),
        _ => Ok(queries),
    }
}

fn lines(path: &Path, text: &str, queries: &mut Vec<Query>) -> Result<(), CliError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(line).map_err(|error| {
            CliError::usage(format!(
                "{}, line {}: {error}. Expected {{\"id\":\"…\",\"prompt\":\"…\",\
                 \"workspace\":\"DIR\",\"check\":\"COMMAND\"}}.",
                path.display(),
                number + 1
            ))
        })?;
        queries.push(Query {
            id: line.id.unwrap_or_else(|| (queries.len() + 1).to_string()),
            prompt: line.prompt,
            // Beside the file that names it.
            workspace: line.workspace.map(|workspace| folder.join(workspace)),
            check: line.check,
        });
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, CliError> {
    let bad = |what: String| {
        let path = path.display();
        CliError::usage(format!("Cannot read the tasks in {path}: {what}. Name a text file."))
    };
    let about = fs::metadata(path).map_err(|error| bad(error.to_string()))?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return Err(bad("it is no regular file of a sensible size".to_owned()));
    }
    fs::read_to_string(path).map_err(|error| bad(error.to_string()))
}

fn real(folder: &Path) -> Result<PathBuf, CliError> {
    let shown = folder.display();
    let found = fs::canonicalize(folder).ok().filter(|folder| folder.is_dir());
    found.ok_or_else(|| {
        CliError::usage(format!("The workspace {shown} is no folder. Name one that is there."))
    })
}

#[cfg(test)]
mod tests;
