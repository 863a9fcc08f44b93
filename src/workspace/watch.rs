//! Whether anything was changed in a workspace, without looking at all of it.
//!
//! What changed is always found by comparing checkpoints ([`Workspace::user_edit`]); a watch only
//! says when comparing is worth the while. So it may be wrong in one direction: a change that it
//! reports late, or that undoes itself, costs a comparison and nothing else.
//!
//! The system tells of changes in their order, a moment later. Whoever has to know what came before
//! makes a file of its own beside the workspace and waits to be told of that ([`Watch::has_seen`]).
//!
//! Each folder is watched by itself, because what checkpoints leave out and what git ignores is not:
//! a build that writes thousands of files into such a folder costs nothing here. A thread of its own
//! adds the folders that appear; what is done in one of them before told nobody, so that it is
//! watched from now on counts as a change. When the system allows no more watches, or there are more
//! folders than are ever watched, the watch is blind, and says so.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{process, thread};

use notify::event::ModifyKind;
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::error::Error;
use crate::ignored::Ignored;
use crate::place::{Workspace, private_folder};
use crate::policy::rules_for;
use crate::walk::{LEVELS_MAX, LISTED, holds, names, open_top};

/// More folders are never watched: each costs memory of the kernel.
const FOLDERS_MAX: usize = 16_384;
/// So many new folders wait to be watched; when there are more, all are looked for.
const APPEARED_MAX: usize = 1024;
/// Nothing has happened for so long: whoever changes many files is done.
const QUIET: Duration = Duration::from_millis(120);
/// Whoever never comes to rest is waited for this long.
const UNREST_MAX: Duration = Duration::from_millis(600);
/// What was done before is known by then, unless very much is being done.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);
/// How many watches this process has begun: each knows its own files.
static BEGUN: AtomicU64 = AtomicU64::new(0);
/// The watches of a workspace are laid by then, or what happens there keeps them from being laid.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// A second with so many events is one of a flood, and so many of them in a row are too many: a
/// flood never lets the library that listens do anything else, and what it keeps meanwhile grows.
const FLOOD_EVENTS: u32 = 5_000;
const FLOOD_SECONDS: u32 = 5;
/// How often it is looked whether the wait was called off.
const LOOKED_EVERY: Duration = Duration::from_millis(20);

const NO_MORE_WATCHES: &str = "The system allows no more watches, so what you edit while the agent \
                               works is not noticed. Raise fs.inotify.max_user_watches and \
                               fs.inotify.max_user_instances.";

const FLOOD: &str = "So much changes in the workspace all the time that it is not watched any more: \
                     what you edit while the agent works is noticed with your next prompt only.";

/// A workspace that is watched until this is dropped.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Seen>,
    /// To the thread that adds folders.
    folders: SyncSender<PathBuf>,
}

/// What has been seen.
struct Seen {
    root: PathBuf,
    /// Where the own files are made, and how their names begin.
    state: PathBuf,
    own: String,
    /// The number of the last that was made.
    made: AtomicU64,
    told: Mutex<Told>,
    has_told: Condvar,
    began: Instant,
    /// Something changed since it was last asked to forget.
    something: AtomicBool,
    /// When that was last, milliseconds since it began.
    last_ms: AtomicU64,
    /// Folders appeared that were not told of one by one.
    has_lost: AtomicBool,
    ignored: Mutex<Ignored>,
    blind: Mutex<Option<String>>,
    flood: Mutex<Flood>,
    /// Nobody listens any more.
    is_over: AtomicBool,
}

/// How far the news is that came.
#[derive(Default)]
struct Told {
    /// The number of the last own file that was told of.
    own: u64,
    /// Folders that appeared and are not watched yet.
    unwatched: usize,
}

/// How many events come.
#[derive(Default)]
struct Flood {
    second: u64,
    events: u32,
    /// Seconds of a flood that came one after the other.
    seconds: u32,
}

