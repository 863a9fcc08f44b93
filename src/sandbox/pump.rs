//! The thread that follows one execution: it reads the terminal, types what waits, keeps time and
//! watches the command, all in one poll.
//!
//! After the command has exited, what it printed is still in the terminal; a read that does not
//! block gives all of it before it says that there is no more, so the end is exact: the terminal
//! is read until it is closed on the other side. Where a background process holds it open, that
//! has a short grace to end by itself. Then it stays, if the command may linger, and is followed
//! until nothing of the tree is left; otherwise the tree is killed, which closes the terminal, and
//! the rest is read.

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use tokio::sync::mpsc;
use trajectory::event::Exit;

use crate::chunks::Chunks;
use crate::command::CommandSpec;
use crate::control::{Control, Left};
use crate::error::SandboxError;
use crate::look::Look;
use crate::policy::Limits;
use crate::running::{Finished, OutputChunk};
use crate::terminal::{self, Terminal};
use crate::tree::{Remains, Tree};
use crate::waiting;

/// From SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_millis(200);
/// How long background processes may take to end after the command itself.
const EXIT_GRACE: Duration = Duration::from_millis(100);
/// How long the terminal is read after everything was killed.
const DEAD_GRACE: Duration = Duration::from_millis(100);
/// How often a terminal is looked at that nobody holds open while the command runs.
const CLOSED_PAUSE: Duration = Duration::from_millis(20);
/// How often processes are looked at whose exit wakes nobody.
const WATCH_PAUSE: Duration = Duration::from_millis(5);
const REMAINS_PAUSE: Duration = Duration::from_millis(100);

/// How far the execution is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Until its time is up, if there is a limit.
    Running(Option<Instant>),
    /// It was asked to end and is killed at this time.
    Ending(Instant),
    /// The command has exited; what is left of its tree is dealt with at this time.
    Left(Instant),
    /// The command has exited, and what is left of its tree goes on, as long as it likes or until
    /// this time.
    Staying(Option<Instant>),
    /// Everything was killed; what was printed is read until this time at most.
    Dead(Instant),
}

impl Phase {
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Running(deadline) | Self::Staying(deadline) => deadline,
            Self::Ending(at) | Self::Left(at) | Self::Dead(at) => Some(at),
        }
    }
}

pub(crate) struct Pump {
    terminal: Terminal,
    wake: UnixStream,
    control: Arc<Control>,
    tree: Tree,
    phase: Phase,
    exit: Option<Exit>,
    /// What is left of the tree, once the command has exited.
    remains: Remains,
    lingers: bool,
    limit: Option<Instant>,
    /// What holds even for a command that may run for as long as it likes.
    limits: Limits,
    is_flooding: bool,
    timed_out: bool,
    is_killed: bool,
    started: Instant,
    /// Not to be read before this time: nobody holds the other side open.
    closed_until: Option<Instant>,
    /// Nobody holds the other side open, and nobody will.
    is_closed: bool,
    look: Look,
    chunks: Chunks,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// What a look at the descriptors found.
struct Ready {
    terminal: bool,
    room_for_input: bool,
    /// One of the processes that are left has exited, or may have.
    remains: bool,
}

impl Pump {
    pub(crate) fn new(
        terminal: Terminal,
        wake: UnixStream,
        control: Arc<Control>,
        tree: Tree,
        chunks: mpsc::Sender<OutputChunk>,
        spec: &CommandSpec,
        limits: &Limits,
    ) -> Self {
        let started = Instant::now();
        let wall = started.checked_add(limits.wall());
        let limit = spec.timeout.and_then(|timeout| started.checked_add(timeout));
        let limit = limit.into_iter().chain(wall).min();
        Self {
            terminal,
            wake,
            control,
            tree,
            phase: Phase::Running(limit),
            exit: None,
            remains: Remains::default(),
            lingers: spec.lingers,
            limit,
            limits: *limits,
            is_flooding: false,
            timed_out: false,
            is_killed: false,
            started,
            closed_until: None,
            is_closed: false,
            look: Look::new(started),
            chunks: Chunks::new(chunks, started),
            hasher: blake3::Hasher::new(),
            bytes: 0,
        }
    }

