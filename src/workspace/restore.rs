//! Taking a workspace back to a checkpoint.
//!
//! A checkpoint of how it is now comes first, so a restore can itself be undone. Then, in this
//! order: what the user changed is found, and stops it unless told otherwise; every blob that is
//! needed is checked against its name; a journal goes to disk; and only then is anything touched,
//! and only what differs. Whoever dies in between leaves the journal, and the next one who takes or
//! restores a checkpoint here finishes what it says. An error undoes what was done.
//!
//! Files that are rewritten have the time of the restore, as with git: an old time would make `make`
//! and `cargo` believe that what they built since is still right.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use blob::{Hash, Hasher};

use crate::apply::{Cache, Check, apply, finish};
use crate::diff::{Change, diff};
use crate::error::Error;
use crate::hands::Hands;
use crate::journal::Journal;
use crate::manifest::{Manifest, Skipped, load_node};
use crate::node::{Entry, Kind};
use crate::place::Workspace;
use crate::plan::{LeftOut, plan};
use crate::take::Checkpoint;
use crate::walk::open_top;

/// Verified content that is kept until it is written, bytes; what is beyond is read twice.
const CACHE_BYTES_MAX: usize = 64 << 20;
/// A longer file is not kept meanwhile, bytes.
const CACHED_BYTES_MAX: u64 = 4 << 20;
/// As many paths that were left alone are named in a sentence; the rest is counted.
const LEFT_NAMED_MAX: usize = 10;

/// What to do about paths that the user changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEdits {
    /// Change nothing, and say which.
    #[default]
    Stop,
    /// Leave them as the user has them; restore the rest.
    KeepTheirs,
    /// Restore them too; the checkpoint that is taken before has them.
    Overwrite,
}

/// A restore to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The checkpoint to go back to.
    pub to: Hash,
    /// The last checkpoint that the agent's work is known to be in: what differs from it now, the
    /// user changed. None: nobody knows, and nothing counts as changed.
    pub expected: Option<Hash>,
    /// Earlier stretches in which only the user can have changed something: from the first
    /// checkpoint of each to the second.
    pub users: Vec<(Hash, Hash)>,
    /// What to do about what the user changed.
    pub on_edits: OnEdits,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl Restore {
    /// Back to a checkpoint, when nothing is known of what the user changed.
    #[must_use]
    pub fn to(to: Hash) -> Self {
        let (users, on_edits) = (Vec::new(), OnEdits::Stop);
        Self { to, expected: None, users, on_edits, dry_run: false }
    }
}

/// What a restore did, or would do.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The checkpoint that was taken before.
    pub before: Checkpoint,
    /// The checkpoint of how it is now; none when nothing was done.
    pub after: Option<Checkpoint>,
    /// What was changed, or would be.
    pub changes: Vec<Change>,
    /// What the user had changed since the agent's last known state.
    pub edited: Vec<Change>,
    /// Paths that differ and were left alone.
    pub left: Vec<Left>,
    /// What the checkpoint never held.
    pub skipped: Vec<Skipped>,
    /// It stopped because of what the user changed.
    pub stopped: bool,
    /// A restore that somebody had died over was finished first.
    pub finished: Option<Settled>,
}

/// A path that a restore left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// Why.
    pub why: Why,
}

/// Why a path was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is in one of the two checkpoints only because the other left it out.
    LeftOut,
    /// The user changed it.
    Edited,
    /// It changed while the restore went on.
    Meanwhile,
    /// It is a folder, and something that is not to be deleted lies in it.
    NotEmpty,
}

/// What came of a restore that somebody had died over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The checkpoint that the workspace is at now.
    pub at: Hash,
    /// It was undone instead of finished.
    pub undone: bool,
    /// Paths that were changed since, and left alone.
    pub left: Vec<Left>,
}

impl fmt::Display for Settled {
    /// Says what became of it, in sentences.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.undone {
            "A restore of this workspace had been cut short and could not be finished: it was \
             undone. Restore another checkpoint."
        } else {
            "A restore of this workspace had been cut short: it was finished now."
        })?;
        let mut left = self.left.iter().map(|left| left.path.display());
        let Some(first) = left.next() else { return Ok(()) };
        write!(out, " What has changed since was left alone: {first}")?;
        for path in left.by_ref().take(LEFT_NAMED_MAX - 1) {
            write!(out, ", {path}")?;
        }
        match left.count() {
            0 => out.write_str("."),
            more => write!(out, " and {more} more."),
        }
    }
}

/// Which blobs have to be sound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    There,
    /// A restore that could not be undone is not begun.
    ThereAndBack,
}

impl Workspace {
    /// Takes the workspace back.
    ///
    /// # Errors
    /// When a checkpoint cannot be taken or read, a blob is missing or damaged (nothing was changed
    /// then), or a path cannot be written (what was done is undone then).
    pub fn restore(&self, what: &Restore, cancel: &AtomicBool) -> Result<Restored, Error> {
        self.restore_where(what, |_| true, cancel)
    }

