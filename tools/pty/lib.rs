//! A program in a terminal of its own: keys in, screen out, and when each came.
//!
//! For the tests, the benchmarks and the pictures of the terminal. What the program prints is read
//! on a thread, which notes when; so the time it takes to follow the screen here is in no figure.
//! Nothing sleeps: whoever waits, waits for the screen to be so, or for the program's end.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use screen::Emulator;
pub use screen::TerminalSize;

/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A frame begins, and ends.
const FRAME: &[u8] = b"\x1b[?2026h";
const FRAME_END: &[u8] = b"\x1b[?2026l";

/// The whole screen is cleared.
const CLEAR: &[u8] = b"\x1b[2J";

/// The program asks for the background.
const ASK_BACKGROUND: &[u8] = b"\x1b]11;?";

/// What stands behind the text, as the terminal answers when it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Black.
    #[default]
    Dark,
    /// White.
    Light,
    /// It does not answer.
    Silent,
}

impl Background {
    const fn answer(self) -> &'static [u8] {
        match self {
            Self::Dark => b"\x1b]11;rgb:0000/0000/0000\x1b\\",
            Self::Light => b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\",
            Self::Silent => b"",
        }
    }
}

/// How a program is started: its arguments, its variables, its folder, and the terminal around it.
#[derive(Debug)]
pub struct Dress {
    command: CommandBuilder,
    size: TerminalSize,
    background: Background,
}

impl Dress {
    /// A program with nothing of the environment but where programs lie, in a terminal of so many
    /// cells with all colours.
    #[must_use]
    pub fn of(program: &Path, size: TerminalSize) -> Self {
        let mut command = CommandBuilder::new(program);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        Self { command, size, background: Background::default() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The folder it starts in.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.cwd(folder);
        self
    }

    /// What the terminal has behind its text.
    #[must_use]
    pub const fn background(mut self, background: Background) -> Self {
        self.background = background;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// When there is no terminal to be had, or the program cannot be started.
    pub fn start(self) -> io::Result<Pty> {
        let TerminalSize { columns: cols, rows } = self.size;
        let size = PtySize { rows, cols, ..PtySize::default() };
        let pair = native_pty_system().openpty(size).map_err(io::Error::other)?;
        let mut reader = pair.master.try_clone_reader().map_err(io::Error::other)?;
        let keys = pair.master.take_writer().map_err(io::Error::other)?;
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
        let child = pair.slave.spawn_command(self.command).map_err(io::Error::other)?;
        drop(pair.slave);
        Ok(Pty {
            ours: Some((pair.master, keys)),
            child,
            output,
            emulator: Emulator::new(self.size, 0),
            background: self.background,
            began,
            printed: Vec::new(),
            is_drawing: false,
        })
    }
}

/// A program and its terminal. The program is killed when this is dropped.
pub struct Pty {
    /// Our end of the terminal; nothing once it is closed.
    ours: Option<(Box<dyn MasterPty + Send>, Box<dyn Write + Send>)>,
    child: Box<dyn Child + Send + Sync>,
    output: Receiver<(Instant, Vec<u8>)>,
    emulator: Emulator,
    background: Background,
    began: Instant,
    printed: Vec<u8>,
    /// Half a frame is there: what is on the screen is of two.
    is_drawing: bool,
}

impl std::fmt::Debug for Pty {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pty").field("emulator", &self.emulator).finish_non_exhaustive()
    }
}

impl Pty {
    /// Types; when that was.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn press(&mut self, keys: &str) -> io::Result<Instant> {
        let at = Instant::now();
        self.write(keys.as_bytes())?;
        Ok(at)
    }

