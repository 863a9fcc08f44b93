//! A workspace that is a work tree of a repository that lies elsewhere.
//!
//! `git worktree add` makes a folder whose `.git` is a file. It names a folder inside the
//! repository, where the work tree has its index and its branch; objects and branches are shared.
//! So that commits work, commands may write what git writes for them, and no more: the settings and
//! hooks of the repository lie beside that, and git runs programs by them. What a `.git` says is
//! not believed alone, since a command may have written it: the repository has to name this
//! workspace as well, which only the user can have done.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::rules::{Policy, covers};

/// No path is longer; whatever is, is none.
const POINTER_BYTES_MAX: u64 = 8 * 1024;

/// What all work trees of a repository write.
const SHARED: &[&str] = &["objects", "refs", "logs"];

/// By which git runs programs, or goes elsewhere to look for them.
const FROZEN: &[&str] = &["config", "config.worktree", "hooks"];

/// Opens what git needs of the repository of a work tree, if the workspace is one.
pub(super) fn open(policy: &mut Policy) {
    let Some((own, common)) = find(&policy.workspace) else { return };
    let lies_inside = own.starts_with(&policy.workspace);
    if lies_inside || covers(&policy.hidden, &own) || covers(&policy.hidden, &common) {
        return;
    }
    if policy.workspace_writable {
        let shared = SHARED.iter().map(|name| common.join(name)).filter(|path| is_folder(path));
        policy.git = shared.chain([own]).collect();
        policy.frozen.extend(FROZEN.iter().map(|name| common.join(name)));
    }
    policy.readable.push(common);
}

/// The work tree's own folder in its repository, and the repository.
fn find(workspace: &Path) -> Option<(PathBuf, PathBuf)> {
    let dot_git = workspace.join(".git");
    let named = pointer(&dot_git)?;
    let own = workspace.join(named.strip_prefix("gitdir:")?.trim()).canonicalize().ok()?;
    let trees = own.parent().filter(|it| it.file_name().is_some_and(|name| name == "worktrees"))?;
    let common = trees.parent()?.to_owned();
    let leads_to = |name: &str, to: &Path| {
        let path = pointer(&own.join(name)).and_then(|text| own.join(text).canonicalize().ok());
        path.is_some_and(|path| path == to)
    };
    let is_one = leads_to("gitdir", &dot_git) && leads_to("commondir", &common);
    is_one.then_some((own, common))
}

/// The line of a plain file that holds one.
fn pointer(path: &Path) -> Option<String> {
    if !path.symlink_metadata().is_ok_and(|it| it.is_file()) {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(POINTER_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.is_dir())
}

#[cfg(test)]
mod tests;
