//! The hands of a restore: what it does to the workspace, each step whole or not at all.
//!
//! Everything goes by descriptors from the workspace's own folder down, and no link is followed, so
//! what is swapped in meanwhile leads nowhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use blob::{Hash, Hasher, Store};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{Error, io_error};
use crate::index::Key;
use crate::node::{Entry, Kind, MODE_BITS};
use crate::walk::LISTED;

/// Flags of a folder that is only gone through: being allowed to enter is enough.
#[cfg(target_os = "linux")]
const ENTERED: OFlags = LISTED.union(OFlags::PATH);
#[cfg(not(target_os = "linux"))]
const ENTERED: OFlags = LISTED;

/// Works on one workspace.
pub(crate) struct Hands<'a> {
    root: &'a Path,
    top: OwnedFd,
    store: &'a Store,
    durable: bool,
    /// What a file is called until it is whole. It follows from the restore, so what a killed one
    /// left is known.
    temporary: String,
    /// Folders that had to be opened to write in them, and their modes.
    opened: Vec<(PathBuf, u32)>,
}

impl<'a> Hands<'a> {
    pub(crate) fn new(
        root: &'a Path,
        top: OwnedFd,
        store: &'a Store,
        durable: bool,
        name: &Hash,
    ) -> Self {
        let name = name.to_string();
        let temporary = format!(".limn-restore-{}.tmp", name.get(..16).unwrap_or(&name));
        Self { root, top, store, durable, temporary, opened: Vec::new() }
    }

    /// Opens a folder of the workspace.
    fn folder(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let mut open = rustix::fs::openat(&self.top, ".", ENTERED, Mode::empty())?;
        for name in path {
            open = rustix::fs::openat(&open, name, ENTERED, Mode::empty())?;
        }
        Ok(open)
    }

