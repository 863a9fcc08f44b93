//! What a holder is to set up: a policy, made into steps that need no more thought.
//!
//! limn makes the plan, where the file system is still seen as it is; the holder follows it to the
//! letter or says that it cannot.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{git, opened, sockets};
use crate::policy::Policy;

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
    /// A few devices, terminals of its own, and this much shared memory.
    Devices { bytes: u64 },
    /// The processes of the sandbox.
    Processes,
}

impl Mount {
    pub(crate) fn at(&self) -> &Path {
        match self {
            Self::Empty { at, .. } | Self::Show { at, .. } | Self::Hide { at } => Path::new(at),
            Self::Devices { .. } => Path::new("/dev"),
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
    /// Memory of all that runs, bytes.
    pub(crate) memory_bytes: Option<u64>,
    /// The largest file, bytes, where no file system of its own bounds what is written.
    pub(crate) file_bytes: Option<u64>,
}

/// The sockets of the machine, once somebody has looked for them: that takes longer than all the
/// rest, and more than one plan may be made of what was found.
pub(crate) type Sockets = OnceCell<Vec<PathBuf>>;

/// Everything a holder has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) means: Means,
    pub(crate) mounts: Vec<Mount>,
    /// What Landlock lets be read, and run.
    pub(crate) readable: Vec<OsString>,
    /// What it lets be written as well.
    pub(crate) writable: Vec<OsString>,
    /// Whether limn wants a listener inside, for its proxy: also where the network is off, since
    /// the user may open it, and a refusal by name says more than a name that is not found.
    pub(crate) proxy: bool,
    pub(crate) bounds: Bounds,
}

impl Plan {
    /// What a policy asks for, here and now. Where there are no mounts, `private` is a folder that
    /// stands for `/tmp`.
    pub(crate) fn new(
        policy: &Policy,
        means: Means,
        private: Option<&Path>,
        sockets: &Sockets,
    ) -> Result<Self, String> {
        let workspace = &policy.workspace;
        if !workspace.is_dir() {
            return Err(format!("the workspace {} is not there", workspace.display()));
        }
        let limits = &policy.limits;
        let plan = Self {
            means,
            mounts: Vec::new(),
            readable: Vec::new(),
            writable: Vec::new(),
            proxy: means != Means::None,
            bounds: Bounds {
                processes: Some(limits.processes),
                cpu_s: Some(limits.cpu_s),
                memory_bytes: Some(limits.memory_bytes),
                file_bytes: (means == Means::None).then_some(limits.tmp_bytes),
            },
        };
        if means == Means::None {
            let (readable, writable) = opened::paths(policy, private)?;
            return Ok(Self { readable, writable, ..plan });
        }
        let open = [workspace].into_iter().chain(&policy.writable).map(PathBuf::as_path);
        let sockets = sockets.get_or_init(|| sockets::find(&open.collect::<Vec<_>>()));
        let view = View::new(policy, sockets);
        let mut writable = view.writable();
        if means == Means::Bwrap {
            // It leaves the settings of the machine to the rights of their files, and root's own
            // are root's.
            writable.retain(|path| path != "/proc");
        }
        Ok(Self { mounts: view.mounts(), readable: vec!["/".into()], writable, ..plan })
    }

    /// What is covered now and could be uncovered: what is read-only below what can be written, and
    /// what is hidden, which somebody may make later; and sockets, whose listener may come back.
    /// What of git or of limn is not there when the session begins is not waited for: it is the
    /// commands that would make it, and each time they would lose their `/tmp`.
    pub(crate) fn guards(&self, policy: &Policy) -> Vec<Guard> {
        let shown = |writable: bool| {
            let mounts = self.mounts.iter();
            mounts
                .filter(move |it| matches!(it, Mount::Show { writable: is, .. } if *is == writable))
        };
        let written: Vec<&Path> = shown(true).map(Mount::at).collect();
        let frozen = shown(false).map(Mount::at);
        let frozen = frozen.filter(|at| written.iter().any(|above| at.starts_with(above)));
        let hidden = policy.hidden.iter().map(PathBuf::as_path).filter(|it| is_open(policy, it));
        let sockets = policy.sockets.iter().map(PathBuf::as_path);
        frozen.chain(hidden).chain(sockets).map(Guard::new).collect()
    }
}

/// Whether what lies there could be seen if nothing covered it: what is opened lies deeper than
/// what is closed.
fn is_open(policy: &Policy, path: &Path) -> bool {
    let deepest = |folders: &mut dyn Iterator<Item = &Path>| {
        folders.filter(|it| path.starts_with(it)).map(|it| it.components().count()).max()
    };
    let opened = [&policy.workspace].into_iter().chain(&policy.readable).chain(&policy.writable);
    let opened = deepest(&mut opened.map(PathBuf::as_path));
    let private = PRIVATE.iter().map(Path::new);
    let closed = deepest(&mut policy.closed.iter().map(PathBuf::as_path).chain(private));
    opened >= closed
}

/// Something that is covered by a mount, by what it was then: the kernel drops a mount when
/// somebody outside puts another file in its place, as git does with its settings and editors do
/// with whatever they save.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    at: PathBuf,
    was: Option<(u64, u64)>,
}

