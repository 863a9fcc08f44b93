//! What was known of each file when a checkpoint was last taken, so that a file that did not change
//! is not read again.
//!
//! A file is taken for unchanged when size, both times, inode and device are what they were. That
//! is safe only if a change since would have moved its ctime, which nobody can set: so what changed
//! too shortly before it was looked at is not remembered, and is read again next time.
//!
//! The file is rebuilt when it is damaged, absent, or was written without syncs before a restart.
//! It also names the checkpoints of late: until a recording names them, a collector learns of them
//! here.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blob::Hash;
use rustix::fs::Stat;

use crate::bytes::{Malformed, Reader, put_bytes, put_hash, put_number, put_signed};
use crate::error::{Error, io_error};

const MARK: &[u8] = b"limn index 1\n";

/// A file system's clock may tick this rarely.
const TICK: Duration = Duration::from_millis(50);

/// One that counts whole seconds or pairs of them.
const COARSE_TICK: Duration = Duration::from_secs(3);

/// How long a checkpoint is remembered here, and how many at most.
pub(crate) const RECENT_AGE_MAX: Duration = Duration::from_hours(24);
const RECENT_MAX: usize = 1024;

/// A checkpoint that is taken again counts as new after so long: less than any collector's grace
/// beside a running session.
const REFRESHED_AFTER: Duration = Duration::from_mins(5);

/// All by which a file is known again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    ctime_ns: i64,
    inode: u64,
    device: u64,
}

impl Key {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
            inode: stat.st_ino,
            device: stat.st_dev,
        }
    }

    /// Whether a later change is sure to show in the times.
    pub(crate) fn is_settled(&self, now_ns: i64) -> bool {
        let is_coarse = self.ctime_ns % 1_000_000_000 == 0;
        let tick = if is_coarse { COARSE_TICK } else { TICK };
        self.ctime_ns.saturating_add(tick.as_nanos() as i64) < now_ns
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Wall clock, nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// The index as it was read.
#[derive(Debug, Default)]
pub(crate) struct Index {
    buffer: Vec<u8>,
    folders: HashMap<Vec<u8>, KnownFolder>,
    recent: Vec<Recent>,
    /// It names blobs that may not be on the disk yet.
    is_volatile: bool,
}

/// A checkpoint of late, and when it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recent {
    pub(crate) at_ns: i64,
    pub(crate) tree: Hash,
}

/// A folder as it was last seen.
#[derive(Debug)]
pub(crate) struct KnownFolder {
    /// Its blob, which is in the store.
    pub(crate) node: Hash,
    files: Vec<KnownFile>,
}

#[derive(Debug)]
struct KnownFile {
    name: Range<usize>,
    key: Key,
    hash: Hash,
}

impl Index {
    /// Reads the index; one that cannot be used is empty.
    pub(crate) fn load(path: &Path) -> Self {
        let Ok(buffer) = fs::read(path) else { return Self::default() };
        Self::parse(buffer).unwrap_or_default()
    }

    fn parse(mut buffer: Vec<u8>) -> Result<Self, Malformed> {
        let at = buffer.len().checked_sub(32).ok_or(Malformed("it is cut short"))?;
        let sum = buffer.split_off(at);
        if Hash::of(&buffer).as_bytes() != sum.as_slice() {
            return Err(Malformed("it is damaged"));
        }
        let mut reader = Reader::new(&buffer, MARK)?;
        let boot = reader.bytes()?;
        let is_volatile = !boot.is_empty();
        if is_volatile && boot != boot_id().as_slice() {
            return Err(Malformed("it may name what was lost with the power"));
        }
        let mut recent = Vec::new();
        for _ in 0..reader.count()? {
            recent.push(Recent { at_ns: reader.signed()?, tree: reader.hash()? });
        }
        let mut folders = HashMap::new();
        for _ in 0..reader.count()? {
            let path = reader.bytes()?.to_vec();
            let node = reader.hash()?;
            let count = reader.count()?;
            let mut files = Vec::with_capacity(count);
            for _ in 0..count {
                let name = reader.bytes()?;
                let start = name.as_ptr() as usize - buffer.as_ptr() as usize;
                files.push(KnownFile {
                    name: start..start + name.len(),
                    key: Key {
                        size: reader.number()?,
                        mtime_ns: reader.signed()?,
                        ctime_ns: reader.signed()?,
                        inode: reader.number()?,
                        device: reader.number()?,
                    },
                    hash: reader.hash()?,
                });
            }
            folders.insert(path, KnownFolder { node, files });
        }
        reader.end()?;
        Ok(Self { buffer, folders, recent, is_volatile })
    }

