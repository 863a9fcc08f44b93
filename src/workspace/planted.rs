//! What a command left behind for the user's own git to obey.
//!
//! A repository is content of the workspace, and no sandbox keeps a command from making one. But git
//! obeys what lies in it as soon as somebody works in that folder: hooks run, settings name
//! programs, a `.git` that is a file or a link and a `commondir` lead to other settings. So two
//! checkpoints are compared, and what is new of this kind is named. Settings are judged by a list of
//! those that can do no harm; whatever is not on it is named, because git learns new ones.
//!
//! Nothing is changed here, and nothing is run.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use blob::{Hash, Store};

use crate::diff::{Change, diff};
use crate::error::Error;
use crate::manifest::{Manifest, load_node};
use crate::node::{Entry, Kind};
use crate::place::Workspace;
use crate::restore::entry_at;

/// A longer file of settings is named without being read, bytes.
const SETTINGS_BYTES_MAX: u64 = 64 << 10;

/// Something that git obeys, and that was not there before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Planted {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// What it is.
    pub what: Obeyed,
}

/// What git obeys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obeyed {
    /// A setting that may name a program or another file; none when the file cannot be judged.
    Setting(Option<String>),
    /// A program that git runs by itself.
    Hook,
    /// A file or a link that makes another folder the repository.
    Pointer,
}

impl fmt::Display for Planted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ", self.path.display())?;
        match &self.what {
            Obeyed::Setting(Some(key)) => write!(out, "(it sets `{key}`)"),
            Obeyed::Setting(None) => out.write_str("(settings that cannot be judged)"),
            Obeyed::Hook => out.write_str("(a hook)"),
            Obeyed::Pointer => out.write_str("(it makes another folder the repository)"),
        }
    }
}

