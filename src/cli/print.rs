//! Writing to the terminal: never a panic on a closed pipe, never somebody else's escapes.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) use tui::thousands;

/// That something could not be printed, other than for want of a reader.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether some of what was to be printed is missing, on a full disk say.
pub(crate) fn has_failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Stdout, buffered by the line or by the caller's flush. A reader that went away (`| head`) is
/// no failure: what is left is not printed.
pub(crate) struct Out {
    inner: io::BufWriter<io::Stdout>,
    gone: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        Self { inner: io::BufWriter::with_capacity(1 << 16, io::stdout()), gone: false }
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.bytes(text.as_bytes());
        self.bytes(b"\n");
    }

    pub(crate) fn json(&mut self, value: &serde_json::Value) {
        self.line(&value.to_string());
    }

    pub(crate) fn flush(&mut self) {
        if !self.gone {
            let flushed = self.inner.flush();
            self.take(flushed);
        }
    }

    /// Whether the reader went away.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if !self.gone {
            let written = self.inner.write_all(bytes);
            self.take(written);
        }
    }

    fn take(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.gone = true;
        if error.kind() != io::ErrorKind::BrokenPipe {
            FAILED.store(true, Ordering::Relaxed);
            note(&format!("limn: Cannot write to stdout: {error}."));
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes);
        if self.gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self);
        Ok(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        Self::flush(self);
    }
}

/// A line for the person at the keyboard.
pub(crate) fn note(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nothing can be done about a closed stderr, and nothing depends on it.
    let _ = writeln!(stderr, "{text}");
}

/// How far long work has come: a line for the person at the keyboard, written over and over, and
/// nothing where nobody looks or the work is short.
pub(crate) struct Progress {
    what: &'static str,
    began: Instant,
    last: Option<Instant>,
}

impl Progress {
    /// Work shorter than this is not told of.
    const SHORT: Duration = Duration::from_millis(1_500);
    /// How often the line changes.
    const EVERY: Duration = Duration::from_millis(250);

    pub(crate) fn of(what: &'static str) -> Self {
        Self { what, began: Instant::now(), last: None }
    }

    /// So many of so many are done.
    pub(crate) fn tell(&mut self, done: usize, all: usize) {
        let took = self.began.elapsed();
        let is_early = self.last.map_or(took < Self::SHORT, |last| last.elapsed() < Self::EVERY);
        if is_early || done == 0 || !io::stderr().is_terminal() {
            return;
        }
        self.last = Some(Instant::now());
        let left_s = took.as_secs_f64() / done as f64 * all.saturating_sub(done) as f64;
        let (done, all) = (thousands(done as u64), thousands(all as u64));
        let mut stderr = io::stderr().lock();
        // As with a note: nothing depends on it.
        let _ = write!(stderr, "\r{}: {done} of {all}, {left_s:.0} s left \x1b[K", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.last.is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// Text from a model, a tool or a file, made safe for a terminal: control characters other than
/// line feed and tab are shown as pictures, so that no escape sequence takes effect.
pub(crate) fn safe(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
            '\u{7f}' => '\u{2421}',
            '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A text safe for a terminal, on a line of its own: where lines mean something, nobody else makes
/// them.
pub(crate) fn safe_line(text: &str) -> String {
    safe(text).replace('\n', "\u{240a}")
}

/// The first line of a text, at most `max` characters wide, safe for a terminal.
pub(crate) fn headline(text: &str, max: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(max).collect();
    if short.len() < line.len() {
        short.pop();
        short.push('…');
    }
    safe(&short)
}
