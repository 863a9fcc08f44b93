//! Change files by a patch, all of it or nothing.
//!
//! It is the form that some models were taught: `*** Begin Patch`, a section for each file, hunks
//! of lines. A unified diff is taken as well. The sections are carried out in memory, in order,
//! and written when all of them fit ([`stage`]).

mod hunks;
mod parse;
mod stage;
mod unified;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use trajectory::{ToolEffect, ToolSpec};

use crate::after;
use crate::answer::{Answer, Failure, count};
use crate::beneath::Workspace;
use crate::heal;
use crate::schema;
use crate::write;

use parse::Section;
use stage::Stage;

/// Changes files by a patch: `*** Begin Patch`, then `*** Add File: PATH`, `*** Delete File: PATH`
/// or `*** Update File: PATH` (perhaps with `*** Move to: PATH`) and hunks of ` `, `-` and `+`
/// lines, each after `@@` or `@@ line above`, then `*** End Patch`. All of it is done, or nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The patch. Paths are relative to the workspace.
    pub(crate) input: String,
}

/// What a server that knows grammars holds the model to.
const GRAMMAR: &str = r#"start: "*** Begin Patch" LF file+ "*** End Patch" LF?
file: added | deleted | updated
added: "*** Add File: " path LF new_line+
deleted: "*** Delete File: " path LF
updated: "*** Update File: " path LF moved? hunk*
moved: "*** Move to: " path LF
hunk: above* line+ end?
above: ("@@" | "@@ " path) LF
line: ("+" | "-" | " ") /.*/ LF
new_line: "+" /.*/ LF
end: "*** End of File" LF
path: /.+/
%import common.LF
"#;

/// The specification, with the grammar.
pub(crate) fn spec() -> ToolSpec {
    let spec = schema::spec::<Input>("apply_patch", ToolEffect::Writes);
    ToolSpec { grammar: Some(GRAMMAR.to_owned()), ..spec }
}

/// The arguments of a call as JSON: a freeform call brings the patch itself.
pub(crate) fn arguments(sent: &str) -> Cow<'_, str> {
    match serde_json::from_str(sent) {
        Ok(Value::Object(_)) => Cow::Borrowed(sent),
        Ok(Value::String(patch)) => Cow::Owned(wrapped(&patch)),
        _ if sent.contains("***") || sent.contains("@@") => Cow::Owned(wrapped(sent)),
        _ => Cow::Borrowed(sent),
    }
}

fn wrapped(patch: &str) -> String {
    serde_json::json!({ "input": patch }).to_string()
}

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let sections = parse::parse(&input.input)
        .map_err(|problem| format!("The patch cannot be read. {problem} Nothing was changed."))?;
    let mut stage = Stage::new(workspace);
    let mut told = Vec::new();
    let mut problems = Vec::new();
    for section in &sections {
        match carry_out(&mut stage, section) {
            Ok(line) => told.push(line),
            Err(Failure::Error(problem)) => problems.push(problem),
            Err(other) => return Err(other),
        }
    }
    if !problems.is_empty() {
        problems.truncate(PROBLEMS_MAX);
        let problems = problems.join("\n");
        return Err(Failure::Error(format!("Nothing was changed.\n{problems}")));
    }
    stage.commit(cancel)?;
    Ok(Answer::from(told.join("\n")))
}

/// How many sections that do not fit are told of.
const PROBLEMS_MAX: usize = 3;

/// Does in memory what a section says, and says it in a line.
fn carry_out(stage: &mut Stage<'_>, section: &Section) -> Result<String, Failure> {
    match section {
        Section::Add { path, content } => {
            let (at, before) = stage.maybe(path)?;
            stage.set(at, content.clone().into_bytes())?;
            let after = count(write::lines(content.as_bytes()), "line");
            let faults = faults(stage, at);
            Ok(match before {
                Some(before) => {
                    format!(
                        "M {path} (replaced: {} before, {after} now){faults}",
                        count(before, "line")
                    )
                }
                None => format!("A {path} ({after}){faults}"),
            })
        }
        Section::Delete { path } => {
            let (at, _) = stage.content(path)?;
            stage.delete(at);
            Ok(format!("D {path}"))
        }
        Section::Update { path, to, hunks } => {
            let (at, content) = stage.content(path)?;
            let strict = heal::is_strict(std::path::Path::new(path));
            let patched = hunks::apply(&content, hunks, strict)
                .map_err(|problem| Failure::Error(format!("{path}: {problem}")))?;
            let moved = to.as_deref().filter(|to| *to != path);
            if moved.is_none() && patched.content == content {
                return Err(Failure::Error(format!("{path}: the patch does not change it.")));
            }
            let mut notes = patched.repairs.join("; ");
            if !notes.is_empty() {
                notes = format!(" ({notes})");
            }
            let Some(to) = moved else {
                stage.set(at, patched.content)?;
                return Ok(format!("M {path}{notes}{}", faults(stage, at)));
            };
            let (target, taken) = stage.maybe(to)?;
            if taken.is_some() {
                let told = format!("{path}: {to} exists already, so it cannot be moved there.");
                return Err(Failure::Error(told));
            }
            stage.set_like(target, at);
            stage.set(target, patched.content)?;
            stage.delete(at);
            Ok(format!("R {path} -> {to}{notes}"))
        }
    }
}

fn faults(stage: &Stage<'_>, at: usize) -> String {
    stage.change(at).map(|(path, before, now)| after::told(path, before, now)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
