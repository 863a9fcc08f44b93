//! A pseudo-terminal and the command that leads the session on it.

use std::os::fd::{BorrowedFd, OwnedFd};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::Pid;
use rustix::termios::{Winsize, tcsetwinsize};
use screen::TerminalSize;

use crate::command::CommandSpec;
use crate::error::SandboxError;
use crate::tree::{MARKER, Tree};

/// Starts the command: our end of its terminal, not blocking, and its tree.
pub(crate) fn open(spec: &CommandSpec) -> Result<(OwnedFd, Tree), SandboxError> {
    let size = spec.size.clamped();
    let pty_size = PtySize { rows: size.rows, cols: size.columns, ..PtySize::default() };
    let pair = native_pty_system()
        .openpty(pty_size)
        .map_err(|error| SandboxError::Terminal(error.to_string()))?;
    let master = pair
        .master
        .as_raw_fd()
        .ok_or_else(|| SandboxError::Terminal("it has no descriptor".to_owned()))?;
    #[allow(unsafe_code, reason = "portable-pty lends its descriptor only as a number")]
    // SAFETY: `pair.master` owns this descriptor and lives until after the duplicate is made.
    let master = unsafe { BorrowedFd::borrow_raw(master) };
    let master = fcntl_dupfd_cloexec(master, 3)
        .and_then(|fd| rustix::io::ioctl_fionbio(&fd, true).map(|()| fd))
        .map_err(|error| SandboxError::Terminal(error.to_string()))?;

    let tree = Tree::plant(|marker| {
        let child = pair.slave.spawn_command(builder(spec, marker)).map_err(|error| {
            let program = spec.argv.first().map(|word| word.to_string_lossy().into_owned());
            SandboxError::Spawn {
                program: program.unwrap_or_default(),
                reason: format!("{error:#}"),
            }
        })?;
        child
            .process_id()
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
            .ok_or(SandboxError::ReaderLost)
    })?;
    Ok((master, tree))
}

fn builder(spec: &CommandSpec, marker: &str) -> CommandBuilder {
    let mut builder = CommandBuilder::from_argv(spec.argv.clone());
    builder.env_clear();
    for (name, value) in &spec.env {
        builder.env(name, value);
    }
    builder.env("TERM", "xterm-256color");
    builder.env(MARKER, marker);
    builder.cwd(&spec.cwd);
    builder
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
