//! The thread that follows one execution: it reads the terminal, types what waits, keeps time and
//! watches the command, all in one poll.
//!
//! After the command has exited, what it printed is still in the terminal; a read that does not
//! block gives all of it before it says that there is no more, so the end is exact: the terminal
//! is read until it is closed on the other side or, where a background process holds it open, for
//! a short grace. Then the tree is killed, which closes it, and the rest is read.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use screen::Reader;
use tokio::sync::mpsc::{self, error::TrySendError};
use trajectory::event::Exit;

use crate::command::CommandSpec;
use crate::policy::Policy;
use crate::running::{Control, Finished, OutputChunk};
use crate::terminal;
use crate::tree::Tree;

const CHUNK_BYTES_MAX: usize = 64 * 1024;
const CHUNK_MARKS_MAX: usize = 512;
/// How long a chunk may wait for more.
const CHUNK_DELAY: Duration = Duration::from_millis(2);
/// From SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_millis(200);
/// How long background processes may go on after the command itself, where they are not hung up.
const EXIT_GRACE: Duration = Duration::from_millis(50);
/// How long the terminal is read after everything was killed.
const DEAD_GRACE: Duration = Duration::from_millis(100);
/// How often a terminal is looked at that nobody holds open while the command runs.
const CLOSED_PAUSE: Duration = Duration::from_millis(20);
/// How often the command is looked at where its exit wakes nobody.
const WATCH_PAUSE: Duration = Duration::from_millis(5);

/// How far the execution is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until its time is up, if there is a limit.
    Running(Option<Instant>),
    /// It was asked to end and is killed at this time.
    Ending(Instant),
    /// The command has exited; what is left of its tree is killed at this time.
    Left(Instant),
    /// Everything was killed; what was printed is read until this time at most.
    Dead(Instant),
}

impl Phase {
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Running(deadline) => deadline,
            Self::Ending(at) | Self::Left(at) | Self::Dead(at) => Some(at),
        }
    }
}

pub(crate) struct Pump {
    master: OwnedFd,
    wake: UnixStream,
    control: Arc<Control>,
    tree: Tree,
    phase: Phase,
    exit: Option<Exit>,
    timed_out: bool,
    is_killed: bool,
    started: Instant,
    last_read: Instant,
    /// Not to be read before this time: nobody holds the other side open.
    closed_until: Option<Instant>,
    buffer: Vec<u8>,
    marks: Vec<(u32, u32)>,
    /// When the first bytes of the chunk were read.
    chunk_since: Instant,
    /// A chunk for which the channel had no room.
    stalled: Option<OutputChunk>,
    chunks: mpsc::Sender<OutputChunk>,
    reader: Reader,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// What a look at the descriptors found.
struct Ready {
    terminal: bool,
    room_for_input: bool,
}

impl Pump {
    pub(crate) fn new(
        master: OwnedFd,
        wake: UnixStream,
        control: Arc<Control>,
        tree: Tree,
        chunks: mpsc::Sender<OutputChunk>,
        spec: &CommandSpec,
        policy: &Policy,
    ) -> Self {
        let started = Instant::now();
        Self {
            master,
            wake,
            control,
            tree,
            phase: Phase::Running(spec.timeout.and_then(|timeout| started.checked_add(timeout))),
            exit: None,
            timed_out: false,
            is_killed: false,
            started,
            last_read: started,
            closed_until: None,
            buffer: Vec::new(),
            marks: Vec::new(),
            chunk_since: started,
            stalled: None,
            chunks,
            reader: Reader::new(spec.size, policy.text_chars_max),
            hasher: blake3::Hasher::new(),
            bytes: 0,
        }
    }

    /// Follows the execution to its end.
    pub(crate) fn run(mut self) -> Finished {
        loop {
            self.serve();
            self.keep_time();
            if matches!(self.phase, Phase::Dead(until) if until <= Instant::now() && self.stalled.is_none())
            {
                break;
            }
            let ready = self.poll();
            self.watch();
            if ready.room_for_input {
                self.type_input();
            }
            let is_closed = ready.terminal && self.read();
            if is_closed && self.exit.is_some() {
                break;
            }
            self.send(false);
        }
        self.control.end();
        let exit = self.tree.uproot().or(self.exit).unwrap_or_default();
        self.send(true);
        while self.stalled.is_some() {
            self.poll();
            self.send(true);
        }
        Finished {
            exit: Exit { timed_out: self.timed_out, ..exit },
            text: self.reader.finish(),
            bytes: self.bytes,
            blake3: self.hasher.finalize().to_hex().to_string(),
            duration: self.started.elapsed(),
        }
    }

    /// Does what the other side asked for.
    fn serve(&mut self) {
        if let Some(size) = self.control.take_size()
            && terminal::resize(&self.master, size).is_ok()
        {
            self.reader.resize(size);
        }
        if self.control.is_killed() && !self.is_killed {
            self.is_killed = true;
            self.end();
        }
    }

    /// Does what is due.
    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.phase.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.phase {
            Phase::Running(_) => {
                self.timed_out = true;
                self.end();
            }
            Phase::Ending(_) | Phase::Left(_) => {
                self.tree.kill();
                self.phase = Phase::Dead(Instant::now() + DEAD_GRACE);
            }
            Phase::Dead(_) => {}
        }
    }

    /// Asks everything to end.
    fn end(&mut self) {
        if let Phase::Running(_) = self.phase {
            self.tree.terminate();
            self.phase = Phase::Ending(Instant::now() + TERM_GRACE);
        }
    }

