//! The keeper: a process between limn and a command, on Linux.
//!
//! When the leader of a terminal's session exits, the kernel hangs up whatever is in the
//! foreground: a server that a script started with `&` would die with the script. So the leader is
//! not the command but its keeper, as an interactive shell is that of what it runs: it puts the
//! command into the foreground, waits for it, takes the foreground back, and ends as the command
//! did. When limn is killed the terminal is hung up, the keeper dies of that, and the kernel hangs
//! up the command.
//!
//! The keeper is a fork that never executes another program: a copy of this process that holds no
//! descriptor but the terminal's, cannot be looked into, and makes only system calls.

use std::{io, mem, ptr};

use libc::{c_int, pid_t};

/// Signals that limn may have set otherwise, and that a command finds as they are by default.
const RESET: &[c_int] =
    &[libc::SIGCHLD, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGALRM];

/// Signals that are meant for the command.
pub(crate) const NOT_FOR_KEEPER: &[c_int] = &[
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGPIPE,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Descriptors that are tried one by one where the kernel closes no ranges.
const DESCRIPTORS_MAX: c_int = 4_096;

/// Called in the child between fork and exec, where standard input is the terminal. Where it
/// returns is the command-to-be; the child itself has become the keeper.
pub(crate) fn split() -> io::Result<()> {
    #[allow(unsafe_code, reason = "there is no other way to act between fork and exec")]
    // SAFETY: only system calls that are safe after a fork of a program with threads; nothing is
    // allocated, no lock is taken, and all pointers are to locals that outlive the calls.
    unsafe {
        for signal in RESET {
            libc::signal(*signal, libc::SIG_DFL);
        }
        check(libc::setsid())?;
        check(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
        // They wait until the keeper ignores them: one that came before would end it.
        let (mut held, mut before) = (mem::zeroed(), mem::zeroed());
        libc::sigemptyset(&raw mut held);
        for signal in NOT_FOR_KEEPER {
            libc::sigaddset(&raw mut held, *signal);
        }
        libc::sigprocmask(libc::SIG_BLOCK, &raw const held, &raw mut before);
        let command = check(libc::fork())?;
        if command > 0 {
            for signal in NOT_FOR_KEEPER {
                libc::signal(*signal, libc::SIG_IGN);
            }
            libc::sigprocmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
            keep(command);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        check(libc::setpgid(0, 0))?;
        // Who is in the background is stopped when it does this, unless it ignores that.
        libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        let taken = libc::tcsetpgrp(0, libc::getpid());
        libc::signal(libc::SIGTTOU, libc::SIG_DFL);
        check(taken)?;
        for_all_descriptors(libc::CLOSE_RANGE_CLOEXEC as c_int, |descriptor| {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        });
    }
    Ok(())
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Closes or marks all descriptors above the standard ones.
#[allow(unsafe_code, reason = "a system call that no library wraps")]
unsafe fn for_all_descriptors(flags: c_int, one: impl Fn(c_int)) {
    // SAFETY: nobody in this process uses these descriptors after it has exec'd, or ever.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, c_int::MAX, flags) };
    if done < 0 {
        (3..DESCRIPTORS_MAX).for_each(one);
    }
}

/// Waits for the command and ends as it did.
#[allow(unsafe_code, reason = "the child of a fork may make nothing but system calls")]
unsafe fn keep(command: pid_t) -> ! {
    // SAFETY: as in `split`; from here on the process belongs to nobody else.
    unsafe {
        // What limn knows is not for the command's eyes, nor for a core file.
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_NAME, c"limn-keeper".as_ptr());
        // The pipe that tells limn of a failed start among them: the command's own copy stays.
        for_all_descriptors(0, |descriptor| {
            libc::close(descriptor);
        });
        libc::close(1);
        libc::close(2);
        let mut status: c_int = 0;
        loop {
            let waited = libc::waitpid(command, &mut status, libc::WUNTRACED);
            if waited < 0 && *libc::__errno_location() != libc::EINTR {
                libc::_exit(1);
            }
            if waited == command && libc::WIFSTOPPED(status) {
                // Nobody could bring back what the user of a terminal suspends.
                if libc::WSTOPSIG(status) == libc::SIGTSTP {
                    libc::kill(-command, libc::SIGCONT);
                }
            } else if waited == command {
                break;
            }
        }
        // What the command left behind is in the background now, and is not hung up.
        libc::tcsetpgrp(0, libc::getpgrp());
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            libc::signal(signal, libc::SIG_DFL);
            libc::kill(libc::getpid(), signal);
            libc::_exit(128 + signal);
        }
        libc::_exit(libc::WEXITSTATUS(status))
    }
}