    fn place<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((self.folder(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn failed(&self, doing: &'static str, path: &Path) -> impl Fn(Errno) -> Error + use<> {
        io_error(doing, &self.root.join(path))
    }

    /// What lies at a path; `None` when nothing does.
    pub(crate) fn look(&self, path: &Path) -> Result<Option<Stat>, Error> {
        let stat = || -> Result<Stat, Errno> {
            let (folder, name) = self.place(path)?;
            rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)
        };
        match stat() {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(self.failed("look at", path)(error)),
        }
    }

    /// Whether a folder lies at a path.
    pub(crate) fn is_folder(&self, path: &Path) -> Result<bool, Error> {
        let stat = self.look(path)?;
        Ok(stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory))
    }

    /// Whether a path is as a checkpoint has it, as far as its times and length tell.
    pub(crate) fn seems(&self, path: &Path, entry: Option<&Entry>) -> Result<bool, Error> {
        let stat = self.look(path)?;
        let (Some(stat), Some(entry)) = (&stat, entry) else {
            return Ok(stat.is_none() && entry.is_none());
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        Ok(match &entry.kind {
            Kind::Folder { .. } => kind == FileType::Directory,
            Kind::Link { .. } => kind == FileType::Symlink && self.is_link(path, entry)?,
            Kind::File { size, .. } => {
                let key = Key::of(stat);
                kind == FileType::RegularFile
                    && stat.st_mode & MODE_BITS == entry.mode
                    && (key.size, key.mtime_ns) == (*size, entry.mtime_ns)
            }
        })
    }

    /// Whether a path is as a checkpoint has it: content, mode, target. Times do not count.
    pub(crate) fn is(&self, path: &Path, entry: Option<&Entry>) -> Result<bool, Error> {
        let stat = self.look(path)?;
        let (Some(stat), Some(entry)) = (&stat, entry) else {
            return Ok(stat.is_none() && entry.is_none());
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        Ok(match &entry.kind {
            Kind::Folder { .. } => {
                kind == FileType::Directory && stat.st_mode & MODE_BITS == entry.mode
            }
            Kind::Link { .. } => kind == FileType::Symlink && self.is_link(path, entry)?,
            Kind::File { size, hash } => {
                kind == FileType::RegularFile
                    && stat.st_mode & MODE_BITS == entry.mode
                    && Key::of(stat).size == *size
                    && self.content(path)? == Some(*hash)
            }
        })
    }

    fn is_link(&self, path: &Path, entry: &Entry) -> Result<bool, Error> {
        let Kind::Link { target } = &entry.kind else { return Ok(false) };
        let read = || {
            let (folder, name) = self.place(path)?;
            rustix::fs::readlinkat(&folder, name, Vec::new())
        };
        let found = read().map_err(self.failed("read the link", path))?;
        Ok(found.as_bytes() == target.as_slice())
    }

    fn content(&self, path: &Path) -> Result<Option<Hash>, Error> {
        use std::io::Read;

        let open = || -> Result<OwnedFd, Errno> {
            let (folder, name) = self.place(path)?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            rustix::fs::openat(&folder, name, flags, Mode::empty())
        };
        let mut file = match open() {
            Ok(file) => File::from(file),
            // What cannot be read is not what was kept.
            Err(_) => return Ok(None),
        };
        let mut hasher = Hasher::default();
        let mut piece = vec![0; 256 << 10];
        loop {
            match file.read(&mut piece) {
                Ok(0) => return Ok(Some(hasher.finish())),
                Ok(count) => hasher.update(piece.get(..count).unwrap_or_default()),
                Err(error) => return Err(io_error("read", &self.root.join(path))(error)),
            }
        }
    }

    /// Takes away a file, a link or an empty folder; false when the folder is not empty.
    pub(crate) fn remove(&mut self, path: &Path, is_folder: bool) -> Result<bool, Error> {
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let removed = self.in_folder_of(path, |folder, name| {
            match rustix::fs::unlinkat(folder, name, flags) {
                Err(Errno::NOENT) => Ok(true),
                Err(Errno::NOTEMPTY | Errno::EXIST) if is_folder => Ok(false),
                other => other.map(|()| true),
            }
        });
        removed.map_err(self.failed("delete", path))
    }

    /// Makes a folder, or finds it there. Its mode comes last, when all is in it.
    pub(crate) fn make_folder(&mut self, path: &Path) -> Result<(), Error> {
        let made = self.in_folder_of(path, |folder, name| {
            match rustix::fs::mkdirat(folder, name, Mode::RWXU) {
                Ok(()) => {
                    if let Ok(made) = rustix::fs::openat(folder, name, LISTED, Mode::empty()) {
                        own_like(folder, &made);
                    }
                    Ok(())
                }
                Err(Errno::EXIST) => {
                    rustix::fs::openat(folder, name, ENTERED, Mode::empty()).map(drop)
                }
                Err(error) => Err(error),
            }
        });
        made.map_err(self.failed("make the folder", path))
    }

    /// Puts a link in its place.
    pub(crate) fn make_link(&mut self, path: &Path, target: &[u8]) -> Result<(), Error> {
        let target = OsStr::from_bytes(target);
        let temporary = self.temporary.clone();
        let made = self.in_folder_of(path, |folder, name| {
            remove_quietly(folder, &temporary);
            rustix::fs::symlinkat(target, folder, temporary.as_str())?;
            take_place(folder, &temporary, name)
        });
        made.map_err(self.failed("make the link", path))
    }

    /// Puts a file in its place, with content that was verified before.
    pub(crate) fn make_file(
        &mut self,
        path: &Path,
        entry: &Entry,
        content: Option<&[u8]>,
    ) -> Result<(), Error> {
        let Kind::File { size, hash } = &entry.kind else { return Ok(()) };
        let (store, durable, temporary) = (self.store, self.durable, self.temporary.clone());
        let mut stored = None;
        let made = self.in_folder_of(path, |folder, name| {
            remove_quietly(folder, &temporary);
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let mode = Mode::RUSR | Mode::WUSR;
            let file =
                rustix::fs::openat(folder, temporary.as_str(), flags | OFlags::CLOEXEC, mode)?;
            let mut file = File::from(file);
            let written = match content {
                Some(bytes) => file.write_all(bytes).map_err(|error| errno(&error)),
                None => store
                    .copy_to(hash, *size, &mut file)
                    .map_err(|error| {
                        stored = Some(Error::from(error));
                        Errno::IO
                    })
                    .and_then(|copied| copied.map(drop).ok_or(Errno::NOENT)),
            };
            let done = written.and_then(|()| {
                own_like_file(folder, name, &file);
                rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode))?;
                if durable { rustix::fs::fsync(&file) } else { Ok(()) }
            });
            done.and_then(|()| take_place(folder, &temporary, name))
                .inspect_err(|_| remove_quietly(folder, &temporary))
        });
        made.map_err(|error| stored.unwrap_or_else(|| self.failed("write", path)(error)))
    }

    /// Gives a file or a folder its mode.
    pub(crate) fn set_mode(&mut self, path: &Path, mode: u32) -> Result<(), Error> {
        let set = || -> Result<(), Errno> {
            if path.as_os_str().is_empty() {
                return rustix::fs::fchmod(&self.top, Mode::from_raw_mode(mode));
            }
            let (folder, name) = self.place(path)?;
            let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                return Err(Errno::LOOP);
            }
            if stat.st_mode & MODE_BITS == mode {
                return Ok(());
            }
            change_mode(&folder, name, mode)
        };
        set().map_err(self.failed("set the mode of", path))
    }

