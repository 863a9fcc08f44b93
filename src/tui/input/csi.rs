//! Control sequences: what follows `ESC [`, up to the letter that ends it.

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

use super::Input;
use super::decoder::of_character;

/// What a sequence of these parameters and this last byte means.
pub(super) fn meaning(parameters: &str, last: u8) -> Option<Input> {
    if let Some(parameters) = parameters.strip_prefix('<') {
        let mut numbers = parameters.split(';').map(|it| it.parse::<u16>().ok());
        let mut next = || numbers.next().flatten();
        let (button, column, row) = (next()?, next()?, next()?);
        let is_up = match last {
            b'M' => false,
            b'm' => true,
            _ => return None,
        };
        return mouse(button, column, row, is_up).map(Input::Mouse);
    }
    match (parameters, last) {
        ("", b'I') => Some(Input::Focus(true)),
        ("", b'O') => Some(Input::Focus(false)),
        _ => key(parameters, last).map(Input::Key),
    }
}

/// A key; none where it was let go, where nothing sends it, or where it is an answer.
pub(super) fn key(parameters: &str, last: u8) -> Option<KeyEvent> {
    if !parameters.bytes().all(|it| matches!(it, b'0'..=b'9' | b';' | b':')) {
        return None;
    }
    let is_bare = parameters.is_empty();
    let mut parameters = parameters.split(';');
    let mut codes = parameters.next().unwrap_or_default().split(':').map(|it| it.parse().ok());
    let code: u32 = codes.next().flatten().unwrap_or(1);
    let mut held = parameters.next().map(|it| it.split(':').map(|it| it.parse().ok()));
    let mut next = || held.as_mut()?.next()?;
    let sum = next();
    let kind = match next() {
        Some(2) => KeyEventKind::Repeat,
        Some(3) => return None,
        _ => KeyEventKind::Press,
    };
    let modifiers = sum.map_or(KeyModifiers::NONE, modifiers);
    let key = match last {
        b'~' if code == 27 => by_code(parameters.next()?.parse().ok()?, None, modifiers)?,
        b'~' => KeyEvent::new(by_number(code)?, modifiers),
        b'$' | b'^' | b'@' if is_bare => return None,
        // rxvt's, which has a last byte for what is held.
        b'$' => KeyEvent::new(by_number(code)?, KeyModifiers::SHIFT),
        b'^' => KeyEvent::new(by_number(code)?, KeyModifiers::CONTROL),
        b'@' => KeyEvent::new(by_number(code)?, KeyModifiers::CONTROL | KeyModifiers::SHIFT),
        b'a'..=b'd' => KeyEvent::new(by_letter(last - 32)?, KeyModifiers::SHIFT),
        b'u' => {
            let (shifted, base) = (codes.next().flatten(), codes.next().flatten());
            let (code, shifted) = as_bound(code, shifted, base, modifiers);
            by_code(code, shifted, modifiers)?
        }
        b'Z' => KeyEvent::new(KeyCode::BackTab, modifiers | KeyModifiers::SHIFT),
        // With one number that is what is held, with two the second; others tell of a place.
        _ if held.is_none() => KeyEvent::new(by_letter(last)?, self::modifiers(code)),
        _ if code == 1 => KeyEvent::new(by_letter(last)?, modifiers),
        _ => return None,
    };
    Some(KeyEvent { kind, ..key })
}

/// With control or alt a key is what it is in a Latin layout, where it was told what that is: nobody
/// binds anything to ctrl-с. With control it is what it is without shift, as where nothing is told.
fn as_bound(
    code: u32,
    shifted: Option<u32>,
    base: Option<u32>,
    modifiers: KeyModifiers,
) -> (u32, Option<u32>) {
    let is_chord = modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match base.filter(|base| is_chord && code > 0x7f && *base <= 0x7f) {
        Some(base) => (base, None),
        None => (code, shifted.filter(|_| !modifiers.contains(KeyModifiers::CONTROL))),
    }
}

/// One more than the sum of what is held. Locks are no modifiers.
fn modifiers(sum: u32) -> KeyModifiers {
    let order = [
        KeyModifiers::SHIFT,
        KeyModifiers::ALT,
        KeyModifiers::CONTROL,
        KeyModifiers::SUPER,
        KeyModifiers::HYPER,
        KeyModifiers::META,
    ];
    let is_held = |bit: usize| sum.saturating_sub(1) & (1 << bit) != 0;
    order.into_iter().enumerate().filter(|(bit, _)| is_held(*bit)).map(|(_, it)| it).collect()
}

