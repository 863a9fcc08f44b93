//! The queue between a session and its writer thread.
//!
//! One queue keeps the order of everything. Commits wake the thread at once; drafts and output
//! wait up to 20 ms, until there are 50 of them, or until they are big, and a thousand deltas cost
//! neither a thousand wake-ups nor a thousand rows. What waits is bounded: whoever brings more
//! waits until the disk has caught up.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, oneshot};
use trajectory::event::ReasoningField;
use trajectory::{Event, Progress, Recorded};

use crate::error::RecordError;
use crate::output::OutputChunk;
use crate::rows::{Durability, Write};

/// The longest that a draft or output waits.
const FLUSH_AFTER: Duration = Duration::from_millis(20);

/// As many waiting items are flushed at once.
const FLUSH_ITEMS: usize = 50;

/// As many waiting bytes are flushed at once.
const FLUSH_BYTES: usize = 512 * 1024;

/// The most bytes of drafts and output that wait; then the producer waits.
const QUEUE_BYTES_MAX: u32 = 4 << 20;

/// When something was handed to the recorder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Wall clock, nanoseconds since the Unix epoch.
    pub(crate) wall_ns: i64,
    /// Nanoseconds since the run began.
    pub(crate) mono_ns: u64,
}

impl Stamp {
    /// Now, in a run that began then.
    pub(crate) fn now(run_began: Instant) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            wall_ns: i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX),
            mono_ns: u64::try_from(run_began.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// What kind of unfinished part a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Reasoning(ReasoningField),
    Text,
    ToolCall(u32),
}

/// A piece of a reply that is still arriving.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) request: u32,
    pub(crate) kind: PieceKind,
    pub(crate) name: Option<String>,
    pub(crate) text: String,
}

/// The answer to a commit.
pub(crate) type Committed = Result<Vec<Recorded<Event>>, RecordError>;

/// A commit on its way.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) write: Write,
    pub(crate) durability: Durability,
    pub(crate) stamp: Stamp,
    pub(crate) ack: oneshot::Sender<Committed>,
}

/// What the thread is asked to do, in order.
#[derive(Debug)]
pub(crate) enum Item {
    Piece(Piece),
    /// The pieces of a request so far are void.
    Void(u32),
    Output(u32, OutputChunk),
    Commit(Box<Commit>),
    Close(oneshot::Sender<()>),
    #[cfg(test)]
    Panic,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// Since when the oldest item has been waiting.
    since: Option<Instant>,
    bytes: usize,
    urgent: bool,
    failure: Option<RecordError>,
}

/// The queue; shared by the handle and the thread.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    room: Semaphore,
    began: Instant,
}

impl Queue {
    /// An empty queue of a run that began then.
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            room: Semaphore::new(QUEUE_BYTES_MAX as usize),
            began,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nothing is recorded any more, once that is so.
    pub(crate) fn failure(&self) -> Option<RecordError> {
        self.lock().failure.clone()
    }

    /// Nothing is recorded from now on: what waits is dropped, whoever waits hears why.
    pub(crate) fn fail(&self, error: RecordError) {
        let dropped = {
            let mut state = self.lock();
            state.failure.get_or_insert(error);
            std::mem::take(&mut state.items)
        };
        self.room.close();
        drop(dropped);
    }