impl Flood {
    /// Takes an event of this second; whether there are too many for too long.
    fn rises(&mut self, second: u64) -> bool {
        if second != self.second {
            let goes_on = self.events >= FLOOD_EVENTS && second == self.second + 1;
            self.seconds = if goes_on { self.seconds + 1 } else { 0 };
            (self.second, self.events) = (second, 0);
        }
        self.events = self.events.saturating_add(1);
        self.seconds >= FLOOD_SECONDS
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Seen").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins to watch; when it returns, nothing that happens is missed.
    ///
    /// # Errors
    /// When the workspace is gone.
    pub fn begin(workspace: &Workspace) -> Result<Self, Error> {
        let (_, stat) = open_top(&workspace.root)?;
        let (sender, receiver) = sync_channel(APPEARED_MAX);
        let seen = Arc::new(Seen {
            root: workspace.root.clone(),
            state: workspace.state.clone(),
            own: format!("seen-{}-{}-", process::id(), BEGUN.fetch_add(1, Ordering::Relaxed)),
            made: AtomicU64::new(0),
            told: Mutex::default(),
            has_told: Condvar::new(),
            began: Instant::now(),
            something: AtomicBool::new(false),
            last_ms: AtomicU64::new(0),
            has_lost: AtomicBool::new(false),
            ignored: Mutex::new(Ignored::of(&workspace.root)),
            blind: Mutex::new(None),
            flood: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let hears = (Arc::clone(&seen), sender.clone());
        let watcher = notify::recommended_watcher(move |event| hears.0.take(event, &hears.1));
        let watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                seen.go_blind(&error);
                return Ok(Self { seen, folders: sender });
            }
        };
        let own = rustix::fs::stat(&workspace.data).ok().map(|stat| (stat.st_dev, stat.st_ino));
        let device = stat.st_dev;
        let mut folders =
            Folders { seen: Arc::clone(&seen), watcher, watched: HashSet::new(), device, own };
        private_folder(&workspace.state)?;
        let state = workspace.state.clone();
        let (ready, is_ready) = sync_channel(1);
        // The watcher holds a sender too, and the thread holds the watcher: so it is told to end.
        thread::spawn(move || {
            if let Err(error) = folders.watcher.watch(&state, RecursiveMode::NonRecursive) {
                folders.seen.go_blind(&error);
            }
            folders.add(PathBuf::new());
            let _ = ready.send(());
            folders.follow(&receiver);
        });
        if is_ready.recv_timeout(BEGIN_MAX).is_err() {
            seen.give_up();
        }
        Ok(Self { seen, folders: sender })
    }

    /// Whether something has changed since it was last told to forget: whatever was done before this
    /// is asked counts. A blind one knows nothing.
    #[must_use]
    pub fn has_seen(&self) -> bool {
        let has_seen = || self.seen.something.load(Ordering::Acquire);
        // Who is not told in time is told that much happens.
        has_seen() || (self.blindness().is_none() && !self.seen.catch_up()) || has_seen()
    }

    /// What has changed so far is known.
    pub fn forget(&self) {
        self.seen.something.store(false, Ordering::Release);
    }

    /// Waits until nothing has changed for a moment, but not for ever, and not after `cancel` is set.
    /// Whether it came to rest.
    pub fn wait_for_rest(&self, cancel: &AtomicBool) -> bool {
        let began = Instant::now();
        while !cancel.load(Ordering::Relaxed) && began.elapsed() < UNREST_MAX {
            let last = Duration::from_millis(self.seen.last_ms.load(Ordering::Acquire));
            if self.seen.began.elapsed().saturating_sub(last) >= QUIET {
                return true;
            }
            thread::park_timeout(LOOKED_EVERY);
        }
        false
    }

    /// Why it sees nothing, and what to do, when it is blind.
    #[must_use]
    pub fn blindness(&self) -> Option<String> {
        self.seen.blind.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Release);
        // An empty path is the end. Whoever is kept from listening ends with the process.
        let _ = self.folders.try_send(PathBuf::new());
    }
}

