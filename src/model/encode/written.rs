//! What was written for the last request, for the next one to go on from.
//!
//! A long conversation is nearly the same in every request. Its messages are written once and
//! shared by the requests that hold them, as long as the context is continued and not changed
//! ([`Transcript::revision`]); after a change everything is written again. Both ways give the same
//! bytes: a property test compares them for any story.

use std::collections::HashMap;
use std::sync::Arc;

use trajectory::{Transcript, Turn};

/// The messages of a conversation, as far as they are written. For one conversation with one
/// model.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The context that this is of; `None` before the first request.
    revision: Option<u64>,
    /// So many of its turns are written.
    turns: usize,
    messages: Vec<Arc<str>>,
    /// Whether the last call with an id took a text: providers use their ids again.
    freeform: HashMap<String, bool>,
    tail: Option<String>,
}

impl Written {
    /// The messages of the conversation as it stands. `write` is called for the turns that are not
    /// yet written.
    pub(super) fn go_on(
        &mut self,
        transcript: &Transcript,
        mut write: impl FnMut(&Turn, &mut HashMap<String, bool>) -> Vec<String>,
    ) -> Vec<Arc<str>> {
        let revision = Some(transcript.revision());
        let settled = transcript.settled_turns();
        if self.revision != revision || self.turns > settled.len() {
            *self = Self { revision, ..Self::default() };
        }
        for turn in settled.iter().skip(self.turns) {
            let messages = write(turn, &mut self.freeform);
            self.messages.extend(messages.into_iter().map(Arc::from));
        }
        self.turns = settled.len();
        let mut messages = self.messages.clone();
        // A reply that may go on is written for this request only.
        for turn in transcript.turns().iter().skip(self.turns) {
            let written = write(turn, &mut self.freeform.clone());
            messages.extend(written.into_iter().map(Arc::from));
        }
        messages
    }

    /// What stands behind the messages of this context.
    pub(super) fn tail(&mut self, write: impl FnOnce() -> String) -> String {
        self.tail.get_or_insert_with(write).clone()
    }
}
