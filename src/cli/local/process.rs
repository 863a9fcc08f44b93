//! The process that serves: started with a pipe to its stdin, which it watches, so that it ends
//! with limn however limn ends; ended in order where limn can.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::interval;

use super::Launch;
use crate::print::safe;

/// The variable in which the key is handed over: arguments can be read by everybody.
const KEY_VARIABLE: &str = "LIMN_SERVE_KEY";

/// What it says first is no longer.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// How long it may take to end once it was asked: requests that run get two seconds.
const STOP_MAX: Duration = Duration::from_secs(4);

/// How often it is looked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Of its log the end is shown: so much is read, and so many lines are told.
const LOG_BYTES_MAX: u64 = 4_000;
const LOG_LINES_MAX: usize = 5;

/// How long a log is kept that nobody came for.
const LOG_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A server while it runs. Dropped, it is ended and waited for.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    /// It serves while this is open.
    stdin: Option<ChildStdin>,
    /// What it says first.
    said: Option<oneshot::Receiver<Vec<u8>>>,
    /// Whether it has begun to serve, so that there is something to end in order.
    serves: bool,
}

impl Process {
    /// Starts one.
    pub(super) fn start(program: &Path, launch: &Launch, key: &str, log: &Log) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&launch.target)
            .args([OsStr::new("--name"), launch.name.as_ref()])
            .args(&launch.arguments)
            .args(["--port", "0", "--json", "--until-stdin-ends"])
            .env(KEY_VARIABLE, key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.open()?)
            // A ctrl-c in the terminal is for limn, which ends this in its own time.
            .process_group(0)
            .spawn()?;
        let (sender, said) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || read(stdout, sender));
        }
        let stdin = child.stdin.take();
        Ok(Self { child, stdin, said: Some(said), serves: false })
    }

    /// What it says first, once it does; nothing when it ends without a word.
    pub(super) async fn first_line(&mut self) -> Option<Vec<u8>> {
        let line = self.said.take()?.await.ok().filter(|line| !line.is_empty());
        self.serves = line.is_some();
        line
    }

    /// How it ended, if it has.
    pub(super) fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The same, where it is about to end: connections break before a process is gone.
    pub(super) async fn ends_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        let mut clock = interval(LOOK_EVERY);
        loop {
            let status = self.status();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            clock.tick().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if self.status().is_none() && self.serves {
            // It is not reaped yet, so the number is still its own.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let deadline = Instant::now() + STOP_MAX;
            while self.status().is_none() && Instant::now() < deadline {
                thread::park_timeout(LOOK_EVERY);
            }
        }
        if self.status().is_none() {
            // Both fail only when it has ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Reads the first line, and the rest so that nobody waits to write it.
fn read(stdout: ChildStdout, sender: oneshot::Sender<Vec<u8>>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    // A stream that breaks has ended; who gave up waiting wants nothing.
    let _ = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    let _ = sender.send(line);
    let _ = io::copy(&mut reader, &mut io::sink());
}

/// What a server prints on stderr, in a file of the cache.
#[derive(Clone, Debug)]
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    /// A log for the model with this name, of this process. Old ones are removed.
    pub(super) fn of(cache: &Path, name: &str) -> Self {
        let folder = cache.join("serve");
        sweep(&folder);
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let name: String =
            name.chars().map(|it| if fits(it) { it } else { '-' }).take(80).collect();
        Self { path: folder.join(format!("{name}-{}.log", std::process::id())) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it at its end; what an earlier server of this process said stays before.
    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)
    }

    /// The last lines of it, safe for a terminal; nothing where it has none.
    pub(super) fn end(&self) -> Option<String> {
        let mut file = File::open(&self.path).ok()?;
        let from = file.metadata().ok()?.len().saturating_sub(LOG_BYTES_MAX);
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let text = safe(&String::from_utf8_lossy(&bytes));
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let shown = lines.get(lines.len().saturating_sub(LOG_LINES_MAX)..).unwrap_or_default();
        (!shown.is_empty()).then(|| shown.join("\n"))
    }

    /// Nobody needs it any more.
    pub(super) fn remove(&self) {
        // One that stays is swept some day.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the logs that nobody came for.
fn sweep(folder: &Path) {
    let now = SystemTime::now();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let written = entry.metadata().and_then(|about| about.modified());
        let is_old = written.is_ok_and(|at| now.duration_since(at).is_ok_and(|it| it > LOG_KEPT));
        if is_old && entry.path().extension().is_some_and(|end| end == "log") {
            let _ = fs::remove_file(entry.path());
        }
    }
}
