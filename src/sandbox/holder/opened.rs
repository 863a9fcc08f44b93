//! What is opened where nothing can be mounted: lists of paths for Landlock.
//!
//! Landlock opens folders with all that is below them and closes nothing again. So what is closed
//! or hidden is walked around: folders above it are not opened, but what else they hold is. Their
//! own listing stays closed with them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::plan::PRIVATE;
use crate::policy::Policy;

/// Devices that may be written.
const DEVICES: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/ptmx",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// Terminals of others, and memory that is shared with them.
const CLOSED: &[&str] = &["/dev"];

/// No plan opens more paths.
const PATHS_MAX: usize = 20_000;

/// What can be read, and what can be written.
pub(super) fn paths(
    policy: &Policy,
    private: Option<&Path>,
) -> Result<(Vec<OsString>, Vec<OsString>), String> {
    let written: Vec<PathBuf> = policy
        .writable
        .iter()
        .cloned()
        .chain(policy.workspace_writable.then(|| policy.workspace.clone()))
        .collect();
    let inside = |path: &PathBuf| policy.hidden.iter().find(|hidden| hidden.starts_with(path));
    if let Some((path, hidden)) =
        written.iter().find_map(|path| Some((path, inside(path).filter(|it| it.exists())?)))
    {
        return Err(format!(
            "{} is to be hidden inside {}, which can be written; Landlock cannot do that",
            hidden.display(),
            path.display()
        ));
    }
    let constant = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
    let mut excluded = constant(CLOSED);
    excluded.extend(constant(PRIVATE));
    excluded.extend(policy.closed.iter().cloned());
    excluded.extend(policy.hidden.iter().cloned());
    let mut readable = Vec::new();
    open(Path::new("/"), &excluded, &mut readable)?;
    for shown in policy.readable.iter().chain([&policy.workspace]) {
        open(shown, &policy.hidden, &mut readable)?;
    }
    let mut writable: Vec<OsString> = written.into_iter().map(PathBuf::into_os_string).collect();
    writable.extend(policy.git.iter().map(|path| path.as_os_str().to_owned()));
    writable.extend(DEVICES.iter().map(OsString::from));
    writable.extend(private.map(|path| path.as_os_str().to_owned()));
    Ok((readable, writable))
}

/// Opens a path, but for what is excluded below it.
fn open(path: &Path, excluded: &[PathBuf], opened: &mut Vec<OsString>) -> Result<(), String> {
    if excluded.iter().any(|it| it == path) {
        return Ok(());
    }
    if opened.len() >= PATHS_MAX {
        return Err("the policy opens too many paths for Landlock".to_owned());
    }
    if !excluded.iter().any(|it| it.starts_with(path)) {
        opened.push(path.as_os_str().to_owned());
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten() {
        // Where a link leads to is opened, or not, by its own path.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            open(&entry.path(), excluded, opened)?;
        }
    }
    Ok(())
}
