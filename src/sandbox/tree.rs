//! A command and everything it started, and how all of it is found and ended.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
#[cfg(target_os = "linux")]
use std::{
    io,
    process::{Child, Command},
};

use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
use trajectory::event::Exit;

use crate::error::SandboxError;

#[cfg(target_os = "linux")]
mod held;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
use other as system;

#[cfg(target_os = "linux")]
pub(crate) use held::{Held, kill_descendants, number};

/// The environment variable by which a process is known as part of an execution, even when it
/// has left its session and lost its parents.
pub(crate) const MARKER: &str = "LIMN_EXEC";

/// The executions of this process that run now.
#[derive(Debug, Default)]
struct Leaders {
    pids: Vec<Pid>,
    /// Holders of sandboxes: children as well, and no execution's strays.
    #[cfg(target_os = "linux")]
    holders: Vec<i32>,
    /// When the first of them started since there was none: strays of any of them are younger.
    since: u64,
}

/// Held while a command is started, so that a child that nobody knows yet is not mistaken for a
/// stray one.
static LEADERS: Mutex<Leaders> = Mutex::new(Leaders {
    pids: Vec::new(),
    #[cfg(target_os = "linux")]
    holders: Vec::new(),
    since: 0,
});

/// No command is started any more.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// How long [`kill_all`] waits for a command that is being started.
const START_WAIT: Duration = Duration::from_millis(100);
/// How long it looks for processes and waits for their deaths.
const KILL_ALL_WAIT: Duration = Duration::from_millis(400);

/// Starts the holder of a sandbox, which is none of any execution's until it is forgotten.
#[cfg(target_os = "linux")]
pub(crate) fn start_holder(command: &mut Command) -> io::Result<Child> {
    let mut leaders = leaders();
    let child = command.spawn()?;
    leaders.holders.push(child.id().cast_signed());
    Ok(child)
}

/// Forgets a holder that has been waited for.
#[cfg(target_os = "linux")]
pub(crate) fn forget_holder(child: &Child) {
    leaders().holders.retain(|holder| *holder != child.id().cast_signed());
}

fn leaders() -> MutexGuard<'static, Leaders> {
    LEADERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every command of this process that runs, with all that they started (SIGKILL), for a
/// program that calls [`std::process::exit`] next: no destructor has to run, no thread has to
/// live on. From then on [`crate::Sandbox::spawn`] refuses with
/// [`SandboxError::Ending`].
///
/// Any thread may call it, but no signal handler. It returns when they are dead, which takes
/// milliseconds, and after half a second in any case: a process that the kernel holds, in an
/// uninterruptible wait, dies when that lets go of it. Where a system offers no way to find the
/// descendants of a process, the commands' process groups are killed.
pub fn kill_all() {
    IS_ENDING.store(true, Ordering::SeqCst);
    // Whoever starts a command holds this until the command is known; a start that hangs, on a
    // file system that does not answer, must not keep the program alive.
    let until = Instant::now() + START_WAIT;
    let leaders = loop {
        match LEADERS.try_lock() {
            Ok(leaders) => break Some(leaders),
            Err(TryLockError::Poisoned(poisoned)) => break Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => break None,
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(Duration::from_millis(1)),
        }
    };
    #[cfg(target_os = "linux")]
    crate::holder::handle::kill_all();
    system::kill_all(leaders.as_deref(), Instant::now() + KILL_ALL_WAIT);
}

/// How the markers of all executions of this process begin.
fn marker_prefix() -> String {
    format!("{}-", std::process::id())
}

/// What is left of a tree whose leader has exited.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// How many processes there are.
    pub(crate) count: usize,
    /// Each becomes readable when one of them exits. Not all are watched.
    pub(crate) watches: Vec<OwnedFd>,
    /// The command lines of the first of them.
    pub(crate) names: Vec<String>,
}

#[cfg(target_os = "linux")]
impl Remains {
    /// Processes that are watched at a time: when one of them ends, others take its place.
    pub(crate) const WATCHES_MAX: usize = 8;
    pub(crate) const NAMES_MAX: usize = 3;
    pub(crate) const NAME_CHARS_MAX: u64 = 80;
}

/// A marker that no other execution bears.
pub(crate) fn marker() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{}{:x}-{number}", marker_prefix(), since_epoch.as_micros())
}

/// Refuses to start anything once [`kill_all`] was called.
#[cfg(target_os = "linux")]
pub(crate) fn check_not_ending() -> Result<(), SandboxError> {
    if IS_ENDING.load(Ordering::SeqCst) { Err(SandboxError::Ending) } else { Ok(()) }
}

/// One execution's processes. Dropping it kills them.
#[derive(Debug)]
pub(crate) enum Tree {
    /// limn started them itself.
    Own(Own),
    /// A holder did.
    #[cfg(target_os = "linux")]
    Held(Held),
}

/// Asks whichever it is.
macro_rules! each {
    ($tree:expr, $it:ident => $ask:expr) => {
        match $tree {
            Tree::Own($it) => $ask,
            #[cfg(target_os = "linux")]
            Tree::Held($it) => $ask,
        }
    };
}

