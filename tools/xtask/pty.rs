//! A program in a terminal of its own: keys in, screen out, and when each came.
//!
//! What it prints is read on a thread, which notes when; so the time it takes to follow the screen
//! here is in no figure.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use screen::{Emulator, TerminalSize};

/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A frame begins.
const FRAME: &[u8] = b"\x1b[?2026h";

/// The whole screen is cleared.
const CLEAR: &[u8] = b"\x1b[2J";

/// The program asks for the background.
const ASK_BACKGROUND: &[u8] = b"\x1b]11;?";

/// What a terminal that is dark answers.
const BACKGROUND: &[u8] = b"\x1b]11;rgb:0000/0000/0000\x1b\\";

/// A program and its terminal.
pub(crate) struct Pty {
    /// Open as long as the program runs.
    _master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    output: Receiver<(Instant, Vec<u8>)>,
    emulator: Emulator,
    /// When it was started.
    pub(crate) began: Instant,
    /// All that it printed.
    pub(crate) printed: Vec<u8>,
}

impl Pty {
    /// Starts a program; `dress` gives it arguments and an environment.
    pub(crate) fn start(
        program: &Path,
        size: TerminalSize,
        dress: impl FnOnce(&mut CommandBuilder),
    ) -> Result<Self> {
        let pty_size = PtySize { rows: size.rows, cols: size.columns, ..PtySize::default() };
        let pair = native_pty_system().openpty(pty_size)?;
        let mut command = CommandBuilder::new(program);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        dress(&mut command);
        let mut reader = pair.master.try_clone_reader()?;
        let keys = pair.master.take_writer()?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                if sender.send((Instant::now(), bytes)).is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        let child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let emulator = Emulator::new(size, 0);
        let printed = Vec::new();
        Ok(Self { _master: pair.master, keys, child, output, emulator, began, printed })
    }

    /// Types; when that was.
    pub(crate) fn press(&mut self, keys: &str) -> Result<Instant> {
        let at = Instant::now();
        self.keys.write_all(keys.as_bytes())?;
        self.keys.flush()?;
        Ok(at)
    }

    /// Waits until the screen is so; when what made it so arrived.
    pub(crate) fn until(&mut self, is_so: impl Fn(&str) -> bool) -> Result<Instant> {
        let limit = Instant::now() + PATIENCE;
        let mut last = Instant::now();
        loop {
            if is_so(&self.text()) {
                return Ok(last);
            }
            match self.output.recv_timeout(limit.saturating_duration_since(Instant::now())) {
                Ok((at, bytes)) => {
                    last = at;
                    self.take(&bytes);
                }
                Err(RecvTimeoutError::Timeout) => bail!("it is not so in:\n{}", self.text()),
                Err(RecvTimeoutError::Disconnected) => bail!("it has ended:\n{}", self.text()),
            }
        }
    }

    /// Waits until this stands on the screen.
    pub(crate) fn shows(&mut self, text: &str) -> Result<Instant> {
        self.until(|screen| screen.contains(text)).with_context(|| format!("waiting for {text:?}"))
    }

    /// Takes what comes for so long.
    pub(crate) fn rest(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok((_, bytes)) =
            self.output.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.take(&bytes);
        }
    }

    /// Takes what comes until nothing has come for so long.
    pub(crate) fn settle(&mut self, quiet: Duration) {
        while let Ok((_, bytes)) = self.output.recv_timeout(quiet) {
            self.take(&bytes);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.emulator.feed(bytes);
        let from = self.printed.len().saturating_sub(ASK_BACKGROUND.len() - 1);
        self.printed.extend_from_slice(bytes);
        if count(self.printed.get(from..).unwrap_or_default(), ASK_BACKGROUND) > 0 {
            // A program that is gone is noticed by its output, which ends.
            let _ = self.keys.write_all(BACKGROUND).and_then(|()| self.keys.flush());
        }
    }

    /// What stands on the screen.
    pub(crate) fn text(&self) -> String {
        self.emulator.screen().join("\n")
    }

    /// The screen itself.
    pub(crate) const fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// How many frames were drawn since so many bytes.
    pub(crate) fn frames_since(&self, from: usize) -> usize {
        count(self.printed.get(from..).unwrap_or_default(), FRAME)
    }

    /// How often the whole screen was cleared since then.
    pub(crate) fn clears_since(&self, from: usize) -> usize {
        count(self.printed.get(from..).unwrap_or_default(), CLEAR)
    }

    /// Processor time that it took so far, seconds; of it alone.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(self.proc()?.join("stat"))?;
        let (_, fields) = stat.rsplit_once(')').context("a line of /proc without a name")?;
        let ticks = |at: usize| -> Result<f64> {
            Ok(fields.split_whitespace().nth(at).context("a short line of /proc")?.parse()?)
        };
        // The kernel counts in hundredths of a second.
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Memory that it has now, bytes.
    pub(crate) fn rss_bytes(&self) -> Result<f64> {
        let status = fs::read_to_string(self.proc()?.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: f64 =
            line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?.parse()?;
        Ok(kibibytes * 1024.0)
    }

    fn proc(&self) -> Result<std::path::PathBuf> {
        let pid = self.child.process_id().context("the program has no process")?;
        Ok(Path::new("/proc").join(pid.to_string()))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).filter(|it| *it == wanted).count()
}
