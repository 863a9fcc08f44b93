//! A command while it runs, as its starter sees it.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use screen::{TerminalSize, Text};
use tokio::sync::{mpsc, oneshot};
use trajectory::event::Exit;

use crate::command::CommandSpec;
use crate::error::SandboxError;
use crate::policy::Policy;
use crate::pump::Pump;
use crate::terminal;

/// Chunks that may wait for the reader of [`Output`]; when as many do, the terminal is not read
/// and the command blocks.
const CHUNKS_WAITING_MAX: usize = 16;

/// A piece of what a command printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputChunk {
    /// The bytes as the terminal gave them, at most 64 KiB.
    pub bytes: Arc<[u8]>,
    /// The reads they came in: microseconds since the read before (the first one: since the
    /// command's start), and the number of bytes.
    pub marks: Vec<(u32, u32)>,
}

/// How a command ended, and what it left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How its process ended.
    pub exit: Exit,
    /// What a model is shown of its output.
    pub text: Text,
    /// How many bytes it printed.
    pub bytes: u64,
    /// BLAKE3 of these bytes, hexadecimal.
    pub blake3: String,
    /// From its start until nothing of it was left.
    pub duration: Duration,
}

/// What a command prints, as it comes. Dropping it lets the command run on unheard.
#[derive(Debug)]
pub struct Output {
    receiver: mpsc::Receiver<OutputChunk>,
    control: Arc<Control>,
}

impl Output {
    /// The next chunk; `None` after the last, when nothing of the command is left. A call that is
    /// dropped loses nothing.
    pub async fn recv(&mut self) -> Option<OutputChunk> {
        let chunk = self.receiver.recv().await;
        self.control.resume();
        chunk
    }

    /// Whether the command waits for somebody to take a chunk.
    #[cfg(test)]
    pub(crate) fn is_stalled(&self) -> bool {
        self.control.stalled.load(Ordering::SeqCst)
    }

    /// The next chunk if it is there.
    pub fn try_recv(&mut self) -> Option<OutputChunk> {
        let chunk = self.receiver.try_recv().ok();
        self.control.resume();
        chunk
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.receiver.close();
        while self.receiver.try_recv().is_ok() {}
        self.control.resume();
    }
}

/// A command that was started. Dropping it kills the command and all that it started.
#[derive(Debug)]
pub struct Running {
    /// What it prints. Read it to its end, then [`Running::wait`].
    pub output: Output,
    finished: oneshot::Receiver<Finished>,
    control: KillOnDrop,
}

impl Running {
    /// Kills the command and all that it started: first asked to end (SIGTERM), killed a moment
    /// later. Returns at once; what was printed still arrives.
    pub fn kill(&self) {
        self.control.0.kill();
    }

    /// Gives bytes to the command as if they were typed.
    ///
    /// # Errors
    /// [`SandboxError::InputFull`] when more waits than a terminal holds, [`SandboxError::Ended`].
    pub fn write(&self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.control.0.write(bytes)
    }

    /// Changes the size of the terminal; the programs on it are told.
    ///
    /// # Errors
    /// [`SandboxError::Ended`].
    pub fn resize(&self, size: TerminalSize) -> Result<(), SandboxError> {
        self.control.0.resize(size)
    }

    /// Waits until nothing of the command is left. Output that was not taken is dropped here; text,
    /// count and hash cover it all the same. Dropping the future kills the command.
    ///
    /// # Errors
    /// [`SandboxError::ReaderLost`] when the execution could not be followed to its end.
    pub async fn wait(self) -> Result<Finished, SandboxError> {
        let Self { output, finished, control } = self;
        drop(output);
        let finished = finished.await.map_err(|_| SandboxError::ReaderLost);
        drop(control);
        finished
    }
}

#[derive(Debug)]
struct KillOnDrop(Arc<Control>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// What the two sides tell each other.
#[derive(Debug)]
pub(crate) struct Control {
    kill: AtomicBool,
    ended: AtomicBool,
    /// The reader of the terminal waits for room in the channel.
    stalled: AtomicBool,
    input: Mutex<VecDeque<u8>>,
    size: Mutex<Option<TerminalSize>>,
    bell: UnixStream,
}

impl Control {
    const INPUT_BYTES_MAX: usize = 64 * 1024;

    fn new(bell: UnixStream) -> Self {
        Self {
            kill: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            input: Mutex::new(VecDeque::new()),
            size: Mutex::new(None),
            bell,
        }
    }

    /// Wakes the thread; a full pipe means that it is about to wake anyway.
    fn ring(&self) {
        let _ = (&self.bell).write(&[1]);
    }

    fn kill(&self) {
        if !self.kill.swap(true, Ordering::SeqCst) {
            self.ring();
        }
    }

    fn resume(&self) {
        if self.stalled.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.check_running()?;
        let mut input = self.input();
        if input.len() + bytes.len() > Self::INPUT_BYTES_MAX {
            return Err(SandboxError::InputFull(input.len()));
        }
        input.extend(bytes);
        drop(input);
        self.ring();
        Ok(())
    }

    fn resize(&self, size: TerminalSize) -> Result<(), SandboxError> {
        self.check_running()?;
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = Some(size);
        self.ring();
        Ok(())
    }

    fn check_running(&self) -> Result<(), SandboxError> {
        if self.ended.load(Ordering::SeqCst) { Err(SandboxError::Ended) } else { Ok(()) }
    }

    /// Bytes that wait to be typed.
    pub(crate) fn input(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Types an answer of the terminal's own, if there is room.
    pub(crate) fn answer(&self, bytes: &[u8]) {
        let mut input = self.input();
        if input.len() + bytes.len() <= Self::INPUT_BYTES_MAX {
            input.extend(bytes);
        }
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.kill.load(Ordering::SeqCst)
    }

    pub(crate) fn take_size(&self) -> Option<TerminalSize> {
        self.size.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// Starts a command and the thread that follows it.
pub(crate) fn start(spec: &CommandSpec, policy: &Policy) -> Result<Running, SandboxError> {
    let failed = |doing: &'static str| move |source| SandboxError::System { doing, source };
    spec.check()?;
    let (bell, wake) = UnixStream::pair().map_err(failed("open a socket pair"))?;
    for end in [&bell, &wake] {
        end.set_nonblocking(true).map_err(failed("open a socket pair"))?;
    }
    let control = Arc::new(Control::new(bell));
    let (chunks, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let (finish, finished) = oneshot::channel();
    let (master, tree) = terminal::open(spec)?;
    let pump = Pump::new(master, wake, Arc::clone(&control), tree, chunks, spec, policy);
    std::thread::Builder::new()
        .name("limn-terminal".to_owned())
        .spawn(move || {
            // Nobody may be waiting any more.
            let _ = finish.send(pump.run());
        })
        .map_err(failed("start a thread"))?;
    Ok(Running {
        output: Output { receiver, control: Arc::clone(&control) },
        finished,
        control: KillOnDrop(control),
    })
}
