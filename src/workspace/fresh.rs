//! Throw-away copies of a checkpoint: what is done in one touches neither the workspace nor the
//! next copy.
//!
//! As an overlay, the expanded checkpoint lies below and is only read, and changes go into a scratch
//! folder: a copy costs a mount, however large the workspace. A mount belongs to a namespace, and a
//! namespace to a process: so a sandbox that has one mounts [`Overlay::options`] itself, and a
//! process of its own, with one thread, can use [`Overlay::enter`]. Where neither can be had, the
//! files are copied, and share their bytes with the expanded checkpoint where the file system can.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use blob::{Hash, Store};

use crate::copy::{copy, remove_all};
use crate::error::{Error, io_error};
use crate::manifest::Manifest;
use crate::place::private_folder;
use crate::snapshot::Snapshot;

/// How a fresh copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Changes are laid over the expanded checkpoint.
    Overlay,
    /// Every file is copied.
    Copy,
}

/// A throw-away copy. It goes when it is dropped.
#[derive(Debug)]
pub struct FreshCopy {
    scratch: PathBuf,
    root: PathBuf,
    overlay: Option<Overlay>,
    _snapshot: Snapshot,
}

impl FreshCopy {
    /// Makes a copy of a checkpoint in a new folder `scratch`.
    ///
    /// # Errors
    /// When the checkpoint is missing or damaged, or `scratch` is there or cannot be made.
    pub fn new(data: &Path, tree: &Hash, scratch: &Path, how: How) -> Result<Self, Error> {
        let snapshot = Snapshot::of(data, tree)?;
        if scratch.exists() {
            let error = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(io_error("make", scratch)(error));
        }
        private_folder(scratch)?;
        let root = scratch.join("root");
        let made = match how {
            How::Overlay => Overlay::below(snapshot.path(), scratch, &root).map(Some),
            How::Copy => {
                let store = Store::new(data.join("blobs"));
                Manifest::load(&store, tree)
                    .and_then(|manifest| copy(&store, &manifest, &root, Some(snapshot.path())))
                    .map(|()| None)
            }
        };
        match made {
            Ok(overlay) => {
                Ok(Self { scratch: scratch.to_owned(), root, overlay, _snapshot: snapshot })
            }
            Err(error) => {
                remove_all(scratch);
                Err(error)
            }
        }
    }

    /// The copy's own folder. That of an overlay is empty until it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What has to be mounted on [`FreshCopy::root`], if anything.
    #[must_use]
    pub const fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }
}

impl Drop for FreshCopy {
    fn drop(&mut self) {
        remove_all(&self.scratch);
    }
}

/// A mount that lays changes over an expanded checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Where it is mounted.
    pub at: PathBuf,
    /// The expanded checkpoint: read, never written.
    pub lower: PathBuf,
    /// Where changes go.
    pub upper: PathBuf,
    /// What the file system needs for itself.
    pub work: PathBuf,
}

impl Overlay {
    fn below(lower: &Path, scratch: &Path, at: &Path) -> Result<Self, Error> {
        let (upper, work) = (scratch.join("changes"), scratch.join("work"));
        for folder in [&upper, &work, &at.to_owned()] {
            private_folder(folder)?;
        }
        // What is mounted has the mode of the uppermost folder.
        let mode = fs::metadata(lower).map_err(io_error("look at", lower))?.permissions();
        fs::set_permissions(&upper, mode).map_err(io_error("set the mode of", &upper))?;
        Ok(Self { at: at.to_owned(), lower: lower.to_owned(), upper, work })
    }

    /// The data of `mount(2)` for the file system `overlay`. In a user namespace it keeps its marks
    /// where users may.
    #[must_use]
    pub fn options(&self, in_user_namespace: bool) -> Vec<u8> {
        let mut options = Vec::new();
        for (key, path) in
            [("lowerdir=", &self.lower), (",upperdir=", &self.upper), (",workdir=", &self.work)]
        {
            options.extend_from_slice(key.as_bytes());
            for byte in path.as_os_str().as_bytes() {
                if matches!(byte, b'\\' | b',' | b':') {
                    options.push(b'\\');
                }
                options.push(*byte);
            }
        }
        if in_user_namespace {
            options.extend_from_slice(b",userxattr");
        }
        options
    }

    /// Gives this process its own mounts and mounts the copy there. The process must have one thread
    /// only; what it starts afterwards sees the copy too, and nobody else does.
    ///
    /// # Errors
    /// When the system has no namespaces for this user, or no overlays in them.
    #[cfg(target_os = "linux")]
    pub fn enter(&self) -> Result<(), Error> {
        use nix::sched::{CloneFlags, unshare};
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

        let denied = |error: std::io::Error| Error::NoOverlay { error };
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let is_root = user.is_root() && unshare(CloneFlags::CLONE_NEWNS).is_ok();
        if !is_root {
            unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)
                .map_err(|error| denied(error.into()))?;
            // Groups of others cannot be mapped, so they cannot be given up either.
            fs::write("/proc/self/setgroups", "deny").map_err(denied)?;
            for (file, id) in [("uid_map", user.as_raw()), ("gid_map", group.as_raw())] {
                fs::write(format!("/proc/self/{file}"), format!("{id} {id} 1")).map_err(denied)?;
            }
        }
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(|error| denied(error.into()))?;
        let options =
            std::ffi::CString::new(self.options(!is_root)).map_err(|error| denied(error.into()))?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        mount("overlay", &self.at, "overlay", flags, options.as_c_str())
            .map_err(|error| denied(error.into()))
    }

    /// There are no overlays on this system.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn enter(&self) -> Result<(), Error> {
        Err(Error::NoOverlay { error: std::io::ErrorKind::Unsupported.into() })
    }
}

#[cfg(test)]
mod tests;