    /// Takes a single path back, and with it the folders that it needs. The path is told as
    /// [`file_changes`](crate::file_changes) tells it.
    ///
    /// # Errors
    /// As [`Workspace::restore`].
    pub fn restore_one(
        &self,
        what: &Restore,
        path: &str,
        cancel: &AtomicBool,
    ) -> Result<Restored, Error> {
        let is_wanted = |change: &Change| {
            let is_above = change.is_folder() && Path::new(path).starts_with(&change.path);
            let is_missing = change.before.is_none();
            change.path.to_string_lossy() == path || is_above && is_missing
        };
        self.restore_where(what, is_wanted, cancel)
    }

    fn restore_where(
        &self,
        what: &Restore,
        is_wanted: impl Fn(&Change) -> bool,
        cancel: &AtomicBool,
    ) -> Result<Restored, Error> {
        let _lock = self.lock(cancel)?;
        let finished = self.settle_locked()?;
        let target = Manifest::load(&self.store, &what.to)?;
        let before = self.take(cancel)?;
        let edited = self.edited(what, &before, &target)?;
        let mut all = diff(&self.store, &before.manifest, &target)?;
        all.retain(is_wanted);
        let stopped = what.on_edits == OnEdits::Stop && !edited.is_empty();
        let kept: &[Change] = if what.on_edits == OnEdits::KeepTheirs { &edited } else { &[] };
        let (changes, left) = plan(all, &before.manifest, &target, kept);
        let mut restored = Restored {
            after: None,
            changes,
            edited,
            left,
            skipped: target.skipped.clone(),
            stopped,
            finished,
            before,
        };
        if !stopped && what.dry_run {
            self.verify(&restored.changes, Ways::ThereAndBack)?;
        } else if !stopped {
            let more = self.carry_out(&restored, what.to, &target)?;
            restored.changes.retain(|change| !more.iter().any(|left| left.path == change.path));
            restored.left.extend(more);
            restored.after = Some(self.take(cancel)?);
        }
        Ok(restored)
    }

    /// What the user changed: since the agent's last known state, and in between. What is now as it
    /// will be needs no choice.
    fn edited(
        &self,
        what: &Restore,
        before: &Checkpoint,
        target: &Manifest,
    ) -> Result<Vec<Change>, Error> {
        let last = what.expected.iter().map(|expected| (*expected, before.tree));
        let mut edited: Vec<Change> = Vec::new();
        for (from, to) in last.chain(what.users.iter().copied()) {
            if from == to {
                continue;
            }
            let from = Manifest::load(&self.store, &from)?;
            let to = Manifest::load(&self.store, &to)?;
            let left_out = LeftOut::of(&[&from, &to]);
            for change in diff(&self.store, &from, &to)? {
                let is_known = edited.iter().any(|known| known.path == change.path);
                if !is_known && !left_out.covers(&change.path) {
                    edited.push(change);
                }
            }
        }
        if edited.is_empty() {
            return Ok(edited);
        }
        let differs: HashSet<PathBuf> = diff(&self.store, &before.manifest, target)?
            .into_iter()
            .flat_map(|change| change.path.ancestors().map(Path::to_owned).collect::<Vec<_>>())
            .collect();
        edited.retain(|change| differs.contains(&change.path));
        Ok(edited)
    }

    /// Finishes or undoes a restore that somebody died over; `None` when there was none. When it can
    /// be neither finished nor undone, the journal stays for the next attempt.
    pub(crate) fn settle_locked(&self) -> Result<Option<Settled>, Error> {
        let Some(journal) = Journal::read(&self.state)? else { return Ok(None) };
        let Journal { from, to, .. } = journal;
        let settled = match self.go_on(&journal) {
            Ok(left) => Settled { at: to, undone: false, left },
            Err(error @ Error::Gone { .. }) => return Err(error),
            Err(_) => {
                let back = Journal { from: to, to: from, left: journal.left };
                let left = self.go_on(&back).map_err(|error| self.half_restored(&error))?;
                Settled { at: from, undone: true, left }
            }
        };
        Journal::remove(&self.state)?;
        Ok(Some(settled))
    }

    /// Does what a journal says, whatever of it is done already.
    fn go_on(&self, journal: &Journal) -> Result<Vec<Left>, Error> {
        let from = Manifest::load(&self.store, &journal.from)?;
        let to = Manifest::load(&self.store, &journal.to)?;
        let mut changes = diff(&self.store, &from, &to)?;
        let without: HashSet<&Path> = journal.left.iter().map(PathBuf::as_path).collect();
        changes.retain(|change| !without.contains(change.path.as_path()));
        let mut hands = self.hands(journal)?;
        for change in &changes {
            hands.clean(&change.path);
        }
        let mut done = Vec::new();
        for (at, change) in changes.iter().enumerate() {
            if hands.is(&change.path, change.after.as_ref())? {
                done.push(at);
            }
        }
        let mut at = 0;
        changes.retain(|_| {
            at += 1;
            done.binary_search(&(at - 1)).is_err()
        });
        let cache = self.verify(&changes, Ways::There)?;
        let left = apply(&mut hands, &changes, &cache, Check::Content)?;
        self.close_above(&mut hands, &changes, &to)?;
        finish(&mut hands, &from, &to, &changes)?;
        Ok(left)
    }