    /// Looks whether the command has exited.
    fn watch(&mut self) {
        if self.exit.is_some() {
            return;
        }
        self.exit = self.tree.exit();
        if self.exit.is_some() {
            let soon = Instant::now() + EXIT_GRACE;
            self.phase = match self.phase {
                Phase::Running(_) => Phase::Left(soon),
                Phase::Ending(at) => Phase::Left(at.min(soon)),
                phase => phase,
            };
            // Whatever it was, it can be read to its end now.
            self.closed_until = None;
        }
    }

    /// Waits until something happens.
    fn poll(&mut self) -> Ready {
        let now = Instant::now();
        self.closed_until = self.closed_until.filter(|until| *until > now);
        let is_open = self.closed_until.is_none();
        let reads = self.stalled.is_none() && is_open;
        let types = is_open && !self.control.input().is_empty();
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads);
        flags.set(PollFlags::OUT, types);
        let watch = if self.exit.is_none() { self.tree.watch() } else { None };
        let blind = self.exit.is_none() && watch.is_none();

        let dues = [
            self.phase
                .deadline()
                .filter(|_| !(matches!(self.phase, Phase::Dead(_)) && self.stalled.is_some())),
            (!self.marks.is_empty() && self.stalled.is_none())
                .then(|| self.chunk_since + CHUNK_DELAY),
            self.closed_until,
            blind.then(|| now + WATCH_PAUSE),
        ];
        let due = dues.into_iter().flatten().min();
        let wait = due.and_then(|due| Timespec::try_from(due.saturating_duration_since(now)).ok());

        let wake = self.wake.as_fd();
        let mut polled = vec![PollFd::from_borrowed_fd(wake, PollFlags::IN)];
        // A terminal that is polled for nothing would still report that it is closed, for ever.
        let terminal = (reads || types).then_some(polled.len());
        polled.extend(terminal.map(|_| PollFd::from_borrowed_fd(self.master.as_fd(), flags)));
        polled.extend(
            watch.map(|watch: BorrowedFd<'_>| PollFd::from_borrowed_fd(watch, PollFlags::IN)),
        );
        // An error here is an interruption: everything is looked at again.
        let _ = poll(&mut polled, wait.as_ref());
        let woken = polled.first().is_some_and(|fd| !fd.revents().is_empty());
        let events = terminal
            .and_then(|index| polled.get(index))
            .map_or(PollFlags::empty(), PollFd::revents);
        drop(polled);
        if woken {
            let mut bytes = [0; 64];
            while matches!(self.wake.read(&mut bytes), Ok(read) if read == bytes.len()) {}
        }
        Ready {
            terminal: reads && events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR),
            room_for_input: types && events.contains(PollFlags::OUT),
        }
    }

    /// Reads what there is, a chunk at most; whether the other side is closed.
    fn read(&mut self) -> bool {
        let mut block = [0; 16 * 1024];
        while self.buffer.len() < CHUNK_BYTES_MAX && self.marks.len() < CHUNK_MARKS_MAX {
            let room = (CHUNK_BYTES_MAX - self.buffer.len()).min(block.len());
            let Some(space) = block.get_mut(..room) else { return false };
            match read(&self.master, &mut *space) {
                Ok(0) | Err(Errno::IO) => {
                    if self.exit.is_none() {
                        self.closed_until = Some(Instant::now() + CLOSED_PAUSE);
                    }
                    return true;
                }
                Ok(count) => {
                    self.closed_until = None;
                    self.take(block.get(..count).unwrap_or_default());
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Takes the bytes of one read.
    fn take(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        if self.marks.is_empty() {
            self.chunk_since = now;
        }
        let since = now.duration_since(self.last_read).as_micros();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.marks.push((u32::try_from(since).unwrap_or(u32::MAX), length));
        self.last_read = now;
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
        self.reader.feed(bytes);
        self.buffer.extend_from_slice(bytes);
        let answers = self.reader.take_replies();
        if !answers.is_empty() {
            self.control.answer(&answers);
        }
    }

    /// Types what waits, as far as there is room.
    fn type_input(&mut self) {
        let mut input = self.control.input();
        let (bytes, _) = input.as_slices();
        if let Ok(count) = write(&self.master, bytes) {
            input.drain(..count);
        }
    }

    /// Sends the chunk on if it is full, old, or the last.
    fn send(&mut self, is_last: bool) {
        if let Some(chunk) = self.stalled.take() {
            self.offer(chunk);
            if let Phase::Dead(until) = &mut self.phase
                && self.stalled.is_none()
            {
                *until = Instant::now() + DEAD_GRACE;
            }
        }
        let is_full = self.buffer.len() >= CHUNK_BYTES_MAX || self.marks.len() >= CHUNK_MARKS_MAX;
        let is_due = is_full || is_last || self.chunk_since.elapsed() >= CHUNK_DELAY;
        if self.stalled.is_none() && is_due && !self.buffer.is_empty() {
            let bytes = Arc::from(self.buffer.as_slice());
            self.buffer.clear();
            let marks = std::mem::take(&mut self.marks);
            self.offer(OutputChunk { bytes, marks });
        }
    }

    /// Sends a chunk, or keeps it until there is room. When nobody listens it is dropped.
    fn offer(&mut self, chunk: OutputChunk) {
        let Err(TrySendError::Full(chunk)) = self.chunks.try_send(chunk) else { return };
        // The other side looks at this after it has made room: said first, then tried again.
        self.control.stall();
        if let Err(TrySendError::Full(chunk)) = self.chunks.try_send(chunk) {
            self.stalled = Some(chunk);
        }
    }
}
