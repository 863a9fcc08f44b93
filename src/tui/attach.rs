//! A command that has the keyboard: its screen is drawn from our emulator, and what is pressed
//! goes to it as a terminal would send it.

mod keys;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use screen::{TerminalSize, Wishes};

use trajectory::Hand;

use crate::protocol::Command;

/// The longest paste that goes to a command, bytes: no more may wait to be typed.
pub(crate) const PASTE_BYTES_MAX: usize = 4_000_000;

/// Rows that a turn of the wheel is worth to a program that does not ask for the mouse.
const WHEEL_KEYS: usize = 3;

/// The command that has the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) exec: u32,
    /// The size that its terminal was given.
    pub(crate) size: Option<TerminalSize>,
    /// The size that there is room for, as last drawn.
    pub(crate) room: Option<TerminalSize>,
}

impl Attached {
    pub(crate) const fn to(exec: u32) -> Self {
        Self { exec, size: None, room: None }
    }

    /// Whether the key gives the keyboard back. A terminal that tells no keys apart sends the
    /// second name.
    pub(crate) fn is_leave(key: KeyEvent) -> bool {
        key.modifiers.contains(KeyModifiers::CONTROL)
            && matches!(key.code, KeyCode::Char(']' | '5'))
    }

    /// What a key sends.
    pub(crate) fn press(&self, key: KeyEvent, wishes: Wishes) -> Option<Command> {
        self.send(keys::bytes(key, wishes.application_cursor)?)
    }

    /// What a paste sends, all of it. It cannot end the marks around itself.
    pub(crate) fn paste(&self, text: &str, wishes: Wishes) -> Option<Command> {
        let text = text.replace("\r\n", "\r").replace('\n', "\r").replace('\x1b', "");
        let text = match wishes.bracketed_paste {
            true => format!("\x1b[200~{text}\x1b[201~"),
            false => text,
        };
        self.send(text.into_bytes())
    }

    /// What the mouse sends: buttons to a program that asks for them, cursor keys of the wheel to
    /// one that has the whole screen.
    pub(crate) fn mouse(
        &self,
        event: MouseEvent,
        wishes: Wishes,
        is_whole_screen: bool,
    ) -> Option<Command> {
        let wheel = match event.kind {
            MouseEventKind::ScrollUp => Some((KeyCode::Up, 64)),
            MouseEventKind::ScrollDown => Some((KeyCode::Down, 65)),
            _ => None,
        };
        if !wishes.mouse {
            let (code, _) = wheel.filter(|_| is_whole_screen)?;
            let key = KeyEvent::new(code, KeyModifiers::NONE);
            let bytes = keys::bytes(key, wishes.application_cursor)?;
            return self.send(bytes.repeat(WHEEL_KEYS));
        }
        let number = |button: MouseButton| match button {
            MouseButton::Left => 0,
            MouseButton::Middle => 1,
            MouseButton::Right => 2,
        };
        let (code, end) = match event.kind {
            MouseEventKind::Down(button) => (number(button), 'M'),
            MouseEventKind::Up(button) => (number(button), 'm'),
            MouseEventKind::Drag(button) => (32 + number(button), 'M'),
            _ => (wheel?.1, 'M'),
        };
        let (column, row) = (event.column.saturating_add(1), event.row.saturating_add(1));
        self.send(format!("\x1b[<{code};{column};{row}{end}").into_bytes())
    }

    /// The command that gives its terminal the size there is room for, when it has another.
    pub(crate) fn fit(&mut self) -> Option<Command> {
        let room = self.room.filter(|room| self.size != Some(*room))?;
        self.size = Some(room);
        Some(resize(self.exec, room))
    }

    fn send(&self, bytes: Vec<u8>) -> Option<Command> {
        let exec = self.exec;
        (!bytes.is_empty()).then_some(Command::Hand(Hand::Type { exec, bytes }))
    }
}

/// The command that gives a terminal a size.
pub(crate) const fn resize(exec: u32, size: TerminalSize) -> Command {
    let TerminalSize { columns, rows } = size;
    Command::Hand(Hand::Resize { exec, columns, rows })
}

#[cfg(test)]
mod tests;
