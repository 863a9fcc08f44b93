//! Writing a file so that it is there whole or not at all.
//!
//! The new content goes to a temporary file beside the target, is synced, and takes the target's
//! name in one step. Everything happens through the descriptor of the directory. A hard link from
//! outside keeps its old content, since the name gets a new file.
//!
//! The one exception is a file that is open alone, without the folder it lies in: nothing is put
//! beside it, and it stays the same file, which is what commands have of it. It is overwritten.
//!
//! Where the file system can, the temporary file has no name until it is complete: whoever is
//! killed while writing leaves nothing behind. It gets a temporary name between two system calls
//! only, since a link cannot take the place of a file. Elsewhere it has its name from the start,
//! and a kill leaves it there. Nobody cleans such leftovers up: another machine or container may
//! be writing in the same folder, and its process numbers say nothing here.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::beneath::Place;

/// Why nothing was written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The system said no.
    System(Errno),
    /// Something else than a file has that name: the word for it.
    NotAFile(&'static str),
    /// It was cancelled before the new content took its place.
    Cancelled,
}

impl From<Errno> for WriteError {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> Self {
        Self::System(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// The file that has this name now; `None` when nobody has it.
pub(crate) fn existing(place: &Place) -> Result<Option<Stat>, WriteError> {
    match rustix::fs::statat(&place.directory, place.name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match kind(&stat) {
            None => Ok(Some(stat)),
            Some(word) => Err(WriteError::NotAFile(word)),
        },
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The word for what is no regular file.
pub(crate) fn kind(stat: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("directory"),
        FileType::Symlink => Some("symbolic link"),
        FileType::Fifo => Some("FIFO"),
        FileType::Socket => Some("socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Some("device"),
        _ => Some("special file"),
    }
}

/// Puts `content` under the name. `before` is what [`existing`] said: its mode and owner stay.
pub(crate) fn replace(
    place: &Place,
    before: Option<&Stat>,
    content: &[u8],
    cancel: &CancellationToken,
) -> Result<(), WriteError> {
    Prepared::new(place, before, content)?.take_place(cancel)
}

/// Content that is on the disk and does not have its name yet. It goes when it is dropped.
pub(crate) struct Prepared<'a> {
    place: &'a Place,
    before: Option<&'a Stat>,
    content: &'a [u8],
    nameless: Option<File>,
    name: Option<String>,
}

impl<'a> Prepared<'a> {
    /// Writes the content beside its place, so that a full disk is noticed before anything
    /// changes.
    pub(crate) fn new(
        place: &'a Place,
        before: Option<&'a Stat>,
        content: &'a [u8],
    ) -> Result<Self, WriteError> {
        let mut prepared = Self { place, before, content, nameless: None, name: None };
        if place.is_alone {
            return Ok(prepared);
        }
        match nameless(place, before) {
            Some(mut file) => {
                fill(&mut file, before, content)?;
                prepared.nameless = Some(file);
            }
            None => prepared.write_named()?,
        }
        Ok(prepared)
    }

    /// Gives the content its name.
    pub(crate) fn take_place(mut self, cancel: &CancellationToken) -> Result<(), WriteError> {
        if self.place.is_alone {
            return overwrite(self.place, self.content, cancel);
        }
        if let Some(file) = self.nameless.take() {
            match with_temporary_name(|name| link(self.place, &file, name)) {
                Ok((name, ())) => self.name = Some(name),
                // Without /proc it cannot be given a name.
                Err(_) => self.write_named()?,
            }
        }
        match self.name.take() {
            Some(name) => take_place(self.place, &name, cancel),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn write_named(&mut self) -> Result<(), WriteError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (name, file) = with_temporary_name(|name| {
            rustix::fs::openat(&self.place.directory, name, flags, first_mode(self.before))
        })?;
        self.name = Some(name);
        fill(&mut File::from(file), self.before, self.content)
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            remove(self.place, name);
        }
    }
}

/// Writes into the file that is there.
fn overwrite(place: &Place, content: &[u8], cancel: &CancellationToken) -> Result<(), WriteError> {
    if cancel.is_cancelled() {
        return Err(WriteError::Cancelled);
    }
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = place.name.as_os_str();
    let mut file = File::from(rustix::fs::openat(&place.directory, name, flags, Mode::empty())?);
    if let Some(word) = kind(&rustix::fs::fstat(&file)?) {
        return Err(WriteError::NotAFile(word));
    }
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()?;
    Ok(())
}

/// Gives a complete file its final name.
fn take_place(place: &Place, name: &str, cancel: &CancellationToken) -> Result<(), WriteError> {
    let taken = if cancel.is_cancelled() {
        Err(WriteError::Cancelled)
    } else {
        let to = place.name.as_os_str();
        rustix::fs::renameat(&place.directory, name, &place.directory, to).map_err(Into::into)
    };
    if taken.is_err() {
        remove(place, name);
    }
    taken
}

fn remove(place: &Place, name: &str) {
    // Nothing better can be done about a leftover than to say what went wrong first.
    let _ = rustix::fs::unlinkat(&place.directory, name, AtFlags::empty());
}

/// A new file gets what the umask leaves; an old one gets its own mode once it is complete.
fn first_mode(before: Option<&Stat>) -> Mode {
    Mode::from_raw_mode(if before.is_some() { 0o600 } else { 0o666 })
}

/// A file that goes when it is closed; none where the file system has no such thing.
#[cfg(target_os = "linux")]
fn nameless(place: &Place, before: Option<&Stat>) -> Option<File> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&place.directory, ".", flags, first_mode(before));
    file.ok().map(File::from)
}

#[cfg(target_os = "linux")]
fn link(place: &Place, file: &File, name: &str) -> Result<(), Errno> {
    use std::os::fd::AsRawFd;

    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = AtFlags::SYMLINK_FOLLOW;
    rustix::fs::linkat(rustix::fs::CWD, path.as_str(), &place.directory, name, flags)
}

#[cfg(not(target_os = "linux"))]
fn nameless(_: &Place, _: Option<&Stat>) -> Option<File> {
    None
}

#[cfg(not(target_os = "linux"))]
fn link(_: &Place, _: &File, _: &str) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Does something that needs a name nobody has.
fn with_temporary_name<T>(
    mut make: impl FnMut(&str) -> Result<T, Errno>,
) -> Result<(String, T), Errno> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..1000 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".limn-{}-{number}.tmp", std::process::id());
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

fn fill(file: &mut File, before: Option<&Stat>, content: &[u8]) -> Result<(), WriteError> {
    file.write_all(content)?;
    if let Some(stat) = before {
        keep_owner(file, stat);
        // Set-user-id and its like are not carried over to content that somebody else wrote.
        rustix::fs::fchmod(&*file, Mode::from_raw_mode(stat.st_mode & 0o777))?;
    }
    file.sync_all()?;
    Ok(())
}

/// Only root may give a file away, and whoever is not root owns the new file as the old one.
fn keep_owner(file: &File, before: &Stat) {
    let now = rustix::fs::fstat(file);
    if now.is_ok_and(|now| now.st_uid != before.st_uid || now.st_gid != before.st_gid) {
        let owner = rustix::fs::Uid::from_raw(before.st_uid);
        let group = rustix::fs::Gid::from_raw(before.st_gid);
        let _ = rustix::fs::fchown(file, Some(owner), Some(group));
    }
}

#[cfg(test)]
mod tests;
