//! A pseudo-terminal and the command on it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use portable_pty::{PtySize, native_pty_system};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::Pid;
use rustix::termios::{Winsize, tcsetwinsize};
use screen::TerminalSize;

use crate::command::CommandSpec;
use crate::error::SandboxError;
#[cfg(target_os = "linux")]
use crate::keeper::split;
use crate::tree::{MARKER, Own, Tree};

/// Our end of a terminal.
pub(crate) struct Terminal {
    /// Read and written, never blocking.
    pub(crate) master: OwnedFd,
    /// The number by which the other end is known, whoever has it open.
    pub(crate) device: u64,
}

impl Terminal {
    pub(crate) fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// Starts the command: its terminal and its tree.
pub(crate) fn open(spec: &CommandSpec) -> Result<(Terminal, Tree), SandboxError> {
    let size = spec.size.clamped();
    let pty_size = PtySize { rows: size.rows, cols: size.columns, ..PtySize::default() };
    let pair = native_pty_system()
        .openpty(pty_size)
        .map_err(|error| SandboxError::Terminal(error.to_string()))?;
    let failed = |error: io::Error| SandboxError::Terminal(error.to_string());
    let nameless = || SandboxError::Terminal("it has no name or no descriptor".to_owned());
    let master = pair.master.as_raw_fd().ok_or_else(nameless)?;
    #[allow(unsafe_code, reason = "portable-pty lends its descriptor only as a number")]
    // SAFETY: `pair.master` owns this descriptor and lives until after the duplicate is made.
    let master = unsafe { BorrowedFd::borrow_raw(master) };
    let master = fcntl_dupfd_cloexec(master, 3)
        .and_then(|fd| rustix::io::ioctl_fionbio(&fd, true).map(|()| fd))
        .map_err(|error| failed(error.into()))?;
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(pair.master.tty_name().ok_or_else(nameless)?)
        .map_err(failed)?;
    let device = slave.metadata().map_err(failed)?.rdev();

    let tree = Own::plant(|marker| {
        let mut command = command(spec, marker, &slave).map_err(failed)?;
        let child = command.spawn().map_err(|error| SandboxError::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            reason: error.to_string(),
        })?;
        Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)).ok_or(SandboxError::ReaderLost)
    })?;
    Ok((Terminal { master, device }, Tree::Own(tree)))
}

fn command(spec: &CommandSpec, marker: &str, slave: &File) -> io::Result<Command> {
    let mut words = spec.argv.iter();
    let mut command = Command::new(words.next().map_or("".as_ref(), |word| word.as_os_str()));
    command
        .args(words)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .env("TERM", "xterm-256color")
        .env(MARKER, marker)
        .current_dir(&spec.cwd)
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave.try_clone()?);
    #[allow(unsafe_code, reason = "there is no other way to act between fork and exec")]
    // SAFETY: it makes only system calls that are safe after a fork of a program with threads.
    unsafe {
        command.pre_exec(split);
    }
    Ok(command)
}

/// Called between fork and exec: the command leads its session and has its terminal.
#[cfg(not(target_os = "linux"))]
fn split() -> io::Result<()> {
    rustix::process::setsid()?;
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
    Ok(())
}

/// Tells the terminal its size; the foreground programs get SIGWINCH.
pub(crate) fn resize(master: &OwnedFd, size: TerminalSize) -> Result<(), SandboxError> {
    let size = size.clamped();
    let window = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, window).map_err(|error| SandboxError::System {
        doing: "resize the terminal",
        source: error.into(),
    })
}
