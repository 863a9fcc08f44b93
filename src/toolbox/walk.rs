//! Every file below a folder of the workspace, many at a time, but for what `.gitignore` leaves out.
//!
//! Folders are opened one below the other from descriptors and no symbolic link is followed, so
//! whatever is swapped in meanwhile, nothing outside the workspace is seen; hidden folders and
//! files are passed over by their identity. The order is open: who shows what was found sorts it.
//!
//! The folders of version control are never entered. Absent: the ignore files of the user and of
//! folders above the workspace, so that the same tree gives the same answer everywhere.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use crate::beneath::Workspace;
use crate::protected::{Identity, Refusal, identity};

/// How many entries are looked at before a walk ends.
const ENTRIES_MAX: u64 = 2_000_000;
/// How far below the start it goes. Each level may keep a descriptor open.
const LEVELS_MAX: usize = 128;
/// How long it takes at most.
const TIME_MAX: Duration = Duration::from_secs(30);
const THREADS_MAX: usize = 8;
/// Files of one folder that are handed to a thread together.
const FILES_TOGETHER: usize = 64;
/// The longest ignore file that is read, bytes.
const RULES_BYTES_MAX: u64 = 256 << 10;
/// Folders in which version control keeps its own.
const NEVER: [&str; 4] = [".git", ".hg", ".svn", ".jj"];
/// The later one wins.
const RULE_FILES: [&str; 2] = [".gitignore", ".ignore"];

/// A file, or a symbolic link that is not followed.
pub(crate) struct Found<'a> {
    pub(crate) directory: &'a OwnedFd,
    pub(crate) name: &'a OsStr,
    /// Relative to the workspace.
    pub(crate) path: PathBuf,
    pub(crate) is_link: bool,
}

/// What a walk came by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Files and links that were handed out.
    pub(crate) files: u64,
    /// Entries that ignore files leave out; a folder counts once.
    pub(crate) ignored: u64,
    /// Folders that could not be read, or lie too deep.
    pub(crate) unread: u64,
    /// It ended early: there was too much, or it took too long.
    pub(crate) is_cut: bool,
}

/// Walks the folder `start`. Each thread has a state of its own, that `state` makes; `visit` is
/// called with it for each file.
///
/// # Errors
/// When `start` cannot be opened. `Errno::CANCELED` when the walk was cancelled.
pub(crate) fn walk<S>(
    workspace: &Workspace,
    start: &Path,
    cancel: &CancellationToken,
    state: impl Fn() -> S + Sync,
    visit: impl Fn(&mut S, Found<'_>) + Sync,
) -> Result<Seen, Refusal> {
    let listing = workspace.open_listing(start)?;
    let mut rules = None;
    // The rules of the folders above hold below; the start's own are read with its entries.
    for above in start.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        if let Ok(directory) = workspace.open_directory(above) {
            rules = Rules::read(&directory, above, rules);
        }
    }
    let start = Job::Folder { open: Opening::Open(listing), path: start.into(), rules, level: 0 };
    let walk = Walk {
        queue: Mutex::new(Queue { jobs: vec![start], busy: 0 }),
        changed: Condvar::new(),
        hidden: workspace.hidden_now(),
        cancel,
        deadline: Instant::now() + TIME_MAX,
        files: AtomicU64::new(0),
        ignored: AtomicU64::new(0),
        unread: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        is_cut: AtomicBool::new(false),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| walk.work(&state, &visit));
        }
        walk.work(&state, &visit);
    });
    if cancel.is_cancelled() {
        return Err(Errno::CANCELED.into());
    }
    Ok(Seen {
        files: walk.files.into_inner(),
        ignored: walk.ignored.into_inner(),
        unread: walk.unread.into_inner(),
        is_cut: walk.is_cut.into_inner(),
    })
}

/// What a folder's ignore files say, and those above it.
struct Rules {
    own: Gitignore,
    above: Option<Arc<Self>>,
}

impl Rules {
    /// The rules below a folder: its own on top of those above.
    fn read(directory: &OwnedFd, path: &Path, above: Option<Arc<Self>>) -> Option<Arc<Self>> {
        let mut builder = GitignoreBuilder::new(path);
        let mut found = false;
        for name in RULE_FILES {
            for line in lines(directory, name).unwrap_or_default().lines() {
                // A line that is no pattern says nothing, as in git.
                found |= builder.add_line(None, line).is_ok();
            }
        }
        match builder.build() {
            Ok(own) if found && !own.is_empty() => Some(Arc::new(Self { own, above })),
            _ => above,
        }
    }

    /// Whether they leave a path out: the nearest file that says anything decides.
    fn leave_out(&self, path: &Path, is_folder: bool) -> bool {
        let mut rules = Some(self);
        while let Some(here) = rules {
            let said = here.own.matched(path, is_folder);
            if !said.is_none() {
                return said.is_ignore();
            }
            rules = here.above.as_deref();
        }
        false
    }
}

fn lines(directory: &OwnedFd, name: &str) -> Result<String, Errno> {
    let file = open_file(directory, OsStr::new(name))?;
    let mut bytes = Vec::new();
    let read = file.take(RULES_BYTES_MAX).read_to_end(&mut bytes);
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).map_err(|_| Errno::IO)
}

/// Opens a regular file of a folder, without following a link and without waiting for anybody.
pub(crate) fn open_file(directory: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(directory, name, flags | OFlags::CLOEXEC, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
        Ok(File::from(file))
    } else {
        Err(Errno::INVAL)
    }
}

