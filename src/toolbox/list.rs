//! The entries of one directory.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use trajectory::event::Truncation;

use crate::answer::{Answer, Failure, size};
use crate::beneath::{Workspace, printable};
use crate::path::Relative;
use crate::protected::Refusal;
use crate::suggest;

const ENTRIES_MAX: usize = 500;
const SHOWN_BYTES_MAX: usize = 32 << 10;
/// How many entries are counted and sorted.
const ENTRIES_READ_MAX: usize = 100_000;

/// Lists one directory: names, sizes, link targets; hidden entries included.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The workspace if absent.
    pub(crate) path: Option<String>,
}

/// Runs the tool.
pub(crate) fn run(
    workspace: &Workspace,
    input: &Input,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let path = Relative::parse(input.path.as_deref().unwrap_or("."), workspace)?;
    let directory = match workspace.open_listing(path.as_path()) {
        Ok(directory) => directory,
        Err(Refusal::Denied(rule)) => return Err(Failure::Denied(rule.explain(&path))),
        Err(Refusal::System(error)) => {
            return Err(Failure::Error(match error {
                Errno::NOENT => suggest::missing(workspace, &path),
                Errno::NOTDIR => format!("{path} is not a directory; use read."),
                error => path.explain(error),
            }));
        }
    };
    let names = names(&directory, cancel).map_err(|error| match error {
        Errno::CANCELED => Failure::Cancelled("Cancelled while listing.".to_owned()),
        error => Failure::Error(path.explain(error)),
    })?;
    if names.is_empty() {
        return Ok(Answer::from("(empty directory)".to_owned()));
    }
    Ok(show(&directory, &names))
}

/// The sorted names, without `.` and `..`.
fn names(directory: &OwnedFd, cancel: &CancellationToken) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_os_string());
        }
        if cancel.is_cancelled() {
            return Err(Errno::CANCELED);
        }
        if names.len() == ENTRIES_READ_MAX {
            break;
        }
    }
    names.sort();
    Ok(names)
}

fn show(directory: &OwnedFd, names: &[OsString]) -> Answer {
    let mut shown = String::new();
    let mut listed = 0;
    for name in names.iter().take(ENTRIES_MAX) {
        let line = entry(directory, name);
        if shown.len() + line.len() > SHOWN_BYTES_MAX {
            break;
        }
        shown.push_str(&line);
        shown.push('\n');
        listed += 1;
    }
    let left = names.len() - listed;
    if left == 0 {
        shown.truncate(shown.trim_end_matches('\n').len());
        return Answer::from(shown);
    }
    let more = if names.len() == ENTRIES_READ_MAX { "at least " } else { "" };
    shown.push_str(&format!("[{more}{left} more entries; narrow it down with shell]"));
    let truncated = Truncation { lines_omitted: left as u64, chars_omitted: 0 };
    Answer { shown, truncated: Some(truncated), ..Answer::default() }
}

fn entry(directory: &OwnedFd, name: &OsStr) -> String {
    let text = printable(name);
    let Ok(stat) = rustix::fs::statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else {
        return text;
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => format!("{text}/"),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(directory, name, Vec::new())
                .map(|target| printable(&OsString::from_vec(target.into_bytes())));
            format!("{text} -> {}", target.unwrap_or_else(|_| "?".to_owned()))
        }
        FileType::RegularFile => {
            format!("{text}  {}", size(u64::try_from(stat.st_size).unwrap_or(0)))
        }
        FileType::Fifo => format!("{text}  (FIFO)"),
        FileType::Socket => format!("{text}  (socket)"),
        _ => format!("{text}  (device)"),
    }
}

#[cfg(test)]
mod tests;
