//! What flickers: a reply as it comes, and what a command prints while it runs.
//!
//! What is recorded takes its place when it is.

use std::mem::discriminant;

use trajectory::Progress;

use super::Conversation;
use crate::entry::{Block, Entry, NoteKind};
use crate::theme::Theme;

impl Conversation {
    /// Something is on its way.
    pub(crate) fn progress(&mut self, progress: &Progress, theme: &Theme) {
        match progress {
            Progress::Reasoning { request, text, .. } => {
                let new = Block::Reasoning { text: String::new(), took_us: 0 };
                self.grow(*request, new, text, theme);
            }
            Progress::Text { request, text } => {
                let new = Block::Text { text: String::new(), interrupted: false };
                self.grow(*request, new, text, theme);
            }
            Progress::ToolCall { request, index, name, arguments } => {
                self.write_call(*request, *index, name.as_deref(), arguments);
            }
            Progress::Retry { request, reason } => {
                // What came of this attempt is void.
                self.remove(|entry| entry.live == Some(*request));
                self.note(NoteKind::Retry, reason);
            }
            Progress::Output { exec, bytes } => self.card_of(*exec, |card| card.print(bytes)),
            Progress::Resized { exec, size } => self.resized(*exec, *size),
        }
    }

    /// Adds to what a reply is saying, or begins it with this block.
    fn grow(&mut self, request: u32, new: Block, text: &str, theme: &Theme) {
        let is_same = |entry: &&mut Entry| {
            entry.live == Some(request) && discriminant(&entry.block) == discriminant(&new)
        };
        if self.entries.last_mut().filter(is_same).is_none() {
            self.push(Entry::live(new, request));
        }
        self.entries.last_mut().into_iter().for_each(|entry| entry.append(text, theme));
    }
}
