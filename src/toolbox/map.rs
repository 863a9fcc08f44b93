//! A map of the code: the definitions that the rest of it refers to most, within a budget.
//!
//! Files are walked like those of grep, so what is hidden or ignored stays out; each is parsed
//! once and kept by its time and size ([`index`]), so a second map costs little more than the
//! walk. What matters is decided by who mentions whose names ([`rank`]).
//!
//! Absent: what a name means. Two things of one name share what mentions it.

mod index;
mod rank;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

pub(crate) use index::Index;

use crate::answer::{Answer, Failure, count};
use crate::beneath::{Workspace, printable};
use crate::path::Relative;
use crate::search::{cut, unwalked};
use crate::walk::walk;

const TOKENS: u64 = 1_500;
const TOKENS_MAX: u64 = 16_000;
/// About how many bytes of code are a token.
const TOKEN_BYTES: u64 = 4;

/// Maps the code: its most used definitions, by file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) path: Option<String>,
    /// Words of names or paths that matter now.
    pub(crate) focus: Option<String>,
    pub(crate) budget_tokens: Option<u64>,
}

/// What is known of the workspace's code, kept between calls.
#[derive(Default)]
pub(crate) struct Atlas(Mutex<Index>);

impl Atlas {
    fn index(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    atlas: &Atlas,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let start = Relative::parse(input.path.as_deref().unwrap_or("."), workspace)?;
    let round = atlas.index().begin();
    let seen =
        walk(workspace, start.as_path(), cancel, || (), |(), file| atlas.visit(&file, round));
    let seen = seen.map_err(|refusal| unwalked(workspace, &start, refusal))?;
    let mut index = atlas.index();
    if !seen.is_cut {
        index.forget(start.as_path(), round);
    }
    let focus = input.focus.as_deref().unwrap_or_default();
    let budget = input.budget_tokens.unwrap_or(TOKENS).clamp(100, TOKENS_MAX) * TOKEN_BYTES;
    let ranked = rank::rank(&index, start.as_path(), focus, cancel);
    let Some(ranked) = ranked else {
        return Err(Failure::Cancelled("Cancelled while mapping.".to_owned()));
    };
    let mut answer = show(&index, &ranked, usize::try_from(budget).unwrap_or(usize::MAX));
    if index.unread > 0 {
        let unread = count(usize::try_from(index.unread).unwrap_or(usize::MAX), "file");
        answer.shown.push_str(&format!("\n[{unread} not read yet; call again, or with a path]"));
    }
    if let Some(note) = cut(seen) {
        answer.shown.push('\n');
        answer.shown.push_str(note.trim_end());
    }
    Ok(answer)
}

/// The best definitions that the budget holds, by file; the files with the best come first.
fn show(index: &Index, ranked: &[rank::Ranked<'_>], budget: usize) -> Answer {
    if ranked.is_empty() {
        let files = count(index.len(), "file");
        return Answer::from(format!("No definitions found ({files} of known languages)."));
    }
    let mut files: Vec<(&Path, Vec<(usize, String)>)> = Vec::new();
    let mut bytes = 0;
    let mut listed = 0;
    for best in ranked {
        let line = format!("{:>5} {}", best.symbol.line, best.symbol.signature);
        let line = if line.contains(char::is_control) {
            line.replace(char::is_control, "\u{fffd}")
        } else {
            line
        };
        let known = files.iter().position(|(path, _)| *path == best.path);
        let header = known.map_or(best.path.as_os_str().len() + 1, |_| 0);
        if bytes + header + line.len() + 1 > budget && listed > 0 {
            break;
        }
        bytes += header + line.len() + 1;
        listed += 1;
        let at = known.unwrap_or_else(|| {
            files.push((best.path, Vec::new()));
            files.len() - 1
        });
        if let Some((_, lines)) = files.get_mut(at) {
            lines.push((best.symbol.line, line));
        }
    }
    let mut shown = String::new();
    for (path, mut lines) in files {
        lines.sort();
        shown.push_str(&printable(path.as_os_str()));
        shown.push('\n');
        for (_, line) in lines {
            shown.push_str(&line);
            shown.push('\n');
        }
    }
    let left = ranked.len() - listed;
    let all = count(ranked.len(), "definition");
    shown.push_str(&format!("[{listed} of {all} in {}]", count(index.len(), "file")));
    let truncated =
        (left > 0).then_some(Truncation { lines_omitted: left as u64, chars_omitted: 0 });
    Answer { shown, truncated, ..Answer::default() }
}

#[cfg(test)]
mod tests;
