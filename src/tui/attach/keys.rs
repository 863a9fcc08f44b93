//! The bytes that a terminal sends for a key, as xterm has them.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What is sent; nothing for keys that a terminal does not send.
pub(super) fn bytes(key: KeyEvent, application_cursor: bool) -> Option<Vec<u8>> {
    let held = key.modifiers;
    let alt = held.contains(KeyModifiers::ALT);
    let plain = |byte: u8| Some(if alt { vec![0x1b, byte] } else { vec![byte] });
    match key.code {
        KeyCode::Char(letter) => Some(character(letter, held)),
        KeyCode::Enter => plain(b'\r'),
        KeyCode::Esc => plain(0x1b),
        KeyCode::Backspace if held.contains(KeyModifiers::CONTROL) => plain(0x08),
        KeyCode::Backspace => plain(0x7f),
        KeyCode::Tab if held.contains(KeyModifiers::SHIFT) => Some(b"\x1b[Z".to_vec()),
        KeyCode::Tab => plain(b'\t'),
        KeyCode::BackTab => Some(b"\x1b[Z".to_vec()),
        KeyCode::Up => Some(cursor('A', held, application_cursor)),
        KeyCode::Down => Some(cursor('B', held, application_cursor)),
        KeyCode::Right => Some(cursor('C', held, application_cursor)),
        KeyCode::Left => Some(cursor('D', held, application_cursor)),
        KeyCode::Home => Some(cursor('H', held, application_cursor)),
        KeyCode::End => Some(cursor('F', held, application_cursor)),
        KeyCode::Insert => Some(numbered(2, held)),
        KeyCode::Delete => Some(numbered(3, held)),
        KeyCode::PageUp => Some(numbered(5, held)),
        KeyCode::PageDown => Some(numbered(6, held)),
        KeyCode::F(number) => function(number, held),
        _ => None,
    }
}

fn character(letter: char, held: KeyModifiers) -> Vec<u8> {
    let mut bytes = Vec::new();
    if held.contains(KeyModifiers::ALT) {
        bytes.push(0x1b);
    }
    let control = held.contains(KeyModifiers::CONTROL).then(|| match letter {
        '@'..='_' => Some(letter as u8 & 0x1f),
        'a'..='z' => Some(letter as u8 & 0x1f),
        ' ' | '2' => Some(0),
        // What 0x1c to 0x1f are called where they come in.
        '4'..='7' => Some(letter as u8 - b'4' + 0x1c),
        '?' | '8' => Some(0x7f),
        '/' => Some(0x1f),
        _ => None,
    });
    match control.flatten() {
        Some(byte) => bytes.push(byte),
        None => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
    }
    bytes
}

/// Modifiers, as the terminal counts them; nothing when none is held.
fn number(held: KeyModifiers) -> Option<u8> {
    let bit = |modifier, value| if held.contains(modifier) { value } else { 0 };
    let number =
        bit(KeyModifiers::SHIFT, 1) + bit(KeyModifiers::ALT, 2) + bit(KeyModifiers::CONTROL, 4);
    (number > 0).then_some(number + 1)
}

fn cursor(letter: char, held: KeyModifiers, application: bool) -> Vec<u8> {
    match number(held) {
        Some(held) => format!("\x1b[1;{held}{letter}"),
        None if application => format!("\x1bO{letter}"),
        None => format!("\x1b[{letter}"),
    }
    .into_bytes()
}

fn numbered(key: u8, held: KeyModifiers) -> Vec<u8> {
    match number(held) {
        Some(held) => format!("\x1b[{key};{held}~"),
        None => format!("\x1b[{key}~"),
    }
    .into_bytes()
}

fn function(key: u8, held: KeyModifiers) -> Option<Vec<u8>> {
    const NUMBERS: [u8; 8] = [15, 17, 18, 19, 20, 21, 23, 24];
    match key {
        1..=4 => {
            let letter = char::from(b'P' + key - 1);
            Some(match number(held) {
                Some(held) => format!("\x1b[1;{held}{letter}").into_bytes(),
                None => format!("\x1bO{letter}").into_bytes(),
            })
        }
        5..=12 => Some(numbered(*NUMBERS.get(usize::from(key - 5))?, held)),
        _ => None,
    }
}
