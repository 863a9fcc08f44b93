//! Taking a checkpoint: some threads walk, some read what is new, and the folders are put together
//! from below.
//!
//! No link is followed: each folder is opened from the one above it. What appears, changes or goes
//! meanwhile is in the checkpoint or not; nothing half written is. If the disk fills up, nothing of
//! it is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use blob::{Added, Batch, Encoder, Hash};

use crate::error::Error;
use crate::index::{Index, Writer};
use crate::manifest::{Manifest, SKIPPED_LISTED_MAX, Skipped};
use crate::node::{Entry, Kind, content, encode};
use crate::place::Workspace;
use crate::policy::Reason;
use crate::read::{Outcome, keep};
use crate::restore::Settled;
use crate::walk::{Body, Folder, Ground, Item, Job, Walked};

/// More threads wait for each other more than they read.
const THREADS_MAX: usize = 4;
/// Files that wait to be read; their folders stay open.
const JOBS_WAITING_MAX: usize = 128;

/// A checkpoint that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its name: the hash of its manifest.
    pub tree: Hash,
    /// Its head.
    pub manifest: Manifest,
    /// Files that were read for it.
    pub read: u64,
    /// What it added to the store.
    pub added: Added,
    /// A restore that somebody had died over was finished first.
    pub finished: Option<Settled>,
}

impl Workspace {
    /// Takes a checkpoint. A workspace that did not change gives the same one.
    ///
    /// # Errors
    /// When the workspace is gone or holds too much, the store cannot be written, or `cancel` is
    /// set meanwhile. Nothing of it is kept then.
    pub fn checkpoint(&self, cancel: &AtomicBool) -> Result<Checkpoint, Error> {
        let _lock = self.lock(cancel)?;
        let finished = self.settle_locked()?;
        Ok(Checkpoint { finished, ..self.take(cancel)? })
    }

    /// Takes a checkpoint; the locks are held.
    pub(crate) fn take(&self, cancel: &AtomicBool) -> Result<Checkpoint, Error> {
        let index_path = self.state.join("index");
        let index = Index::load(&index_path);
        let batch = self.store.batch(self.durable)?;
        let (walked, outcomes) = self.walk_and_read(&index, &batch, cancel)?;
        let read = outcomes.len() as u64;
        let mut build = Build {
            batch: &batch,
            index: &index,
            encoder: Encoder::new(),
            outcomes,
            writer: Writer::default(),
            now_ns: walked.began_ns,
            skipped: walked.skipped,
            files: 0,
            folders: 0,
            links: 0,
            bytes: 0,
            hard_linked: walked.hard_linked,
        };
        let mode = walked.top.mode;
        let (node, content) = build.folder(walked.top, &mut Vec::new())?;
        let (manifest, writer) = build.finish(mode, node, content);
        let mut encoder = Encoder::new();
        let tree = batch.put(&mut encoder, &manifest.encode())?;
        let added = batch.commit()?;
        if read > 0 || added.blobs > 0 || !index.is_current(&tree) {
            writer.save(&index_path, &index, tree, self.durable)?;
        }
        Ok(Checkpoint { tree, manifest, read, added, finished: None })
    }

    fn walk_and_read(
        &self,
        index: &Index,
        batch: &Batch<'_>,
        cancel: &AtomicBool,
    ) -> Result<(Walked, Vec<Outcome>), Error> {
        let (sender, receiver) = sync_channel(JOBS_WAITING_MAX);
        let readers = Readers {
            jobs: Mutex::new(receiver),
            done: Mutex::default(),
            failed: Mutex::default(),
            stop: AtomicBool::new(false),
            batch,
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let stop = [cancel, &readers.stop];
        let ground = Ground::new(self, index, &stop, threads)?;
        let walked = thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| readers.work());
            }
            ground.walk(scope, sender)
        });
        let failed = readers.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failed {
            return Err(error);
        }
        let walked = walked?;
        let mut done = readers.done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(number, _)| *number);
        Ok((walked, done.into_iter().map(|(_, outcome)| outcome).collect()))
    }
}

/// The threads that read.
struct Readers<'a> {
    jobs: Mutex<Receiver<Job>>,
    done: Mutex<Vec<(usize, Outcome)>>,
    failed: Mutex<Option<Error>>,
    stop: AtomicBool,
    batch: &'a Batch<'a>,
}