impl Workspace {
    /// What the second checkpoint holds for git to obey and the first does not, in the order of
    /// paths.
    ///
    /// # Errors
    /// When a part of either is missing from the store, or damaged.
    pub fn planted(&self, before: &Manifest, after: &Manifest) -> Result<Vec<Planted>, Error> {
        let store = &self.store;
        let changes = diff(store, before, after)?;
        let mut found = Vec::new();
        let mut folders = BTreeSet::new();
        for change in changes.iter().filter(|change| change.after.is_some()) {
            found.extend(self.pointer(change)?);
            folders.extend(repository_of(&change.path));
        }
        let (before, after) = (Tree::of(store, before), Tree::of(store, after));
        for folder in folders {
            let known: HashMap<PathBuf, Hash> = before.obeyed(&folder)?.into_iter().collect();
            for (path, hash) in after.obeyed(&folder)? {
                if known.get(&path) != Some(&hash) {
                    found.extend(after.judge(path)?);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// A `.git` that is no folder. Those that git makes for submodules and work trees lead to where
    /// their settings are looked at in any case.
    fn pointer(&self, change: &Change) -> Result<Option<Planted>, Error> {
        let Some(entry) = change.after.as_ref().filter(|entry| entry.name == b".git") else {
            return Ok(None);
        };
        let planted = || Some(Planted { path: change.path.clone(), what: Obeyed::Pointer });
        Ok(match &entry.kind {
            Kind::Folder { .. } => None,
            Kind::Link { .. } => planted(),
            Kind::File { .. } => {
                let text = text(&self.store, entry)?.unwrap_or_default();
                let target = Path::new(text.strip_prefix("gitdir:").unwrap_or_default().trim());
                let above = change.path.parent().unwrap_or(Path::new(""));
                // A work tree's is written from the root of the file system.
                let (from, target) = match target.strip_prefix(&self.root) {
                    Ok(inside) => (Path::new(""), inside),
                    Err(_) => (above, target),
                };
                if leads_into_a_repository(from, target) { None } else { planted() }
            }
        })
    }
}

/// The folder that would be a repository if this path made it one.
fn repository_of(path: &Path) -> Option<PathBuf> {
    if path.file_name()?.as_bytes() == b".git" {
        return Some(path.to_owned());
    }
    let hooks = path.ancestors().find(|it| it.file_name().is_some_and(|name| name == "hooks"));
    if let Some(hooks) = hooks {
        return hooks.parent().map(Path::to_owned);
    }
    let names: [&[u8]; 6] =
        [b"HEAD", b"config", b"config.worktree", b"commondir", b"objects", b"refs"];
    names.contains(&path.file_name()?.as_bytes()).then(|| path.parent().map(Path::to_owned))?
}

/// Whether a path names a submodule's or a work tree's part of a repository of this workspace.
fn leads_into_a_repository(from: &Path, target: &Path) -> bool {
    let mut meant = from.to_owned();
    for component in target.components() {
        match component {
            Component::Normal(name) => meant.push(name),
            Component::ParentDir if meant.pop() => {}
            Component::CurDir => {}
            _ => return false,
        }
    }
    let names: Vec<&[u8]> = meant.iter().map(OsStrExt::as_bytes).collect();
    names.windows(2).any(|it| it[0] == b".git" && (it[1] == b"modules" || it[1] == b"worktrees"))
}

fn text(store: &Store, entry: &Entry) -> Result<Option<String>, Error> {
    let Kind::File { size, hash } = &entry.kind else { return Ok(None) };
    if *size > SETTINGS_BYTES_MAX {
        return Ok(None);
    }
    let bytes = store.get(hash, SETTINGS_BYTES_MAX)?.ok_or(Error::Missing { hash: *hash })?;
    Ok(String::from_utf8(bytes).ok())
}

/// A checkpoint that is looked into.
struct Tree<'a> {
    store: &'a Store,
    manifest: &'a Manifest,
}

impl<'a> Tree<'a> {
    const fn of(store: &'a Store, manifest: &'a Manifest) -> Self {
        Self { store, manifest }
    }

    fn folder(&self, path: &Path) -> Result<Option<Vec<Entry>>, Error> {
        if path.as_os_str().is_empty() {
            return load_node(self.store, &self.manifest.node).map(Some);
        }
        match entry_at(self.store, self.manifest, path)?.map(|entry| entry.kind) {
            Some(Kind::Folder { node, .. }) => load_node(self.store, &node).map(Some),
            _ => Ok(None),
        }
    }

    /// What git would obey in a folder, each with a hash of what it is; nothing when git would not
    /// take it for a repository.
    fn obeyed(&self, folder: &Path) -> Result<Vec<(PathBuf, Hash)>, Error> {
        let Some(entries) = self.folder(folder)? else { return Ok(Vec::new()) };
        let has = |name: &[u8]| entries.iter().any(|entry| entry.name == name);
        // Without a HEAD it can be what a `commondir` leads to.
        if !(has(b"objects") && has(b"refs") || has(b"HEAD") && has(b"commondir")) {
            return Ok(Vec::new());
        }
        let mut obeyed = Vec::new();
        for entry in entries {
            let path = folder.join(entry.name());
            match entry.name.as_slice() {
                b"config" | b"config.worktree" | b"commondir" => {
                    obeyed.push((path, state(&entry)));
                }
                b"hooks" if entry.is_folder() => {
                    let hooks = self.folder(&path)?.unwrap_or_default();
                    let real = hooks.iter().filter(|hook| !hook.name.ends_with(b".sample"));
                    obeyed.extend(real.map(|hook| (path.join(hook.name()), state(hook))));
                }
                b"hooks" => obeyed.push((path, state(&entry))),
                _ => {}
            }
        }
        Ok(obeyed)
    }

    /// What is to be said of something that git obeys; nothing when it does no harm.
    fn judge(&self, path: PathBuf) -> Result<Option<Planted>, Error> {
        let Some(entry) = entry_at(self.store, self.manifest, &path)? else { return Ok(None) };
        let what = match entry.name.as_slice() {
            b"config" | b"config.worktree" if !is_below(&path, "hooks") => {
                match text(self.store, &entry)?.as_deref().map(first_harmful) {
                    Some(None) => return Ok(None),
                    Some(Some(key)) => Obeyed::Setting(Some(key)),
                    None => Obeyed::Setting(None),
                }
            }
            b"commondir" if !is_below(&path, "hooks") => {
                let of_a_work_tree = path.iter().rev().nth(2).is_some_and(|it| it == "worktrees");
                let leads = text(self.store, &entry)?;
                if of_a_work_tree && leads.is_some_and(|leads| leads.trim_end() == "../..") {
                    return Ok(None);
                }
                Obeyed::Pointer
            }
            _ => Obeyed::Hook,
        };
        Ok(Some(Planted { path, what }))
    }
}

fn is_below(path: &Path, name: &str) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|above| above == name)
}

/// What an entry is, in a hash: mode and content or target.
fn state(entry: &Entry) -> Hash {
    let mut hasher = blob::Hasher::default();
    hasher.update(&entry.mode.to_le_bytes());
    match &entry.kind {
        Kind::File { hash, .. } => hasher.update(hash.as_bytes()),
        Kind::Folder { content, .. } => hasher.update(content.as_bytes()),
        Kind::Link { target } => hasher.update(target),
    }
    hasher.finish()
}

/// The first setting that may do more than describe the repository; a line that is not understood is
/// one.
fn first_harmful(text: &str) -> Option<String> {
    let mut section = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let Some((head, rest)) = head.split_once(']') else { return Some(shortened(line)) };
            // git takes a setting on the same line, and a quoted name may hold brackets.
            let rest = rest.trim();
            if !(rest.is_empty() || rest.starts_with(['#', ';'])) || head.contains('\\') {
                return Some(shortened(line));
            }
            section = head.split([' ', '\t', '"', '.']).next().unwrap_or_default().to_lowercase();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let (key, value) = (key.trim().to_lowercase(), value.trim());
        let name = format!("{section}.{key}");
        // A value that goes on in the next line.
        if value.ends_with('\\') || !is_harmless(&name, value) {
            return Some(shortened(&name));
        }
    }
    None
}

