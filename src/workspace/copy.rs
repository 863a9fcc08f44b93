//! Writing a checkpoint out into a new folder, as it was: content, modes, links, times.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use blob::{Hash, Store};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::error::{Error, io_error};
use crate::manifest::{Manifest, load_node};
use crate::node::{Entry, Kind};
use crate::walk::LISTED;

const THREADS_MAX: usize = 4;
const JOBS_WAITING_MAX: usize = 256;

/// Writes a checkpoint out into a folder that is made for it. What the checkpoint left out is not
/// in it. Bytes are shared with `twin`, an expanded copy of the same checkpoint, where the file
/// system can.
///
/// # Errors
/// When the folder is there already, cannot be written, or a blob is missing or damaged; the folder
/// is removed then.
pub(crate) fn copy(
    store: &Store,
    manifest: &Manifest,
    into: &Path,
    twin: Option<&Path>,
) -> Result<(), Error> {
    fs::create_dir(into).map_err(io_error("make the folder", into))?;
    let copied = write_all(store, manifest, into, twin);
    if copied.is_err() {
        remove_all(into);
    }
    copied
}

/// Deletes a folder with all that is in it, closed folders too.
pub(crate) fn remove_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;

    if fs::remove_dir_all(folder).is_ok() {
        return;
    }
    // Folders that their owner may not write are opened first.
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o700));
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        open.extend(entries.flatten().filter_map(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_dir()).then(|| entry.path())
        }));
    }
    // Nothing better can be done about what is left.
    let _ = fs::remove_dir_all(folder);
}

fn write_all(
    store: &Store,
    manifest: &Manifest,
    into: &Path,
    twin: Option<&Path>,
) -> Result<(), Error> {
    let top = rustix::fs::open(into, LISTED, Mode::empty());
    let top = Arc::new(top.map_err(io_error("open", into))?);
    let twin = twin.and_then(|twin| rustix::fs::open(twin, LISTED, Mode::empty()).ok());
    let (sender, receiver) = sync_channel(JOBS_WAITING_MAX);
    let writers = Writers {
        store,
        into,
        jobs: Mutex::new(receiver),
        failed: Mutex::default(),
        stop: AtomicBool::new(false),
        shares: AtomicBool::new(twin.is_some()),
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut modes = Vec::new();
    let walked: Result<(), Error> = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| writers.work());
        }
        let mut copy = Copy { store, into, jobs: sender, modes: &mut modes };
        copy.folder(&manifest.node, &top, twin.map(Arc::new).as_ref())
    });
    if let Some(error) = writers.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    walked?;
    let set = |folder: &OwnedFd, mode: u32| {
        rustix::fs::fchmod(folder, Mode::from_raw_mode(mode))
            .map_err(io_error("set a mode in", into))
    };
    // The lowest first: a closed folder bars the way to those in it.
    for (above, name, mode) in modes.into_iter().rev() {
        let folder = rustix::fs::openat(&*above, &name, LISTED, Mode::empty());
        set(&folder.map_err(io_error("open a folder in", into))?, mode)?;
    }
    set(&top, manifest.mode)
}

struct Job {
    folder: Arc<OwnedFd>,
    twin: Option<Arc<OwnedFd>>,
    name: OsString,
    mode: u32,
    mtime_ns: i64,
    size: u64,
    hash: Hash,
}

/// The thread that makes folders and links, and tells the others which files to write.
struct Copy<'a> {
    store: &'a Store,
    into: &'a Path,
    jobs: SyncSender<Job>,
    /// Folders that are to be closed once all is in them.
    modes: &'a mut Vec<(Arc<OwnedFd>, OsString, u32)>,
}

impl Copy<'_> {
    fn folder(
        &mut self,
        node: &Hash,
        open: &Arc<OwnedFd>,
        twin: Option<&Arc<OwnedFd>>,
    ) -> Result<(), Error> {
        for entry in load_node(self.store, node)? {
            let Entry { name, mode, mtime_ns, kind } = entry;
            let name = OsString::from_vec(name);
            let failed = io_error("write into", self.into);
            match kind {
                Kind::Folder { node, .. } => {
                    let made = rustix::fs::mkdirat(&**open, &name, Mode::RWXU)
                        .and_then(|()| rustix::fs::openat(&**open, &name, LISTED, Mode::empty()));
                    let below = Arc::new(made.map_err(failed)?);
                    let twin = twin.and_then(|twin| {
                        rustix::fs::openat(&**twin, &name, LISTED, Mode::empty()).ok()
                    });
                    self.folder(&node, &below, twin.map(Arc::new).as_ref())?;
                    if mode & 0o700 == 0o700 {
                        let mode = Mode::from_raw_mode(mode);
                        rustix::fs::fchmod(&*below, mode)
                            .map_err(io_error("write into", self.into))?;
                    } else {
                        self.modes.push((Arc::clone(open), name, mode));
                    }
                }
                Kind::Link { target } => {
                    let target = OsString::from_vec(target);
                    rustix::fs::symlinkat(&target, &**open, &name).map_err(&failed)?;
                    let times = times(mtime_ns);
                    rustix::fs::utimensat(&**open, &name, &times, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(failed)?;
                }
                Kind::File { size, hash } => {
                    let (folder, twin) = (Arc::clone(open), twin.cloned());
                    let job = Job { folder, twin, name, mode, mtime_ns, size, hash };
                    self.jobs.send(job).map_err(|_| Error::Cancelled)?;
                }
            }
        }
        Ok(())
    }
}

struct Writers<'a> {
    store: &'a Store,
    into: &'a Path,
    jobs: Mutex<Receiver<Job>>,
    failed: Mutex<Option<Error>>,
    stop: AtomicBool,
    /// The file system can share bytes between files, as far as is known.
    shares: AtomicBool,
}

impl Writers<'_> {
    fn work(&self) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            // What is left is only taken, so that nobody waits for ever.
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = self.write(&job) {
                self.stop.store(true, Ordering::Relaxed);
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }

    fn write(&self, job: &Job) -> Result<(), Error> {
        let failed = io_error("write into", self.into);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(&*job.folder, &job.name, flags | OFlags::CLOEXEC, mode);
        let mut file = File::from(file.map_err(&failed)?);
        if !self.share(job, &file) {
            let copied = self.store.copy_to(&job.hash, job.size, &mut file)?;
            copied.ok_or(Error::Missing { hash: job.hash })?;
        }
        let done = rustix::fs::fchmod(&file, Mode::from_raw_mode(job.mode))
            .and_then(|()| rustix::fs::futimens(&file, &times(job.mtime_ns)));
        done.map_err(failed)
    }

    /// Lets the file share its bytes with its twin; false where that cannot be.
    #[cfg(target_os = "linux")]
    fn share(&self, job: &Job, file: &File) -> bool {
        let Some(twin) = job.twin.as_ref().filter(|_| self.shares.load(Ordering::Relaxed)) else {
            return false;
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let shared = rustix::fs::openat(&**twin, &job.name, flags, Mode::empty())
            .and_then(|twin| rustix::fs::ioctl_ficlone(file, twin));
        if matches!(shared, Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS)) {
            self.shares.store(false, Ordering::Relaxed);
        }
        shared.is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn share(&self, _: &Job, _: &File) -> bool {
        false
    }
}

fn times(mtime_ns: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime_ns.div_euclid(1_000_000_000),
        tv_nsec: mtime_ns.rem_euclid(1_000_000_000) as _,
    };
    Timestamps { last_access: time, last_modification: time }
}