impl Readers<'_> {
    fn work(&self) {
        let mut encoder = Encoder::new();
        let mut done = Vec::new();
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { break };
            // What is left is only taken, so that the walk does not wait for ever.
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            let Job { number, folder, name, bytes_max } = job;
            match keep(&folder, &name, bytes_max, self.batch, &mut encoder) {
                Ok(outcome) => done.push((number, outcome)),
                Err(error) => {
                    self.stop.store(true, Ordering::Relaxed);
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
        self.done.lock().unwrap_or_else(PoisonError::into_inner).append(&mut done);
    }
}

/// Puts folders together, the lowest first.
struct Build<'a> {
    batch: &'a Batch<'a>,
    index: &'a Index,
    encoder: Encoder,
    outcomes: Vec<Outcome>,
    writer: Writer,
    now_ns: i64,
    skipped: Vec<Skipped>,
    files: u64,
    folders: u64,
    links: u64,
    bytes: u64,
    hard_linked: u64,
}

impl Build<'_> {
    /// The blob of a folder, and the hash of its content.
    fn folder(&mut self, folder: Folder, path: &mut Vec<u8>) -> Result<(Hash, Hash), Error> {
        let mut entries = Vec::with_capacity(folder.items.len());
        let mut known = Vec::new();
        for Item { name, mode, mtime_ns, body } in folder.items {
            let above = path.len();
            if above > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            let entry = match body {
                Body::Folder(folder) => {
                    self.folders += 1;
                    let (node, content) = self.folder(folder, path)?;
                    Some((mode, mtime_ns, Kind::Folder { node, content }))
                }
                Body::Link(target) => {
                    self.links += 1;
                    Some((mode, mtime_ns, Kind::Link { target }))
                }
                Body::Known(key, hash) => {
                    known.push((entries.len(), key, hash));
                    Some((mode, mtime_ns, Kind::File { size: key.size, hash }))
                }
                Body::Pending(number) => self.read(number, path).map(|(mode, key, size, hash)| {
                    if let Some(key) = key.filter(|key| key.is_settled(self.now_ns)) {
                        known.push((entries.len(), key, hash));
                    }
                    let mtime_ns = key.map_or(mtime_ns, |key| key.mtime_ns);
                    (mode, mtime_ns, Kind::File { size, hash })
                }),
            };
            path.truncate(above);
            if let Some((mode, mtime_ns, kind)) = entry {
                if let Kind::File { size, .. } = &kind {
                    self.files += 1;
                    self.bytes += size;
                }
                entries.push(Entry { name, mode, mtime_ns, kind });
            }
        }
        let node = self.put(&encode(&entries), path)?;
        let files: Vec<_> = known
            .iter()
            .filter_map(|(at, key, hash)| Some((entries.get(*at)?.name.as_slice(), *key, *hash)))
            .collect();
        self.writer.folder(path, &node, &files);
        Ok((node, content(&entries)))
    }

    /// Stores the blob of a folder, unless the index says that it is there.
    fn put(&mut self, bytes: &[u8], path: &[u8]) -> Result<Hash, Error> {
        if let Some(known) = self.index.folder(path)
            && Hash::of(bytes) == known.node
        {
            return Ok(known.node);
        }
        Ok(self.batch.put(&mut self.encoder, bytes)?)
    }

    /// What came of reading a file: its mode, how it is known again, its length and its content.
    fn read(
        &mut self,
        number: usize,
        path: &[u8],
    ) -> Option<(u32, Option<crate::index::Key>, u64, Hash)> {
        let outcome = std::mem::replace(self.outcomes.get_mut(number)?, Outcome::Gone);
        match outcome {
            Outcome::Kept(kept) => {
                if !kept.steady {
                    self.skip::<()>(path, Reason::Changing);
                }
                let key = kept.steady.then_some(kept.key);
                Some((kept.mode, key, kept.size, kept.hash))
            }
            Outcome::Unreadable => self.skip(path, Reason::Unreadable),
            Outcome::TooLarge => self.skip(path, Reason::TooLarge),
            Outcome::Gone => None,
        }
    }

    fn skip<T>(&mut self, path: &[u8], reason: Reason) -> Option<T> {
        self.skipped.push(Skipped { path: crate::walk::to_path(path), reason });
        None
    }

    fn finish(mut self, mode: u32, node: Hash, content: Hash) -> (Manifest, Writer) {
        self.skipped.sort_unstable();
        let skipped_more = self.skipped.len().saturating_sub(SKIPPED_LISTED_MAX) as u64;
        self.skipped.truncate(SKIPPED_LISTED_MAX);
        let manifest = Manifest {
            mode,
            node,
            content,
            files: self.files,
            folders: self.folders,
            links: self.links,
            bytes: self.bytes,
            hard_linked: self.hard_linked,
            skipped: self.skipped,
            skipped_more,
        };
        (manifest, self.writer)
    }
}

/// A folder that is open as long as a file of it waits.
pub(crate) type Open = Arc<std::os::fd::OwnedFd>;

#[cfg(test)]
mod tests;
