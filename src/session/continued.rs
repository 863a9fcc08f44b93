//! What a request has in common with the one before it: written and hashed once.
//!
//! While the context is continued and not changed, a request costs what is new in it. After a
//! change everything is done again; both ways give the same bytes and the same digests.

use std::sync::Arc;

use model::Written;
use trajectory::{MessageDigest, Transcript, Turn};

/// What the last request leaves to the next one.
#[derive(Default)]
pub(crate) struct Continued {
    /// Its messages.
    pub(crate) written: Written,
    /// Over the messages of the last request, and how many they are.
    sent: (MessageDigest, usize),
    context: ContextDigest,
    /// Over the tools of a revision of the context.
    tools: Option<(u64, String)>,
}

/// Over the conversation as the fold gives it, as far as it is settled.
#[derive(Default)]
struct ContextDigest {
    revision: u64,
    turns: usize,
    digest: MessageDigest,
}

impl Continued {
    /// How many of these messages were in the request before.
    pub(crate) fn kept(now: &[Arc<str>], before: &[Arc<str>]) -> usize {
        let same =
            |(now, before): &(&Arc<str>, &Arc<str>)| Arc::ptr_eq(now, before) || now == before;
        now.iter().zip(before).take_while(same).count()
    }

    /// Over the messages as they are sent; the first `kept` of them are those of the last request.
    pub(crate) fn messages_digest(&mut self, messages: &[Arc<str>], kept: usize) -> String {
        if self.sent.1 != kept {
            self.sent = (MessageDigest::default(), 0);
        }
        let (digest, hashed) = &mut self.sent;
        messages.iter().skip(*hashed).for_each(|message| digest.push(message));
        *hashed = messages.len();
        digest.finish()
    }

    /// Over the conversation as the fold gives it: what was sent may have another form.
    pub(crate) fn context_digest(&mut self, transcript: &Transcript) -> String {
        let settled = transcript.settled_turns();
        let (revision, last) = (transcript.revision(), &mut self.context);
        if last.revision != revision || last.turns > settled.len() {
            *last = ContextDigest { revision, ..ContextDigest::default() };
        }
        push(settled.get(last.turns..).unwrap_or_default(), &mut last.digest);
        last.turns = settled.len();
        // A reply that may go on is hashed for this request only.
        let mut digest = last.digest.clone();
        push(transcript.turns().get(last.turns..).unwrap_or_default(), &mut digest);
        digest.finish()
    }

    /// Over the tools on offer.
    pub(crate) fn tools_digest(&mut self, transcript: &Transcript) -> String {
        let revision = transcript.revision();
        match &self.tools {
            Some((of, digest)) if *of == revision => digest.clone(),
            _ => {
                let mut digest = MessageDigest::default();
                for tool in transcript.tools() {
                    digest.push(&tool.to_chat().to_string());
                }
                let digest = digest.finish();
                self.tools = Some((revision, digest.clone()));
                digest
            }
        }
    }
}

fn push(turns: &[Turn], digest: &mut MessageDigest) {
    for turn in turns.iter().filter(|turn| turn.message.is_sendable()) {
        digest.push(&turn.message.to_json());
    }
}

#[cfg(test)]
mod tests;
