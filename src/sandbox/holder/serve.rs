//! The loop in which the holder takes commands and buries the dead.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, wait, waitpid,
};

use super::confine::PerCommand;
use super::failure::{Doing, Failure};
use super::message::{self, ExitStatus, Report, Request};
use super::plan::Plan;
use super::start::{self, Ends};
use super::watch;

/// How often it is counted what commands use.
const COUNT_PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A command that goes on, or what it left.
pub(super) struct Kept {
    /// The process that waits for it.
    pub(super) keeper: Pid,
    /// Readable when the keeper has ended.
    pub(super) watch: OwnedFd,
    /// Closed when the keeper has ended and everything of it is buried.
    pub(super) report: OwnedFd,
}

/// Takes commands until limn hangs up; whatever then goes on is ended with this process.
pub(super) fn serve(
    control: &OwnedFd,
    plan: &Plan,
    per_command: &PerCommand,
) -> Result<(), Failure> {
    let mut kept: Vec<Kept> = Vec::new();
    loop {
        let mut polled = vec![PollFd::new(control, PollFlags::IN)];
        polled.extend(kept.iter().map(|it| PollFd::new(&it.watch, PollFlags::IN)));
        // Nobody is counted while nothing runs.
        let pause = if kept.is_empty() { None } else { Some(&COUNT_PAUSE) };
        match poll(&mut polled, pause) {
            Ok(0) => {
                drop(polled);
                watch::keep_within(&plan.bounds, &kept);
                continue;
            }
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error).doing("wait"),
        }
        let is_asked = polled.first().is_some_and(|it| !it.revents().is_empty());
        let has_ended = polled.iter().skip(1).any(|it| !it.revents().is_empty());
        drop(polled);
        if has_ended {
            bury(&mut kept);
        }
        if is_asked {
            let Some((request, descriptors)) =
                message::receive::<()>(control).doing("take a command")?
            else {
                return Ok(());
            };
            let () = request;
            kept.extend(take(descriptors, plan, per_command));
        }
    }
}

/// Starts a command, or says why not.
fn take(descriptors: Vec<OwnedFd>, plan: &Plan, per_command: &PerCommand) -> Option<Kept> {
    let [request, report, ready] = <[OwnedFd; 3]>::try_from(descriptors).ok()?;
    let started =
        message::unwrap::<Request>(request).doing("read the command").and_then(|request| {
            start::start(&request, Ends { report: &report, ready }, (plan, per_command))
        });
    match started {
        Ok((keeper, watch)) => Some(Kept { keeper, watch, report }),
        Err(failure) => {
            let _ = message::send(&report, &Report::Failed(failure.to_string()), &[]);
            None
        }
    }
}

/// Collects keepers that have ended, and orphans.
fn bury(kept: &mut Vec<Kept>) {
    while let Ok(Some((dead, status))) = wait(WaitOptions::NOHANG) {
        let Some(index) = kept.iter().position(|it| it.keeper == dead) else { continue };
        let ended = kept.swap_remove(index);
        if !status.exited() {
            // It was killed, and cannot say any more what it waited for.
            end_strays(kept);
            let exited = Report::Exited { status: exit_status(status), is_alone: false };
            let _ = message::send(&ended.report, &exited, &[]);
        }
    }
}

/// How a process ended.
pub(super) fn exit_status(status: WaitStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, signal) => ExitStatus::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Kills what lost its keeper.
fn end_strays(kept: &[Kept]) {
    const ROUNDS_MAX: u32 = 100;
    for _ in 0..ROUNDS_MAX {
        let strays: Vec<Pid> = children()
            .into_iter()
            .filter(|child| !kept.iter().any(|it| it.keeper == *child))
            .collect();
        if strays.is_empty() {
            return;
        }
        for stray in strays {
            let _ = kill_process(stray, Signal::KILL);
            wait_a_moment(stray);
            let _ = waitpid(Some(stray), WaitOptions::NOHANG);
        }
    }
}

/// Kills everything below this process.
pub(super) fn end_descendants() {
    const ROUNDS_MAX: u32 = 100;
    for _ in 0..ROUNDS_MAX {
        let alive = descendants();
        if alive.is_empty() {
            return;
        }
        for process in &alive {
            let _ = kill_process(*process, Signal::KILL);
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if let Some(first) = children().first() {
            wait_a_moment(*first);
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}

/// All processes below this one, dead ones that nobody collected included.
fn descendants() -> Vec<Pid> {
    below(children())
}

/// These processes and all below them.
pub(super) fn below(mut found: Vec<Pid>) -> Vec<Pid> {
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        next += 1;
        let threads = fs::read_dir(format!("/proc/{}/task", process.as_raw_pid()));
        for thread in threads.into_iter().flatten().flatten() {
            found.extend(listed(&thread.path().join("children")));
        }
    }
    found
}

fn wait_a_moment(process: Pid) {
    const MOMENT: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    if let Ok(watch) = pidfd_open(process, PidfdFlags::empty()) {
        let _ = poll(&mut [PollFd::from_borrowed_fd(watch.as_fd(), PollFlags::IN)], Some(&MOMENT));
    }
}

fn children() -> Vec<Pid> {
    listed(Path::new("/proc/thread-self/children"))
}

fn listed(file: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
