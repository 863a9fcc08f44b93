//! Many blobs at once: they become durable together, for the price of few syncs.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tempfile::TempPath;

use crate::codec::{Codec, Encoder};
use crate::hash::{Hash, Hasher};
use crate::store::{HEADER_BYTES, Store, StoreError, private_folder};

/// Up to so many files are synced one by one. More, and the file system is synced as a whole: that
/// also waits for what others wrote to it.
const SYNCED_SINGLY_MAX: usize = 64;

/// How much of a long file is packed to find out whether packing pays.
const SAMPLE_BYTES: u64 = 1 << 20;

/// A long file is packed when its beginning shrinks by at least one part in so many.
const WORTH_ONE_IN: u64 = 16;

const ZSTD_LEVEL: i32 = 1;

/// Blobs that are written and do not have their names yet. Dropped without [`Batch::commit`], it
/// leaves nothing behind; threads may share it.
#[derive(Debug)]
pub struct Batch<'a> {
    store: &'a Store,
    durable: bool,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    known: HashSet<Hash>,
    files: Vec<(Hash, TempPath)>,
}

/// What a batch has added to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// New blobs.
    pub blobs: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

impl Store {
    /// Begins a batch. A durable one survives a power cut once it is committed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn batch(&self, durable: bool) -> Result<Batch<'_>, StoreError> {
        private_folder(self.root()).map_err(failed("make", self.root()))?;
        Ok(Batch { store: self, durable, pending: Mutex::default() })
    }
}

impl Batch<'_> {
    /// Adds bytes and says what they are called.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn put(&self, encoder: &mut Encoder, bytes: &[u8]) -> Result<Hash, StoreError> {
        let hash = Hash::of(bytes);
        if self.has(&hash) {
            return Ok(hash);
        }
        let packed = encoder.encode(bytes);
        let write = |file: &mut File| -> io::Result<()> {
            // One write: half the time of a small file goes into system calls.
            let mut whole = Vec::with_capacity(HEADER_BYTES + packed.data.len());
            whole.push(packed.codec.as_number());
            whole.extend(packed.raw_len.to_le_bytes());
            whole.extend(&packed.data);
            file.write_all(&whole)
        };
        self.add(hash, write)?;
        Ok(hash)
    }

    /// Adds a file from its beginning to its end without holding it in memory.
    ///
    /// # Errors
    /// When it cannot be read, or the file system of the store refuses.
    pub fn put_file(&self, file: &mut File) -> Result<(Hash, u64), StoreError> {
        let reading = failed("read a file into", self.store.root());
        let mut hasher = Hasher::default();
        let length = copy(file, &mut |piece| hasher.update(piece)).map_err(&reading)?;
        let hash = hasher.finish();
        if self.has(&hash) {
            return Ok((hash, length));
        }
        let codec = pays(file, length).map_err(&reading)?;
        let mut temporary = self.temporary()?;
        // It may have changed since: what is written now is what is named.
        let (hash, length) = pack(file, &mut temporary, codec)
            .map_err(failed("write a file into", self.store.root()))?;
        self.keep(hash, temporary)?;
        Ok((hash, length))
    }

    /// Gives all blobs their names; afterwards they can be found.
    ///
    /// # Errors
    /// When the file system refuses. Blobs that have their names by then are whole and unused.
    pub fn commit(self) -> Result<Added, StoreError> {
        let durable = self.durable;
        let store = self.store;
        let pending = self.pending.into_inner().unwrap_or_else(PoisonError::into_inner).files;
        let singly = pending.len() <= SYNCED_SINGLY_MAX;
        if durable && !singly {
            sync_file_system(store.root())?;
        }
        let mut added = Added::default();
        let mut folders: Vec<PathBuf> = Vec::new();
        for (hash, file) in pending {
            let path = store.path_of(&hash);
            let folder = path.parent().unwrap_or(store.root());
            private_folder(folder).map_err(failed("make", folder))?;
            if !folders.iter().any(|known| known == folder) {
                folders.push(folder.to_owned());
            }
            added.blobs += 1;
            added.bytes += fs::metadata(&file).map_or(0, |metadata| metadata.len());
            file.persist(&path).map_err(|error| failed("write", &path)(error.error))?;
        }
        if durable && singly {
            for folder in &folders {
                let sync = || File::open(folder)?.sync_all();
                sync().map_err(failed("sync", folder))?;
            }
            if !folders.is_empty() {
                let sync = || File::open(store.root())?.sync_all();
                sync().map_err(failed("sync", store.root()))?;
            }
        } else if durable {
            sync_file_system(store.root())?;
        }
        Ok(added)
    }

    /// Whether nothing has to be written. What is found is in use again: a sweep spares it.
    fn has(&self, hash: &Hash) -> bool {
        self.pending().known.contains(hash) || self.store.refresh(hash)
    }

    fn add(
        &self,
        hash: Hash,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let mut temporary = self.temporary()?;
        write(temporary.as_file_mut()).map_err(failed("write a blob into", self.store.root()))?;
        self.keep(hash, temporary)
    }

    fn temporary(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(self.store.root())
            .map_err(failed("write into", self.store.root()))
    }

    fn keep(&self, hash: Hash, file: tempfile::NamedTempFile) -> Result<(), StoreError> {
        // Beyond this many the file system is synced as a whole.
        if self.durable && self.pending().files.len() < SYNCED_SINGLY_MAX {
            let synced = file.as_file().sync_all();
            synced.map_err(failed("sync a blob of", self.store.root()))?;
        }
        let mut pending = self.pending();
        if pending.known.insert(hash) {
            pending.files.push((hash, file.into_temp_path()));
        }
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Whether the blob is there, whole as far as its length says; it counts as new from now on.
    #[must_use]
    pub fn refresh(&self, hash: &Hash) -> bool {
        let path = self.path_of(hash);
        let refresh = || -> io::Result<bool> {
            // Without syncs, a power cut may leave a name without bytes.
            if fs::metadata(&path)?.len() < HEADER_BYTES as u64 {
                return Ok(false);
            }
            File::open(&path)?.set_modified(SystemTime::now())?;
            Ok(true)
        };
        refresh().unwrap_or(false)
    }
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Io { doing, path: path.clone(), error }
}

