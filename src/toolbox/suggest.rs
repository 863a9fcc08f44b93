//! Did you mean: names near the one that is missing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, FileType};

use crate::beneath::{Workspace, printable};
use crate::path::Relative;

/// How many names one directory may cost, and the whole search.
const NAMES_MAX: usize = 5_000;
const SUGGESTIONS_MAX: usize = 3;
/// Folders in which nobody looks for a file by mistake.
const SKIPPED: &[&str] = &[".git", "node_modules", "target", ".venv", "__pycache__"];

/// The sentence for a file that is not there.
pub(crate) fn missing(workspace: &Workspace, path: &Relative) -> String {
    let mut near = beside(workspace, path);
    near.extend(elsewhere(workspace, path));
    near.truncate(SUGGESTIONS_MAX);
    if near.is_empty() {
        return format!("{path} does not exist.");
    }
    let names: Vec<String> = near.iter().map(|near| printable(near.as_os_str())).collect();
    format!("{path} does not exist. Did you mean {}?", names.join(" or "))
}

/// Names of the same directory that are nearly the same, the nearest first.
fn beside(workspace: &Workspace, path: &Relative) -> Vec<PathBuf> {
    let path = path.as_path();
    let above = path.parent().unwrap_or(Path::new(""));
    let Some(wanted) = path.file_name() else {
        return Vec::new();
    };
    let wanted = wanted.to_string_lossy().to_lowercase();
    let mut near: Vec<(usize, OsString)> = entries(workspace, above)
        .into_iter()
        .filter_map(|(name, _)| {
            let distance = distance(&wanted, &name.to_string_lossy().to_lowercase())?;
            Some((distance, name))
        })
        .collect();
    near.sort();
    near.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| above.join(name)).collect()
}

/// How far two names are apart, when that is near.
fn distance(wanted: &str, name: &str) -> Option<usize> {
    let length = wanted.chars().count();
    if name.chars().count().abs_diff(length) > 4 {
        return None;
    }
    let stem = |name: &str| Path::new(name).file_stem().map(OsStr::to_os_string);
    if stem(wanted) == stem(name) {
        return Some(1);
    }
    Some(strsim::osa_distance(wanted, name)).filter(|distance| *distance <= 1 + length / 4)
}

/// Files of the same name anywhere in the workspace, as far as a short search finds them.
fn elsewhere(workspace: &Workspace, path: &Relative) -> Vec<PathBuf> {
    let Some(wanted) = path.as_path().file_name() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut seen = 0;
    let mut folders = std::collections::VecDeque::from([PathBuf::new()]);
    while let Some(folder) = folders.pop_front() {
        for (name, kind) in entries(workspace, &folder) {
            seen += 1;
            if seen > NAMES_MAX || found.len() == SUGGESTIONS_MAX {
                return found;
            }
            let skipped = SKIPPED.iter().any(|skipped| name == *skipped);
            if kind == FileType::Directory && !skipped {
                folders.push_back(folder.join(&name));
            }
            if name == wanted {
                found.push(folder.join(&name));
            }
        }
    }
    found.sort();
    found
}

/// The entries of a directory, but for `.` and `..`; none when it cannot be read.
fn entries(workspace: &Workspace, folder: &Path) -> Vec<(OsString, FileType)> {
    let listing = workspace.open_listing(folder).ok();
    let Some(directory) = listing.and_then(|listing| Dir::new(listing).ok()) else {
        return Vec::new();
    };
    directory
        .filter_map(Result::ok)
        .map(|entry| {
            (OsStr::from_bytes(entry.file_name().to_bytes()).to_os_string(), entry.file_type())
        })
        .filter(|(name, _)| name != "." && name != "..")
        .take(NAMES_MAX)
        .collect()
}
