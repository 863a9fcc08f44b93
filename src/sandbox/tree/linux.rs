//! Linux: every descendant is found.
//!
//! This process is a subreaper: a descendant whose parents died becomes its child, so the whole
//! tree hangs below it at all times, and reading `children` files finds it without a look at every
//! process of the machine. Whose execution an adopted child belongs to is told by its session,
//! else by the marker in its environment. A daemon that left the session and cleared its
//! environment too is ended by the last of the executions that ran together.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, set_child_subreaper, waitpid,
};

use super::{Leaders, MARKER, Remains, leaders, marker_prefix};

/// Becomes readable when a process exits.
#[derive(Debug)]
pub(super) struct Watch(Option<OwnedFd>);

impl Watch {
    pub(super) fn new(leader: Pid) -> Self {
        Self(pidfd_open(leader, PidfdFlags::empty()).ok())
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}

pub(super) fn adopt_orphans() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Where it is refused, orphans go to init: session members are still found.
        let _ = set_child_subreaper(Some(getpid()));
    });
}

/// When a process started, clock ticks since boot.
pub(super) fn started(pid: Pid) -> u64 {
    Stat::read(pid.as_raw_pid()).map_or(0, |stat| stat.started)
}

/// What `/proc/<pid>/stat` says of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) pid: i32,
    pub(super) is_dead: bool,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// When it started, clock ticks since boot: with the number, it names a process for good.
    pub(super) started: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything, parentheses included.
        let name_end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(name_end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let started = fields.nth(15)?.parse().ok()?;
        Some(Self { pid, is_dead, parent, group, session, started })
    }
}

/// The session this process is in: 0 when its leader is outside of this PID namespace, as in a
/// container whose init was started from somebody's terminal (`getsid` of rustix panics there).
fn own_session() -> i32 {
    Stat::read(getpid().as_raw_pid()).map_or(0, |stat| stat.session)
}

/// The processes of one execution.
#[derive(Debug)]
pub(super) struct Members {
    leader: Pid,
    marker: String,
    /// Processes that were found to belong to it: number and start.
    known: HashSet<(i32, u64)>,
}

impl Members {
    /// Rounds of looking and killing; a fork bomb may need several.
    const ROUNDS_MAX: u32 = 40;
    const ROUND_WAIT: Duration = Duration::from_millis(50);

    pub(super) fn new(leader: Pid, marker: String) -> Self {
        Self { leader, marker, known: HashSet::new() }
    }

    pub(super) fn terminate(&mut self) {
        for member in self.find() {
            if !member.is_dead {
                signal(member, Signal::TERM);
                // A stopped process takes the signal only when it goes on.
                signal(member, Signal::CONT);
            }
        }
    }

    pub(super) fn kill(&mut self) {
        for round in 0..Self::ROUNDS_MAX {
            let members = self.find();
            let alive = members.iter().filter(|member| !member.is_dead).count();
            if round == 0 && alive > 0 {
                // All at once, before any of them sees another die.
                self.kill_groups(&members);
            }
            let killed: Vec<OwnedFd> = members
                .iter()
                .filter(|member| !member.is_dead)
                .filter_map(|member| signal(*member, Signal::KILL))
                .collect();
            let reaped = members.iter().filter(|member| self.reap(**member)).count();
            if alive == 0 && reaped == 0 {
                return;
            }
            wait_for_all(&killed, Instant::now() + Self::ROUND_WAIT);
        }
    }