    /// Folders that were opened to write in them and not closed again.
    fn close_above(
        &self,
        hands: &mut Hands<'_>,
        changes: &[Change],
        to: &Manifest,
    ) -> Result<(), Error> {
        let above: HashSet<&Path> =
            changes.iter().flat_map(|change| change.path.ancestors().skip(1)).collect();
        for path in above.into_iter().filter(|path| !path.as_os_str().is_empty()) {
            let Some(entry) = entry_at(&self.store, to, path)? else { continue };
            let opened = Entry { mode: entry.mode | 0o700, ..entry.clone() };
            if entry.is_folder() && hands.is(path, Some(&opened))? {
                hands.set_mode(path, entry.mode)?;
            }
        }
        Ok(())
    }

    /// Does it, or undoes it.
    fn carry_out(
        &self,
        restored: &Restored,
        to: Hash,
        target: &Manifest,
    ) -> Result<Vec<Left>, Error> {
        let before = &restored.before;
        if restored.changes.is_empty() && before.manifest.mode == target.mode {
            return Ok(Vec::new());
        }
        let cache = self.verify(&restored.changes, Ways::ThereAndBack)?;
        let mut left: Vec<PathBuf> = restored.left.iter().map(|left| left.path.clone()).collect();
        // Objects of git that are only in the workspace: the plan leaves them out without a word.
        let planned: HashSet<&Path> =
            restored.changes.iter().map(|change| change.path.as_path()).collect();
        for change in diff(&self.store, &before.manifest, target)? {
            if !planned.contains(change.path.as_path()) && !left.contains(&change.path) {
                left.push(change.path);
            }
        }
        let journal = Journal { from: before.tree, to, left };
        journal.write(&self.state)?;
        let mut hands = self.hands(&journal)?;
        let done = apply(&mut hands, &restored.changes, &cache, Check::Times).and_then(|left| {
            finish(&mut hands, &before.manifest, target, &restored.changes)?;
            Ok(left)
        });
        match done {
            Ok(left) => {
                Journal::remove(&self.state)?;
                Ok(left)
            }
            Err(error) => {
                let Journal { from, to, left } = journal;
                let back = Journal { from: to, to: from, left };
                // From here on, whoever comes next undoes it too.
                back.write(&self.state).map_err(|_| self.half_restored(&error))?;
                self.go_on(&back).map_err(|_| self.half_restored(&error))?;
                Journal::remove(&self.state)?;
                Err(error)
            }
        }
    }

    fn half_restored(&self, error: &Error) -> Error {
        Error::HalfRestored {
            path: self.root.clone(),
            error: error.to_string(),
            journal: Journal::path(&self.state),
        }
    }

    fn hands(&self, journal: &Journal) -> Result<Hands<'_>, Error> {
        let (top, _) = open_top(&self.root)?;
        let mut name = Hasher::default();
        // The same in both directions.
        let (one, other) = (journal.from.min(journal.to), journal.from.max(journal.to));
        name.update(one.as_bytes());
        name.update(other.as_bytes());
        Ok(Hands::new(&self.root, top, &self.store, self.durable, &name.finish()))
    }

    /// Checks every blob that is needed, and keeps short ones.
    fn verify(&self, changes: &[Change], ways: Ways) -> Result<Cache, Error> {
        let mut cache = Cache::new();
        let mut cached = 0;
        let mut checked = HashSet::new();
        for change in changes {
            for (entry, is_wanted) in [(&change.after, true), (&change.before, false)] {
                let Some(Kind::File { size, hash }) = entry.as_ref().map(|entry| &entry.kind)
                else {
                    continue;
                };
                let fits = cached + *size as usize <= CACHE_BYTES_MAX && *size <= CACHED_BYTES_MAX;
                if !(is_wanted || ways == Ways::ThereAndBack) || !checked.insert(*hash) {
                    continue;
                }
                if is_wanted && fits {
                    let bytes =
                        self.store.get(hash, *size)?.ok_or(Error::Missing { hash: *hash })?;
                    cached += bytes.len();
                    cache.insert(*hash, bytes);
                } else {
                    let copied = self.store.copy_to(hash, *size, &mut std::io::sink())?;
                    copied.ok_or(Error::Missing { hash: *hash })?;
                }
            }
        }
        Ok(cache)
    }
}

/// What a checkpoint holds at a path.
pub(crate) fn entry_at(
    store: &blob::Store,
    manifest: &Manifest,
    path: &Path,
) -> Result<Option<Entry>, Error> {
    let mut node = manifest.node;
    let mut found = None;
    for name in path {
        if found.is_some() {
            match found.take().map(|entry: Entry| entry.kind) {
                Some(Kind::Folder { node: below, .. }) => node = below,
                _ => return Ok(None),
            }
        }
        found = load_node(store, &node)?.into_iter().find(|entry| entry.name() == name);
        if found.is_none() {
            return Ok(None);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