    /// What is known of a folder.
    pub(crate) fn folder(&self, path: &[u8]) -> Option<&KnownFolder> {
        self.folders.get(path)
    }

    /// The content of a file that did not change.
    pub(crate) fn file(&self, folder: &KnownFolder, name: &[u8], key: &Key) -> Option<Hash> {
        let name_of = |file: &KnownFile| self.buffer.get(file.name.clone()).unwrap_or_default();
        let at = folder.files.binary_search_by(|file| name_of(file).cmp(name)).ok()?;
        let file = folder.files.get(at)?;
        (file.key == *key).then_some(file.hash)
    }

    /// Whether this checkpoint is the last one of late, and not about to be forgotten.
    pub(crate) fn is_current(&self, tree: &Hash) -> bool {
        let oldest = now_ns().saturating_sub(REFRESHED_AFTER.as_nanos() as i64);
        self.recent.last().is_some_and(|last| last.tree == *tree && last.at_ns >= oldest)
    }

    /// The checkpoints of late.
    pub(crate) fn recent(&self) -> &[Recent] {
        &self.recent
    }
}

/// The next index while a checkpoint is built: folders from the top down.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    folders: Vec<u8>,
    count: u64,
}

impl Writer {
    /// Adds a folder with those of its files that can be known again, sorted by name.
    pub(crate) fn folder(&mut self, path: &[u8], node: &Hash, files: &[(&[u8], Key, Hash)]) {
        self.count += 1;
        let out = &mut self.folders;
        put_bytes(out, path);
        put_hash(out, node);
        put_number(out, files.len() as u64);
        for (name, key, hash) in files {
            put_bytes(out, name);
            put_number(out, key.size);
            put_signed(out, key.mtime_ns);
            put_signed(out, key.ctime_ns);
            put_number(out, key.inode);
            put_number(out, key.device);
            put_hash(out, hash);
        }
    }

    /// Puts the new index in the place of the old one, `tree` among the checkpoints of late.
    pub(crate) fn save(
        self,
        path: &Path,
        before: &Index,
        tree: Hash,
        durable: bool,
    ) -> Result<(), Error> {
        let mut out = Vec::with_capacity(self.folders.len() + 4096);
        out.extend_from_slice(MARK);
        let is_durable = durable && !before.is_volatile;
        put_bytes(&mut out, if is_durable { Vec::new() } else { boot_id() }.as_slice());
        let now_ns = now_ns();
        let oldest = now_ns.saturating_sub(RECENT_AGE_MAX.as_nanos() as i64);
        let mut recent: Vec<Recent> = before
            .recent
            .iter()
            .filter(|recent| recent.at_ns >= oldest && recent.tree != tree)
            .copied()
            .collect();
        recent.push(Recent { at_ns: now_ns, tree });
        let skip = recent.len().saturating_sub(RECENT_MAX);
        put_number(&mut out, (recent.len() - skip) as u64);
        for recent in recent.iter().skip(skip) {
            put_signed(&mut out, recent.at_ns);
            put_hash(&mut out, &recent.tree);
        }
        put_number(&mut out, self.count);
        out.extend_from_slice(&self.folders);
        let sum = Hash::of(&out);
        put_hash(&mut out, &sum);
        write_whole(path, &out).map_err(io_error("write", path))
    }
}

/// A file that is there whole or not at all. It is not synced: a torn index is noticed.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What differs after each restart of the machine.
fn boot_id() -> Vec<u8> {
    let id = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if id.is_empty() { b"unknown".to_vec() } else { id }
}

#[cfg(test)]
mod tests;
