//! What of a git repository stays as it is: the files by which git runs programs.
//!
//! Whoever can write `.git/config` or `.git/hooks` runs programs outside, the next time the user
//! calls git. So both are read-only, and `.git` itself is a mount, which cannot be renamed away
//! and replaced; so are the folders of submodules and linked work trees. Commits, branches and the
//! rest go on working, but who removes a submodule or a work tree does so outside. Where `.git` is
//! a file, of a work tree or a submodule, the file is read-only; what git needs of the repository
//! that it names is the policy's affair.

use std::fs;
use std::path::{Path, PathBuf};

use super::plan::View;

/// Files and folders of a repository by which git runs programs, or by which it finds others that
/// say what to run.
const RUN: &[&str] = &["commondir", "config", "config.worktree", "gitdir", "hooks"];

/// Submodules and work trees that are guarded, and how deep submodules may lie in each other.
const SUBMODULES_MAX: usize = 1_000;
const WORK_TREES_MAX: usize = 1_000;
const DEPTH_MAX: usize = 8;

/// Guards the repository of a folder that is open, or that it is, if there is one.
pub(super) fn guard(view: &mut View, folder: &Path, writable: bool) {
    let git = folder.join(".git");
    match fs::symlink_metadata(&git) {
        Ok(metadata) if metadata.is_dir() => {
            view.show(&git, writable);
            guard_folder(view, &git);
        }
        Ok(_) => view.show(&git, false),
        Err(_) if is_repository(folder) => guard_folder(view, folder),
        Err(_) => {}
    }
}

/// Guards a folder of git's own, with the submodules and the linked work trees in it.
pub(super) fn guard_folder(view: &mut View, git: &Path) {
    let mut folders = vec![git.to_owned()];
    submodules(&git.join("modules"), DEPTH_MAX, &mut folders);
    let trees = fs::read_dir(git.join("worktrees")).into_iter().flatten().flatten();
    folders.extend(trees.map(|entry| entry.path()).take(WORK_TREES_MAX));
    for path in folders.iter().flat_map(|folder| RUN.iter().map(|name| folder.join(name))) {
        view.pin(&path);
        view.show(&path, false);
    }
}

/// Whether git would take a folder for a repository without a work tree.
fn is_repository(folder: &Path) -> bool {
    folder.join("HEAD").is_file() && folder.join("objects").is_dir() && folder.join("refs").is_dir()
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
