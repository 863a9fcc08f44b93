//! The walk over a workspace: what is there, what is known already, what has to be read.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

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

/// Folders so far below the top are shared among threads: those below them are small, and a thread
/// costs as much as some twenty files.
const SHARED_LEVELS_MAX: usize = 3;

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
#[derive(Debug, Default)]
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

/// What all threads of a walk share.
pub(crate) struct Ground<'a> {
    workspace: &'a Workspace,
    policy: &'a Policy,
    index: &'a Index,
    stop: &'a [&'a AtomicBool],
    top: Open,
    device: u64,
    /// limn's data folder, should it lie in the workspace.
    own: Option<(u64, u64)>,
    began_ns: i64,
    /// Threads that could take a folder over.
    free: AtomicUsize,
    next: AtomicUsize,
    entries: AtomicU64,
    bytes: AtomicU64,
    is_over: AtomicBool,
    failed: Mutex<Option<Error>>,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(
        workspace: &'a Workspace,
        index: &'a Index,
        stop: &'a [&'a AtomicBool],
        threads: usize,
    ) -> Result<Self, Error> {
        let began_ns = now_ns();
        let (top, stat) = open_top(&workspace.root)?;
        let own = rustix::fs::stat(&workspace.data).ok().map(|stat| (stat.st_dev, stat.st_ino));
        Ok(Self {
            workspace,
            policy: &workspace.policy,
            index,
            stop,
            top: Arc::new(top),
            device: stat.st_dev,
            own,
            began_ns,
            free: AtomicUsize::new(threads.saturating_sub(1)),
            next: AtomicUsize::new(0),
            entries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            failed: Mutex::new(None),
        })
    }

    /// Walks everything, in this thread and in others of the scope.
    pub(crate) fn walk<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        jobs: SyncSender<Job>,
    ) -> Result<Walked, Error> {
        let root = &self.workspace.root;
        let stat = rustix::fs::fstat(&*self.top);
        let mode = stat.map_err(io_error("look at", root))?.st_mode & MODE_BITS;
        let path = Vec::new();
        let mut walk = Walk { ground: self, scope, jobs, path, found: Found::default() };
        let walked = match names(&self.top) {
            Ok(names) => walk.folder(&self.top, names, mode, 0, false),
            Err(error) => Err(io_error("list", root)(error)),
        };
        let found = walk.found;
        self.is_over.store(true, Ordering::Relaxed);
        // A folder that was deleted lists nothing: that is no empty workspace.
        let (_, now) = open_top(root)?;
        let then = rustix::fs::fstat(&*self.top);
        if then.map_or(true, |then| (then.st_dev, then.st_ino) != (now.st_dev, now.st_ino)) {
            return Err(Error::Gone { path: root.clone() });
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let top = failed.map_or(walked, Err)?;
        let Found { skipped, hard_linked } = found;
        Ok(Walked { top, skipped, hard_linked, began_ns: self.began_ns })
    }

    /// One more entry.
    fn count(&self) -> Result<(), Error> {
        let path = || self.workspace.root.clone();
        let entries = self.entries.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        let is_stopped = self.stop.iter().any(|stop| stop.load(Ordering::Relaxed));
        if is_stopped || self.is_over.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        if entries >= self.policy.entries_max {
            let limit = format!("{} entries", self.policy.entries_max);
            return Err(Error::TooMuch { path: path(), limit });
        }
        if bytes > self.policy.tree_bytes_max {
            let limit = format!("{} MiB", self.policy.tree_bytes_max >> 20);
            return Err(Error::TooMuch { path: path(), limit });
        }
        Ok(())
    }

    /// Ends the walk of every thread by the first error of any.
    fn fail(&self, error: Error) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }

    /// Takes one of the threads that are free.
    fn another_thread(&self) -> bool {
        let less = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// What a thread has to say of its folders.
#[derive(Debug, Default)]
struct Found {
    skipped: Vec<Skipped>,
    hard_linked: u64,
}

/// A folder that another thread walks; nothing comes of it where that fails.
type Apart<'scope> = ScopedJoinHandle<'scope, Option<(Folder, Found)>>;

/// A folder below another one.
enum Below<'scope> {
    Walked(Folder),
    Apart(Apart<'scope>),
}

/// What one thread does of a walk.
struct Walk<'scope, 'env> {
    ground: &'scope Ground<'scope>,
    scope: &'scope Scope<'scope, 'env>,
    jobs: SyncSender<Job>,
    path: Vec<u8>,
    found: Found,
}

impl<'scope> Walk<'scope, '_> {
    /// Walks an open folder.
    fn folder(
        &mut self,
        open: &Open,
        names: Vec<Vec<u8>>,
        mode: u32,
        level: usize,
        in_git: bool,
    ) -> Result<Folder, Error> {
        let ground = self.ground;
        let known = ground.index.folder(&self.path);
        let mut items = Vec::with_capacity(names.len());
        let mut apart = Vec::new();
        for name in names {
            ground.count()?;
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
            let Some((item, other)) = item? else { continue };
            apart.extend(other.map(|other| (items.len(), other)));
            items.push(item);
        }
        for (at, other) in apart {
            let walked = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            let (folder, found) = walked.ok_or(Error::Cancelled)?;
            self.found.skipped.extend(found.skipped);
            self.found.hard_linked += found.hard_linked;
            if let Some(item) = items.get_mut(at) {
                item.body = Body::Folder(folder);
            }
        }
        Ok(Folder { mode, items })
    }

    /// What lies under a name, and who walks it, if that is another thread.
    fn item(
        &mut self,
        folder: &Open,
        name: Vec<u8>,
        known: Option<&KnownFolder>,
        level: usize,
        in_git: bool,
    ) -> Result<Option<(Item, Option<Apart<'scope>>)>, Error> {
        let os_name = OsStr::from_bytes(&name);
        let stat = match rustix::fs::statat(&**folder, os_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(_) => return Ok(self.skip(Reason::Unreadable)),
        };
        let mut mode = stat.st_mode & MODE_BITS;
        let mut mtime_ns = Key::of(&stat).mtime_ns;
        let mut apart = None;
        let body = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(folder, &name, known, &stat, in_git)?,
            FileType::Directory => {
                mtime_ns = 0;
                let in_git = in_git || name == b".git";
                self.below(folder, &name, &stat, level, in_git)?.map(|below| match below {
                    Below::Walked(folder) => Body::Folder(folder),
                    Below::Apart(other) => {
                        apart = Some(other);
                        Body::Folder(Folder::default())
                    }
                })
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
        Ok(body.map(|body| (Item { name, mode, mtime_ns, body }, apart)))
    }

    fn below(
        &mut self,
        above: &Open,
        name: &[u8],
        stat: &Stat,
        level: usize,
        in_git: bool,
    ) -> Result<Option<Below<'scope>>, Error> {
        if self.ground.own == Some((stat.st_dev, stat.st_ino)) {
            return Ok(self.skip(Reason::OwnData));
        }
        if stat.st_dev != self.ground.device {
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
        let (mode, level) = (stat.st_mode & MODE_BITS, level + 1);
        if level <= SHARED_LEVELS_MAX && self.ground.another_thread() {
            let other = self.apart(open, names, mode, level, in_git);
            return Ok(Some(Below::Apart(other)));
        }
        self.folder(&open, names, mode, level, in_git).map(|folder| Some(Below::Walked(folder)))
    }

    /// Has another thread walk a folder.
    fn apart(
        &self,
        open: Open,
        names: Vec<Vec<u8>>,
        mode: u32,
        level: usize,
        in_git: bool,
    ) -> Apart<'scope> {
        let Self { ground, scope, .. } = *self;
        let (jobs, path) = (self.jobs.clone(), self.path.clone());
        scope.spawn(move || {
            let mut walk = Walk { ground, scope, jobs, path, found: Found::default() };
            let walked = walk.folder(&open, names, mode, level, in_git);
            ground.free.fetch_add(1, Ordering::Relaxed);
            match walked {
                Ok(folder) => Some((folder, walk.found)),
                Err(error) => {
                    ground.fail(error);
                    None
                }
            }
        })
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
        let policy = self.ground.policy;
        let bytes_max = if is_pack { policy.pack_bytes_max } else { policy.file_bytes_max };
        if key.size > bytes_max {
            return Ok(self.skip(Reason::TooLarge));
        }
        self.ground.bytes.fetch_add(key.size, Ordering::Relaxed);
        self.found.hard_linked += u64::from(stat.st_nlink > 1);
        if name == b".git" && self.leads_elsewhere(folder, stat) {
            self.skip::<()>(Reason::GitElsewhere);
        }
        if let Some(hash) = known.and_then(|known| self.ground.index.file(known, name, &key)) {
            return Ok(Some(Body::Known(key, hash)));
        }
        let number = self.ground.next.fetch_add(1, Ordering::Relaxed);
        let name = OsString::from_vec(name.to_vec());
        let job = Job { number, folder: Arc::clone(folder), name, bytes_max };
        if self.jobs.send(job).is_err() {
            return Err(Error::Cancelled);
        }
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
        let root = &self.ground.workspace.root;
        let here = root.join(to_path(&self.path));
        let meant = here.parent().unwrap_or(root).join(target);
        !std::fs::canonicalize(meant).is_ok_and(|meant| meant.starts_with(root))
    }

    fn skip<T>(&mut self, reason: Reason) -> Option<T> {
        self.found.skipped.push(Skipped { path: to_path(&self.path), reason });
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
    let mut listed = Dir::new(rustix::io::dup(folder)?)?;
    // Whoever has listed it before has left it at its end.
    listed.rewind();
    for entry in listed {
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