impl Seen {
    /// Waits until all is known that was done before; false when that takes too long.
    fn catch_up(&self) -> bool {
        let number = self.made.fetch_add(1, Ordering::AcqRel) + 1;
        let own = self.state.join(format!("{}{number}", self.own));
        if std::fs::File::create(&own).is_err() {
            return false;
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |told: &mut Told| told.own < number || told.unwatched > 0;
        let waited = self.has_told.wait_timeout_while(told, CATCH_UP_MAX, waits);
        let is_told = !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        // It is empty, and the next one has another name.
        let _ = std::fs::remove_file(&own);
        is_told
    }

    /// Hears of a file of its own.
    fn hear(&self, own: &Path) {
        let name =
            own.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(&self.own));
        if let Some(number) = name.and_then(|number| number.parse::<u64>().ok()) {
            self.tell(|told| told.own = number.max(told.own));
        }
    }

    fn tell(&self, news: impl FnOnce(&mut Told)) {
        news(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.has_told.notify_all();
    }

    /// Takes what the system says.
    fn take(&self, event: notify::Result<Event>, folders: &SyncSender<PathBuf>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.go_blind(&error),
        };
        let second = self.began.elapsed().as_secs();
        if self.flood.lock().unwrap_or_else(PoisonError::into_inner).rises(second) {
            self.give_up();
            // What the system keeps for this thread has a bound; what this thread would has none.
            while !self.is_over.load(Ordering::Acquire) {
                thread::park_timeout(QUIET);
            }
            return;
        }
        if event.need_rescan() {
            // Some were lost: there may be folders that nobody watches.
            self.note();
            return self.appeared(self.root.clone(), folders);
        }
        if matches!(event.kind, EventKind::Access(_) | EventKind::Other) {
            return;
        }
        let may_be_new =
            matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_)));
        for path in &event.paths {
            if path.starts_with(&self.state) {
                self.hear(path);
                continue;
            }
            let Ok(inside) = path.strip_prefix(&self.root) else { continue };
            if inside.iter().any(|name| name == ".git") {
                continue;
            }
            let is_folder = may_be_new && path.symlink_metadata().is_ok_and(|it| it.is_dir());
            if is_folder {
                self.appeared(path.clone(), folders);
            }
            // Once it is known that something changed, what it was is of no interest.
            if self.something.load(Ordering::Acquire) || !self.is_ignored(inside, is_folder) {
                self.note();
            }
        }
    }

    /// Says that a folder is new. Who listens may be waiting for this very thread, so this never
    /// waits; when there are too many, all are looked for.
    fn appeared(&self, folder: PathBuf, folders: &SyncSender<PathBuf>) {
        self.tell(|told| told.unwatched += 1);
        if let Err(error) = folders.try_send(folder) {
            self.tell(|told| told.unwatched -= 1);
            if matches!(error, TrySendError::Full(_)) {
                self.has_lost.store(true, Ordering::Release);
            }
        }
    }

    fn is_ignored(&self, path: &Path, is_folder: bool) -> bool {
        let mut ignored = self.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        if path.file_name() == Some(OsStr::new(".gitignore")) {
            ignored.begin_anew();
        }
        let by_name = |name: &OsStr| {
            rules_for(name.as_bytes()).any(|rule| !rule.folders.is_empty() && rule.marker.is_none())
        };
        path.iter().any(by_name) || ignored.covers(path, is_folder)
    }

    fn note(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Release);
        self.something.store(true, Ordering::Release);
    }

    /// So much happens that nobody can listen to it.
    fn give_up(&self) {
        let mut blind = self.blind.lock().unwrap_or_else(PoisonError::into_inner);
        blind.get_or_insert_with(|| FLOOD.to_owned());
    }

    fn go_blind(&self, error: &notify::Error) {
        let no_more = match &error.kind {
            ErrorKind::MaxFilesWatch => true,
            // Whoever watches is counted, too.
            ErrorKind::Io(error) => error.raw_os_error() == Some(Errno::MFILE.raw_os_error()),
            _ => false,
        };
        let why = if no_more {
            NO_MORE_WATCHES.to_owned()
        } else {
            format!(
                "The workspace cannot be watched, so what you edit while the agent works is not \
                 noticed: {error}. Tell the model what you changed."
            )
        };
        self.blind.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }
}

