//! A command's start, and its keeper.
//!
//! The holder opens a terminal, forks the keeper, and the keeper forks the command. The keeper
//! leads the session of the terminal, for the reasons that [`crate::keeper`] gives, and adopts
//! whatever its command's descendants leave behind: so everything that a command started is, and
//! stays, below its keeper, daemons that forked twice included. It says how the command ended,
//! gives the terminal back, and stays until nothing is left below it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getpgrp, getpid, ioctl_tiocsctty,
    kill_process_group, pidfd_open, set_child_subreaper, setpgid, setrlimit, setsid, wait,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin};
use rustix::termios::{Winsize, tcsetpgrp, tcsetwinsize};

use super::confine::PerCommand;
use super::failure::{Doing, Failure};
use super::landlock::Rules;
use super::message::{self, Report, Request};
use super::plan::Plan;
use super::process::{fork, reset_signals};
use super::serve::exit_status;
use crate::keeper::NOT_FOR_KEEPER;

/// Where limn listens for news of a command.
pub(super) struct Ends<'a> {
    pub(super) report: &'a OwnedFd,
    /// Takes the reason why the program could not be started; closed when it has begun.
    pub(super) ready: OwnedFd,
}

/// Starts a command on a terminal of its own: its keeper, and what tells of the keeper's end.
pub(super) fn start(
    request: &Request,
    ends: Ends<'_>,
    (plan, per_command): (&Plan, &PerCommand),
) -> Result<(Pid, OwnedFd), Failure> {
    const DOING: &str = "open a terminal";
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).doing(DOING)?;
    unlockpt(&master).doing(DOING)?;
    let slave = ioctl_tiocgptpeer(&master, flags).doing(DOING)?;
    let size =
        Winsize { ws_row: request.rows, ws_col: request.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&master, size).doing(DOING)?;
    let device = rustix::fs::fstat(&slave).doing(DOING)?.st_rdev;

    // limn has told somebody that most likely nothing has begun.
    if is_given_up(ends.report) {
        return Err(Failure::new("limn waits for the command no longer"));
    }
    let Some(keeper) = fork().doing("start a process")? else {
        let failed = keep(request, &ends, &slave, (plan, per_command));
        let _ = File::from(ends.ready).write_all(failed.to_string().as_bytes());
        end(1);
    };
    let watch = pidfd_open(keeper, PidfdFlags::empty()).doing("name the process")?;
    let descriptors = [master.as_fd(), watch.as_fd()];
    message::send(ends.report, &Report::Started { device }, &descriptors).doing("report")?;
    Ok((keeper, watch))
}

/// Whether limn has closed its end.
fn is_given_up(report: &OwnedFd) -> bool {
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut polled = [PollFd::new(report, PollFlags::empty())];
    let found = rustix::io::retry_on_intr(|| poll(&mut polled, Some(&AT_ONCE)));
    found.is_ok() && polled.iter().any(|it| it.revents().contains(PollFlags::HUP))
}

/// Ends at once, without the tidying-up that is the original's.
fn end(code: i32) -> ! {
    #[allow(unsafe_code, reason = "no library ends a process so")]
    // SAFETY: nothing of this copy is used afterwards.
    unsafe {
        libc::_exit(code)
    }
}

fn ignore(signals: &[i32]) {
    for signal in signals {
        #[allow(unsafe_code, reason = "libraries only set handlers")]
        // SAFETY: to ignore a signal is no code of ours.
        unsafe {
            libc::signal(*signal, libc::SIG_IGN);
        }
    }
}

/// Closes or marks all descriptors from this one on.
fn close_from(first: i32, flags: libc::c_uint) {
    #[allow(unsafe_code, reason = "a system call that no library wraps")]
    // SAFETY: nobody in this process uses these descriptors any more, or before it executes
    // another program.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags);
    }
}

