//! Sockets of the machine that a command could otherwise speak to by their paths.
//!
//! Whoever listens on a socket in the file system runs outside, and neither a read-only mount nor
//! a network namespace keeps anybody from connecting. So what listens when the sandbox begins is
//! covered: what the kernel lists by its path, and what is found by looking through the folders
//! that are open. What a program of the machine begins to listen on later, inside the workspace,
//! stays reachable.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Entries that are looked at; a workspace that has more is not looked through to its end.
const ENTRIES_MAX: usize = 200_000;

/// The sockets that exist now.
pub(super) fn find(folders: &[&Path]) -> Vec<PathBuf> {
    let mut found = listed();
    let mut entries = ENTRIES_MAX;
    let mut waiting: Vec<PathBuf> = folders.iter().map(|it| it.to_path_buf()).collect();
    while let Some(folder) = waiting.pop() {
        let Ok(list) = fs::read_dir(&folder) else { continue };
        for entry in list.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            entries = entries.saturating_sub(1);
            if kind.is_socket() {
                found.push(entry.path());
            } else if kind.is_dir() && entries > 0 {
                waiting.push(entry.path());
            }
        }
    }
    found
}

/// Those that the kernel knows the whole path of.
fn listed() -> Vec<PathBuf> {
    let text = fs::read("/proc/net/unix").unwrap_or_default();
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let start = line.iter().position(|byte| *byte == b'/')?;
            Some(PathBuf::from(OsStr::from_bytes(line.get(start..)?)))
        })
        .filter(|path| path.metadata().is_ok_and(|it| it.file_type().is_socket()))
        .filter_map(|path| path.canonicalize().ok())
        .collect()
}