impl Guard {
    fn new(at: &Path) -> Self {
        Self { at: at.to_owned(), was: identity(at) }
    }

    /// Whether what lies there is what was guarded.
    pub(crate) fn holds(&self) -> bool {
        identity(&self.at) == self.was
    }
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|it| (it.dev(), it.ino()))
}

/// Folders that each session has for itself.
pub(super) const PRIVATE: &[&str] = &["/tmp", "/var/tmp", "/run"];

/// A view of the file system while it is put together: one thing at each path, the last one that
/// was said.
#[derive(Debug, Default)]
pub(super) struct View(BTreeMap<PathBuf, Mount>);

impl View {
    fn new(policy: &Policy, sockets: &[PathBuf]) -> Self {
        let bytes = policy.limits.tmp_bytes;
        let mut view = Self::default();
        for place in PRIVATE {
            view.empty(Path::new(place), bytes);
        }
        view.devices(bytes);
        for closed in &policy.closed {
            view.empty(closed, bytes);
        }
        for readable in &policy.readable {
            view.show(readable, false);
        }
        for writable in &policy.writable {
            view.show(writable, true);
            git::guard(&mut view, writable, true);
        }
        view.show(&policy.workspace, policy.workspace_writable);
        git::guard(&mut view, &policy.workspace, policy.workspace_writable);
        for part in &policy.git {
            view.show(part, true);
            git::guard_folder(&mut view, part);
        }
        for frozen in &policy.frozen {
            view.show(frozen, false);
        }
        for hidden in &policy.hidden {
            view.pin(hidden);
            view.hide(hidden);
        }
        for socket in sockets.iter().filter(|it| !policy.sockets.contains(it)) {
            view.hide(socket);
        }
        for socket in &policy.sockets {
            view.show(socket, false);
        }
        view
    }

    /// An empty folder, if there is one on the machine: nothing can be mounted where nothing is.
    fn empty(&mut self, at: &Path, bytes: u64) {
        if let Ok(at) = at.canonicalize()
            && at.is_dir()
        {
            self.0.insert(at.clone(), Mount::Empty { at: at.into(), bytes });
        }
    }

    /// What lies there, if anything does.
    pub(super) fn show(&mut self, at: &Path, writable: bool) {
        if is_there(at) {
            self.0.insert(at.to_owned(), Mount::Show { at: at.into(), writable });
        }
    }

    /// Makes mounts of the folders on the way to something that is there, as far as they can be
    /// written: a mount cannot be renamed. Otherwise a command could move a folder with what is
    /// protected in it, and the next holder would look for that where it was.
    pub(super) fn pin(&mut self, at: &Path) {
        if !is_there(at) {
            return;
        }
        let folders: Vec<&Path> = at.ancestors().skip(1).collect();
        for folder in folders.into_iter().rev() {
            let is_writable =
                matches!(self.above(folder), Some(Mount::Show { writable: true, .. }));
            if is_writable && !self.0.contains_key(folder) {
                self.show(folder, true);
            }
        }
    }

    /// Nothing there, if there is anything to hide: what is covered anyway is left alone.
    fn hide(&mut self, at: &Path) {
        let is_covered = matches!(self.above(at), Some(Mount::Empty { .. } | Mount::Hide { .. }));
        if is_there(at) && !is_covered {
            self.0.insert(at.to_owned(), Mount::Hide { at: at.into() });
        }
    }

    /// What was said last of a path, or of the nearest folder above it.
    fn above(&self, at: &Path) -> Option<&Mount> {
        self.0.iter().filter(|(path, _)| at.starts_with(path)).map(|(_, it)| it).next_back()
    }

    fn devices(&mut self, bytes: u64) {
        self.0.insert("/dev".into(), Mount::Devices { bytes });
        self.0.insert("/proc".into(), Mount::Processes);
    }

    /// Where something can be written.
    fn writable(&self) -> Vec<OsString> {
        let is_writable =
            |it: &&Mount| !matches!(it, Mount::Show { writable: false, .. } | Mount::Hide { .. });
        self.0.values().filter(is_writable).map(|it| it.at().as_os_str().to_owned()).collect()
    }

    /// The steps, what lies above first.
    fn mounts(self) -> Vec<Mount> {
        self.0.into_values().collect()
    }
}

/// Whether something lies there that a mount can cover. A link cannot be covered, and where it
/// leads to is somebody else's path.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| !it.is_symlink())
}