impl Tree {
    /// What becomes readable when the command exits, where there is such a thing.
    pub(crate) fn watch(&self) -> Option<BorrowedFd<'_>> {
        each!(self, it => it.watch())
    }

    /// How the command ended, once it has.
    pub(crate) fn exit(&mut self) -> Option<Exit> {
        each!(self, it => it.exit())
    }

    /// What is left besides the command, as far as it can be found.
    pub(crate) fn remains(&mut self) -> Remains {
        each!(self, it => it.remains())
    }

    /// The processes that may read the terminal while this group has its foreground, as far as
    /// they can be found.
    pub(crate) fn at_terminal(&mut self, foreground: Pid) -> Vec<i32> {
        each!(self, it => it.at_terminal(foreground))
    }

    /// Asks everything to end (SIGTERM).
    pub(crate) fn terminate(&mut self) {
        each!(self, it => it.terminate());
    }

    /// Kills everything and collects what remains of it.
    pub(crate) fn kill(&mut self) {
        each!(self, it => it.kill());
    }

    /// Kills everything and forgets it; how the command ended. Calling it again does nothing.
    pub(crate) fn uproot(&mut self) -> Option<Exit> {
        each!(self, it => it.uproot())
    }

    /// Waits until the command may have exited, until this time at most.
    #[cfg(target_os = "linux")]
    pub(crate) fn wait_for_exit(&self, until: Instant) {
        if let Some(watch) = self.watch() {
            linux::wait_for_all(std::slice::from_ref(&watch), until);
        }
    }

    /// Whether it was lost: nobody knows how the command ended.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Own(_) => false,
            #[cfg(target_os = "linux")]
            Self::Held(held) => held.is_lost(),
        }
    }
}

/// The processes of an execution that limn started itself. Dropping it kills them.
#[derive(Debug)]
pub(crate) struct Own {
    leader: Pid,
    watch: system::Watch,
    members: system::Members,
    exit: Option<Exit>,
    is_gone: bool,
}

impl Own {
    /// Starts a command by calling `spawn` with the marker that it must put into the environment.
    pub(crate) fn plant(
        spawn: impl FnOnce(&str) -> Result<Pid, SandboxError>,
    ) -> Result<Self, SandboxError> {
        let marker = marker();
        system::adopt_orphans();
        let mut leaders = leaders();
        if IS_ENDING.load(Ordering::SeqCst) {
            return Err(SandboxError::Ending);
        }
        let leader = spawn(&marker)?;
        if leaders.pids.is_empty() {
            leaders.since = system::started(leader);
        }
        leaders.pids.push(leader);
        drop(leaders);
        Ok(Self {
            leader,
            watch: system::Watch::new(leader),
            members: system::Members::new(leader, marker),
            exit: None,
            is_gone: false,
        })
    }

    /// What becomes readable when the leader exits, where there is such a thing.
    pub(crate) fn watch(&self) -> Option<BorrowedFd<'_>> {
        self.watch.descriptor()
    }

    /// How the leader ended, once it has. It stays a zombie until the tree is dropped, so that
    /// its process and group number cannot come to mean somebody else.
    pub(crate) fn exit(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            self.exit = match waitid(WaitId::Pid(self.leader), options) {
                Ok(None) => None,
                Ok(Some(status)) => Some(Exit {
                    code: status.exit_status(),
                    signal: status.terminating_signal(),
                    timed_out: false,
                }),
                Err(rustix::io::Errno::INTR) => None,
                // Somebody ignores SIGCHLD or waited for it: it is gone, nobody knows how.
                Err(_) => Some(Exit::default()),
            };
        }
        self.exit
    }

    /// What is left besides the leader, as far as it can be found.
    pub(crate) fn remains(&mut self) -> Remains {
        self.members.remains()
    }

    /// The processes that may read the terminal while this group has its foreground, as far as
    /// they can be found.
    pub(crate) fn at_terminal(&mut self, foreground: Pid) -> Vec<i32> {
        self.members.at_terminal(foreground)
    }

    /// Asks everything to end (SIGTERM).
    pub(crate) fn terminate(&mut self) {
        self.members.terminate();
    }

    /// Kills everything and collects what remains of it, save the leader.
    pub(crate) fn kill(&mut self) {
        self.members.kill();
    }

    /// Kills everything, the leader included, and forgets it; how the leader ended. Calling it
    /// again does nothing.
    pub(crate) fn uproot(&mut self) -> Option<Exit> {
        if self.is_gone {
            return self.exit;
        }
        self.is_gone = true;
        self.kill();
        let exit = self.exit();
        let mut leaders = leaders();
        // Killed processes end soon; one in an uninterruptible wait is left to its fate.
        let options = if exit.is_some() { WaitOptions::empty() } else { WaitOptions::NOHANG };
        let _ = waitpid(Some(self.leader), options);
        leaders.pids.retain(|leader| *leader != self.leader);
        if leaders.pids.is_empty() {
            // Executions that ended together each took such a daemon for the other's.
            system::kill_strays(&leaders);
        }
        exit
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.uproot();
    }
}
