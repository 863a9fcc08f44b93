//! Whether a command waits for somebody to type.
//!
//! On Linux the kernel says of each thread which system call it is blocked in, to those who may
//! trace it; limn may, being an ancestor. A thread of the foreground that is blocked in a read of
//! the terminal waits, and so does one that waits for several things of which the terminal is the
//! only one. Who waits for other things too, and for long, is believed when there are signs of it: a
//! prompt before the cursor, or something printed on a terminal that hands over single keys. A server that looks out
//! for keys beside its sockets shows neither. Processes of other sessions count as well: job
//! control does not keep them from the terminal.
//!
//! Of a program with other rights, such as `sudo`, nothing is told. It is believed when a prompt
//! stands there and the terminal does not show what is typed: it asks for a password.
//!
//! Elsewhere nobody is found waiting.

use std::os::fd::BorrowedFd;

use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};

use crate::terminal::Terminal;
use crate::tree::Tree;

#[cfg(target_os = "linux")]
mod linux;

/// How the terminal is used.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nobody looks"))]
struct Use {
    device: u64,
    /// A prompt stands before the cursor.
    prompts: bool,
    /// Each key is handed over at once, to a program that has shown something.
    by_keys: bool,
    /// A line is asked for that is not shown.
    hides: bool,
}

/// Whether the foreground of the terminal waits for input, at this moment: a prompt may stand
/// before the cursor, and something may have been printed at all.
pub(crate) fn waits(
    terminal: &Terminal,
    tree: &mut Tree,
    prompts: bool,
    has_printed: bool,
) -> bool {
    let master: BorrowedFd<'_> = terminal.master();
    let (Ok(foreground), Ok(modes)) = (tcgetpgrp(master), tcgetattr(master)) else {
        return false;
    };
    let by_lines = modes.local_modes.contains(LocalModes::ICANON);
    let terminal = Use {
        device: terminal.device,
        prompts,
        by_keys: !by_lines && has_printed,
        hides: by_lines && !modes.local_modes.contains(LocalModes::ECHO),
    };
    let processes = tree.at_terminal(foreground);
    #[cfg(target_os = "linux")]
    return linux::any_waits(&processes, terminal);
    #[cfg(not(target_os = "linux"))]
    return !processes.is_empty() && {
        let _ = terminal;
        false
    };
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
