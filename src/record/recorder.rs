//! The recorder: a handle to the one thread that writes a session.
//!
//! A commit is acknowledged after its transaction: from then on the next process sees it, however
//! this one ends; a durable commit survives a power cut too. When the file cannot be written the
//! recorder fails for good: that call and every later one returns the same error, and the session
//! has to stop.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::oneshot;
use trajectory::{Event, Progress, Recorded, SessionId};

use crate::archive::{Archive, genesis, origin_device, read_events};
use crate::connection::{SESSION_FORMAT, open_existing_to_write, open_to_write, storage_note};
use crate::error::RecordError;
use crate::home::Home;
use crate::ledger::Ledger;
use crate::lock::SessionLock;
use crate::output::OutputChunk;
use crate::queue::{Commit, Committed, Item, Queue, Stamp};
use crate::recovery::{self, Aim};
use crate::rows::{Durability, Ordinals, SessionStart, Write};
use crate::writer::{Leftovers, Refusal, Writer};

/// Writes a session. It holds the session's lock until it is closed or dropped.
#[derive(Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    id: SessionId,
    path: PathBuf,
}

/// A session that goes on.
#[derive(Debug)]
pub struct Resumed {
    /// Writes it.
    pub recorder: Recorder,
    /// All its events that this version can read, recovery's included.
    pub events: Vec<Recorded<Event>>,
    /// Where its numbering stands, whatever of it can be read.
    pub last: Ordinals,
}

/// The answer to a commit that is on its way.
#[derive(Debug)]
pub struct Ack {
    receiver: oneshot::Receiver<Committed>,
    queue: Arc<Queue>,
    path: PathBuf,
}

impl Recorder {
    /// Begins a session: its file, with the session's row in it.
    ///
    /// # Errors
    /// When the file cannot be made, or the session is there already.
    pub fn create(home: &Home, start: SessionStart) -> Result<Self, RecordError> {
        let lock = home.lock(start.id)?;
        let path = home.session_file(start.id);
        if path.exists() {
            return Err(RecordError::Exists { id: start.id });
        }
        let began = Instant::now();
        let stamp = Stamp::now(began);
        let connection = open_to_write(&path, SESSION_FORMAT)?;
        let mut writer = Writer::new(connection, path.clone(), start.id, Ledger::default())?;
        writer.begin(stamp, home.device(), &start)?;
        // From the row as it is stored: what whoever verifies it sees.
        writer.ledger.head = genesis(writer.connection(), &path)?;
        Self::start(writer, lock, start.id, began, home)
    }

    /// Goes on with a session that has ended or died; recovery closes first what was left open.
    ///
    /// # Errors
    /// When it is not there, is being written, began on another device, or cannot be opened.
    pub fn resume(home: &Home, id: SessionId) -> Result<Resumed, RecordError> {
        let began = Instant::now();
        let (mut writer, lock) = open_again(home, id)?;
        // What is added to a chain that is broken would vouch for what is wrong with it.
        if let Some(broken) = Archive::open(home, id)?.broken_chain()? {
            let problem = format!("{}: {}", broken.place, broken.problem);
            return Err(RecordError::damaged(&home.session_file(id), "a sound recording", problem));
        }
        writer.begin_run(Stamp::now(began))?;
        recovery::close_what_is_open(&mut writer, Stamp::now(began), Aim::Resume)?;
        let path = home.session_file(id);
        let events = read_events(writer.connection(), &path, 0)?;
        let last = writer.ledger.last;
        let recorder = Self::start(writer, lock, id, began, home)?;
        Ok(Resumed { recorder, events, last })
    }

    fn start(
        writer: Writer,
        lock: SessionLock,
        id: SessionId,
        began: Instant,
        home: &Home,
    ) -> Result<Self, RecordError> {
        let queue = Arc::new(Queue::new(began));
        let path = home.session_file(id);
        let thread = std::thread::Builder::new()
            .name("limn-recorder".to_owned())
            .spawn({
                let queue = Arc::clone(&queue);
                let path = path.clone();
                move || write_until_closed(&queue, writer, lock, &path)
            })
            .map_err(|error| RecordError::io("start the writer of", &path, &error))?;
        Ok(Self { queue, thread: Some(thread), id, path })
    }

    /// The session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The session's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is particular about where the session is stored; see [`storage_note`].
    #[must_use]
    pub fn note(&self) -> Option<String> {
        storage_note(self.path.parent().unwrap_or(&self.path))
    }

    /// Records, in one transaction, and returns the events once they are on record.
    ///
    /// # Errors
    /// When the write contradicts the record (nothing of it is written), or the file cannot be
    /// written (the recorder has failed for good).
    pub async fn commit(
        &self,
        write: Write,
        durability: Durability,
    ) -> Result<Vec<Recorded<Event>>, RecordError> {
        self.commit_beside(write, durability).await
    }

    /// Queues a commit at once; its answer can be awaited later, or never.
    pub fn commit_beside(&self, write: Write, durability: Durability) -> Ack {
        Ack {
            receiver: self.queue.commit(write, durability),
            queue: Arc::clone(&self.queue),
            path: self.path.clone(),
        }
    }

    /// Keeps a piece of a reply, in case this process dies before the reply is complete. It is on
    /// record within 20 ms. Waits when the disk cannot keep up. Output is not taken here.
    ///
    /// # Errors
    /// When the recorder has failed.
    pub async fn draft(&self, progress: &Progress) -> Result<(), RecordError> {
        self.queue.draft(progress).await
    }