/// Settings that describe a repository and name no program and no other file of settings.
fn is_harmless(name: &str, value: &str) -> bool {
    // `ext::` and its like are programs, too.
    let is_address = !value.contains("::") && !value.trim_start_matches('"').starts_with('-');
    match name {
        "core.repositoryformatversion"
        | "core.filemode"
        | "core.bare"
        | "core.logallrefupdates"
        | "core.ignorecase"
        | "core.precomposeunicode"
        | "core.symlinks"
        | "core.autocrlf"
        | "core.eol"
        | "core.safecrlf"
        | "core.abbrev"
        | "core.quotepath"
        | "core.compression"
        | "core.sharedrepository"
        | "user.name"
        | "user.email"
        | "init.defaultbranch"
        | "remote.fetch"
        | "remote.push"
        | "remote.tagopt"
        | "remote.prune"
        | "branch.remote"
        | "branch.merge"
        | "branch.rebase"
        | "branch.description"
        | "submodule.active"
        | "submodule.branch"
        | "submodule.ignore"
        | "pull.rebase"
        | "pull.ff"
        | "push.default"
        | "push.autosetupremote"
        | "fetch.prune"
        | "merge.ff"
        | "merge.conflictstyle"
        | "rebase.autosquash"
        | "rebase.autostash"
        | "commit.gpgsign"
        | "tag.gpgsign"
        | "gc.auto"
        | "gc.autodetach"
        | "maintenance.auto"
        | "advice.detachedhead"
        | "color.ui"
        | "rerere.enabled"
        | "receive.denycurrentbranch"
        | "extensions.objectformat"
        | "extensions.partialclone"
        | "extensions.refstorage" => true,
        "remote.url" | "remote.pushurl" | "submodule.url" => is_address,
        // A submodule's own settings name its work tree.
        "core.worktree" => !value.trim_start_matches('"').starts_with('/'),
        "submodule.update" => !value.contains('!'),
        _ => false,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
