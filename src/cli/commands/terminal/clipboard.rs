//! The clipboard of the desktop, by whichever of its programs is there.
//!
//! A terminal takes text for the clipboard too (OSC 52), but not every one does, and none takes much;
//! over ssh it is the only way. So both are tried. Tmux, which keeps what a program in it says to the
//! clipboard to itself unless it is set otherwise, is asked to pass it on.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::error::CliError;

/// No picture is larger; what reads the file says so.
const BYTES_MAX: u64 = (20 << 20) + 1;

/// For how long a program may take to tell what the clipboard holds: whoever owns it may hang.
const TIME_MAX: Duration = Duration::from_secs(3);

/// A desktop, and the programs that its clipboard is read and written with.
struct Desktop {
    is_there: fn() -> bool,
    reads_picture: &'static [&'static str],
    writes_text: &'static [&'static str],
}

const DESKTOPS: &[Desktop] = &[
    Desktop {
        is_there: || is_set("WAYLAND_DISPLAY"),
        reads_picture: &["wl-paste", "--type", "image/png"],
        writes_text: &["wl-copy"],
    },
    Desktop {
        is_there: || is_set("DISPLAY"),
        reads_picture: &["xclip", "-selection", "clipboard", "-t", "image/png", "-o"],
        writes_text: &["xclip", "-selection", "clipboard", "-in"],
    },
    Desktop {
        is_there: || cfg!(target_os = "macos"),
        reads_picture: &["pngpaste", "-"],
        writes_text: &["pbcopy"],
    },
];

/// Into a buffer of tmux, and on to the clipboard of the terminal around it.
const TMUX_WRITES_TEXT: &[&str] = &["tmux", "load-buffer", "-w", "-"];

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Those that are there.
fn desktops() -> impl Iterator<Item = &'static Desktop> {
    DESKTOPS.iter().filter(|desktop| (desktop.is_there)())
}

/// What the clipboard holds, as PNG.
pub(super) fn picture() -> Result<Vec<u8>, CliError> {
    for desktop in desktops() {
        let Some((program, args)) = desktop.reads_picture.split_first() else { continue };
        if let Some(bytes) = printed(program, args, TIME_MAX).filter(|bytes| !bytes.is_empty()) {
            return Ok(bytes);
        }
    }
    Err(CliError::failed(
        "The clipboard holds no picture that can be reached. Install wl-paste, xclip or pngpaste, \
         or paste the path of a file.",
    ))
}

/// Gives a text to the clipboard; false where no program for that is there.
pub(super) fn write(text: &str) -> bool {
    let is_in_tmux = is_set("TMUX") && give(TMUX_WRITES_TEXT, text);
    desktops().any(|desktop| give(desktop.writes_text, text)) || is_in_tmux
}

/// Gives a text to a program; false where it is not there.
fn give(command: &[&str], text: &str) -> bool {
    let Some((program, args)) = command.split_first() else { return false };
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let (stdin, text) = (child.stdin.take(), text.to_owned());
    // Whoever owns the clipboard may hang, and nobody waits for it.
    std::thread::spawn(move || {
        // A program that wants no more has its reasons.
        let _ = stdin.map(|mut stdin| stdin.write_all(text.as_bytes()));
        let _ = child.wait();
    });
    true
}

/// What a program prints, up to a limit; nothing when it fails or takes too long.
fn printed(program: &str, args: &[&str], time_max: Duration) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut printed = child.stdout.take()?.take(BYTES_MAX);
    let (sender, read) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = printed.read_to_end(&mut bytes);
        // Nobody waits for what came too late.
        let _ = sender.send(read.map(|_| bytes));
    });
    let read = read.recv_timeout(time_max);
    let is_too_long = matches!(&read, Ok(Ok(it)) if it.len() as u64 >= BYTES_MAX);
    if is_too_long || !matches!(read, Ok(Ok(_))) {
        // It would go on for ever.
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    let bytes = read.ok()?.ok()?;
    (status.success() || is_too_long).then_some(bytes)
}

#[cfg(test)]
mod tests;
