//! Find files by their names.

use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::{Answer, Failure, count};
use crate::beneath::{Workspace, printable};
use crate::path::Relative;
use crate::pattern::Pattern;
use crate::protected::Refusal;
use crate::suggest;
use crate::walk::{Seen, walk};

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
    let start = Relative::parse(input.path.as_deref().unwrap_or("."), workspace)?;
    let pattern = Pattern::parse(&input.pattern, workspace)?;
    let found = std::sync::Mutex::new(Vec::new());
    let seen = walk(
        workspace,
        start.as_path(),
        cancel,
        || (),
        |(), file| {
            if pattern.is_match(&file.path, start.as_path()) {
                let stat = rustix::fs::statat(file.directory, file.name, AtFlags::SYMLINK_NOFOLLOW);
                let changed = stat.map_or((0, 0), |stat| changed(&stat));
                found
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push((changed, file.path));
            }
        },
    );
    let seen = seen.map_err(|refusal| unwalked(workspace, &start, refusal))?;
    let mut found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
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

/// What was looked at, when nothing was found: enough to see why.
pub(crate) fn looked_at(seen: Seen) -> String {
    let mut parts = vec![format!("{} looked at", count_of(seen.files, "file"))];
    if seen.ignored > 0 {
        parts.push(format!("{} ignored by .gitignore", count_of(seen.ignored, "entry")));
    }
    if seen.unread > 0 {
        parts.push(format!("{} not readable", count_of(seen.unread, "directory")));
    }
    if seen.is_cut {
        parts.push("stopped early: too much to look at".to_owned());
    }
    parts.join(", ")
}

/// That a search did not look at everything, when that is so.
pub(crate) fn cut(seen: Seen) -> Option<String> {
    let files = count_of(seen.files, "file");
    let cut = format!("[stopped after {files}: too much to look at; narrow it with path]\n");
    seen.is_cut.then_some(cut)
}

fn count_of(number: u64, noun: &str) -> String {
    match noun {
        "entry" if number != 1 => format!("{number} entries"),
        "directory" if number != 1 => format!("{number} directories"),
        noun => count(usize::try_from(number).unwrap_or(usize::MAX), noun),
    }
}

/// Why a folder could not be walked.
pub(crate) fn unwalked(workspace: &Workspace, path: &Relative, refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Denied(rule) => Failure::Denied(rule.explain(path)),
        Refusal::System(Errno::CANCELED) => {
            Failure::Cancelled("Cancelled while searching.".to_owned())
        }
        Refusal::System(Errno::NOENT) => Failure::Error(suggest::missing(workspace, path)),
        Refusal::System(Errno::NOTDIR) => {
            Failure::Error(format!("{path} is not a directory; use read."))
        }
        Refusal::System(error) => Failure::Error(path.explain(error)),
    }
}

#[cfg(test)]
mod tests;
