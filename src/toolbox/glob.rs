//! Find files by their names.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::fs::AtFlags;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::{Answer, Failure};
use crate::beneath::{Workspace, printable};
use crate::search::{Search, cut, looked_at};
use crate::walk::Seen;

const FILES_MAX: usize = 200;
const SHOWN_BYTES_MAX: usize = 24 << 10;

/// Finds files by name, newest first, except those that .gitignore excludes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// Such as `*.rs` (at any depth) or `src/**/*.{ts,tsx}`.
    pub(crate) pattern: String,
    /// The workspace if absent.
    pub(crate) path: Option<String>,
}

/// When a file was changed, in ways that can be compared.
type Changed = (i64, i64);

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let search = Search::new(workspace, input.path.as_deref(), Some(&input.pattern), cancel)?;
    let found = Mutex::new(Vec::new());
    let seen = search.walk(
        || (),
        |(), file| {
            let stat = rustix::fs::statat(file.directory, file.name, AtFlags::SYMLINK_NOFOLLOW);
            let changed = stat.map_or((0, 0), |stat| changed(&stat));
            found.lock().unwrap_or_else(PoisonError::into_inner).push((changed, file.path));
        },
    );
    let seen = seen.map_err(|refusal| search.unwalked(refusal))?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by(|(changed, path), (other_changed, other)| {
        other_changed.cmp(changed).then_with(|| path.cmp(other))
    });
    Ok(show(&found, seen))
}

// The types of these numbers are the platform's choice.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
fn changed(stat: &rustix::fs::Stat) -> Changed {
    (stat.st_mtime as i64, stat.st_mtime_nsec as i64)
}

fn show(found: &[(Changed, PathBuf)], seen: Seen) -> Answer {
    if found.is_empty() {
        return Answer::from(format!("No file matches ({}).", looked_at(seen)));
    }
    let mut shown = String::new();
    let mut listed = 0;
    for (_, path) in found.iter().take(FILES_MAX) {
        let line = printable(path.as_os_str());
        if shown.len() + line.len() > SHOWN_BYTES_MAX {
            break;
        }
        shown.push_str(&line);
        shown.push('\n');
        listed += 1;
    }
    let left = found.len() - listed;
    if left > 0 {
        shown.push_str(&format!("[{left} older ones more; narrow the pattern or the path]\n"));
    }
    if let Some(note) = cut(seen) {
        shown.push_str(&note);
    }
    shown.truncate(shown.trim_end().len());
    let truncated =
        (left > 0).then_some(Truncation { lines_omitted: left as u64, chars_omitted: 0 });
    Answer { shown, truncated, ..Answer::default() }
}

#[cfg(test)]
mod tests;
