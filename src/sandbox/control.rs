//! What the thread that follows a command and the rest of the program tell each other.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use screen::{Reader, TerminalSize, Text};
use tokio::sync::watch;
use trajectory::event::Exit;

use crate::error::SandboxError;

/// What a command is doing, as far as that is seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// It has been quiet for a moment and waits for somebody to type. Told on Linux only, and
    /// only while somebody watches.
    pub waits: bool,
    /// The command itself has ended; what it left in the background goes on.
    pub left: Option<Left>,
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// How the command itself ended.
    pub exit: Exit,
    /// The command lines of some of the processes that go on.
    pub names: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Control {
    kill: AtomicBool,
    ended: AtomicBool,
    /// The limit of time was lifted.
    lifted: AtomicBool,
    /// The reader of the terminal waits for room in the channel.
    pub(crate) stalled: AtomicBool,
    input: Mutex<VecDeque<u8>>,
    size: Mutex<Option<TerminalSize>>,
    /// Reads what is printed; taken when the command has ended.
    reader: Mutex<Option<Reader>>,
    /// Bytes that were printed.
    printed: AtomicU64,
    /// When something was printed or typed the last time.
    stirred: Mutex<Instant>,
    status: watch::Sender<Status>,
    bell: UnixStream,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Bytes that wait to be typed.
    const INPUT_BYTES_MAX: usize = 64 * 1024;

    /// The same with a long paste of a user's, for a program that reads as fast as it can.
    const PASTE_BYTES_MAX: usize = 4 << 20;

    pub(crate) fn new(bell: UnixStream, reader: Reader) -> Self {
        Self {
            kill: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            lifted: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            input: Mutex::new(VecDeque::new()),
            size: Mutex::new(None),
            reader: Mutex::new(Some(reader)),
            printed: AtomicU64::new(0),
            stirred: Mutex::new(Instant::now()),
            status: watch::Sender::new(Status::default()),
            bell,
        }
    }

    /// Wakes the thread; a full pipe means that it is about to wake anyway.
    fn ring(&self) {
        let _ = (&self.bell).write(&[1]);
    }

    pub(crate) fn kill(&self) {
        if !self.kill.swap(true, Ordering::SeqCst) {
            self.ring();
        }
    }

    pub(crate) fn resume(&self) {
        if self.stalled.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    pub(crate) fn lift_limit(&self) {
        self.lifted.store(true, Ordering::SeqCst);
        self.ring();
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.queue(bytes, Self::INPUT_BYTES_MAX)
    }

    pub(crate) fn paste(&self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.queue(bytes, Self::PASTE_BYTES_MAX)
    }

    fn queue(&self, bytes: &[u8], bytes_max: usize) -> Result<(), SandboxError> {
        self.check_running()?;
        let mut input = self.input();
        if input.len() + bytes.len() > bytes_max {
            return Err(SandboxError::InputFull(input.len()));
        }
        input.extend(bytes);
        // What it waited for is on its way.
        self.stir();
        drop(input);
        self.ring();
        Ok(())
    }

    pub(crate) fn resize(&self, size: TerminalSize) -> Result<(), SandboxError> {
        self.check_running()?;
        *lock(&self.size) = Some(size);
        self.ring();
        Ok(())
    }

    fn check_running(&self) -> Result<(), SandboxError> {
        if self.has_ended() { Err(SandboxError::Ended) } else { Ok(()) }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Bytes that wait to be typed.
    pub(crate) fn input(&self) -> MutexGuard<'_, VecDeque<u8>> {
        lock(&self.input)
    }

    /// Types an answer of the terminal's own, if there is room.
    fn answer(&self, bytes: &[u8]) {
        let mut input = self.input();
        if input.len() + bytes.len() <= Self::INPUT_BYTES_MAX {
            input.extend(bytes);
        }
    }

    /// Reads what was printed, and types what the terminal answers to it.
    pub(crate) fn feed(&self, bytes: &[u8]) {
        let answers = self.with_reader(|reader| {
            reader.feed(bytes);
            reader.take_replies()
        });
        if let Some(answers) = answers.filter(|answers| !answers.is_empty()) {
            self.answer(&answers);
        }
        self.printed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.stir();
    }

    pub(crate) fn printed(&self) -> u64 {
        self.printed.load(Ordering::SeqCst)
    }

    /// What the reader says, unless the command has ended.
    pub(crate) fn with_reader<T>(&self, ask: impl FnOnce(&mut Reader) -> T) -> Option<T> {
        lock(&self.reader).as_mut().map(ask)
    }

    /// The text that is left when nothing more will come.
    pub(crate) fn last_text(&self) -> Text {
        lock(&self.reader).take().map_or_else(Text::default, Reader::finish)
    }

    /// Something was printed or typed: nobody knows any more whether it waits.
    pub(crate) fn stir(&self) {
        *lock(&self.stirred) = Instant::now();
        self.status.send_if_modified(|status| std::mem::take(&mut status.waits));
    }

    pub(crate) fn stirred(&self) -> Instant {
        *lock(&self.stirred)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        let watcher = self.status.subscribe();
        self.ring();
        watcher
    }

    /// Whether somebody wants to know if it waits for input, and does not know it yet.
    pub(crate) fn is_wondered(&self) -> bool {
        self.status.receiver_count() > 0 && !self.status.borrow().waits
    }

    /// It waits for input, unless some has just come.
    pub(crate) fn tell_waiting(&self) {
        let input = self.input();
        if input.is_empty() {
            self.status.send_if_modified(|status| !std::mem::replace(&mut status.waits, true));
        }
    }

    pub(crate) fn tell_left(&self, left: Left) {
        self.status.send_modify(|status| *status = Status { waits: false, left: Some(left) });
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.kill.load(Ordering::SeqCst)
    }

    pub(crate) fn is_lifted(&self) -> bool {
        self.lifted.load(Ordering::SeqCst)
    }

    pub(crate) fn take_size(&self) -> Option<TerminalSize> {
        lock(&self.size).take()
    }

    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}
