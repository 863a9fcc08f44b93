//! Grammars that were compiled already: an agent sends the same tools with each request.
//!
//! What is kept is what came of a grammar's text, be it a failure. It is found by the digest of the
//! text, and what was used longest ago goes first. Nothing is held up while one is compiled; two
//! that want the same at once compile it twice.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(test)]
mod tests;

/// So many are kept, and so many bytes of the texts that they came of: a grammar is some ten times
/// as large as its text.
const KEPT_MAX: usize = 32;
const KEPT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
struct Entry<T> {
    digest: blake3::Hash,
    bytes: usize,
    made: T,
}

/// What came of texts, the one that was used last at the end.
#[derive(Debug)]
pub(super) struct Kept<T>(Mutex<VecDeque<Entry<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Kept<T> {
    /// What comes of a text: what came of it before, else what is made now.
    pub(super) fn get(&self, text: &str, make: impl FnOnce() -> T) -> T {
        let digest = blake3::hash(text.as_bytes());
        if let Some(made) = used(&mut self.entries(), digest) {
            return made;
        }
        let made = make();
        let entry = Entry { digest, bytes: text.len(), made: made.clone() };
        let mut entries = self.entries();
        if entry.bytes > KEPT_BYTES_MAX || used(&mut entries, digest).is_some() {
            return made;
        }
        entries.push_back(entry);
        while entries.len() > KEPT_MAX || bytes(&entries) > KEPT_BYTES_MAX {
            entries.pop_front();
        }
        made
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of a text, which is the one that was used last from now on.
fn used<T: Clone>(entries: &mut VecDeque<Entry<T>>, digest: blake3::Hash) -> Option<T> {
    let place = entries.iter().position(|entry| entry.digest == digest)?;
    let entry = entries.remove(place)?;
    let made = entry.made.clone();
    entries.push_back(entry);
    Some(made)
}

fn bytes<T>(entries: &VecDeque<Entry<T>>) -> usize {
    entries.iter().map(|entry| entry.bytes).sum()
}
