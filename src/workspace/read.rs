//! Reading one file into the store while others may be writing it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use blob::{Batch, Encoder, Hash};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Error;
use crate::index::Key;
use crate::node::MODE_BITS;

/// A longer file is not held in memory, bytes.
const WHOLE_BYTES_MAX: u64 = 8 << 20;

/// How often a file that changes while it is read is read.
const ATTEMPTS: usize = 3;

/// What reading a file came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is in the store.
    Kept(Kept),
    /// It may not be read.
    Unreadable,
    /// It is longer than the limit by now.
    TooLarge,
    /// It is no regular file any more, or gone.
    Gone,
}

/// A file in the store.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) hash: Hash,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) key: Key,
    /// It was the same before and after.
    pub(crate) steady: bool,
}

/// Reads a file of an open folder. A link in its place is not followed, a pipe not waited for.
pub(crate) fn keep(
    folder: &OwnedFd,
    name: &OsStr,
    bytes_max: u64,
    batch: &Batch<'_>,
    encoder: &mut Encoder,
) -> Result<Outcome, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::openat(folder, name, flags | OFlags::CLOEXEC, Mode::empty());
    let mut file = match opened {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NOTDIR) => return Ok(Outcome::Gone),
        Err(_) => return Ok(Outcome::Unreadable),
    };
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let Ok(before) = rustix::fs::fstat(&file) else { return Ok(Outcome::Unreadable) };
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Ok(Outcome::Gone);
        }
        let key = Key::of(&before);
        if key.size > bytes_max {
            return Ok(Outcome::TooLarge);
        }
        let Some((hash, size)) = read(&mut file, key.size, batch, encoder)? else {
            return Ok(Outcome::Unreadable);
        };
        let Ok(after) = rustix::fs::fstat(&file) else { return Ok(Outcome::Unreadable) };
        let steady = Key::of(&after) == key && size == key.size;
        let mode = after.st_mode & MODE_BITS;
        last = Some(Kept { hash, size, mode, key: Key::of(&after), steady });
        if steady {
            break;
        }
    }
    Ok(last.map_or(Outcome::Unreadable, Outcome::Kept))
}

/// The content of a file; `None` when it cannot be read. An error is the store's.
fn read(
    file: &mut File,
    size: u64,
    batch: &Batch<'_>,
    encoder: &mut Encoder,
) -> Result<Option<(Hash, u64)>, Error> {
    if size > WHOLE_BYTES_MAX {
        return Ok(Some(batch.put_file(file)?));
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    let read = || -> io::Result<usize> {
        file.seek(SeekFrom::Start(0))?;
        // One that grows meanwhile is read up to a limit, and seen to have changed.
        Read::take(&mut *file, 2 * WHOLE_BYTES_MAX).read_to_end(&mut bytes)
    };
    let mut read = read;
    if read().is_err() {
        return Ok(None);
    }
    Ok(Some((batch.put(encoder, &bytes)?, bytes.len() as u64)))
}
