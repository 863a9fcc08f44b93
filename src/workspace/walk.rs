//! The walk over a workspace: what is there, what is known already, what has to be read.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use blob::Hash;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Error, io_error};
use crate::index::{Index, Key, KnownFolder, now_ns};
use crate::manifest::Skipped;
use crate::node::MODE_BITS;
use crate::place::Workspace;
use crate::policy::{CACHEDIR_SIGNATURE, Policy, Reason, Rule, rules_for};
use crate::take::Open;

/// How far below the top it goes: each level keeps a folder open.
pub(crate) const LEVELS_MAX: usize = 200;

/// The longest pointer to a repository that lies elsewhere, bytes.
const GIT_FILE_BYTES_MAX: u64 = 4096;

/// Flags of a folder that is listed and not reached through a link.
pub(crate) const LISTED: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A file to be read.
pub(crate) struct Job {
    /// Its place among the outcomes.
    pub(crate) number: usize,
    pub(crate) folder: Open,
    pub(crate) name: OsString,
    pub(crate) bytes_max: u64,
}

/// A folder, walked.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) mode: u32,
    /// Sorted by name.
    pub(crate) items: Vec<Item>,
}

/// What lies in a folder.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) mtime_ns: i64,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Folder(Folder),
    Link(Vec<u8>),
    /// A file that did not change.
    Known(Key, Hash),
    /// A file that is being read: its place among the outcomes.
    Pending(usize),
}

/// All that was found.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) top: Folder,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) hard_linked: u64,
    pub(crate) began_ns: i64,
}

/// A walk while it goes on.
pub(crate) struct Walk<'a> {
    workspace: &'a Workspace,
    policy: &'a Policy,
    index: &'a Index,
    jobs: SyncSender<Job>,
    stop: &'a [&'a AtomicBool],
    top: Open,
    device: u64,
    /// limn's data folder, should it lie in the workspace.
    own: Option<(u64, u64)>,
    path: Vec<u8>,
    next: usize,
    entries: u64,
    bytes: u64,
    skipped: Vec<Skipped>,
    hard_linked: u64,
    began_ns: i64,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        workspace: &'a Workspace,
        index: &'a Index,
        jobs: SyncSender<Job>,
        stop: &'a [&'a AtomicBool],
    ) -> Result<Self, Error> {
        let began_ns = now_ns();
        let (top, stat) = open_top(&workspace.root)?;
        let own = rustix::fs::stat(&workspace.data).ok().map(|stat| (stat.st_dev, stat.st_ino));
        Ok(Self {
            workspace,
            policy: &workspace.policy,
            index,
            jobs,
            stop,
            top: Arc::new(top),
            device: stat.st_dev,
            own,
            path: Vec::new(),
            next: 0,
            entries: 0,
            bytes: 0,
            skipped: Vec::new(),
            hard_linked: 0,
            began_ns,
        })
    }

    pub(crate) fn run(mut self) -> Result<Walked, Error> {
        let top = Arc::clone(&self.top);
        let stat = rustix::fs::fstat(&*top);
        let mode = stat.map_err(io_error("look at", &self.workspace.root))?.st_mode & MODE_BITS;
        let walked = match names(&top) {
            Ok(names) => self.folder(&top, names, mode, 0, false),
            Err(error) => Err(io_error("list", &self.workspace.root)(error)),
        };
        // A folder that was deleted lists nothing: that is no empty workspace.
        let (_, now) = open_top(&self.workspace.root)?;
        let then = rustix::fs::fstat(&*top);
        if then.map_or(true, |then| (then.st_dev, then.st_ino) != (now.st_dev, now.st_ino)) {
            return Err(Error::Gone { path: self.workspace.root.clone() });
        }
        let top = walked?;
        let Self { skipped, hard_linked, began_ns, .. } = self;
        Ok(Walked { top, skipped, hard_linked, began_ns })
    }

    /// Walks an open folder.
    fn folder(
        &mut self,
        open: &Open,
        names: Vec<Vec<u8>>,
        mode: u32,
        level: usize,
        in_git: bool,
    ) -> Result<Folder, Error> {
        let index = self.index;
        let known = index.folder(&self.path);
        let mut items = Vec::with_capacity(names.len());
        for name in names {
            self.check_limits()?;
            if in_git && is_momentary(&name) {
                continue;
            }
            let above = self.path.len();
            if above > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            let item = self.item(open, name, known, level, in_git);
            self.path.truncate(above);
            items.extend(item?);
        }
        Ok(Folder { mode, items })
    }

    fn item(
        &mut self,
        folder: &Open,
        name: Vec<u8>,
        known: Option<&KnownFolder>,
        level: usize,
        in_git: bool,
    ) -> Result<Option<Item>, Error> {
        let os_name = OsStr::from_bytes(&name);
        let stat = match rustix::fs::statat(&**folder, os_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(_) => return Ok(self.skip(Reason::Unreadable)),
        };
        let mut mode = stat.st_mode & MODE_BITS;
        let mut mtime_ns = Key::of(&stat).mtime_ns;
        let body = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(folder, &name, known, &stat, in_git)?,
            FileType::Directory => {
                mtime_ns = 0;
                let in_git = in_git || name == b".git";
                self.below(folder, &name, &stat, level, in_git)?.map(Body::Folder)
            }
            FileType::Symlink => {
                mode = 0;
                match rustix::fs::readlinkat(&**folder, os_name, Vec::new()) {
                    Ok(target) => Some(Body::Link(target.into_bytes())),
                    Err(_) => None,
                }
            }
            _ => self.skip(Reason::Special),
        };
        Ok(body.map(|body| Item { name, mode, mtime_ns, body }))
    }

    fn below(
        &mut self,
        above: &Open,
        name: &[u8],
        stat: &Stat,
        level: usize,
        in_git: bool,
    ) -> Result<Option<Folder>, Error> {
        if self.own == Some((stat.st_dev, stat.st_ino)) {
            return Ok(self.skip(Reason::OwnData));
        }
        if stat.st_dev != self.device {
            return Ok(self.skip(Reason::OtherFileSystem));
        }
        if level == LEVELS_MAX {
            return Ok(self.skip(Reason::TooDeep));
        }
        let open =
            match rustix::fs::openat(&**above, OsStr::from_bytes(name), LISTED, Mode::empty()) {
                Ok(open) => Arc::new(open),
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(_) => return Ok(self.skip(Reason::Unreadable)),
            };
        let Ok(names) = names(&open) else { return Ok(self.skip(Reason::Unreadable)) };
        let rule = rules_for(name).find(|rule| holds(rule, &names, &open));
        if let Some(rule) = rule {
            return Ok(self.skip(Reason::Rule(rule.number)));
        }
        self.folder(&open, names, stat.st_mode & MODE_BITS, level + 1, in_git).map(Some)
    }

    fn file(
        &mut self,
        folder: &Open,
        name: &[u8],
        known: Option<&KnownFolder>,
        stat: &Stat,
        in_git: bool,
    ) -> Result<Option<Body>, Error> {
        let key = Key::of(stat);
        let is_pack = in_git && name.ends_with(b".pack");
        let bytes_max =
            if is_pack { self.policy.pack_bytes_max } else { self.policy.file_bytes_max };
        if key.size > bytes_max {
            return Ok(self.skip(Reason::TooLarge));
        }
        self.bytes = self.bytes.saturating_add(key.size);
        self.hard_linked += u64::from(stat.st_nlink > 1);
        if name == b".git" && self.leads_elsewhere(folder, stat) {
            self.skip::<()>(Reason::GitElsewhere);
        }
        if let Some(hash) = known.and_then(|known| self.index.file(known, name, &key)) {
            return Ok(Some(Body::Known(key, hash)));
        }
        let number = self.next;
        let name = OsString::from_vec(name.to_vec());
        let job = Job { number, folder: Arc::clone(folder), name, bytes_max };
        if self.jobs.send(job).is_err() {
            return Err(Error::Cancelled);
        }
        self.next += 1;
        Ok(Some(Body::Pending(number)))
    }

    /// Whether a `.git` that is a file names a repository outside of the workspace.
    fn leads_elsewhere(&self, folder: &OwnedFd, stat: &Stat) -> bool {
        if u64::try_from(stat.st_size).unwrap_or(0) > GIT_FILE_BYTES_MAX {
            return false;
        }
        let Some(text) = read_start(folder, OsStr::new(".git"), GIT_FILE_BYTES_MAX) else {
            return false;
        };
        let Some(target) = text.strip_prefix(b"gitdir: ") else { return false };
        let target = to_path(target.trim_ascii_end());
        let root = &self.workspace.root;
        let here = root.join(to_path(&self.path));
        let meant = here.parent().unwrap_or(root).join(target);
        !std::fs::canonicalize(meant).is_ok_and(|meant| meant.starts_with(root))
    }

    fn check_limits(&mut self) -> Result<(), Error> {
        self.entries += 1;
        let path = || self.workspace.root.clone();
        if self.stop.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::Cancelled);
        }
        if self.entries > self.policy.entries_max {
            let limit = format!("{} entries", self.policy.entries_max);
            return Err(Error::TooMuch { path: path(), limit });
        }
        if self.bytes > self.policy.tree_bytes_max {
            let limit = format!("{} MiB", self.policy.tree_bytes_max >> 20);
            return Err(Error::TooMuch { path: path(), limit });
        }
        Ok(())
    }

    fn skip<T>(&mut self, reason: Reason) -> Option<T> {
        self.skipped.push(Skipped { path: to_path(&self.path), reason });
        None
    }
}