fn sync_file_system(root: &Path) -> Result<(), StoreError> {
    let sync = || -> io::Result<()> {
        let root = File::open(root)?;
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&root)?;
        #[cfg(not(target_os = "linux"))]
        {
            rustix::fs::fsync(&root)?;
            rustix::fs::sync();
        }
        Ok(())
    };
    sync().map_err(failed("sync", root))
}

/// Reads a file from its beginning, a piece at a time.
fn copy(file: &mut File, take: &mut dyn FnMut(&[u8])) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut piece = vec![0; 256 << 10];
    let mut length = 0;
    loop {
        let count = match file.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if count == 0 {
            return Ok(length);
        }
        take(piece.get(..count).unwrap_or_default());
        length += count as u64;
    }
}

/// Whether it pays to pack this file.
fn pays(file: &mut File, length: u64) -> io::Result<Codec> {
    file.seek(SeekFrom::Start(0))?;
    let mut sample = Vec::new();
    Read::take(&mut *file, SAMPLE_BYTES.min(length)).read_to_end(&mut sample)?;
    let packed = zstd::bulk::compress(&sample, ZSTD_LEVEL)?.len() as u64;
    let length = sample.len() as u64;
    Ok(if packed < length - length / WORTH_ONE_IN { Codec::Zstd } else { Codec::Raw })
}

/// Writes a blob file of this file's content.
fn pack(
    file: &mut File,
    out: &mut tempfile::NamedTempFile,
    codec: Codec,
) -> io::Result<(Hash, u64)> {
    let out = out.as_file_mut();
    out.write_all(&[codec.as_number()])?;
    out.write_all(&[0; 8])?;
    let mut hasher = Hasher::default();
    let mut wrote = Ok(());
    let length = match codec {
        Codec::Raw => copy(file, &mut |piece| {
            hasher.update(piece);
            if wrote.is_ok() {
                wrote = out.write_all(piece);
            }
        })?,
        Codec::Zstd => {
            let mut packer = zstd::stream::Encoder::new(&mut *out, ZSTD_LEVEL)?;
            let length = copy(file, &mut |piece| {
                hasher.update(piece);
                if wrote.is_ok() {
                    wrote = packer.write_all(piece);
                }
            })?;
            packer.finish()?;
            length
        }
    };
    wrote?;
    out.seek(SeekFrom::Start(1))?;
    out.write_all(&length.to_le_bytes())?;
    Ok((hasher.finish(), length))
}