/// The folders that are watched, and the thread that adds to them.
struct Folders {
    seen: Arc<Seen>,
    watcher: RecommendedWatcher,
    watched: HashSet<PathBuf>,
    device: u64,
    /// limn's data folder, should it lie in the workspace.
    own: Option<(u64, u64)>,
}

impl Folders {
    fn follow(&mut self, appeared: &Receiver<PathBuf>) {
        while let Ok(path) = appeared.recv() {
            if path.as_os_str().is_empty() || self.seen.is_over.load(Ordering::Acquire) {
                return;
            }
            if let Ok(inside) = path.strip_prefix(&self.seen.root) {
                self.watch(inside);
            }
            self.seen.tell(|told| told.unwatched -= 1);
        }
    }

    /// Watches a folder that appeared.
    fn watch(&mut self, folder: &Path) {
        // One of this name may have gone, with all below it.
        self.watched.retain(|known| folder.as_os_str().is_empty() || !known.starts_with(folder));
        let before = self.watched.len();
        self.add(folder.to_owned());
        if self.seen.has_lost.swap(false, Ordering::AcqRel) {
            self.add(PathBuf::new());
        }
        if self.watched.len() > before {
            self.seen.note();
        }
    }

    /// Watches a folder and those below it.
    fn add(&mut self, folder: PathBuf) {
        let mut waiting = vec![folder];
        while let Some(folder) = waiting.pop() {
            if self.seen.blind.lock().is_ok_and(|blind| blind.is_some()) {
                return;
            }
            let at = self.seen.root.join(&folder);
            let Some(open) = self.open(&folder, &at) else { continue };
            if !self.watched.contains(&folder) {
                if self.watched.len() >= FOLDERS_MAX {
                    return self.seen.go_blind(&notify::Error::generic("it has too many folders"));
                }
                match self.watcher.watch(&at, RecursiveMode::NonRecursive) {
                    Ok(()) => drop(self.watched.insert(folder.clone())),
                    Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                        return self.seen.go_blind(&error);
                    }
                    // It went meanwhile.
                    Err(_) => continue,
                }
            }
            // What lay in it before it was watched told nobody.
            let below = names(&open)
                .unwrap_or_default()
                .into_iter()
                .map(|name| folder.join(OsStr::from_bytes(&name)));
            waiting.extend(below.filter(|path| {
                self.seen.root.join(path).symlink_metadata().is_ok_and(|it| it.is_dir())
            }));
        }
    }

    /// Opens a folder, should it be one to watch.
    fn open(&self, folder: &Path, at: &Path) -> Option<OwnedFd> {
        let name = folder.file_name().unwrap_or_default();
        if name == ".git" || folder.iter().count() > LEVELS_MAX {
            return None;
        }
        let open = rustix::fs::open(at, LISTED, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&open).ok()?;
        if stat.st_dev != self.device || self.own == Some((stat.st_dev, stat.st_ino)) {
            return None;
        }
        let names = names(&open).ok()?;
        let is_left_out = rules_for(name.as_bytes()).any(|rule| holds(rule, &names, &open));
        let is_top = folder.as_os_str().is_empty();
        let mut ignored = self.seen.ignored.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_top && (is_left_out || ignored.covers(folder, true)) {
            return None;
        }
        Some(open)
    }
}

#[cfg(test)]
mod tests;