pub(crate) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Opens the workspace's own folder.
pub(crate) fn open_top(root: &Path) -> Result<(OwnedFd, Stat), Error> {
    let opened = rustix::fs::open(root, LISTED, Mode::empty());
    let top = match opened {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => {
            return Err(Error::Gone { path: root.to_owned() });
        }
        opened => opened.map_err(io_error("open the workspace", root))?,
    };
    let stat = rustix::fs::fstat(&top).map_err(io_error("look at", root))?;
    Ok((top, stat))
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    // A folder that may be read and not entered can be listed, if it is not opened again.
    for entry in Dir::new(rustix::io::dup(folder)?)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What git makes while it is at work: a lock that came back with a restore would bar it for good.
fn is_momentary(name: &[u8]) -> bool {
    name.ends_with(b".lock")
        || name == b"gc.pid"
        || name.starts_with(b"tmp_obj_")
        || name.starts_with(b"tmp_pack_")
        || name.starts_with(b"tmp_idx_")
}

/// Whether a rule holds for a folder whose name it knows.
pub(crate) fn holds(rule: &Rule, names: &[Vec<u8>], folder: &OwnedFd) -> bool {
    let Some(marker) = rule.marker else { return true };
    if names.binary_search_by(|name| name.as_slice().cmp(marker.as_bytes())).is_err() {
        return false;
    }
    let length = CACHEDIR_SIGNATURE.len() as u64;
    !rule.folders.is_empty()
        || read_start(folder, OsStr::new(marker), length).is_some_and(|it| it == CACHEDIR_SIGNATURE)
}

/// The beginning of a regular file.
pub(crate) fn read_start(folder: &OwnedFd, name: &OsStr, bytes_max: u64) -> Option<Vec<u8>> {
    use std::io::Read;

    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
