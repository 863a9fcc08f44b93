//! What the terminal's bytes mean.
//!
//! Sequences as xterm sends them (its `ctlseqs`), with those of rxvt, of Linux's console and of kitty
//! where they are others, and the one answer that is asked for: the colour behind the text, which comes
//! in between the keys, whenever it comes. Answers to what others asked are dropped, as is what means
//! nothing here. What comes in pieces means what it means in one.
//!
//! Some keys are the beginning of something longer: escape alone, and alt with a few characters. They
//! are keys when nothing follows.

use std::collections::VecDeque;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Input, csi};
use crate::theme::Background;
use Taken::{Begun, Nothing};

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

const PASTE: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";

/// Bytes of a control sequence, and of an answer; what is longer is none.
const CSI_BYTES_MAX: usize = 64;
const ANSWER_BYTES_MAX: usize = 512;

const ESCAPE: KeyEvent = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);

/// Silence after which what may be the beginning of a sequence is a key.
const SILENCE: Duration = Duration::from_millis(50);

/// Silence after which the rest of what has begun is lost, and of a paste.
const LOST: Duration = Duration::from_secs(1);
const PASTE_LOST: Duration = Duration::from_secs(10);

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

    /// For how long to wait for the rest of what has begun.
    pub(super) fn patience(&self) -> Option<Duration> {
        match &self.begun[..] {
            [] => None,
            _ if self.may_be_key() => Some(SILENCE),
            begun if begun.starts_with(PASTE) => Some(PASTE_LOST),
            _ => Some(LOST),
        }
    }

    /// Whether what has begun is a key if nothing follows.
    pub(super) fn may_be_key(&self) -> bool {
        let ([ESC, ESC, last @ ..] | [ESC, last @ ..]) = &self.begun[..] else { return false };
        matches!(last, [] | [b'[' | b']' | b'O' | b'P' | b'_'])
    }

    /// Nothing followed: it was a key, or all of a paste that will ever come, or is lost.
    pub(super) fn settle(&mut self, inputs: &mut VecDeque<Input>) {
        let is_key = self.may_be_key();
        let mut begun = std::mem::take(self).begun;
        if let Some(text) = begun.strip_prefix(PASTE) {
            inputs.push_back(pasted(text));
        }
        if !is_key {
            return;
        }
        if let [ESC, ESC, ..] = begun[..] {
            begun.remove(0);
            inputs.push_back(Input::Key(ESCAPE));
        }
        inputs.push_back(Input::Key(match begun[..] {
            [ESC, byte] => with_alt(of_character(char::from(byte))),
            _ => ESCAPE,
        }));
    }
}

fn any(bytes: &[u8]) -> Taken {
    match bytes {
        [ESC] | [ESC, ESC] => Begun,
        // Alt and a key that is told by a sequence, of terminals that put another escape before it.
        [ESC, ESC, b'[' | b'O', ..] => match any(&bytes[1..]) {
            Taken::Input(count, Input::Key(it)) => key(count + 1, with_alt(it)),
            Begun => Begun,
            Taken::Input(..) | Nothing(_) => key(1, ESCAPE),
        },
        [ESC, ESC, ..] => key(1, ESCAPE),
        [ESC, b'[', rest @ ..] => sequence(rest),
        [ESC, b'O', rest @ ..] => single_shift(rest),
        [ESC, b']', rest @ ..] => answer(b']', rest, u8::is_ascii_digit),
        [ESC, b'P', rest @ ..] => answer(b'P', rest, |it| matches!(it, b'0'..=b'9' | b'>' | b'!')),
        [ESC, b'_', rest @ ..] => answer(b'_', rest, |it| *it == b'G'),
        // Shift-tab of Linux's console.
        [ESC, b'\t', ..] => key(2, KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT)),
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
    let digits = looked_at.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = match looked_at.get(digits) {
        // With shift, in rxvt, although no sequence may end so.
        Some(b'$') if digits > 0 => Some(digits),
        _ => looked_at.iter().position(|byte| !(0x20..0x40).contains(byte)),
    };
    let Some(end) = end else {
        return if looked_at.len() == CSI_BYTES_MAX { Nothing(2 + CSI_BYTES_MAX) } else { Begun };
    };
    let last = bytes[end];
    if last != b'$' && !(0x40..0x7f).contains(&last) {
        // It was broken off; this is something else.
        return Nothing(2 + end);
    }
    let count = 2 + end + 1;
    let meaning = std::str::from_utf8(&bytes[..end]).ok().and_then(|it| csi::meaning(it, last));
    meaning.map_or(Nothing(count), |input| Taken::Input(count, input))
}

