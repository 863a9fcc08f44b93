//! What of a git repository stays as it is: the files by which git runs programs.
//!
//! Whoever can write `.git/config` or `.git/hooks` runs programs outside, the next time the user
//! calls git. So both are read-only, and `.git` itself is a mount, which cannot be renamed away
//! and replaced. Commits, branches and the rest go on working. Where `.git` is a file, of a work
//! tree or a submodule, the file is read-only.

use std::fs;
use std::path::{Path, PathBuf};

use super::plan::View;

/// Files and folders of a repository by which git runs programs.
const RUN: &[&str] = &["config", "config.worktree", "hooks"];

/// Submodules that are guarded, and how deep they may lie in each other.
const SUBMODULES_MAX: usize = 1_000;
const DEPTH_MAX: usize = 8;

/// Guards the repository of a workspace, if there is one.
pub(super) fn guard(view: &mut View, workspace: &Path, writable: bool) {
    let git = workspace.join(".git");
    let Ok(metadata) = fs::symlink_metadata(&git) else { return };
    if metadata.is_dir() {
        view.show(&git, writable);
        let mut folders = vec![git.clone()];
        submodules(&git.join("modules"), DEPTH_MAX, &mut folders);
        for folder in folders {
            for name in RUN {
                view.show(&folder.join(name), false);
            }
        }
    } else {
        view.show(&git, false);
    }
}

/// Collects the repositories of submodules, which lie in `.git/modules` under names that may have
/// several parts.
fn submodules(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if found.len() > SUBMODULES_MAX || !entry.file_type().is_ok_and(|it| it.is_dir()) {
            continue;
        }
        let path = entry.path();
        if path.join("HEAD").is_file() {
            let nested = path.join("modules");
            found.push(path);
            if depth > 0 {
                submodules(&nested, depth - 1, found);
            }
        } else if depth > 0 {
            submodules(&path, depth - 1, found);
        }
    }
}