/// A folder that is open, as long as something of it waits.
struct Folder {
    directory: OwnedFd,
    path: PathBuf,
}

enum Opening {
    Open(OwnedFd),
    In(Arc<Folder>, OsString),
}

enum Job {
    Folder { open: Opening, path: PathBuf, rules: Option<Arc<Rules>>, level: usize },
    Files { folder: Arc<Folder>, files: Vec<(OsString, bool)> },
}

struct Queue {
    jobs: Vec<Job>,
    /// Threads that are at work and may add jobs.
    busy: usize,
}

struct Walk<'a> {
    queue: Mutex<Queue>,
    changed: Condvar,
    hidden: Vec<Identity>,
    cancel: &'a CancellationToken,
    deadline: Instant,
    files: AtomicU64,
    ignored: AtomicU64,
    unread: AtomicU64,
    entries: AtomicU64,
    is_cut: AtomicBool,
}

/// A thread that is at work; however it ends, the others learn of it.
struct Busy<'a, 'b>(&'a Walk<'b>);

impl Drop for Busy<'_, '_> {
    fn drop(&mut self) {
        self.0.queue().busy -= 1;
        self.0.changed.notify_all();
    }
}

impl Walk<'_> {
    fn work<S>(&self, state: impl Fn() -> S, visit: impl Fn(&mut S, Found<'_>)) {
        let mut state = state();
        while let Some((job, _busy)) = self.next() {
            match job {
                Job::Folder { open, path, rules, level } => {
                    if self.folder(open, path, rules, level).is_err() {
                        self.unread.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Job::Files { folder, files } => {
                    for (name, is_link) in &files {
                        if self.is_over() {
                            break;
                        }
                        self.files.fetch_add(1, Ordering::Relaxed);
                        let path = folder.path.join(name);
                        let directory = &folder.directory;
                        visit(&mut state, Found { directory, name, path, is_link: *is_link });
                    }
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, when there is one or somebody may still add one.
    fn next(&self) -> Option<(Job, Busy<'_, '_>)> {
        let mut queue = self.queue();
        loop {
            if self.is_over() {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                queue.busy += 1;
                return Some((job, Busy(self)));
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn is_over(&self) -> bool {
        if self.cancel.is_cancelled() || self.is_cut.load(Ordering::Relaxed) {
            return true;
        }
        let over =
            self.entries.load(Ordering::Relaxed) > ENTRIES_MAX || Instant::now() > self.deadline;
        if over {
            self.is_cut.store(true, Ordering::Relaxed);
        }
        over
    }

    /// Reads a folder and adds what is in it to the jobs.
    fn folder(
        &self,
        open: Opening,
        path: PathBuf,
        rules: Option<Arc<Rules>>,
        level: usize,
    ) -> Result<(), Errno> {
        let directory = match open {
            Opening::Open(directory) => directory,
            Opening::In(above, name) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&above.directory, &name, flags, Mode::empty())?
            }
        };
        if !self.hidden.is_empty()
            && self.hidden.contains(&identity(&rustix::fs::fstat(&directory)?))
        {
            return Ok(());
        }
        let entries = self.entries(&directory)?;
        let has_rules = entries.iter().any(|(name, _)| RULE_FILES.iter().any(|rule| name == rule));
        let rules = if has_rules { Rules::read(&directory, &path, rules) } else { rules };
        let folder = Arc::new(Folder { directory, path });
        let mut jobs = Vec::new();
        let mut files = Vec::new();
        for (name, kind) in entries {
            let path = folder.path.join(&name);
            let is_folder = kind == FileType::Directory;
            if rules.as_ref().is_some_and(|rules| rules.leave_out(&path, is_folder)) {
                self.ignored.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if !is_folder {
                files.push((name, kind == FileType::Symlink));
            } else if level == LEVELS_MAX {
                self.unread.fetch_add(1, Ordering::Relaxed);
            } else {
                let open = Opening::In(Arc::clone(&folder), name);
                jobs.push(Job::Folder { open, path, rules: rules.clone(), level: level + 1 });
            }
        }
        // Files come off the queue before folders, so that few folders are open at a time.
        while !files.is_empty() {
            let rest = files.split_off(files.len().min(FILES_TOGETHER));
            jobs.push(Job::Files { folder: Arc::clone(&folder), files });
            files = rest;
        }
        self.queue().jobs.append(&mut jobs);
        self.changed.notify_all();
        Ok(())
    }

    /// The files, links and folders of a folder that a tool may know of.
    fn entries(&self, directory: &OwnedFd) -> Result<Vec<(OsString, FileType)>, Errno> {
        let mut entries = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." || NEVER.iter().any(|never| name == *never) {
                continue;
            }
            let mut kind = entry.file_type();
            let may_be_hidden = self.hidden.iter().any(|(_, inode)| *inode == entry.ino());
            if may_be_hidden || kind == FileType::Unknown {
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if self.hidden.contains(&identity(&stat)) {
                    continue;
                }
                kind = FileType::from_raw_mode(stat.st_mode);
            }
            if self.entries.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_024) && self.is_over()
            {
                break;
            }
            if matches!(kind, FileType::Directory | FileType::RegularFile | FileType::Symlink) {
                entries.push((name.to_os_string(), kind));
            }
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests;