/// What follows `ESC O`: a letter, with what is held before it in some terminals; or it was alt and
/// another key follows.
fn single_shift(bytes: &[u8]) -> Taken {
    const KEYPAD: &[u8; 16] = b"*+,-./0123456789";
    let held = bytes.iter().take(4).take_while(|it| matches!(it, b'0'..=b'9' | b';')).count();
    let Some(&letter) = bytes.get(held) else { return Begun };
    let count = 2 + held + 1;
    let plain = |code| key(count, KeyEvent::new(code, KeyModifiers::NONE));
    match letter {
        b'M' => plain(KeyCode::Enter),
        b'j'..=b'y' => plain(KeyCode::Char(char::from(KEYPAD[usize::from(letter - b'j')]))),
        b'a'..=b'd' => {
            let code = csi::by_letter(letter.to_ascii_uppercase());
            code.map_or(Nothing(count), |it| key(count, KeyEvent::new(it, KeyModifiers::CONTROL)))
        }
        b'A'..=b'Z' => {
            let held = std::str::from_utf8(&bytes[..held]).unwrap_or_default();
            let meaning = csi::key(held, letter);
            meaning.map_or(Nothing(count), |it| Taken::Input(count, Input::Key(it)))
        }
        _ => key(2, with_alt(of_character('O'))),
    }
}

/// What follows `ESC ]` and the like: an answer up to its end, where it begins like one; or it was alt
/// and another key follows.
fn answer(introducer: u8, bytes: &[u8], begins: impl Fn(&u8) -> bool) -> Taken {
    match bytes.first() {
        None => return Begun,
        Some(first) if begins(first) => {}
        Some(_) => return key(2, with_alt(of_character(char::from(introducer)))),
    }
    let looked_at = &bytes[..bytes.len().min(ANSWER_BYTES_MAX)];
    let Some(end) = looked_at.iter().position(|byte| *byte < 0x20) else {
        let is_none = looked_at.len() == ANSWER_BYTES_MAX;
        return if is_none { Nothing(2 + ANSWER_BYTES_MAX) } else { Begun };
    };
    let marks = match bytes[end..] {
        [ESC] => return Begun,
        [ESC, b'\\', ..] => 2,
        // Some forget the other half.
        [ESC | BEL, ..] => 1,
        _ => 0,
    };
    let count = 2 + end + marks;
    let text = std::str::from_utf8(&bytes[..end]).ok();
    match text.filter(|_| introducer == b']').and_then(background) {
        Some(background) => Taken::Input(count, Input::Background(background)),
        None => Nothing(count),
    }
}

/// The background of an answer such as `11;rgb:1e1e/1e1e/2e2e`, which may hold how opaque it is.
fn background(answer: &str) -> Option<Background> {
    let colour = answer.strip_prefix("11;")?;
    let parts: Vec<&str> = match colour.split_once(':') {
        Some(("rgb" | "rgba", parts)) => parts.split('/').collect(),
        _ => {
            let digits = colour.strip_prefix('#').filter(|it| it.is_ascii())?;
            let each = digits.len() / 3;
            (0..3).map(|part| &digits[part * each..][..each]).collect()
        }
    };
    let mut parts = parts.into_iter().map(|part| {
        // One to four digits; the first two are what counts.
        let part = if part.len() == 1 { part.repeat(2) } else { part.to_owned() };
        u8::from_str_radix(part.get(..2)?, 16).ok()
    });
    let mut next = || parts.next().flatten();
    Some(Background::of(next()?, next()?, next()?))
}

/// What is pasted, up to its end. What is known to have none in it is not looked at again.
fn paste(bytes: &[u8], searched: &mut usize) -> Taken {
    let from = PASTE.len().max(*searched);
    let rest = bytes.get(from..).unwrap_or_default();
    let Some(end) = rest.windows(PASTE_END.len()).position(|it| it == PASTE_END) else {
        *searched = bytes.len().saturating_sub(PASTE_END.len() - 1);
        return Begun;
    };
    *searched = 0;
    let text = pasted(&bytes[PASTE.len()..from + end]);
    Taken::Input(from + end + PASTE_END.len(), text)
}

fn pasted(text: &[u8]) -> Input {
    Input::Paste(String::from_utf8_lossy(text).into_owned())
}
