//! Keep a fact for later sessions: a line in AGENTS.md at the top of the workspace.

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, Failure};
use crate::atomic;
use crate::beneath::Workspace;
use crate::path::Relative;
use crate::protected::{Access, Refusal};
use crate::read;
use crate::write;

const FILE: &str = "AGENTS.md";
const HEADING: &str = "## Memory";
const FACT_CHARS_MAX: usize = 1_000;
/// A longer file is not added to, bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Keeps a fact for later sessions, in AGENTS.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// One sentence that stands by itself.
    fact: String,
}

/// Runs the tool.
pub(super) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let fact = input.fact.split_whitespace().collect::<Vec<_>>().join(" ");
    let fact = fact.trim_start_matches(['-', '*', '#', ' ']);
    if fact.is_empty() {
        return Err(Failure::Error("The fact is empty.".to_owned()));
    }
    if fact.chars().count() > FACT_CHARS_MAX {
        let told = format!("The fact is longer than {FACT_CHARS_MAX} characters.");
        return Err(Failure::Error(told));
    }
    let path = Relative::parse(FILE, workspace)?;
    let place = workspace.place(&path, Access::Create).map_err(|refusal| match refusal {
        Refusal::Denied(rule) => Failure::Denied(rule.explain(&path)),
        Refusal::System(error) => Failure::Error(path.explain(error)),
    })?;
    let before = atomic::existing(&place).map_err(|error| write::explain(&path, error))?;
    let content = match &before {
        None => String::new(),
        Some(_) => content(workspace, &path)?,
    };
    let line = format!("- {fact}");
    if content.lines().any(|known| known.trim() == line) {
        return Ok(Answer::from(format!("{FILE} says so already.")));
    }
    let after = added(&content, &line);
    atomic::replace(&place, before.as_ref(), after.as_bytes(), cancel)
        .map_err(|error| write::explain(&path, error))?;
    Ok(Answer::from(format!("Noted in {FILE}, under {HEADING:?}.")))
}

fn content(workspace: &Workspace, path: &Relative) -> Result<String, Failure> {
    let (_, file) = read::open(workspace, path, Access::Change)?;
    let (file, _) = read::regular(path, file)?;
    let bytes = read::whole(file, FILE_BYTES_MAX)
        .map_err(|error| format!("{path} could not be read: {error}."))?
        .ok_or_else(|| format!("{path} is too long to be added to."))?;
    String::from_utf8(bytes).map_err(|_| Failure::Error(format!("{path} is not UTF-8.")))
}

/// The text with the line at the end of its section, which is made if it is not there.
fn added(content: &str, line: &str) -> String {
    let mut lines: Vec<&str> = content.lines().collect();
    let Some(heading) = lines.iter().position(|line| line.trim_end() == HEADING) else {
        let content = content.trim_end();
        let gap = if content.is_empty() { "" } else { "\n\n" };
        return format!("{content}{gap}{HEADING}\n\n{line}\n");
    };
    let is_heading = |line: &&str| line.starts_with("# ") || line.starts_with("## ");
    let next = lines.iter().skip(heading + 1).position(is_heading);
    let section_end = next.map_or(lines.len(), |after| heading + 1 + after);
    let last =
        lines.iter().take(section_end).rposition(|line| !line.trim().is_empty()).unwrap_or(heading);
    if last == heading {
        lines.splice(heading + 1..section_end, ["", line]);
        if next.is_some() {
            lines.insert(heading + 3, "");
        }
    } else {
        lines.insert(last + 1, line);
    }
    let end = if content.contains("\r\n") { "\r\n" } else { "\n" };
    lines.join(end) + end
}

#[cfg(test)]
mod tests;
