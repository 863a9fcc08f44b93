//! The terminal, read without a thread: the loop waits for it as it waits for everything else.
//!
//! It is read only when it has something, so that nothing blocks, and only here, so that nobody has a
//! key but the loop, or whoever has the terminal meanwhile.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, retry_on_intr};
use rustix::stdio::stdin;
use tokio::net::unix::pipe::Receiver;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::Input;
use super::decoder::Decoder;

/// What comes in one piece; no terminal of Linux gives more at once.
const PIECE_BYTES: usize = 4_096;

/// The process's terminal.
pub(super) struct Tty {
    /// Tells when there may be something to read. None while somebody else has the terminal.
    line: Option<Receiver>,
    resized: Signal,
    decoder: Decoder,
    inputs: VecDeque<Input>,
    /// Until when a sequence is waited for that has begun.
    until: Option<Instant>,
}

/// What a reading had.
enum Piece {
    Something,
    Nothing,
    End,
}

impl Tty {
    pub(super) fn open() -> io::Result<Self> {
        let mut tty = Self {
            line: None,
            resized: signal(SignalKind::window_change())?,
            decoder: Decoder::default(),
            inputs: VecDeque::new(),
            until: None,
        };
        tty.resume()?;
        Ok(tty)
    }

    pub(super) fn pause(&mut self) {
        self.line = None;
        // What was typed after the key that let somebody else have it was meant for them.
        self.decoder = Decoder::default();
        self.inputs.clear();
        self.until = None;
    }

    pub(super) fn resume(&mut self) -> io::Result<()> {
        // It is no pipe, but waited for as one: the runtime has no other way to wait for what others
        // have opened that is safe code.
        self.line = Some(Receiver::from_owned_fd_unchecked(stdin().try_clone_to_owned()?)?);
        Ok(())
    }

    /// The next thing. Whoever stops waiting for it loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<Input>> {
        loop {
            if let Some(input) = self.inputs.pop_front() {
                return Ok(Some(input));
            }
            if self.line.is_none() {
                return std::future::pending().await;
            }
            match self.take()? {
                // However much is pasted, everything else goes on.
                Piece::Something if self.inputs.is_empty() => yield_now().await,
                Piece::Something => {}
                Piece::End => return Ok(None),
                Piece::Nothing => self.wait().await?,
            }
        }
    }

    /// Takes what is there.
    fn take(&mut self) -> io::Result<Piece> {
        let mut bytes = [0; PIECE_BYTES];
        let count = match read_ready(&mut bytes) {
            Ok(None) => return Ok(Piece::Nothing),
            // The window is gone.
            Ok(Some(0)) | Err(Errno::IO) => return Ok(Piece::End),
            Ok(Some(count)) => count,
            Err(error) => return Err(error.into()),
        };
        self.decoder.take(bytes.get(..count).unwrap_or_default(), &mut self.inputs);
        self.until = self.decoder.patience().map(|patience| Instant::now() + patience);
        Ok(Piece::Something)
    }

    /// What may be the beginning of something longer is the key that it may be.
    pub(super) fn settle_key(&mut self) {
        if self.decoder.may_be_key() {
            self.settle();
        }
    }

    /// What has begun is all that there will be of it.
    fn settle(&mut self) {
        self.until = None;
        self.decoder.settle(&mut self.inputs);
    }

    /// Waits until there may be more.
    async fn wait(&mut self) -> io::Result<()> {
        let Some(line) = &self.line else { return Ok(()) };
        let until = self.until;
        tokio::select! {
            biased;
            ready = line.readable() => {
                ready?;
                // It is looked for again before it is waited for again.
                let _ = line.try_io(|| Err::<(), _>(ErrorKind::WouldBlock.into()));
            }
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => self.settle(),
            _ = self.resized.recv() => self.inputs.push_back(Input::Resize),
        }
        Ok(())
    }
}

/// Reads, unless that would wait.
fn read_ready(bytes: &mut [u8]) -> Result<Option<usize>, Errno> {
    let stdin = stdin();
    let mut line = [PollFd::new(&stdin, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut line, Some(&Timespec::default())))? == 0 {
        return Ok(None);
    }
    match retry_on_intr(|| read(stdin, &mut *bytes)) {
        Err(Errno::AGAIN) => Ok(None),
        count => count.map(Some),
    }
}