    /// Gives the terminal another size, as somebody who drags a corner of the window.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&mut self, size: TerminalSize) -> io::Result<()> {
        let TerminalSize { columns: cols, rows } = size;
        self.emulator.resize(size);
        let size = PtySize { rows, cols, ..PtySize::default() };
        let (master, _) = self.ours.as_ref().ok_or(ErrorKind::BrokenPipe)?;
        master.resize(size).map_err(io::Error::other)
    }

    /// Waits until the screen is so; when what made it so arrived.
    ///
    /// # Errors
    /// With what stands there instead, when it does not come or the program ends before.
    pub fn until(&mut self, is_so: impl Fn(&str) -> bool) -> io::Result<Instant> {
        let limit = Instant::now() + PATIENCE;
        let mut last = Instant::now();
        loop {
            if !self.is_drawing && is_so(&self.text()) {
                return Ok(last);
            }
            match self.output.recv_timeout(limit.saturating_duration_since(Instant::now())) {
                Ok((at, bytes)) => {
                    last = at;
                    self.take(&bytes);
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.not_so("it is not so")),
                Err(RecvTimeoutError::Disconnected) => return Err(self.not_so("it has ended")),
            }
        }
    }

    fn not_so(&self, what: &str) -> io::Error {
        io::Error::new(ErrorKind::TimedOut, format!("{what}:\n{}", self.text()))
    }

    /// Waits until this stands on the screen.
    ///
    /// # Errors
    /// With what stands there instead, when it does not come or the program ends before.
    pub fn shows(&mut self, text: &str) -> io::Result<Instant> {
        let shown = self.until(|screen| screen.contains(text));
        shown.map_err(|error| io::Error::new(error.kind(), format!("no {text:?}, {error}")))
    }

    /// Takes what comes for so long.
    pub fn rest(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Ok((_, bytes)) =
            self.output.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            self.take(&bytes);
        }
    }

    /// Takes what comes until nothing has come for so long.
    pub fn settle(&mut self, quiet: Duration) {
        while let Ok((_, bytes)) = self.output.recv_timeout(quiet) {
            self.take(&bytes);
        }
    }

    /// Waits for the program's end; its exit code.
    ///
    /// # Errors
    /// With what stands on the screen, when it does not end.
    pub fn ends(&mut self) -> io::Result<u32> {
        let limit = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(limit.saturating_duration_since(Instant::now())) {
                Ok((_, bytes)) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => return Err(self.not_so("it goes on")),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(self.child.wait()?.exit_code())
    }

    /// Closes the terminal under the program, as a window is closed, and waits for its end; its exit
    /// code. The program has to be printing: the thread that reads lets go with what comes next.
    ///
    /// # Errors
    /// When its end cannot be waited for.
    pub fn hang_up(&mut self) -> io::Result<u32> {
        self.output = channel().1;
        self.ours = None;
        Ok(self.child.wait()?.exit_code())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (_, keys) = self.ours.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        keys.write_all(bytes)?;
        keys.flush()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.emulator.feed(bytes);
        // A mark may come in two pieces.
        let from = self.printed.len().saturating_sub(ASK_BACKGROUND.len().max(FRAME.len()) - 1);
        self.printed.extend_from_slice(bytes);
        let new = self.printed.get(from..).unwrap_or_default();
        let last = |mark: &[u8]| new.windows(mark.len()).rposition(|it| it == mark);
        match (last(FRAME), last(FRAME_END)) {
            (None, None) => {}
            (began, ended) => self.is_drawing = began > ended,
        }
        if count(new, ASK_BACKGROUND) > 0 {
            let answer = self.background.answer();
            // A program that is gone is noticed by its output, which ends.
            let _ = self.write(answer);
        }
    }

    /// What stands on the screen.
    #[must_use]
    pub fn text(&self) -> String {
        self.emulator.screen().join("\n")
    }

    /// The screen itself.
    #[must_use]
    pub const fn emulator(&self) -> &Emulator {
        &self.emulator
    }

    /// When the program was started.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// All that it printed.
    #[must_use]
    pub fn printed(&self) -> &[u8] {
        &self.printed
    }

    /// How many frames were drawn since so many bytes.
    #[must_use]
    pub fn frames_since(&self, from: usize) -> usize {
        count(self.printed.get(from..).unwrap_or_default(), FRAME)
    }

    /// How often the whole screen was cleared since then.
    #[must_use]
    pub fn clears_since(&self, from: usize) -> usize {
        count(self.printed.get(from..).unwrap_or_default(), CLEAR)
    }

    /// The number of its process.
    ///
    /// # Errors
    /// When it has none any more.
    pub fn process(&self) -> io::Result<u32> {
        self.child.process_id().ok_or_else(|| io::Error::other("the program has no process"))
    }

    /// Processor time that it took so far, seconds; of it alone.
    ///
    /// # Errors
    /// When `/proc` does not say.
    pub fn cpu_seconds(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(self.proc()?.join("stat"))?;
        // The name before the bracket may hold anything.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = |at: usize| {
            let field =
                fields.split_whitespace().nth(at).and_then(|field| field.parse::<f64>().ok());
            field.ok_or_else(|| io::Error::other("a line of /proc that is not known"))
        };
        // The kernel counts in hundredths of a second.
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Memory that it has now, bytes.
    ///
    /// # Errors
    /// When `/proc` does not say.
    pub fn rss_bytes(&self) -> io::Result<f64> {
        let status = fs::read_to_string(self.proc()?.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kibibytes.ok_or_else(|| io::Error::other("no VmRSS in /proc"))? * 1024.0)
    }

    fn proc(&self) -> io::Result<PathBuf> {
        Ok(Path::new("/proc").join(self.process()?.to_string()))
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
