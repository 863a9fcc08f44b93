//! The terminals of commands that run, each in the card of its call.

use screen::{Emulator, TerminalSize};

use super::Conversation;
use crate::entry::Block;

impl Conversation {
    /// The terminal of an execution, as long as it runs.
    pub(crate) fn terminal_of(&mut self, exec: u32) -> Option<&mut Emulator> {
        self.entries.iter_mut().rev().find_map(|entry| match &mut entry.block {
            Block::Card(card) if card.exec == Some(exec) => card.terminal(),
            _ => None,
        })
    }

    /// One was given another size while it was recorded: characters in a row, and rows.
    pub(super) fn resized(&mut self, exec: u32, (columns, rows): (u16, u16)) {
        if let Some(terminal) = self.terminal_of(exec) {
            terminal.resize(TerminalSize { columns, rows });
        }
    }
}
