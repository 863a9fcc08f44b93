//! What differs between two checkpoints. Folders with the same content hash are not looked into.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blob::{Hash, Store};
use similar::TextDiff;
use trajectory::event::{ChangeKind, FileChange};

use crate::error::Error;
use crate::manifest::{Manifest, load_node};
use crate::node::{Entry, Kind};

/// A longer file is not compared line by line, bytes.
const TEXT_BYTES_MAX: u64 = 256 << 10;
/// A longer diff is not shown, bytes.
const DIFF_BYTES_MAX: usize = 64 << 10;
/// Comparing takes at most this long; then the diff is coarser.
const TIME_MAX: Duration = Duration::from_millis(200);

/// A path at which two checkpoints differ in more than the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// What lay there.
    pub before: Option<Entry>,
    /// What lies there.
    pub after: Option<Entry>,
}

impl Change {
    /// The word for it.
    #[must_use]
    pub const fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Created,
            (_, None) => ChangeKind::Deleted,
            _ => ChangeKind::Modified,
        }
    }

    /// Whether it is only a folder: its files are changes of their own.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        [&self.before, &self.after].into_iter().flatten().all(Entry::is_folder)
    }

    /// The way back.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { path: self.path, before: self.after, after: self.before }
    }
}

impl Entry {
    pub(crate) const fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder { .. })
    }
}

/// Everything that differs, folders before what is in them.
///
/// # Errors
/// When a folder of either is missing from the store, or damaged.
pub fn diff(store: &Store, before: &Manifest, after: &Manifest) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    if before.content != after.content {
        compare(store, Some(&before.node), Some(&after.node), &PathBuf::new(), &mut changes)?;
    }
    Ok(changes)
}

fn compare(
    store: &Store,
    before: Option<&Hash>,
    after: Option<&Hash>,
    path: &Path,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let load = |node: Option<&Hash>| node.map_or(Ok(Vec::new()), |node| load_node(store, node));
    let mut before = load(before)?.into_iter().peekable();
    let mut after = load(after)?.into_iter().peekable();
    loop {
        let (left, right) = match (before.peek(), after.peek()) {
            (None, None) => return Ok(()),
            (Some(left), Some(right)) if left.name == right.name => (before.next(), after.next()),
            (Some(left), Some(right)) if left.name < right.name => (before.next(), None),
            (Some(_), None) => (before.next(), None),
            _ => (None, after.next()),
        };
        if let (Some(left), Some(right)) = (&left, &right)
            && left.is_like(right)
        {
            continue;
        }
        let Some(name) = left.as_ref().or(right.as_ref()).map(|entry| entry.name().to_owned())
        else {
            continue;
        };
        let path = path.join(name);
        let folder = |entry: &Option<Entry>| match entry.as_ref().map(|entry| &entry.kind) {
            Some(Kind::Folder { node, .. }) => Some(*node),
            _ => None,
        };
        let nodes = (folder(&left), folder(&right));
        let is_content_alone = match (&left, &right) {
            (Some(left), Some(right)) => {
                nodes.0.is_some() && nodes.1.is_some() && left.mode == right.mode
            }
            _ => false,
        };
        if !is_content_alone {
            changes.push(Change { path: path.clone(), before: left, after: right });
        }
        if nodes.0.is_some() || nodes.1.is_some() {
            compare(store, nodes.0.as_ref(), nodes.1.as_ref(), &path, changes)?;
        }
    }
}

/// The changes as they are told to people and models: files and links, with a diff where both sides
/// are text and short.
///
/// # Errors
/// When a file's content is missing from the store, or damaged.
pub fn file_changes(store: &Store, changes: &[Change]) -> Result<Vec<FileChange>, Error> {
    let mut told = Vec::new();
    for change in changes {
        let is_new_or_gone = change.before.is_none() || change.after.is_none();
        if change.is_folder() && is_new_or_gone {
            continue;
        }
        told.push(FileChange {
            path: change.path.to_string_lossy().into_owned(),
            change: change.kind(),
            diff: text_diff(store, change)?,
        });
    }
    Ok(told)
}

/// A unified diff; `None` where something is no text, is long, or did not change.
fn text_diff(store: &Store, change: &Change) -> Result<Option<String>, Error> {
    let Some(before) = text(store, change.before.as_ref())? else { return Ok(None) };
    let Some(after) = text(store, change.after.as_ref())? else { return Ok(None) };
    if before == after {
        return Ok(None);
    }
    let diff = TextDiff::configure().timeout(TIME_MAX).diff_lines(&before, &after);
    let name = change.path.to_string_lossy();
    let side = |side: &str, entry: &Option<Entry>| match entry {
        Some(_) => format!("{side}/{name}"),
        None => "/dev/null".to_owned(),
    };
    let (left, right) = (side("a", &change.before), side("b", &change.after));
    let text = diff.unified_diff().header(&left, &right).to_string();
    Ok((text.len() <= DIFF_BYTES_MAX).then_some(text))
}

/// The text of a file; what is not there is an empty one, and `None` is no text.
fn text(store: &Store, entry: Option<&Entry>) -> Result<Option<String>, Error> {
    let hash = match entry.map(|entry| &entry.kind) {
        None => return Ok(Some(String::new())),
        Some(Kind::File { size, hash }) if *size <= TEXT_BYTES_MAX => hash,
        Some(_) => return Ok(None),
    };
    let bytes = store.get(hash, TEXT_BYTES_MAX)?.ok_or(Error::Missing { hash: *hash })?;
    Ok(String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')))
}

/// Whether a path of a checkpoint is one of git's objects: git only ever adds to them.
pub(crate) fn is_git_object(path: &Path) -> bool {
    let mut names = path.iter().map(OsStrExt::as_bytes);
    names.any(|name| name == b".git") && {
        // Of submodules too: `.git/modules/NAME/objects`.
        names.any(|name| name == b"objects")
    }
}

#[cfg(test)]
mod tests;