    /// Follows the execution to its end.
    pub(crate) fn run(mut self) -> Result<Finished, SandboxError> {
        loop {
            self.serve();
            self.keep_time();
            if matches!(self.phase, Phase::Dead(until) if until <= Instant::now() && !self.chunks.is_stalled())
            {
                // However late this thread is, what was printed is in the terminal still.
                self.read();
                break;
            }
            let ready = self.poll();
            self.watch(&ready);
            if ready.room_for_input {
                self.type_input();
            }
            if ready.terminal && self.read() && self.exit.is_some() {
                self.is_closed = true;
            }
            if self.is_closed && self.nothing_is_left() {
                break;
            }
            self.look();
            self.send();
        }
        if self.is_flooding {
            self.tell_flood();
        }
        self.control.end();
        let exit = self.tree.uproot().or(self.exit).unwrap_or_default();
        self.chunks.send(true, &self.control);
        while self.chunks.is_stalled() {
            self.poll();
            self.chunks.send(true, &self.control);
        }
        if self.tree.is_lost() {
            return Err(SandboxError::IsolationLost);
        }
        Ok(Finished {
            exit: Exit { timed_out: self.timed_out, ..exit },
            text: self.control.last_text(),
            bytes: self.bytes,
            blake3: self.hasher.finalize().to_hex().to_string(),
            duration: self.started.elapsed(),
        })
    }

    /// Says why it was ended, to whoever reads the text: the bytes stay what was printed.
    fn tell_flood(&self) {
        let note = format!(
            "\r\n[it printed more than {} bytes, the limit output_bytes of the sandbox, and was \
             ended]\r\n",
            self.limits.output_bytes
        );
        self.control.with_reader(|reader| reader.feed(note.as_bytes()));
    }

    /// Whether the closing of the terminal is the end.
    fn nothing_is_left(&self) -> bool {
        matches!(self.phase, Phase::Dead(_)) || !self.something_stays()
    }

    /// Whether the command leaves something that may go on.
    fn something_stays(&self) -> bool {
        self.lingers && !self.is_killed && !self.timed_out && self.remains.count > 0
    }

    /// Does what the other side asked for.
    fn serve(&mut self) {
        if let Some(size) = self.control.take_size()
            && terminal::resize(&self.terminal.master, size).is_ok()
        {
            self.control.with_reader(|reader| reader.resize(size));
        }
        if self.control.is_lifted() {
            self.limit = self.started.checked_add(self.limits.wall());
            if let Phase::Running(limit) | Phase::Staying(limit) = &mut self.phase {
                *limit = self.limit;
            }
        }
        if self.bytes > self.limits.output_bytes && !self.is_flooding {
            self.is_flooding = true;
            self.is_killed = true;
            self.end();
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
            Phase::Running(_) | Phase::Staying(_) => {
                self.timed_out = true;
                self.end();
            }
            Phase::Left(_) if self.something_stays() => {
                // A shell that was forked has become the program by now.
                self.remains = self.tree.remains();
                if self.something_stays() {
                    let names = std::mem::take(&mut self.remains.names);
                    self.control.tell_left(Left { exit: self.exit.unwrap_or_default(), names });
                    self.phase = Phase::Staying(self.limit);
                }
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
        if let Phase::Running(_) | Phase::Staying(_) = self.phase {
            self.tree.terminate();
            self.phase = Phase::Ending(Instant::now() + TERM_GRACE);
        }
    }

    /// Looks whether the command has exited, and what is left of it afterwards.
    fn watch(&mut self, ready: &Ready) {
        if self.exit.is_some() {
            if ready.remains {
                self.remains = self.tree.remains();
                self.is_over();
            }
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
            if self.lingers {
                self.remains = self.tree.remains();
            }
        }
    }

    /// Once nothing stays any more, there is nothing to wait for but what it printed.
    fn is_over(&mut self) {
        if self.remains.count == 0 && matches!(self.phase, Phase::Staying(_) | Phase::Ending(_)) {
            self.phase = Phase::Dead(Instant::now() + DEAD_GRACE);
        }
    }

    /// Looks whether the command waits for input, when it is time to.
    fn look(&mut self) {
        let now = Instant::now();
        if self.look_due().is_none_or(|due| due > now) {
            return;
        }
        let prompts = self.control.with_reader(|reader| reader.is_prompting()).unwrap_or(false);
        let waits = waiting::waits(&self.terminal, &mut self.tree, prompts, self.bytes > 0);
        if self.look.saw(waits, now) {
            self.control.tell_waiting();
        }
    }

    /// When that is, if anybody wants to know.
    fn look_due(&mut self) -> Option<Instant> {
        let may_wait = matches!(self.phase, Phase::Running(_)) && !self.chunks.is_stalled();
        (may_wait && self.control.is_wondered() && self.control.input().is_empty())
            .then(|| self.look.due(self.control.stirred()))
    }

    /// Waits until something happens.
    fn poll(&mut self) -> Ready {
        let now = Instant::now();
        self.closed_until = self.closed_until.filter(|until| *until > now);
        let is_open = self.closed_until.is_none() && !self.is_closed;
        let reads = !self.chunks.is_stalled() && is_open;
        let types = is_open && !self.control.input().is_empty();
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, reads);
        flags.set(PollFlags::OUT, types);
        let due = self.due(now);
        let wait = due.and_then(|due| Timespec::try_from(due.saturating_duration_since(now)).ok());

        let mut polled = vec![PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN)];
        // A terminal that is polled for nothing would still report that it is closed, for ever.
        let terminal = (reads || types).then_some(polled.len());
        let master = self.terminal.master();
        polled.extend(terminal.map(|_| PollFd::from_borrowed_fd(master, flags)));
        let watch = if self.exit.is_none() { self.tree.watch() } else { None };
        polled.extend(
            watch.map(|watch: BorrowedFd<'_>| PollFd::from_borrowed_fd(watch, PollFlags::IN)),
        );
        let remains = polled.len();
        polled.extend(self.remains.watches.iter().map(|it| PollFd::new(it, PollFlags::IN)));
        // An error here is an interruption: everything is looked at again.
        let _ = poll(&mut polled, wait.as_ref());
        let found = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let woken = polled.first().is_some_and(found);
        let ended = polled.get(remains..).is_some_and(|watches| watches.iter().any(found));
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
            remains: ended || self.is_blind(),
        }
    }