    /// Closes again what had to be opened to be written in.
    pub(crate) fn close_folders(&mut self) -> Result<(), Error> {
        while let Some((path, mode)) = self.opened.pop() {
            if path.as_os_str().is_empty() || self.look(&path)?.is_some() {
                self.set_mode(&path, mode)?;
            }
        }
        Ok(())
    }

    /// Removes what a killed restore left in the folder of this path.
    pub(crate) fn clean(&self, path: &Path) {
        if let Ok((folder, _)) = self.place(path) {
            remove_quietly(&folder, &self.temporary);
        }
    }

    /// Makes the names in the folder of this path durable.
    pub(crate) fn sync_folder(&self, folder: &Path) {
        if self.durable
            && let Ok(folder) = self.folder(folder)
            && let Ok(folder) = rustix::fs::openat(&folder, ".", LISTED, Mode::empty())
        {
            // The next start finds the journal if this came to nothing.
            let _ = rustix::fs::fsync(&folder);
        }
    }

    /// Does something in the folder of a path; one that is closed to its owner is opened meanwhile.
    fn in_folder_of<T>(
        &mut self,
        path: &Path,
        mut act: impl FnMut(&OwnedFd, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let acted = self.place(path).and_then(|(folder, name)| act(&folder, name));
        if !matches!(acted, Err(Errno::ACCESS)) {
            return acted;
        }
        let top = rustix::fs::fstat(&self.top)?.st_mode & MODE_BITS;
        if top & 0o700 != 0o700 {
            rustix::fs::fchmod(&self.top, Mode::from_raw_mode(top | 0o700))?;
            self.opened.push((PathBuf::new(), top));
        }
        let mut below = PathBuf::new();
        for name in path.parent().unwrap_or(Path::new("")) {
            below.push(name);
            let (folder, name) = self.place(&below)?;
            let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_folder && stat.st_mode & 0o700 != 0o700 {
                self.opened.push((below.clone(), stat.st_mode & MODE_BITS));
                change_mode(&folder, name, stat.st_mode & MODE_BITS | 0o700)?;
            }
        }
        let (folder, name) = self.place(path)?;
        act(&folder, name)
    }
}

/// Changes the mode of what is no link.
fn change_mode(folder: &OwnedFd, name: &OsStr, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match rustix::fs::chmodat(folder, name, mode, AtFlags::SYMLINK_NOFOLLOW) {
        // Kernels before 6.6 cannot: by descriptor then, which needs the right to read.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            rustix::fs::fchmod(&file, mode)
        }
        other => other,
    }
}

fn take_place(folder: &OwnedFd, temporary: &str, name: &OsStr) -> Result<(), Errno> {
    rustix::fs::renameat(folder, temporary, folder, name)
        .inspect_err(|_| remove_quietly(folder, temporary))
}

fn remove_quietly(folder: &OwnedFd, name: &str) {
    // That it is not there is what is wanted.
    let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
}

/// A file gets the owner of the one it replaces, else the folder's. Only root can give files away.
fn own_like_file(folder: &OwnedFd, name: &OsStr, file: &File) {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => give(file, &stat),
        Err(_) => own_like(folder, file),
    }
}

fn own_like(folder: &OwnedFd, made: impl AsFd) {
    if let Ok(stat) = rustix::fs::fstat(folder) {
        give(made, &stat);
    }
}

fn give(made: impl AsFd, like: &Stat) {
    let now = rustix::fs::fstat(&made);
    if now.is_ok_and(|now| (now.st_uid, now.st_gid) != (like.st_uid, like.st_gid)) {
        let (owner, group) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
        let _ = rustix::fs::fchown(made, Some(owner), Some(group));
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