/// What the fork does; it returns only what kept the command from starting.
fn keep(
    request: &Request,
    ends: &Ends<'_>,
    slave: &OwnedFd,
    (plan, per_command): (&Plan, &PerCommand),
) -> Failure {
    match prepare(slave).and_then(|()| fork().doing("start a process")) {
        Err(failure) => failure,
        Ok(None) => match execute(request, plan, per_command.rules.as_ref()) {
            Err(failure) => failure,
            Ok(never) => match never {},
        },
        Ok(Some(command)) => stay(command, ends.report),
    }
}

/// The keeper leads the session and adopts.
fn prepare(slave: &OwnedFd) -> Result<(), Failure> {
    setsid().doing("begin a session")?;
    ioctl_tiocsctty(slave).doing("take the terminal")?;
    dup2_stdin(slave).doing("take the terminal")?;
    dup2_stdout(slave).doing("take the terminal")?;
    dup2_stderr(slave).doing("take the terminal")?;
    set_child_subreaper(Some(getpid())).doing("adopt orphans")
}

/// Becomes the command; returns what kept it from that.
fn execute(
    request: &Request,
    plan: &Plan,
    rules: Option<&Rules>,
) -> Result<std::convert::Infallible, Failure> {
    let foreground = || {
        setpgid(None, None)?;
        // Who is in the background is stopped when it does this, unless it ignores that.
        ignore(&[libc::SIGTTOU]);
        tcsetpgrp(stdin(), getpid())
    };
    foreground().doing("take the foreground")?;
    reset_signals();
    bound(plan)?;
    if let Some(rules) = rules {
        rules.and_file(stdin())?.enforce()?;
    }
    close_from(3, libc::CLOSE_RANGE_CLOEXEC);
    let mut words = request.argv.iter();
    let program = words.next().ok_or_else(|| Failure::new("there is no program"))?;
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(request.env.iter().map(|(name, value)| (name, value)))
        .current_dir(&request.cwd);
    Err(Failure::new(command.exec().to_string()))
}

/// Sets what one process may use. What is inherited by all holds for all.
fn bound(plan: &Plan) -> Result<(), Failure> {
    let set = |resource, most: Option<u64>| {
        let Some(most) = most else { return Ok(()) };
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit)
    };
    set(Resource::Nproc, plan.bounds.processes).doing("bound the processes")?;
    set(Resource::Cpu, plan.bounds.cpu_s).doing("bound the processor time")?;
    set(Resource::Fsize, plan.bounds.file_bytes).doing("bound the size of files")?;
    set(Resource::Core, Some(0)).doing("refuse core files")
}

/// Waits for the command and says how it ended; then for everything that it left.
fn stay(command: Pid, report: &OwnedFd) -> ! {
    const REPORT: i32 = 3;
    ignore(NOT_FOR_KEEPER);
    #[allow(unsafe_code, reason = "descriptors are moved under those who own them")]
    // SAFETY: the process is this function from here on. It uses none but the terminal, which is
    // 0, and the report, which becomes 3; nothing that is owned elsewhere is ever dropped.
    let report = unsafe {
        libc::prctl(libc::PR_SET_NAME, c"limn-keeper".as_ptr());
        libc::dup2(report.as_raw_fd(), REPORT);
        std::os::fd::BorrowedFd::borrow_raw(REPORT)
    };
    close_from(REPORT + 1, 0);
    let _ = dup2_stdout(report).and_then(|()| dup2_stderr(report));
    loop {
        match wait(WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) if pid == command && status.stopped() => {
                // Nobody could bring back what the user of a terminal suspends.
                if status.stopping_signal() == Some(libc::SIGTSTP) {
                    let _ = kill_process_group(command, Signal::CONT);
                }
            }
            Ok(Some((pid, status))) if pid == command => {
                // What the command left is in the background now, and is not hung up. Where
                // nobody else holds the terminal open, it closes.
                let _ = tcsetpgrp(stdin(), getpgrp());
                let _ = dup2_stdin(report);
                let exited =
                    Report::Exited { status: exit_status(status), is_alone: has_no_children() };
                let _ = message::send(report, &exited, &[]);
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => end(0),
        }
    }
}

/// Whether nobody is left to wait for: what its command's descendants leave behind becomes the
/// keeper's child, so there is nobody further down either. Collects who is dead already.
fn has_no_children() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests;
