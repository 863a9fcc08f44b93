//! What of a git repository stays as it is: the files by which git runs programs.
//!
//! Whoever can write `.git/config` or `.git/hooks` runs programs outside, the next time the user
//! calls git. So both are read-only, and `.git` itself is a mount, which cannot be renamed away
//! and replaced. Commits, branches and the rest go on working. Where `.git` is a file, of a work
//! tree or a submodule, the file is read-only.

use std::fs;
use std::path::Path;

use super::plan::View;

/// Files and folders of a repository by which git runs programs.
const RUN: &[&str] = &["config", "config.worktree", "hooks"];

/// Guards the repository of a workspace, if there is one.
pub(super) fn guard(view: &mut View, workspace: &Path, writable: bool) {
    let git = workspace.join(".git");
    let Ok(metadata) = fs::symlink_metadata(&git) else { return };
    if metadata.is_dir() {
        view.show(&git, writable);
        for name in RUN {
            view.show(&git.join(name), false);
        }
    } else {
        view.show(&git, false);
    }
}