    /// Kills the process groups of the session. None of them has members outside of it.
    fn kill_groups(&self, members: &[Stat]) {
        let leader = self.leader.as_raw_pid();
        let groups: HashSet<i32> = members
            .iter()
            .filter(|member| member.session == leader && !member.is_dead)
            .map(|member| member.group)
            .collect();
        for group in groups.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// The processes that may read the terminal: its foreground, and other sessions.
    pub(super) fn at_terminal(&mut self, foreground: Pid) -> Vec<i32> {
        let leader = self.leader.as_raw_pid();
        let members = self.find().into_iter().filter(|member| !member.is_dead);
        let may_read =
            |member: &Stat| member.group == foreground.as_raw_pid() || member.session != leader;
        members.filter(may_read).map(|member| member.pid).collect()
    }

    /// What is left of the tree besides its leader.
    pub(super) fn remains(&mut self) -> Remains {
        let leader = self.leader.as_raw_pid();
        let own = getpid().as_raw_pid();
        let mut left: Vec<Stat> =
            self.find().into_iter().filter(|it| it.pid != leader && !it.is_dead).collect();
        left.sort_by_key(|it| (it.parent != own, it.started, it.pid));
        Remains {
            count: left.len(),
            watches: left.iter().take(Remains::WATCHES_MAX).filter_map(|it| watch(*it)).collect(),
            names: left.iter().take(Remains::NAMES_MAX).map(|it| name(it.pid)).collect(),
        }
    }

    /// Collects a dead process that this one adopted. The leader is left for its status.
    fn reap(&self, member: Stat) -> bool {
        member.pid != self.leader.as_raw_pid() && reap(member)
    }

    /// The processes of the tree as they are now, dead ones that nobody collected included.
    fn find(&mut self) -> Vec<Stat> {
        // While this is held no command is started, so every child is known or a stray.
        let leaders = leaders();
        let own = getpid().as_raw_pid();
        let own_session = own_session();
        let mut found = Vec::new();
        for stat in children(own) {
            let other_leader = stat.pid != self.leader.as_raw_pid()
                && leaders.pids.iter().any(|leader| leader.as_raw_pid() == stat.pid);
            let is_holder = leaders.holders.contains(&stat.pid);
            if !other_leader && !is_holder && self.owns(&stat, own_session, &leaders) {
                found.push(stat);
            }
        }
        drop(leaders);
        let found = with_descendants(found);
        self.known.extend(found.iter().map(|stat| (stat.pid, stat.started)));
        found
    }

    /// Whether a child of this process belongs to the execution.
    fn owns(&self, stat: &Stat, own_session: i32, leaders: &Leaders) -> bool {
        let leader = self.leader.as_raw_pid();
        if stat.pid == leader
            || stat.session == leader
            || self.known.contains(&(stat.pid, stat.started))
        {
            return true;
        }
        // What nobody moved to another session was started by other parts of this program.
        if stat.session == own_session || stat.started < leaders.since {
            return false;
        }
        match marker_of(stat.pid) {
            Some(marker) => marker == self.marker,
            None => leaders.pids.len() == 1 || stat.is_dead,
        }
    }
}

/// Kills the processes of all executions until there are none or the time is up. `leaders` are
/// held, so that none is started meanwhile; without them, strays that bear no marker are left.
pub(super) fn kill_all(leaders: Option<&Leaders>, until: Instant) {
    if leaders.is_some_and(|leaders| leaders.pids.is_empty()) {
        return;
    }
    let own = getpid().as_raw_pid();
    let own_session = own_session();
    let prefix = marker_prefix();
    // However late it is, each is killed once.
    let mut is_last = false;
    while !is_last {
        is_last = Instant::now() >= until;
        let mut found = children(own);
        found.retain(|stat| {
            // As in `Members::owns`: what is in our session is none of the sandbox's.
            stat.session != own_session
                && (leaders.is_some_and(|leaders| stat.started >= leaders.since)
                    || marker_of(stat.pid).is_some_and(|marker| marker.starts_with(&prefix)))
        });
        let alive: Vec<Stat> =
            with_descendants(found).into_iter().filter(|stat| !stat.is_dead).collect();
        if alive.is_empty() {
            return;
        }
        let killed: Vec<OwnedFd> =
            alive.iter().filter_map(|stat| signal(*stat, Signal::KILL)).collect();
        // What they started in their last moment is found in the next round.
        wait_for_all(&killed, until);
        std::thread::yield_now();
    }
}

/// Kills what was left by executions that have all ended; `leaders` are held.
pub(super) fn kill_strays(leaders: &Leaders) {
    let own_session = own_session();
    let prefix = marker_prefix();
    for _ in 0..Members::ROUNDS_MAX {
        let mut found = children(getpid().as_raw_pid());
        found.retain(|stat| {
            stat.session != own_session
                && !leaders.holders.contains(&stat.pid)
                && stat.started >= leaders.since
                && marker_of(stat.pid).is_none_or(|marker| marker.starts_with(&prefix))
        });
        let found = with_descendants(found);
        let killed: Vec<OwnedFd> = found
            .iter()
            .filter(|stat| !stat.is_dead)
            .filter_map(|stat| signal(*stat, Signal::KILL))
            .collect();
        let reaped = found.iter().filter(|stat| reap(**stat)).count();
        if killed.is_empty() && reaped == 0 {
            return;
        }
        wait_for_all(&killed, Instant::now() + Members::ROUND_WAIT);
    }
}

/// Collects a dead child; whether it was one.
fn reap(stat: Stat) -> bool {
    stat.is_dead
        && stat.parent == getpid().as_raw_pid()
        && Pid::from_raw(stat.pid)
            .is_some_and(|pid| matches!(waitpid(Some(pid), WaitOptions::NOHANG), Ok(Some(_))))
}

/// These processes and all below them.
pub(super) fn with_descendants(mut found: Vec<Stat>) -> Vec<Stat> {
    let mut next = 0;
    while let Some(stat) = found.get(next).copied() {
        next += 1;
        if !stat.is_dead {
            found.extend(children(stat.pid));
        }
    }
    found
}

/// The marker in a process's environment; none when it has none or may not be read.
fn marker_of(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    })
}

