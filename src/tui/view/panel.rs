//! What is done in the panel, and what goes to a command that has the keyboard.

use crossterm::event::{KeyEvent, MouseEvent};
use screen::{TerminalSize, Wishes};
use trajectory::Hand;

use super::press::BUSY;
use super::{Focus, View};
use crate::attach::{Attached, PASTE_BYTES_MAX, resize};
use crate::entry::NoteKind;
use crate::panel::{Act, Asks, Page, Panel};
use crate::protocol::{Command, Order, Query};

/// Why nothing was pasted.
const TOO_LONG: &str =
    "Nothing was pasted: it has more than 4 MB. Let the command read it as a file.";

impl View {
    pub(super) fn act_in_panel(&mut self, act: Act) -> Option<Command> {
        match act {
            Act::Toggle if self.panel.is_open && self.focus == Focus::Panel => self.close_panel(),
            Act::Toggle => return self.open_panel(self.panel.page),
            Act::Turn { back } => return self.open_panel(self.panel.page.next(back)),
            Act::Move { up, page } => self.panel.go(up, page),
            Act::End { up } => self.panel.go_to_end(up),
            Act::Enter => return self.enter_row(),
            Act::Revert => self.ask_to_revert(),
            Act::Stop => {
                let row = self.panel.jobs.rows().get(self.panel.chosen());
                let is_there = self.panel.page == Page::Terminals;
                if let Some(row) = row.filter(|row| is_there && row.runs()) {
                    self.panel.asks = Some(Asks::Stop(row.exec));
                }
            }
            Act::Leave => self.focus = Focus::Composer,
        }
        None
    }

    /// Opens the panel at a page, and goes into it.
    pub(crate) fn open_panel(&mut self, page: Page) -> Option<Command> {
        self.panel.is_open = true;
        self.panel.page = page;
        self.panel.asks = None;
        self.focus = Focus::Panel;
        self.menu = None;
        (page == Page::Changes).then(|| self.ask_for_changes()).flatten()
    }

    fn close_panel(&mut self) {
        self.panel.is_open = false;
        self.focus = Focus::Composer;
    }

    /// The question for what changed. While an answer is on its way, it is asked again after it.
    pub(super) fn ask_for_changes(&mut self) -> Option<Command> {
        let is_new = !std::mem::replace(&mut self.panel.changes.is_asked, true);
        self.panel.changes.is_stale = !is_new;
        is_new.then_some(Command::Ask(Query::Changes))
    }

    fn ask_to_revert(&mut self) {
        if self.panel.page != Page::Changes {
            return;
        }
        if self.working.is_some() {
            return self.say(BUSY);
        }
        let path = self.panel.changes.file().map(|file| file.path.clone());
        self.panel.asks = path.map(Asks::Revert);
    }

    /// A key while the panel asks whether it really should.
    pub(super) fn press_in_question(&mut self, key: KeyEvent) -> Option<Command> {
        let asks = self.panel.asks.take().filter(|_| Panel::confirms(key.code))?;
        Some(match asks {
            Asks::Revert(path) => Command::Order(Order::Revert(path)),
            Asks::Stop(exec) => Command::Hand(Hand::Stop { exec }),
        })
    }

    fn enter_row(&mut self) -> Option<Command> {
        let at = self.panel.chosen();
        match self.panel.page {
            Page::Timeline => {
                let row = self.panel.timeline.row(at)?;
                let (seq, call) = (row.seq, row.call);
                self.go_to_event(seq, call);
                if !self.room.is_beside {
                    self.panel.is_open = false;
                }
                self.focus = Focus::Conversation;
            }
            Page::Terminals => {
                let row = self.panel.jobs.rows().get(at)?;
                if row.runs() {
                    let exec = row.exec;
                    self.attach(exec);
                } else {
                    let call = row.call;
                    self.go_to_event(u64::MAX, call);
                    self.focus = Focus::Conversation;
                }
            }
            Page::Changes | Page::Plan => {}
        }
        None
    }

    /// Gives the keyboard to a command.
    fn attach(&mut self, exec: u32) {
        if self.conversation.terminal_of(exec).is_some() {
            self.panel.attached = Some(Attached::to(exec));
        } else {
            self.say("This command has no terminal any more.");
        }
    }

    /// A key while a command has the keyboard: whatever it is, it is the command's, but the one
    /// that gives the keyboard back.
    pub(super) fn press_attached(&mut self, key: KeyEvent) -> Option<Command> {
        self.pressed.type_at(self.now_us);
        let attached = self.panel.attached.clone()?;
        if Attached::is_leave(key) {
            return self.detach();
        }
        let wishes = self.wishes(attached.exec);
        attached.press(key, wishes)
    }

    pub(super) fn paste_attached(&mut self, text: &str) -> Option<Command> {
        self.pressed.type_at(self.now_us);
        let attached = self.panel.attached.clone()?;
        if text.len() > PASTE_BYTES_MAX {
            // Half of it would be worse than nothing: the end tells a program that it was a paste.
            self.conversation.note(NoteKind::Error, TOO_LONG);
            self.say(TOO_LONG);
            return None;
        }
        let wishes = self.wishes(attached.exec);
        attached.paste(text, wishes)
    }

    /// Whether a command has the keyboard and asked for the mouse, or has a use for its wheel.
    pub(crate) fn mouse_attached(&mut self, event: MouseEvent) -> Option<Command> {
        let attached = self.panel.attached.clone()?;
        let terminal = self.conversation.terminal_of(attached.exec)?;
        let (wishes, is_whole_screen) = (terminal.wishes(), terminal.alternate_screen());
        attached.mouse(event, wishes, is_whole_screen)
    }

    fn wishes(&mut self, exec: u32) -> Wishes {
        self.conversation.terminal_of(exec).map(|it| it.wishes()).unwrap_or_default()
    }

    /// Takes the keyboard back. The command's terminal has the size again that the model knows.
    fn detach(&mut self) -> Option<Command> {
        let Attached { exec, size, .. } = self.panel.attached.take()?;
        if self.decision.is_some() {
            self.settle();
        }
        let usual = TerminalSize::default();
        size?;
        if let Some(terminal) = self.conversation.terminal_of(exec) {
            terminal.resize(usual);
        }
        Some(resize(exec, usual))
    }

    /// The command that makes an attached terminal as large as there is room for.
    pub fn fit(&mut self) -> Option<Command> {
        let attached = self.panel.attached.as_mut()?;
        let command = attached.fit()?;
        let (exec, size) = (attached.exec, attached.size?);
        if let Some(terminal) = self.conversation.terminal_of(exec) {
            terminal.resize(size);
        }
        Some(command)
    }

    /// A command that has ended has the keyboard no more.
    pub(super) fn leave_what_ended(&mut self) {
        let Some(exec) = self.panel.attached.as_ref().map(|attached| attached.exec) else { return };
        if self.panel.jobs.find(exec).is_none_or(|row| !row.runs()) {
            self.panel.attached = None;
            // What was being typed into it is neither an answer nor a prompt.
            self.settle();
            self.say("The command has ended.");
        }
    }
}

#[cfg(test)]
mod tests;