    /// Records what an execution printed. It is on record within 20 ms, and before any later
    /// commit. Waits when the disk cannot keep up.
    ///
    /// # Errors
    /// When the recorder has failed.
    pub async fn output(&self, exec: u32, chunk: OutputChunk) -> Result<(), RecordError> {
        self.queue.output(exec, chunk).await
    }

    /// Writes what is queued, folds the WAL into the file and releases the lock.
    ///
    /// # Errors
    /// When the recorder has failed, or fails in doing so.
    pub async fn close(mut self) -> Result<(), RecordError> {
        // Without an answer the thread has failed, and has said why.
        let _ = self.queue.close().await;
        if let Some(thread) = self.thread.take() {
            // It has answered: what is left of it is its return.
            let _ = thread.join();
        }
        self.queue.failure().map_or(Ok(()), Err)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(self.queue.close());
            // A panic in the thread has become a failure before the thread ended.
            let _ = thread.join();
        }
    }
}

impl Future for Ack {
    type Output = Committed;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Committed> {
        Pin::new(&mut self.receiver).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| Err(self.queue.failure().unwrap_or_else(|| died(&self.path))))
        })
    }
}

/// The thread: writes what is due until it is told to close or cannot write. Whatever ends it
/// has been said before anybody who waits is let go.
fn write_until_closed(queue: &Queue, writer: Writer, lock: SessionLock, path: &Path) {
    let mut items = VecDeque::new();
    let work = AssertUnwindSafe(|| write_batches(queue, writer, &mut items));
    let closing = match catch_unwind(work) {
        Ok(Ok(ack)) => Some(ack),
        Ok(Err(error)) => {
            queue.fail(error);
            None
        }
        Err(_) => {
            queue.fail(died(path));
            None
        }
    };
    drop(items);
    drop(lock);
    if let Some(ack) = closing {
        // Whoever dropped the recorder does not wait for an answer.
        let _ = ack.send(());
    }
}

/// Returns the answer to give when everything is closed.
fn write_batches(
    queue: &Queue,
    mut writer: Writer,
    items: &mut VecDeque<Item>,
) -> Result<oneshot::Sender<()>, RecordError> {
    loop {
        let bytes;
        (*items, bytes) = queue.take();
        while let Some(item) = items.pop_front() {
            match item {
                Item::Piece(piece) => writer.draft(piece),
                Item::Void(request) => writer.void(request),
                Item::Output(exec, chunk) => writer.output(exec, &chunk)?,
                Item::Commit(commit) => {
                    let Commit { write, durability, stamp, ack } = *commit;
                    let answer = writer.commit(stamp, &write, durability, Leftovers::Keep);
                    let (answer, broken) = match answer {
                        Ok(events) => (Ok(events), None),
                        Err(Refusal::Contradiction(error)) => (Err(error), None),
                        Err(Refusal::Broken(error)) => (Err(error.clone()), Some(error)),
                    };
                    // Whoever asked may have stopped waiting.
                    let _ = ack.send(answer);
                    if let Some(error) = broken {
                        return Err(error);
                    }
                }
                #[cfg(test)]
                Item::Panic => panic!("on purpose"),
                Item::Close(ack) => return writer.close().map(|()| ack),
            }
        }
        writer.flush()?;
        queue.release(bytes);
    }
}

fn died(path: &Path) -> RecordError {
    RecordError::Storage {
        doing: "record in",
        path: path.to_owned(),
        problem: "the recorder's thread died".to_owned(),
        hint: "This is a bug in limn: report it. What was acknowledged is safe.".to_owned(),
    }
}

/// Opens a session that is there, to write: its lock, its connection, where it stands.
fn open_again(home: &Home, id: SessionId) -> Result<(Writer, SessionLock), RecordError> {
    let path = home.session_file(id);
    if !path.exists() {
        return Err(RecordError::NotFound { wanted: id.to_string() });
    }
    open_locked(home, id, home.lock(id)?)
}

/// The same with the lock in hand. Whoever held it before may have deleted the session.
fn open_locked(
    home: &Home,
    id: SessionId,
    lock: SessionLock,
) -> Result<(Writer, SessionLock), RecordError> {
    let path = home.session_file(id);
    if !path.exists() {
        home.remove_lock(id, lock);
        return Err(RecordError::NotFound { wanted: id.to_string() });
    }
    // What is not this session is not even opened to write.
    drop(Archive::open(home, id)?);
    let connection = open_existing_to_write(&path, SESSION_FORMAT)?;
    let device = origin_device(&connection, &path)?;
    if device != home.device() {
        return Err(RecordError::OtherDevice { id });
    }
    let ledger = recovery::ledger(&connection, &path)?;
    Ok((Writer::new(connection, path, id, ledger)?, lock))
}

/// Closes what a crash left open in a session that nobody writes; true when there was something.
/// Does nothing to a session that is being written, has ended, or began elsewhere, and deletes a
/// file whose process died before there was a session in it.
///
/// # Errors
/// When the session is not there, or cannot be opened or written.
pub fn recover(home: &Home, id: SessionId) -> Result<bool, RecordError> {
    let began = Instant::now();
    match open_again(home, id) {
        Ok((mut writer, _lock)) => {
            let stamp = Stamp::now(began);
            let recovered = recovery::close_what_is_open(&mut writer, stamp, Aim::Close)?;
            writer.close()?;
            Ok(recovered)
        }
        Err(RecordError::Locked { .. } | RecordError::OtherDevice { .. }) => Ok(false),
        Err(RecordError::Empty { .. }) => {
            home.remove(id)?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
