//! What the user does beside asking: commands of their own, words to a round that is under way, what
//! is written in an editor, and the prompts that wait.

use super::press::OWN_RUNS;
use super::{Menu, MenuRow, Pick, QUEUED_MAX, View};
use crate::composer::{Hand, has_picture};
use crate::protocol::{Command, Query};
use crate::text::headline;

/// Columns of a prompt that are shown in the list of those that wait.
const PROMPT_COLUMNS: usize = 60;

impl View {
    /// The text that was written in an editor, or why there is none. It belongs where it was taken
    /// from, whatever has happened meanwhile.
    pub fn edited(&mut self, text: Result<String, String>) -> Option<Command> {
        let call = self.pressed.edits.take();
        if self.decision.as_ref().is_some_and(|it| Some(it.call) != call) {
            // The last keys in the editor are no answer to what has come up behind it.
            self.settle();
        }
        let text = match text {
            Ok(text) => text,
            Err(what) => {
                self.say(what);
                return None;
            }
        };
        let Some(call) = call else {
            self.composer.rewrite(text.trim_end_matches('\n'));
            return self.offer();
        };
        let Some(decision) = self.decision.as_mut().filter(|it| it.call == call) else {
            self.composer.put_aside(&text);
            self.say("That call waits no more. ctrl-y in the prompt puts back what you wrote.");
            return None;
        };
        if !decision.edited(&text) {
            self.say("That is no JSON object, so nothing was changed.");
            return None;
        }
        // What was told of the other arguments is told no more.
        Some(Command::Ask(Query::Offer(call, decision.arguments.clone())))
    }

    /// Runs the command that is written.
    pub(super) fn run_own(&mut self) -> Option<Command> {
        if self.own.is_some() {
            self.say(OWN_RUNS);
            return None;
        }
        if self.facts.hint.is_some() {
            self.say("A session needs a model first: /model NAME.");
            return None;
        }
        let outside = self.composer.hand() == Hand::Outside;
        let command = self.composer.take();
        self.pressed.typed_us = None;
        Some(Command::Run { command, outside })
    }

    /// Tells the round that is under way what is written; without anything written, the prompt that
    /// waits longest.
    pub(super) fn steer(&mut self) -> Option<Command> {
        if self.working.is_none()
            || self.pressed.sums_up
            || self.composer.hand() != Hand::Model
            || self.is_order()
        {
            return self.send();
        }
        self.menu = None;
        let is_empty = self.composer.text().trim().is_empty();
        // A picture goes with a prompt alone.
        if !is_empty && has_picture(&self.composer.content()) {
            return self.send();
        }
        if is_empty && self.queued.front().is_some_and(|prompt| has_picture(prompt)) {
            self.say("It waits: a picture cannot be told to a round that is under way.");
            return None;
        }
        let text = if is_empty { self.queued.pop_front() } else { Some(self.composer.take()) };
        self.conversation.go_to_end();
        self.pressed.typed_us = None;
        text.map(Command::Steer)
    }

    /// Lists the prompts that wait.
    pub(super) fn list_queued(&mut self) {
        if self.queued.is_empty() {
            self.say("No prompt waits.");
            return;
        }
        let chosen = self.queued.len() - 1;
        self.menu = Some(Menu { rows: self.queued_rows(), chosen });
    }

    /// The same, where they are listed and have changed.
    pub(super) fn list_queued_again(&mut self) {
        if self.chosen_queued().is_some() {
            let rows = self.queued_rows();
            self.set_menu(rows);
        }
    }

    fn queued_rows(&self) -> Vec<MenuRow> {
        let row = |(at, prompt): (usize, &String)| MenuRow {
            label: headline(prompt, PROMPT_COLUMNS),
            about: "enter takes it back · delete · alt-↑↓ moves".to_owned(),
            pick: Pick::Queued(at),
        };
        self.queued.iter().enumerate().map(row).collect()
    }

    /// The place of the prompt that is chosen in the list of those that wait.
    pub(super) fn chosen_queued(&self) -> Option<usize> {
        let menu = self.menu.as_ref()?;
        match menu.rows.get(menu.chosen)?.pick {
            Pick::Queued(at) => Some(at),
            _ => None,
        }
    }

    /// Takes a prompt back, to be written on.
    pub(super) fn take_queued(&mut self, at: usize) {
        if !self.composer.is_empty() {
            // A command of the user's own is no prompt, half-written or not.
            if self.queued.len() >= QUEUED_MAX || self.composer.hand() != Hand::Model {
                self.say("Send or empty the prompt first.");
                return;
            }
            // What is being written waits in its place.
            let written = self.composer.take();
            self.queued.insert((at + 1).min(self.queued.len()), written);
        }
        if let Some(prompt) = self.queued.remove(at) {
            self.composer.set(&prompt);
        }
    }

    pub(super) fn remove_queued(&mut self) {
        if let Some(at) = self.chosen_queued() {
            self.queued.remove(at);
            let rows = self.queued_rows();
            self.set_menu(rows);
        }
    }

    pub(super) fn shift_queued(&mut self, up: bool) {
        let Some(at) = self.chosen_queued() else { return };
        let to = if up { at.checked_sub(1) } else { Some(at + 1) };
        let Some(to) = to.filter(|to| *to < self.queued.len()) else { return };
        self.queued.swap(at, to);
        let rows = self.queued_rows();
        self.menu = Some(Menu { rows, chosen: to });
    }
}

#[cfg(test)]
mod tests;
