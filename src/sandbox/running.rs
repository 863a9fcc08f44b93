//! A command while it runs, as its starter sees it.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use screen::{Reader, TerminalSize, Text};
use tokio::sync::{mpsc, oneshot, watch};
use trajectory::event::Exit;

use crate::chunks::CHUNKS_WAITING_MAX;
use crate::command::CommandSpec;
use crate::control::{Control, Status};
use crate::error::SandboxError;
use crate::policy::Policy;
use crate::pump::Pump;
use crate::terminal::Terminal;
use crate::tree::Tree;

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
    /// What a model is shown of its output: all, or what is new since [`Remote::take_text`].
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
        self.control.stalled.load(std::sync::atomic::Ordering::SeqCst)
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
    finished: oneshot::Receiver<Result<Finished, SandboxError>>,
    control: KillOnDrop,
}

impl Running {
    /// Kills the command and all that it started: first asked to end (SIGTERM), killed a moment
    /// later. Returns at once; what was printed still arrives.
    pub fn kill(&self) {
        self.control.0.kill();
    }

    /// A hand on the command for others.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.control.0))
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
    /// [`SandboxError::ReaderLost`] when the execution could not be followed to its end,
    /// [`SandboxError::IsolationLost`] when the sandbox ended under it.
    pub async fn wait(self) -> Result<Finished, SandboxError> {
        let Self { output, finished, control } = self;
        drop(output);
        let finished = finished.await.unwrap_or(Err(SandboxError::ReaderLost));
        drop(control);
        finished
    }
}

/// A hand on a running command, beside the [`Running`] that owns it. Clones are the same hand;
/// dropping them does nothing.
#[derive(Clone, Debug)]
pub struct Remote(Arc<Control>);

impl Remote {
    /// As [`Running::kill`].
    pub fn kill(&self) {
        self.0.kill();
    }

    /// As [`Running::write`].
    ///
    /// # Errors
    /// [`SandboxError::InputFull`], [`SandboxError::Ended`].
    pub fn write(&self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.0.write(bytes)
    }

    /// Types what a user types or pastes, of which more may wait than of what a program writes.
    ///
    /// # Errors
    /// [`SandboxError::InputFull`], [`SandboxError::Ended`].
    pub fn paste(&self, bytes: &[u8]) -> Result<(), SandboxError> {
        self.0.paste(bytes)
    }

    /// As [`Running::resize`].
    ///
    /// # Errors
    /// [`SandboxError::Ended`].
    pub fn resize(&self, size: TerminalSize) -> Result<(), SandboxError> {
        self.0.resize(size)
    }

    /// The command may run for as long as it likes.
    pub fn lift_limit(&self) {
        self.0.lift_limit();
    }

    /// What is new on its terminal since the last call; nothing once it has ended.
    #[must_use]
    pub fn take_text(&self) -> Text {
        self.0.with_reader(Reader::take).unwrap_or_default()
    }

    /// Whether its programs asked for the cursor keys' other sequences.
    #[must_use]
    pub fn application_cursor(&self) -> bool {
        self.0.with_reader(|reader| reader.application_cursor()).unwrap_or(false)
    }

    /// How many bytes it has printed.
    #[must_use]
    pub fn printed(&self) -> u64 {
        self.0.printed()
    }

    /// When something was printed or typed the last time.
    #[must_use]
    pub fn stirred(&self) -> Instant {
        self.0.stirred()
    }

    /// What it is doing, from now on. Whether it waits for input is looked at while somebody holds
    /// one of these.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.0.watch()
    }
}

#[derive(Debug)]
struct KillOnDrop(Arc<Control>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// Starts a command and the thread that follows it.
pub(crate) fn start(
    spec: &CommandSpec,
    policy: &Policy,
    open: impl FnOnce() -> Result<(Terminal, Tree), SandboxError>,
) -> Result<Running, SandboxError> {
    let failed = |doing: &'static str| move |source| SandboxError::System { doing, source };
    spec.check()?;
    let (bell, wake) = UnixStream::pair().map_err(failed("open a socket pair"))?;
    for end in [&bell, &wake] {
        end.set_nonblocking(true).map_err(failed("open a socket pair"))?;
    }
    let control = Arc::new(Control::new(bell, Reader::new(spec.size, policy.text_chars_max)));
    let (chunks, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let (finish, finished) = oneshot::channel();
    let (terminal, tree) = open()?;
    let pump = Pump::new(terminal, wake, Arc::clone(&control), tree, chunks, spec, &policy.limits);
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
