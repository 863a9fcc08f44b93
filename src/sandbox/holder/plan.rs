//! What a holder is to set up: a policy, made into steps that need no more thought.
//!
//! limn makes the plan, where the file system is still seen as it is; the holder follows it to the
//! letter or says that it cannot.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Who makes the namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Means {
    /// The holder itself.
    Own,
    /// `bwrap`, which has done so when the holder begins.
    Bwrap,
    /// Nobody: Landlock and seccomp have to do.
    None,
}

/// One change of what is seen of the file system. Those of a plan are in the order in which they
/// are made: what lies above comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mount {
    /// An empty folder in memory that can be written; this large at most.
    Empty { at: OsString, bytes: u64 },
    /// What lies there on the machine.
    Show { at: OsString, writable: bool },
    /// Something that cannot be opened.
    Hide { at: OsString },
    /// A few devices, and terminals of its own.
    Devices,
    /// The processes of the sandbox.
    Processes,
}

impl Mount {
    pub(crate) fn at(&self) -> &Path {
        match self {
            Self::Empty { at, .. } | Self::Show { at, .. } | Self::Hide { at } => Path::new(at),
            Self::Devices => Path::new("/dev"),
            Self::Processes => Path::new("/proc"),
        }
    }
}

/// What commands may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// Processes and threads; none is no bound.
    pub(crate) processes: Option<u64>,
    /// Processor time of one process, seconds.
    pub(crate) cpu_s: Option<u64>,
}

/// Everything a holder has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) means: Means,
    pub(crate) mounts: Vec<Mount>,
    /// What Landlock lets be written.
    pub(crate) writable: Vec<OsString>,
    /// Whether the network is the machine's own.
    pub(crate) shares_network: bool,
    /// Whether limn wants a listener inside, for its proxy.
    pub(crate) proxy: bool,
    pub(crate) bounds: Bounds,
}

/// A view of the file system while it is put together: one thing at each path, the last one that
/// was said.
#[derive(Debug, Default)]
pub(crate) struct View(BTreeMap<PathBuf, Mount>);

impl View {
    /// An empty folder, if there is one on the machine: nothing can be mounted where nothing is.
    pub(crate) fn empty(&mut self, at: &Path, bytes: u64) {
        if at.is_dir() {
            let at = canonical(at);
            self.0.insert(at.clone(), Mount::Empty { at: at.into(), bytes });
        }
    }

    /// What lies there, if anything does.
    pub(crate) fn show(&mut self, at: &Path, writable: bool) {
        if fs::symlink_metadata(at).is_ok_and(|it| !it.is_symlink()) {
            self.0.insert(at.to_owned(), Mount::Show { at: at.into(), writable });
        }
    }

    /// Nothing there, if there is anything.
    pub(crate) fn hide(&mut self, at: &Path) {
        if fs::symlink_metadata(at).is_ok_and(|it| !it.is_symlink()) {
            self.0.insert(at.to_owned(), Mount::Hide { at: at.into() });
        }
    }

    pub(crate) fn devices(&mut self) {
        self.0.insert("/dev".into(), Mount::Devices);
        self.0.insert("/proc".into(), Mount::Processes);
    }

    /// The steps, what lies above first.
    pub(crate) fn mounts(self) -> Vec<Mount> {
        self.0.into_values().collect()
    }
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
