//! The terminal itself: how it is taken, written to, and given back.
//!
//! A frame goes out in one write, between the marks of a synchronized update, so that it is never
//! seen half. Whatever way the program ends, the terminal is given back: by [`Screen::leave`], and
//! in a panic by the hook of [`leave_by_panic`].

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use ratatui::layout::Size;
use rustix::stdio::stdout;
use rustix::termios::tcgetwinsize;

use crate::taste::Notify;

/// Alternate screen, blank where there is none, bracketed paste, whether the window is in front, keys
/// told apart where the terminal can, with what they are in other layouts.
const ENTER: &str = "\x1b[?1049h\x1b[H\x1b[J\x1b[?2004h\x1b[?1004h\x1b[>5u";

/// Buttons, the wheel and dragging, but not every movement; places as numbers.
const MOUSE: &str = "\x1b[?1002h\x1b[?1006h";
const NO_MOUSE: &str = "\x1b[?1006l\x1b[?1002l";

/// What colour the background has.
const ASK_BACKGROUND: &str = "\x1b]11;?\x1b\\";

/// The reverse of all that, with the cursor to be seen and no colour left.
const LEAVE: &str =
    "\x1b[?2026l\x1b[<u\x1b[?1006l\x1b[?1002l\x1b[?1004l\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l";

const BEGIN_FRAME: &str = "\x1b[?2026h";
const END_FRAME: &str = "\x1b[?2026l";

/// Bytes that go to the clipboard; terminals take no more.
const CLIPBOARD_BYTES_MAX: usize = 74_000;

/// Whose the terminal is now: what a panic of that thread has to give back.
static TAKEN: Mutex<Option<ThreadId>> = Mutex::new(None);

/// Where frames are written. Who draws has it, and who sets the terminal has the same.
pub struct Screen<W: Write>(Rc<RefCell<Inner<W>>>);

struct Inner<W: Write> {
    out: W,
    buffer: Vec<u8>,
    in_frame: bool,
    /// Whether it is the process's own terminal, with modes to be set.
    is_real: bool,
}

impl<W: Write> Clone for Screen<W> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<W: Write> Screen<W> {
    /// The process's terminal.
    pub fn real(out: W) -> Self {
        Self::new(out, true)
    }

    /// Something that only takes what is written.
    pub fn given(out: W) -> Self {
        Self::new(out, false)
    }

    fn new(out: W, is_real: bool) -> Self {
        let inner = Inner { out, buffer: Vec::new(), in_frame: false, is_real };
        Self(Rc::new(RefCell::new(inner)))
    }

    fn send(&self, text: &str) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        inner.buffer.extend_from_slice(text.as_bytes());
        inner.flush()
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// When it cannot be set or written.
    pub fn enter(&self, with_mouse: bool) -> io::Result<()> {
        if self.0.borrow().is_real {
            enable_raw_mode()?;
            *taken() = Some(std::thread::current().id());
        }
        self.send(ENTER)?;
        if with_mouse { self.send(MOUSE) } else { Ok(()) }
    }

    /// The size of the process's terminal; none of a screen that was given.
    pub(crate) fn window(&self) -> io::Result<Option<Size>> {
        if !self.0.borrow().is_real {
            return Ok(None);
        }
        let size = tcgetwinsize(stdout())?;
        // A line over which nobody has said how large its terminal is.
        let or = |cells: u16, usual: u16| if cells == 0 { usual } else { cells };
        Ok(Some(Size { width: or(size.ws_col, 80), height: or(size.ws_row, 24) }))
    }

    /// Asks for the colour behind the text; the answer comes among the keys.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ask_background(&self) -> io::Result<()> {
        self.send(ASK_BACKGROUND)
    }

    /// Gives the terminal back, as far as it still takes anything.
    pub fn leave(&self) {
        let mut inner = self.0.borrow_mut();
        inner.in_frame = false;
        inner.buffer.clear();
        let _ = inner.out.write_all(LEAVE.as_bytes());
        let _ = inner.out.flush();
        if inner.is_real {
            let _ = disable_raw_mode();
            *taken() = None;
        }
    }

    /// Whether the mouse is ours.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_mouse(&self, is_ours: bool) -> io::Result<()> {
        self.send(if is_ours { MOUSE } else { NO_MOUSE })
    }

    /// Gives a text to the terminal's clipboard; whether that is all of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn copy(&self, text: &str) -> io::Result<bool> {
        let end = text.len().min(CLIPBOARD_BYTES_MAX);
        let end = (0..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let begun = STANDARD.encode(text.get(..end).unwrap_or_default());
        self.send(&format!("\x1b]52;c;{begun}\x1b\\"))?;
        Ok(end == text.len())
    }

    /// A bell or a notification, for whoever looks elsewhere.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn call(&self, how: Notify, text: &str) -> io::Result<()> {
        self.send(&how.sequence(text))
    }

    /// What is written from here on is one frame.
    pub(crate) fn begin_frame(&self) {
        let mut inner = self.0.borrow_mut();
        if !std::mem::replace(&mut inner.in_frame, true) {
            inner.buffer.extend_from_slice(BEGIN_FRAME.as_bytes());
        }
    }

    /// The frame goes out.
    pub(crate) fn end_frame(&self) -> io::Result<()> {
        self.0.borrow_mut().in_frame = false;
        self.send(END_FRAME)
    }
}

impl<W: Write> Inner<W> {
    fn flush(&mut self) -> io::Result<()> {
        if self.in_frame {
            return Ok(());
        }
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        self.out.flush()
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}

/// Whether stdin and stdout are a terminal that can be drawn on; else why not.
///
/// # Errors
/// A sentence that says what is missing.
pub fn is_capable(term: Option<&str>) -> Result<(), &'static str> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err("There is no terminal to draw on.");
    }
    match term {
        Some("dumb") | None => Err("This terminal cannot be drawn on (TERM is dumb or not set)."),
        Some(_) => Ok(()),
    }
}

fn taken() -> MutexGuard<'static, Option<ThreadId>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on, a panic gives the terminal back before it says what it has to say. One of another
/// thread than the terminal's is caught there, and is not written into what is drawn.
pub fn leave_by_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let owner = *taken();
        if owner.is_some_and(|owner| owner != std::thread::current().id()) {
            return;
        }
        if owner.is_some() {
            *taken() = None;
            let mut out = io::stdout().lock();
            let _ = out.write_all(LEAVE.as_bytes());
            let _ = out.flush();
            let _ = disable_raw_mode();
        }
        before(panic);
    }));
}

#[cfg(test)]
mod tests;