/// The children of a process, of all its threads.
pub(super) fn children(parent: i32) -> Vec<Stat> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(pids) => {
                let pids = pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
                found.extend(pids.filter_map(Stat::read));
            }
            Err(_) if fs::exists("/proc/thread-self/children").unwrap_or(false) => {}
            // A kernel without these files: every process has to be asked for its parent.
            Err(_) => return children_by_scan(parent),
        }
    }
    found
}

fn children_by_scan(parent: i32) -> Vec<Stat> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Stat::read)
        .filter(|stat| stat.parent == parent)
        .collect()
}

/// Becomes readable when exactly this process exits.
pub(super) fn watch(member: Stat) -> Option<OwnedFd> {
    let descriptor = pidfd_open(Pid::from_raw(member.pid)?, PidfdFlags::empty()).ok()?;
    let same = Stat::read(member.pid).is_some_and(|now| now.started == member.started);
    same.then_some(descriptor)
}

/// A process's command line, as far as it is short and printable.
pub(super) fn name(pid: i32) -> String {
    let read = |file: &str| {
        let mut bytes = Vec::new();
        let file = fs::File::open(format!("/proc/{pid}/{file}"));
        let _ =
            file.and_then(|file| file.take(Remains::NAME_CHARS_MAX * 8).read_to_end(&mut bytes));
        bytes
    };
    let mut line = read("cmdline");
    if line.is_empty() {
        line = read("comm");
    }
    let text = String::from_utf8_lossy(&line).replace(|c: char| c.is_control(), " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(Remains::NAME_CHARS_MAX as usize).collect()
}

/// Signals exactly this process, not one that has got its number since. The descriptor tells when
/// it is gone; none when it already is.
pub(super) fn signal(member: Stat, signal: Signal) -> Option<OwnedFd> {
    let pid = Pid::from_raw(member.pid)?;
    let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty()) else {
        // Without process descriptors (Linux before 5.3) the number has to do.
        let _ = kill_process(pid, signal);
        return None;
    };
    let same = Stat::read(member.pid).is_some_and(|now| now.started == member.started);
    (same && pidfd_send_signal(&descriptor, signal).is_ok()).then_some(descriptor)
}

/// Waits until these processes have exited, until a time at most.
pub(super) fn wait_for_all(descriptors: &[impl AsFd], until: Instant) {
    for descriptor in descriptors {
        let mut polled = [PollFd::new(descriptor, PollFlags::IN)];
        let rest = until.saturating_duration_since(Instant::now());
        let Ok(limit) = Timespec::try_from(rest) else { return };
        let _ = poll(&mut polled, Some(&limit));
    }
}