    /// Waits until so many bytes may be added.
    async fn admit(&self, bytes: usize) -> Result<(), RecordError> {
        if let Ok(permit) = self.room.acquire_many(weight(bytes)).await {
            permit.forget();
        }
        match self.failure() {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Adds a piece of a reply.
    pub(crate) async fn draft(&self, progress: &Progress) -> Result<(), RecordError> {
        let (request, kind, name, text) = match progress {
            Progress::Reasoning { request, field, text } => {
                (*request, PieceKind::Reasoning(*field), None, text)
            }
            Progress::Text { request, text } => (*request, PieceKind::Text, None, text),
            Progress::ToolCall { request, index, name, arguments } => {
                (*request, PieceKind::ToolCall(*index), name.as_ref(), arguments)
            }
            Progress::Retry { request, .. } => {
                self.push(Item::Void(*request), 0);
                return Ok(());
            }
            // Output has its own way in, with its timing.
            Progress::Output { .. } | Progress::Resized { .. } => return Ok(()),
        };
        self.admit(text.len()).await?;
        let mut state = self.lock();
        if let Some(Item::Piece(last)) = state.items.back_mut()
            && (last.request, last.kind) == (request, kind)
        {
            last.text.push_str(text);
            if last.name.is_none() {
                last.name = name.cloned();
            }
            // The permits of a merged piece are given back with its row.
            self.added(&mut state, weight(text.len()) as usize);
            return Ok(());
        }
        let piece = Piece { request, kind, name: name.cloned(), text: text.clone() };
        state.items.push_back(Item::Piece(piece));
        self.added(&mut state, weight(text.len()) as usize);
        Ok(())
    }

    /// Adds output of an execution.
    pub(crate) async fn output(&self, exec: u32, chunk: OutputChunk) -> Result<(), RecordError> {
        let bytes = chunk.bytes.len();
        self.admit(bytes).await?;
        self.push(Item::Output(exec, chunk), weight(bytes) as usize);
        Ok(())
    }

    /// Adds a commit, stamped now; its answer comes through the receiver.
    pub(crate) fn commit(
        &self,
        write: Write,
        durability: Durability,
    ) -> oneshot::Receiver<Committed> {
        let (ack, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.failure.is_none() {
            // Stamped under the lock: the order of the queue is the order of the clock.
            let stamp = Stamp::now(self.began);
            let commit = Commit { write, durability, stamp, ack };
            state.items.push_back(Item::Commit(Box::new(commit)));
            state.urgent = true;
            self.wake.notify_one();
        }
        receiver
    }

    /// Asks the thread to finish what is queued and to end.
    pub(crate) fn close(&self) -> oneshot::Receiver<()> {
        let (ack, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.failure.is_none() {
            state.items.push_back(Item::Close(ack));
            state.urgent = true;
            self.wake.notify_one();
        }
        receiver
    }

    /// Makes the thread panic.
    #[cfg(test)]
    pub(crate) fn panic(&self) {
        self.push(Item::Panic, 0);
    }

    fn push(&self, item: Item, bytes: usize) {
        let mut state = self.lock();
        state.items.push_back(item);
        self.added(&mut state, bytes);
    }

    /// Wakes the thread when it has to begin counting the 20 ms, or when enough has gathered.
    fn added(&self, state: &mut State, bytes: usize) {
        state.bytes += bytes;
        let first = state.since.is_none();
        if first {
            state.since = Some(Instant::now());
        }
        if first || state.items.len() >= FLUSH_ITEMS || state.bytes >= FLUSH_BYTES {
            self.wake.notify_one();
        }
    }

    /// Everything queued, once it is due. The second number is what to give back to `release`.
    pub(crate) fn take(&self) -> (VecDeque<Item>, usize) {
        let mut state = self.lock();
        loop {
            let due =
                state.urgent || state.items.len() >= FLUSH_ITEMS || state.bytes >= FLUSH_BYTES;
            let left = state.since.map(|since| FLUSH_AFTER.saturating_sub(since.elapsed()));
            state = match left {
                _ if due => break,
                Some(Duration::ZERO) => break,
                Some(left) => {
                    self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.urgent = false;
        state.since = None;
        let bytes = std::mem::take(&mut state.bytes);
        (std::mem::take(&mut state.items), bytes)
    }

    /// Lets more in, after what was taken is on its way to disk.
    pub(crate) fn release(&self, bytes: usize) {
        self.room.add_permits(bytes);
    }
}

/// What a piece counts for: at least one, at most half of the room.
fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).clamp(1, QUEUE_BYTES_MAX / 2)
}
