//! A folder that commands may have written into, changed from outside of their sandbox.
//!
//! What lies in it may be a trap: a link to a file of the user, or a pipe that nobody reads. So
//! every step goes from an open folder to a name in it, and no link is followed.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, mkdirat, openat, renameat, symlinkat, unlinkat};
use rustix::io::Errno;

const OPENED: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open folder.
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens one whose own place commands cannot change.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(openat(CWD, path, OPENED, Mode::empty())?))
    }

    /// The folder at a path below, made as far as it is missing.
    ///
    /// # Errors
    /// When something else than a folder lies on the way, a link to one included.
    pub(super) fn make(&self, path: &Path) -> io::Result<Self> {
        let mut reached = Self(self.0.try_clone()?);
        for part in path.components() {
            let Component::Normal(name) = part else { return Err(Errno::INVAL.into()) };
            match mkdirat(&reached.0, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            reached = Self(openat(&reached.0, name, OPENED, Mode::empty())?);
        }
        Ok(reached)
    }

    /// Puts a file in the place of whatever has this name, unless that is a folder.
    pub(super) fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let new = format!(".{name}.{}", std::process::id());
        match unlinkat(&self.0, &new, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.0, &new, flags, Mode::from_raw_mode(0o666))?;
        File::from(file).write_all(text.as_bytes())?;
        Ok(renameat(&self.0, &new, &self.0, name)?)
    }

    /// Puts a link where nothing has this name.
    pub(super) fn link(&self, name: &Path, target: &Path) -> io::Result<()> {
        match symlinkat(target, &self.0, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
