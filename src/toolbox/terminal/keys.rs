//! Keys by their names, and the bytes that a terminal sends for them.

/// What a model is told when it names another.
const NAMES: &str = "enter, tab, esc, space, backspace, delete, insert, up, down, left, right, \
                     home, end, pageup, pagedown, f1 to f12, and ctrl-, alt- or shift- before them";

/// The bytes of keys that are named one after the other, parted by spaces.
pub(crate) fn bytes(keys: &str, application_cursor: bool) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for name in keys.split_whitespace() {
        match key(name, application_cursor) {
            Some(key) => bytes.extend(key),
            None => {
                let name: String = name.chars().take(40).collect();
                return Err(format!("There is no key {name:?}. The keys are {NAMES}."));
            }
        }
    }
    Ok(bytes)
}

/// Modifiers, as the terminal counts them.
#[derive(Clone, Copy, Default)]
struct Held {
    shift: bool,
    alt: bool,
    ctrl: bool,
}

impl Held {
    fn number(self) -> u8 {
        1 + u8::from(self.shift) + 2 * u8::from(self.alt) + 4 * u8::from(self.ctrl)
    }
}

fn key(name: &str, application_cursor: bool) -> Option<Vec<u8>> {
    let mut held = Held::default();
    let mut rest = name;
    while let Some((modifier, key)) = rest.split_once(['-', '+']).filter(|(_, key)| !key.is_empty())
    {
        match modifier.to_ascii_lowercase().as_str() {
            "ctrl" | "control" | "c" | "^" => held.ctrl = true,
            "alt" | "meta" | "m" => held.alt = true,
            "shift" | "s" => held.shift = true,
            _ => return None,
        }
        rest = key;
    }
    let mut letters = rest.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return character(letter, held);
    }
    if let Some(letter) = rest.strip_prefix('^').filter(|letter| letter.len() == 1) {
        return character(letter.chars().next()?, Held { ctrl: true, ..held });
    }
    named(&rest.to_ascii_lowercase(), held, application_cursor)
}

fn character(letter: char, held: Held) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    if held.alt {
        bytes.push(0x1b);
    }
    let letter = if held.shift { letter.to_ascii_uppercase() } else { letter };
    if held.ctrl {
        bytes.push(match letter.to_ascii_uppercase() {
            letter @ '@'..='_' => letter as u8 & 0x1f,
            '?' => 0x7f,
            _ => return None,
        });
    } else {
        bytes.extend(letter.to_string().into_bytes());
    }
    Some(bytes)
}

fn named(name: &str, held: Held, application_cursor: bool) -> Option<Vec<u8>> {
    let plain: &[u8] = match name {
        "enter" | "return" => b"\r",
        "tab" if held.shift => return Some(b"\x1b[Z".to_vec()),
        "tab" => b"\t",
        "esc" | "escape" => b"\x1b",
        "space" if held.ctrl => b"\0",
        "space" => b" ",
        "backspace" => b"\x7f",
        _ => return sequence(name, held, application_cursor),
    };
    let before: &[u8] = if held.alt { b"\x1b" } else { b"" };
    Some([before, plain].concat())
}

/// Keys that send an escape sequence.
fn sequence(name: &str, held: Held, application_cursor: bool) -> Option<Vec<u8>> {
    let letter = match name {
        "up" => 'A',
        "down" => 'B',
        "right" => 'C',
        "left" => 'D',
        "home" => 'H',
        "end" => 'F',
        "f1" => 'P',
        "f2" => 'Q',
        "f3" => 'R',
        "f4" => 'S',
        _ => return numbered(name, held),
    };
    let is_function = name.starts_with('f');
    let text = match held.number() {
        1 if is_function || application_cursor => format!("\x1bO{letter}"),
        1 => format!("\x1b[{letter}"),
        held => format!("\x1b[1;{held}{letter}"),
    };
    Some(text.into_bytes())
}

fn numbered(name: &str, held: Held) -> Option<Vec<u8>> {
    let number = match name {
        "insert" => 2,
        "delete" | "del" => 3,
        "pageup" | "pgup" => 5,
        "pagedown" | "pgdn" => 6,
        "f5" => 15,
        "f6" => 17,
        "f7" => 18,
        "f8" => 19,
        "f9" => 20,
        "f10" => 21,
        "f11" => 23,
        "f12" => 24,
        _ => return None,
    };
    let text = match held.number() {
        1 => format!("\x1b[{number}~"),
        held => format!("\x1b[{number};{held}~"),
    };
    Some(text.into_bytes())
}

#[cfg(test)]
mod tests;
