//! A key from a program: run as it is written, without a shell, watched and bounded.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::CliError;
use crate::print::safe;

/// How long a program may take: long enough to type a passphrase.
const TIME_MAX: Duration = Duration::from_secs(30);

/// How much of what it prints is read.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// How much of its complaint is repeated.
const COMPLAINT_CHARACTERS_MAX: usize = 400;

/// The first line that a program prints. What else it prints is seen by nobody; when it fails,
/// what it says on stderr is told.
///
/// # Errors
/// When it cannot be started, takes too long, fails, or prints nothing.
pub(super) fn first_line(argv: &[String]) -> Result<String, CliError> {
    first_line_within(argv, TIME_MAX)
}

pub(super) fn first_line_within(argv: &[String], time_max: Duration) -> Result<String, CliError> {
    let (program, arguments) = argv.split_first().map_or(("", argv), |(one, all)| (one, all));
    let failed = |what: String| {
        CliError::usage(format!("key_command ({program}) {what}. Run it yourself and see."))
    };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Kept(child.map_err(|error| failed(format!("cannot be started: {error}")))?);
    let deadline = Instant::now() + time_max;
    let printed = read(child.0.stdout.take());
    let complained = read(child.0.stderr.take());
    let late = || failed(format!("did not end within {} s", time_max.as_secs()));
    let printed = until(&printed, deadline).ok_or_else(late)?;
    let complained = until(&complained, deadline).ok_or_else(late)?;
    // It has closed both streams, so it is ending: one that is not is ended.
    let status = child.end_by(deadline).ok_or_else(late)?;
    if !status.success() {
        let said: String = String::from_utf8_lossy(&complained).trim().to_owned();
        let said: String = safe(&said).chars().take(COMPLAINT_CHARACTERS_MAX).collect();
        let said = if said.is_empty() { "It said nothing".to_owned() } else { said };
        return Err(failed(format!("failed with {status}: {}", said.trim_end_matches('.'))));
    }
    let text = String::from_utf8(printed).map_err(|_| failed("did not print text".to_owned()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(failed("printed no key on its first line".to_owned()));
    }
    Ok(line.to_owned())
}

/// A program that does not outlive the wait for it.
struct Kept(Child);

impl Kept {
    fn end_by(&mut self, deadline: Instant) -> Option<std::process::ExitStatus> {
        while Instant::now() < deadline {
            match self.0.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => thread::park_timeout(Duration::from_millis(5)),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // Both fail only when it has ended by itself.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Reads a stream in a thread of its own, which dies with the process if somebody holds the
/// stream open. What is too long is cut off.
fn read(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // A stream that breaks has ended.
            let _ = stream.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

fn until(stream: &Receiver<Vec<u8>>, deadline: Instant) -> Option<Vec<u8>> {
    stream.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}
