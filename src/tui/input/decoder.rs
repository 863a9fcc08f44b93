//! What the terminal's bytes mean.
//!
//! Sequences as xterm sends them (its `ctlseqs`), with kitty's for keys that are told apart, and the
//! one answer that is asked for: the colour behind the text, which comes in between the keys, whenever
//! it comes, and is never typed. What comes in pieces means what it means in one. What means nothing
//! here is dropped.
//!
//! Some keys are the beginning of something longer: escape alone, and alt with `[`, `]` or `O`. They
//! are keys when nothing follows.

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Input, csi};
use crate::theme::Background;
use Taken::{Begun, Nothing};

const ESC: u8 = 0x1b;

const PASTE: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// Bytes of a control sequence; what is longer is none.
const CSI_BYTES_MAX: usize = 64;

/// How an answer begins, after `ESC ]`, and bytes of the colour that follows.
const ANSWER: &[u8] = b"11;rgb:";
const COLOUR_BYTES_MAX: usize = 32;

/// Bytes to inputs.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// What is the beginning of something.
    begun: Vec<u8>,
    /// So much of a paste has no end in it.
    searched: usize,
}

/// What stands at the beginning of some bytes.
#[derive(Debug)]
enum Taken {
    /// So many bytes mean this.
    Input(usize, Input),
    /// So many bytes mean nothing.
    Nothing(usize),
    /// That cannot be said yet.
    Begun,
}

impl Decoder {
    /// Takes what came.
    pub(super) fn take(&mut self, bytes: &[u8], inputs: &mut VecDeque<Input>) {
        self.begun.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(rest @ [_, ..]) = self.begun.get(from..) {
            let taken =
                if rest.starts_with(PASTE) { paste(rest, &mut self.searched) } else { any(rest) };
            match taken {
                Taken::Input(count, input) => {
                    inputs.push_back(input);
                    from += count;
                }
                Nothing(count) => from += count,
                Begun => break,
            }
        }
        self.begun.drain(..from.min(self.begun.len()));
    }

    /// Whether what has begun may be a key, which only silence can tell.
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self.begun[..], [ESC] | [ESC, b'[' | b']' | b'O'])
    }

    /// Nothing followed: it was a key.
    pub(super) fn settle(&mut self, inputs: &mut VecDeque<Input>) {
        let key = match self.begun[..] {
            [ESC] => KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE),
            [ESC, byte @ (b'[' | b']' | b'O')] => with_alt(of_character(char::from(byte))),
            _ => return,
        };
        self.begun.clear();
        inputs.push_back(Input::Key(key));
    }
}

fn any(bytes: &[u8]) -> Taken {
    match bytes {
        [ESC] | [ESC, b'O'] => Begun,
        [ESC, ESC, ..] => key(1, KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)),
        [ESC, b'[', rest @ ..] => sequence(rest),
        [ESC, b']', rest @ ..] => answer(rest),
        [ESC, b'O', b'M', ..] => key(3, KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)),
        [ESC, b'O', last, ..] => match csi::by_letter(*last) {
            Some(code) => key(3, KeyEvent::new(code, KeyModifiers::NONE)),
            // Another key follows this one.
            None => key(2, with_alt(of_character('O'))),
        },
        [ESC, rest @ ..] => match typed(rest) {
            Taken::Input(count, Input::Key(typed)) => key(count + 1, with_alt(typed)),
            Taken::Input(count, _) | Nothing(count) => Nothing(count + 1),
            Begun => Begun,
        },
        _ => typed(bytes),
    }
}

const fn key(count: usize, key: KeyEvent) -> Taken {
    Taken::Input(count, Input::Key(key))
}

fn with_alt(mut key: KeyEvent) -> KeyEvent {
    key.modifiers |= KeyModifiers::ALT;
    key
}

/// A character that was typed; a capital one with shift.
pub(super) fn of_character(character: char) -> KeyEvent {
    let is_capital = character.is_uppercase();
    let modifiers = if is_capital { KeyModifiers::SHIFT } else { KeyModifiers::NONE };
    KeyEvent::new(KeyCode::Char(character), modifiers)
}

/// A key that sends no sequence.
fn typed(bytes: &[u8]) -> Taken {
    let Some(&first) = bytes.first() else { return Begun };
    let control = |letter: u8| {
        key(1, KeyEvent::new(KeyCode::Char(char::from(letter)), KeyModifiers::CONTROL))
    };
    let named = |code| key(1, KeyEvent::new(code, KeyModifiers::NONE));
    match first {
        b'\r' => named(KeyCode::Enter),
        b'\t' => named(KeyCode::Tab),
        0x7f => named(KeyCode::Backspace),
        0 => control(b' '),
        0x01..=0x1a => control(first + b'a' - 0x01),
        ESC => Nothing(1),
        0x1c..=0x1f => control(first + b'4' - 0x1c),
        _ => character(bytes),
    }
}