/// `ESC [ A`, `ESC O A` and the like.
pub(super) const fn by_letter(letter: u8) -> Option<KeyCode> {
    Some(match letter {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        b'P'..=b'S' => KeyCode::F(letter - b'P' + 1),
        _ => return None,
    })
}

/// `ESC [ 5 ~` and the like.
const fn by_number(number: u32) -> Option<KeyCode> {
    Some(match number {
        1 | 7 => KeyCode::Home,
        2 => KeyCode::Insert,
        3 => KeyCode::Delete,
        4 | 8 => KeyCode::End,
        5 => KeyCode::PageUp,
        6 => KeyCode::PageDown,
        11..=15 => function(number - 10),
        17..=21 => function(number - 11),
        23..=26 => function(number - 12),
        28..=29 => function(number - 13),
        31..=34 => function(number - 14),
        _ => return None,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "at most 35")]
const fn function(number: u32) -> KeyCode {
    KeyCode::F(number as u8)
}

/// A key by the character that it would type, with what shift makes of it where that was told.
fn by_code(code: u32, shifted: Option<u32>, modifiers: KeyModifiers) -> Option<KeyEvent> {
    let named = |code| Some(KeyEvent::new(code, modifiers));
    match code {
        9 if modifiers.contains(KeyModifiers::SHIFT) => named(KeyCode::BackTab),
        9 => named(KeyCode::Tab),
        13 | 57_414 => named(KeyCode::Enter),
        27 => named(KeyCode::Esc),
        127 => named(KeyCode::Backspace),
        57_376..=57_398 => named(function(code - 57_376 + 13)),
        57_399..=57_426 => named(on_keypad(code - 57_399)?),
        // What types nothing, and kitty's numbers for keys that do not either.
        0..=31 | 57_344..=63_743 => None,
        _ => {
            let shifted = shifted.filter(|_| modifiers.contains(KeyModifiers::SHIFT));
            let held = if shifted.is_some() { modifiers - KeyModifiers::SHIFT } else { modifiers };
            let typed = of_character(char::from_u32(shifted.unwrap_or(code))?);
            Some(KeyEvent::new(typed.code, typed.modifiers | held))
        }
    }
}

/// The keys of the block of numbers, in kitty's order.
fn on_keypad(number: u32) -> Option<KeyCode> {
    const SIGNS: &[u8] = b"0123456789./*-+\r=,";
    const NAMED: [KeyCode; 10] = [
        KeyCode::Left,
        KeyCode::Right,
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Insert,
        KeyCode::Delete,
    ];
    let number = usize::try_from(number).ok()?;
    match SIGNS.get(number) {
        Some(sign) => Some(KeyCode::Char(char::from(*sign))),
        None => NAMED.get(number - SIGNS.len()).copied(),
    }
}

/// The mouse: a number of the button and what is held, and the cell, the first being 1.
pub(super) fn mouse(button: u16, column: u16, row: u16, is_up: bool) -> Option<MouseEvent> {
    let moves = button & 32 != 0;
    let number = (button & 3) | ((button & 0xc0) >> 4);
    let of = |button| match (moves, is_up) {
        (true, _) => MouseEventKind::Drag(button),
        (false, true) => MouseEventKind::Up(button),
        (false, false) => MouseEventKind::Down(button),
    };
    let kind = match number {
        0 => of(MouseButton::Left),
        1 => of(MouseButton::Middle),
        2 => of(MouseButton::Right),
        3..=5 if moves => MouseEventKind::Moved,
        // Who tells no more does not tell which.
        3 => MouseEventKind::Up(MouseButton::Left),
        4 => MouseEventKind::ScrollUp,
        5 => MouseEventKind::ScrollDown,
        6 if !moves => MouseEventKind::ScrollLeft,
        7 if !moves => MouseEventKind::ScrollRight,
        _ => return None,
    };
    let held = [(4, KeyModifiers::SHIFT), (8, KeyModifiers::ALT), (16, KeyModifiers::CONTROL)];
    let modifiers =
        held.into_iter().filter(|(bit, _)| button & bit != 0).map(|(_, it)| it).collect();
    let (column, row) = (column.saturating_sub(1), row.saturating_sub(1));
    Some(MouseEvent { kind, column, row, modifiers })
}