    /// Whether there are processes left of which none is watched.
    fn is_blind(&self) -> bool {
        self.remains.count > 0 && self.remains.watches.is_empty()
    }

    /// When something is to be done even if nothing happens.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        let blind = self.exit.is_none() && self.tree.watch().is_none();
        let waits_for_taker = matches!(self.phase, Phase::Dead(_)) && self.chunks.is_stalled();
        let dues = [
            self.phase.deadline().filter(|_| !waits_for_taker),
            self.chunks.due(),
            self.closed_until,
            self.look_due(),
            blind.then(|| now + WATCH_PAUSE),
            self.is_blind().then(|| now + REMAINS_PAUSE),
        ];
        dues.into_iter().flatten().min()
    }

    /// Reads what there is, a chunk at most; whether the other side is closed.
    fn read(&mut self) -> bool {
        let mut block = [0; 16 * 1024];
        while self.chunks.room() > 0 {
            let room = self.chunks.room().min(block.len());
            let Some(space) = block.get_mut(..room) else { return false };
            match read(&self.terminal.master, &mut *space) {
                Ok(0) | Err(Errno::IO) => {
                    if self.exit.is_none() {
                        self.closed_until = Some(Instant::now() + CLOSED_PAUSE);
                    }
                    return true;
                }
                Ok(count) => {
                    self.closed_until = None;
                    let bytes = block.get(..count).unwrap_or_default();
                    self.bytes += bytes.len() as u64;
                    self.hasher.update(bytes);
                    self.chunks.push(bytes);
                    self.control.feed(bytes);
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Types what waits, as far as there is room.
    fn type_input(&mut self) {
        let mut input = self.control.input();
        let (bytes, _) = input.as_slices();
        if let Ok(count) = write(&self.terminal.master, bytes) {
            input.drain(..count);
        }
        self.control.stir();
    }

    /// Sends on what was read.
    fn send(&mut self) {
        if self.chunks.send(false, &self.control)
            && let Phase::Dead(until) = &mut self.phase
        {
            *until = Instant::now() + DEAD_GRACE;
        }
    }
}
