//! What was found in a recording: gone to, and shown whole.

use super::{Focus, View};
use crate::protocol::{Command, Order, Place};

impl View {
    /// Goes on with the session in which words were found. One of them, or all that stand side by
    /// side, is what `n` looks for there.
    pub(super) fn go_on_at(&mut self, place: Place, words: &str) -> Option<Command> {
        let phrase = words.split('"').nth(1).filter(|phrase| !phrase.trim().is_empty());
        let word = || words.split_whitespace().max_by_key(|word| word.len());
        let wanted = phrase.or_else(word).unwrap_or_default();
        self.search = wanted.trim_matches(['"', '*']).to_owned();
        self.at_rest(Command::Order(Order::ResumeAt(place)))
    }

    /// Shows a place that was found, unfolded, with the keys where blocks are chosen.
    pub(super) fn go_to_found(&mut self, place: &Place) {
        self.go_to_event(place.seq, place.call);
        self.conversation.unfold();
        self.go_to_word(place.seq);
        self.focus = Focus::Conversation;
    }
}
