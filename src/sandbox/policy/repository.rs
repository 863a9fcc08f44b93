//! A workspace that is a work tree of a repository that lies elsewhere.
//!
//! `git worktree add` makes a folder whose `.git` is a file. It names a folder inside the
//! repository, where the work tree has its index and its branch; objects and branches are shared.
//! So that commits work, commands may write what git writes for them, and no more: the settings and
//! hooks of the repository lie beside that, and git runs programs by them. What a `.git` says is
//! not believed alone, since a command may have written it: the repository has to name this
//! workspace as well. Whoever gives somebody a workspace with the folders around it can write both,
//! by relative paths, so what they lead to has to be a repository and may hold no home.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::rules::{Policy, covers};

/// No path is longer; whatever is, is none.
const POINTER_BYTES_MAX: u64 = 8 * 1024;

/// What all work trees of a repository write.
const SHARED: &[&str] = &["objects", "refs", "logs"];

/// By which git runs programs, or goes elsewhere to look for them: of the repository, and of the
/// work tree's own folder in it.
const FROZEN: &[&str] = &["config", "config.worktree", "hooks"];
const OWN_FROZEN: &[&str] = &["commondir", "config.worktree", "gitdir"];

/// Settings of a repository that are looked at.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Opens what git needs of the repository of a work tree, if the workspace is one.
pub(super) fn open(policy: &mut Policy) {
    let dot_git = policy.workspace.join(".git");
    if is_file(&dot_git) {
        policy.frozen.push(dot_git);
    }
    let Some((own, common)) = find(&policy.workspace) else { return };
    if !is_repository(&common) || policy.closed.iter().any(|home| home.starts_with(&common)) {
        return;
    }
    let lies_inside = own.starts_with(&policy.workspace);
    if lies_inside || covers(&policy.hidden, &own) || covers(&policy.hidden, &common) {
        return;
    }
    if policy.workspace_writable && !could_make_settings(&own, &common) {
        policy.frozen.extend(OWN_FROZEN.iter().map(|name| own.join(name)));
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

/// Whether a folder has what git takes for a repository.
fn is_repository(folder: &Path) -> bool {
    let folders = ["objects", "refs"];
    is_file(&folder.join("HEAD")) && folders.iter().all(|name| is_folder(&folder.join(name)))
}

/// Whether git would obey settings of this work tree alone, and there are none: nothing can be
/// mounted over a file that is not there, so a command could make them.
fn could_make_settings(own: &Path, common: &Path) -> bool {
    if is_file(&own.join("config.worktree")) {
        return false;
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(common.join("config"))
        .and_then(|file| file.take(CONFIG_BYTES_MAX).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let is_whole = read.is_ok_and(|count| (count as u64) < CONFIG_BYTES_MAX);
    !is_whole || text.contains("worktreeconfig")
}

/// The line of a plain file that holds one.
fn pointer(path: &Path) -> Option<String> {
    if !is_file(path) {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(POINTER_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.is_file())
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|it| it.is_dir())
}

#[cfg(test)]
mod tests;
