//! The processes of an execution that a holder started.
//!
//! They are what hangs below the keeper, which adopts its orphans: no session, no variable and no
//! double fork takes a process out of it. Their numbers are limn's own, read from limn's `/proc`,
//! whatever they are called inside.

use std::collections::HashSet;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, pidfd_send_signal};
use trajectory::event::Exit;

use super::Remains;
use super::linux::{Members, Stat, children, name, signal, wait_for_all, watch, with_descendants};
use crate::holder::handle::{Holder, is_readable};
use crate::holder::message::{self, ExitStatus, Report};

/// Rounds of looking and killing; a fork bomb may need several.
const ROUNDS_MAX: u32 = 40;
const ROUND_WAIT: Duration = Duration::from_millis(50);
/// How long a dead keeper is waited for.
const KEEPER_WAIT: Duration = Duration::from_millis(500);

/// One execution in a holder. Dropping it kills its processes, and no others.
#[derive(Debug)]
pub(crate) struct Held {
    /// Kept alive for as long as something of it runs.
    holder: Arc<Holder>,
    marker: String,
    keeper: OwnedFd,
    /// The keeper's number; none when it was gone at once.
    pid: Option<i32>,
    report: OwnedFd,
    exit: Option<Exit>,
    /// Whether the keeper has said that nothing is left: nobody has to be looked for then.
    is_alone: bool,
    is_lost: bool,
    is_gone: bool,
}

impl Held {
    pub(crate) fn new(
        holder: Arc<Holder>,
        marker: String,
        keeper: OwnedFd,
        report: OwnedFd,
    ) -> Self {
        let pid = number(&keeper);
        if !holder.has_namespaces() {
            // Should the holder be killed, what it leaves comes to us.
            super::linux::adopt_orphans();
        }
        Self {
            holder,
            marker,
            keeper,
            pid,
            report,
            exit: None,
            is_alone: false,
            is_lost: false,
            is_gone: false,
        }
    }

    pub(crate) fn watch(&self) -> Option<BorrowedFd<'_>> {
        Some(self.report.as_fd())
    }

    /// How the command ended, once the keeper has said so. When nobody can say any more, it is lost.
    pub(crate) fn exit(&mut self) -> Option<Exit> {
        if self.exit.is_none() && is_readable(&self.report, Duration::ZERO) {
            self.exit = match message::receive::<Report>(&self.report) {
                Ok(Some((Report::Exited { status, is_alone }, _))) => {
                    self.is_alone = is_alone;
                    Some(exit_of(status))
                }
                Ok(Some(_)) => None,
                Ok(None) | Err(_) => {
                    self.is_lost = true;
                    Some(Exit::default())
                }
            };
        }
        self.exit
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The processes as they are now, without the keeper.
    fn find(&self) -> Vec<Stat> {
        let keeper = self.pid.filter(|_| !self.is_alone);
        keeper.map(|keeper| with_descendants(children(keeper))).unwrap_or_default()
    }

    pub(crate) fn remains(&mut self) -> Remains {
        let mut left: Vec<Stat> = self.find().into_iter().filter(|it| !it.is_dead).collect();
        left.sort_by_key(|it| (Some(it.parent) != self.pid, it.started, it.pid));
        Remains {
            count: left.len(),
            watches: left.iter().take(Remains::WATCHES_MAX).filter_map(|it| watch(*it)).collect(),
            names: left.iter().take(Remains::NAMES_MAX).map(|it| name(it.pid)).collect(),
        }
    }

    /// The processes that may read the terminal: its foreground, and other sessions.
    pub(crate) fn at_terminal(&mut self, foreground: Pid) -> Vec<i32> {
        let may_read = |it: &Stat| {
            !it.is_dead && (it.group == foreground.as_raw_pid() || Some(it.session) != self.pid)
        };
        self.find().into_iter().filter(may_read).map(|it| it.pid).collect()
    }

    pub(crate) fn terminate(&mut self) {
        for member in self.find() {
            if !member.is_dead {
                signal(member, Signal::TERM);
                // A stopped process takes the signal only when it goes on.
                signal(member, Signal::CONT);
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        for round in 0..ROUNDS_MAX {
            let alive: Vec<Stat> = self.find().into_iter().filter(|it| !it.is_dead).collect();
            if alive.is_empty() {
                return;
            }
            if round == 0 {
                // All at once, before any of them sees another die.
                self.kill_groups(&alive);
            }
            let killed: Vec<OwnedFd> =
                alive.iter().filter_map(|it| signal(*it, Signal::KILL)).collect();
            wait_for_all(&killed, Instant::now() + ROUND_WAIT);
        }
    }

    /// Kills the process groups of the terminal's session, save the keeper's. None of them has
    /// members outside of it.
    fn kill_groups(&self, alive: &[Stat]) {
        let groups: HashSet<i32> = alive
            .iter()
            .filter(|it| Some(it.session) == self.pid && Some(it.group) != self.pid)
            .map(|it| it.group)
            .collect();
        for group in groups.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    pub(crate) fn uproot(&mut self) -> Option<Exit> {
        if self.is_gone {
            return self.exit;
        }
        self.is_gone = true;
        self.kill();
        // With nothing left below it the keeper ends by itself, and says how the command did.
        if self.exit.is_none() {
            is_readable(&self.report, KEEPER_WAIT);
            self.exit();
        }
        // With nobody to wait for, it is about to end or has.
        if !self.is_alone && !is_readable(&self.keeper, KEEPER_WAIT) {
            let _ = pidfd_send_signal(&self.keeper, Signal::KILL);
            is_readable(&self.keeper, KEEPER_WAIT);
        }
        if self.is_lost
            && !self.holder.has_namespaces()
            && let Some(keeper) = self.pid.and_then(Pid::from_raw)
        {
            Members::new(keeper, std::mem::take(&mut self.marker)).kill();
        }
        self.exit
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.uproot();
    }
}

/// Kills everything below a process, which goes on.
pub(crate) fn kill_descendants(process: i32) {
    for _ in 0..ROUNDS_MAX {
        let alive: Vec<Stat> =
            with_descendants(children(process)).into_iter().filter(|it| !it.is_dead).collect();
        if alive.is_empty() {
            return;
        }
        let killed: Vec<OwnedFd> =
            alive.iter().filter_map(|it| signal(*it, Signal::KILL)).collect();
        wait_for_all(&killed, Instant::now() + ROUND_WAIT);
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    let (code, signal) = match status {
        ExitStatus::Code(code) => (Some(code), None),
        ExitStatus::Signal(signal) => (None, Some(signal)),
    };
    Exit { code, signal, timed_out: false }
}

/// The number that this process knows another by, whatever its own namespace calls it.
pub(crate) fn number(process: &OwnedFd) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd())).ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    number.trim().parse().ok().filter(|pid| *pid > 0)
}