/// A character in UTF-8.
fn character(bytes: &[u8]) -> Taken {
    let bytes = bytes.get(..4).unwrap_or(bytes);
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() == 0 => {
            return error.error_len().map_or(Begun, Nothing);
        }
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    match valid.chars().next() {
        Some(character) => key(character.len_utf8(), of_character(character)),
        None => Begun,
    }
}

/// What follows `ESC [`.
fn sequence(bytes: &[u8]) -> Taken {
    // The keys F1 to F5 of Linux's own console, and the mouse of terminals that know no other way.
    match bytes {
        [b'[', letter, ..] => {
            let function = letter.wrapping_sub(b'A').wrapping_add(1);
            return match function {
                1..=5 => key(4, KeyEvent::new(KeyCode::F(function), KeyModifiers::NONE)),
                _ => Nothing(3),
            };
        }
        [b'M', button, column, row, ..] => {
            let [button, column, row] = [*button, *column, *row].map(|it| it.saturating_sub(32));
            let mouse = csi::mouse(button.into(), column.into(), row.into(), false);
            return mouse.map_or(Nothing(6), |mouse| Taken::Input(6, Input::Mouse(mouse)));
        }
        [b'[' | b'M', ..] => return Begun,
        _ => {}
    }
    let looked_at = &bytes[..bytes.len().min(CSI_BYTES_MAX)];
    match looked_at.iter().position(|byte| !(0x20..0x40).contains(byte)) {
        None if looked_at.len() == CSI_BYTES_MAX => Nothing(2 + CSI_BYTES_MAX),
        None => Begun,
        Some(end) => {
            let last = bytes[end];
            if !(0x40..0x7f).contains(&last) {
                // It was broken off; this is something else.
                return Nothing(2 + end);
            }
            let count = 2 + end + 1;
            let meaning =
                std::str::from_utf8(&bytes[..end]).ok().and_then(|it| csi::meaning(it, last));
            meaning.map_or(Nothing(count), |input| Taken::Input(count, input))
        }
    }
}

/// What follows `ESC ]`: an answer, or it was alt and a key follows.
fn answer(bytes: &[u8]) -> Taken {
    let is_key = || key(2, with_alt(of_character(']')));
    let is_colour = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b'/';
    let same = bytes.len().min(ANSWER.len());
    if bytes[..same] != ANSWER[..same] {
        return is_key();
    }
    let colour = bytes.get(ANSWER.len()..).unwrap_or_default();
    let looked_at = &colour[..colour.len().min(COLOUR_BYTES_MAX)];
    let Some(end) = looked_at.iter().position(|byte| !is_colour(byte)) else {
        return if looked_at.len() == COLOUR_BYTES_MAX { is_key() } else { Begun };
    };
    let marks = match colour[end..] {
        [0x07, ..] => 1,
        [ESC, b'\\', ..] => 2,
        [ESC] => return Begun,
        _ => return is_key(),
    };
    let count = 2 + ANSWER.len() + end + marks;
    match std::str::from_utf8(&colour[..end]).ok().and_then(background) {
        Some(background) => Taken::Input(count, Input::Background(background)),
        None => Nothing(count),
    }
}

/// The background of a colour such as `1e1e/1e1e/2e2e`.
fn background(colour: &str) -> Option<Background> {
    let mut parts = colour.split('/').map(|part| {
        // One to four digits; the first two are what counts.
        let part = if part.len() == 1 { part.repeat(2) } else { part.to_owned() };
        u8::from_str_radix(part.get(..2)?, 16).ok()
    });
    let mut next = || parts.next().flatten();
    Some(Background::of(next()?, next()?, next()?))
}

/// What was pasted. What is known to have no end in it is not looked at again.
fn paste(bytes: &[u8], searched: &mut usize) -> Taken {
    let from = PASTE.len().max(*searched);
    let rest = bytes.get(from..).unwrap_or_default();
    let Some(end) = rest.windows(PASTE_END.len()).position(|it| it == PASTE_END) else {
        *searched = bytes.len().saturating_sub(PASTE_END.len() - 1);
        return Begun;
    };
    *searched = 0;
    let text = String::from_utf8_lossy(&bytes[PASTE.len()..from + end]).into_owned();
    Taken::Input(from + end + PASTE_END.len(), Input::Paste(text))
}
