//! Collecting what no checkpoint needs any more.
//!
//! The caller names the checkpoints that recordings name. To these come, by themselves, those that
//! were taken of late and may not be on record yet, those of a restore that somebody died over, and
//! those that somebody holds.
//! The store's lock is held alone meanwhile, so no checkpoint is being taken; and what was put or
//! found within the grace period stays.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use blob::{Hash, Store, StoreError, Swept};
use rustix::fs::FlockOperation;

use crate::error::{Error, io_error};
use crate::index::{Index, now_ns};
use crate::journal::Journal;
use crate::manifest::{Manifest, load_node};
use crate::node::Kind;
use crate::pin;
use crate::place::{FOLDER, lock_store};
use crate::snapshot;

/// The store, with nobody else at work in it.
#[derive(Debug)]
pub struct Collector {
    data: PathBuf,
    store: Store,
    _lock: File,
}

/// What was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Checkpoints that are kept.
    pub checkpoints: u64,
    /// Checkpoints that are named and are not in this store, such as those of imported recordings.
    pub absent: u64,
    /// Checkpoints of which a part is missing or damaged.
    pub damaged: u64,
    /// What became of the blobs.
    pub swept: Swept,
    /// Expanded copies that were deleted.
    pub snapshots: u64,
}

/// What went with deleted recordings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Blobs that were deleted.
    pub blobs: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Checkpoints that stay for now: a session that runs may need them, or somebody holds them.
    pub waiting: u64,
}

/// What was taken within this time may not be on record yet.
const LATE: Duration = Duration::from_hours(1);

impl Collector {
    /// Waits until nobody takes or restores a checkpoint, and keeps them waiting.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub fn begin(data: &Path) -> Result<Self, Error> {
        let alone = FlockOperation::NonBlockingLockExclusive;
        let lock = lock_store(data, alone, &AtomicBool::new(false))?;
        Ok(Self { data: data.to_owned(), store: Store::new(data.join("blobs")), _lock: lock })
    }

    /// Deletes what neither `named` checkpoints nor those of late need, and was last used longer
    /// than `grace` ago. The names have to be read after [`Collector::begin`].
    ///
    /// # Errors
    /// When a folder or the journal of a restore cannot be read (then nothing is deleted) or a blob
    /// not deleted.
    pub fn collect(
        self,
        named: impl IntoIterator<Item = Hash>,
        grace: Duration,
    ) -> Result<Collected, Error> {
        let mut marked = Marked { store: &self.store, hashes: HashSet::new() };
        let mut collected = Collected::default();
        let states = self.states()?;
        let mut trees: HashSet<Hash> = named.into_iter().collect();
        trees.extend(pin::held(&self.data)?);
        for state in &states {
            trees.extend(of_late(state, grace));
            if let Some(journal) = Journal::read(state)? {
                trees.extend([journal.from, journal.to]);
            }
        }
        for tree in trees {
            match marked.tree(&tree) {
                Ok(true) => collected.checkpoints += 1,
                Ok(false) => collected.absent += 1,
                Err(_) => collected.damaged += 1,
            }
        }
        let hashes = marked.hashes;
        for state in &states {
            forget(state, &hashes)?;
        }
        let older_than = SystemTime::now().checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        collected.swept = self.store.sweep(&hashes, older_than)?;
        collected.snapshots = snapshot::sweep(&self.data, older_than)?;
        Ok(collected)
    }

    /// Deletes at once what the checkpoints of deleted recordings need and no other does: neither one
    /// that is still named or held, nor one of a restore that somebody died over, nor one that was
    /// taken of late. While a session runs (`is_live`), one of late may be its own although a deleted
    /// recording names it too, so that one stays as well, and is counted.
    ///
    /// # Errors
    /// When a folder or the journal of a restore cannot be read (then nothing is deleted) or a blob
    /// not deleted.
    pub fn remove(
        self,
        gone: &HashSet<Hash>,
        named: impl IntoIterator<Item = Hash>,
        is_live: bool,
    ) -> Result<Removed, Error> {
        let states = self.states()?;
        let mut kept: HashSet<Hash> = named.into_iter().collect();
        let mut removed = Removed::default();
        for tree in pin::held(&self.data)? {
            let is_new = kept.insert(tree);
            removed.waiting += u64::from(is_new && gone.contains(&tree));
        }
        for state in &states {
            let late = of_late(state, LATE).into_iter();
            for tree in late.filter(|tree| is_live || !gone.contains(tree)) {
                let is_new = kept.insert(tree);
                removed.waiting += u64::from(is_new && gone.contains(&tree));
            }
            if let Some(journal) = Journal::read(state)? {
                kept.extend([journal.from, journal.to]);
            }
        }
        let needed = self.needed(kept.iter())?;
        let mut blobs = self.needed(gone.difference(&kept))?;
        blobs.retain(|hash| !needed.contains(hash));
        for state in &states {
            forget(state, &needed)?;
        }
        (removed.blobs, removed.bytes) = self.store.remove(&blobs)?;
        for tree in gone.difference(&kept) {
            snapshot::remove(&self.data, tree)?;
        }
        Ok(removed)
    }

    /// Everything that checkpoints need. What is missing or damaged needs no more than what it still
    /// names.
    fn needed<'a>(&self, trees: impl Iterator<Item = &'a Hash>) -> Result<HashSet<Hash>, Error> {
        let mut marked = Marked { store: &self.store, hashes: HashSet::new() };
        for tree in trees {
            if let Err(error @ Error::Store(StoreError::Io { .. })) = marked.tree(tree) {
                return Err(error);
            }
        }
        Ok(marked.hashes)
    }

    fn states(&self) -> Result<Vec<PathBuf>, Error> {
        let folder = self.data.join(FOLDER);
        let entries = fs::read_dir(&folder).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
        });
        let mut states = entries.map_err(io_error("list", &folder))?;
        states.retain(|path| path.is_dir());
        Ok(states)
    }
}

