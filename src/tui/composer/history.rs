//! What was written before, and how it is gone through.

use super::{Composer, Hand};
use crate::protocol::Wrote;

/// Prompts that are remembered.
const HISTORY_MAX: usize = 500;

/// Bytes of one that is.
const BYTES_MAX: usize = 64 << 10;

/// Whether what was written before this session is known. It is read when the terminal is there
/// already.
#[derive(Debug, Default)]
pub(super) enum Earlier {
    /// Not yet.
    #[default]
    Unknown,
    /// Not yet, and it was asked for when this was the text: who begins with that key need not press it
    /// twice.
    Wanted(String),
    /// It is, as much of it as there is.
    Known,
}

impl Composer {
    /// Remembers a prompt.
    pub(crate) fn remember(&mut self, hand: Hand, prompt: &str) {
        let is_worth_it = !prompt.trim().is_empty() && prompt.len() <= BYTES_MAX;
        let is_new = |(by, last): &(Hand, String)| *by != hand || last != prompt;
        if is_worth_it && self.history.last().is_none_or(is_new) {
            self.history.push((hand, prompt.to_owned()));
            if self.history.len() > HISTORY_MAX {
                self.history.remove(0);
            }
        }
    }

    /// Remembers what was written before anything of this session, the oldest first.
    pub(crate) fn remember_earlier(&mut self, wrote: Vec<Wrote>) {
        let room = HISTORY_MAX.saturating_sub(self.history.len());
        let newest = wrote.into_iter().rev().take(room).map(|wrote| match wrote {
            Wrote::Prompt(text) => (Hand::Model, text),
            Wrote::Inside(text) => (Hand::Inside, text),
            Wrote::Outside(text) => (Hand::Outside, text),
        });
        let mut earlier: Vec<_> = newest.collect();
        earlier.reverse();
        // Whoever is going through it already stays where they are.
        if let Some((at, _)) = &mut self.recalled {
            *at += earlier.len();
        }
        self.history.splice(..0, earlier);
        let before = std::mem::replace(&mut self.earlier, Earlier::Known);
        if matches!(before, Earlier::Wanted(text) if text == self.text) {
            self.recall(true);
        }
    }

    /// Goes to the one before, or behind.
    pub(super) fn recall(&mut self, up: bool) {
        let at = self.recalled.as_ref().map_or(self.history.len(), |(at, _)| *at);
        let wanted = if up { at.checked_sub(1) } else { Some(at + 1) };
        if wanted.is_none() && !matches!(self.earlier, Earlier::Known) {
            self.earlier = Earlier::Wanted(self.text.clone());
        }
        let Some(wanted) = wanted.filter(|wanted| *wanted <= self.history.len()) else { return };
        let draft = match self.recalled.take() {
            Some((_, draft)) => draft,
            None if up => (self.hand, self.content()),
            None => return,
        };
        let (hand, text) = self.history.get(wanted).cloned().unwrap_or_else(|| draft.clone());
        let is_draft = wanted >= self.history.len();
        self.set(&text);
        // It runs when it is sent, as when it was typed.
        self.hand = hand;
        self.recalled = (!is_draft).then_some((wanted, draft));
    }
}