/// The checkpoints that were taken within the grace period.
fn of_late(state: &Path, grace: Duration) -> Vec<Hash> {
    let grace = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
    let oldest = now_ns().saturating_sub(grace);
    let index = Index::load(&state.join("index"));
    let recent = index.recent().iter().filter(|recent| recent.at_ns >= oldest);
    recent.map(|recent| recent.tree).collect()
}

/// An index says what is in the store: one of a checkpoint that goes would be wrong.
fn forget(state: &Path, kept: &HashSet<Hash>) -> Result<(), Error> {
    let path = state.join("index");
    let index = Index::load(&path);
    if index.recent().last().is_some_and(|recent| kept.contains(&recent.tree)) {
        return Ok(());
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("delete", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Everything that some checkpoint needs.
struct Marked<'a> {
    store: &'a Store,
    hashes: HashSet<Hash>,
}

impl Marked<'_> {
    /// Marks a checkpoint; false when it is not here.
    fn tree(&mut self, tree: &Hash) -> Result<bool, Error> {
        // A damaged one stays, for whoever wants to repair it.
        self.hashes.insert(*tree);
        match Manifest::load(self.store, tree) {
            Ok(manifest) => self.folder(&manifest.node).map(|()| true),
            Err(Error::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn folder(&mut self, node: &Hash) -> Result<(), Error> {
        if !self.hashes.insert(*node) {
            return Ok(());
        }
        let mut failed = None;
        for entry in load_node(self.store, node)? {
            match entry.kind {
                // The rest is marked all the same.
                Kind::Folder { node, .. } => {
                    if let Err(error) = self.folder(&node) {
                        failed = Some(error);
                    }
                }
                Kind::File { hash, .. } => {
                    self.hashes.insert(hash);
                }
                Kind::Link { .. } => {}
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// How much there is: blobs and their bytes on disk, expanded copies.
///
/// # Errors
/// When a folder cannot be read.
pub fn size(data: &Path) -> Result<(u64, u64), StoreError> {
    Store::new(data.join("blobs")).size()
}

/// Reads every blob: how many there are, and what is wrong with which.
///
/// # Errors
/// When a folder cannot be read.
pub fn check(data: &Path) -> Result<(u64, Vec<StoreError>), StoreError> {
    Store::new(data.join("blobs")).check()
}

#[cfg(test)]
mod tests;
