//! Keys of the user's own: each stands for a key of the table, in a place.

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use toml::Spanned;

use super::{Wrong, line_of, unreadable};
use crate::keys::{self, KEYS, Place};

/// What keys stand for: a place and the name of a key, and the name of a key of the table; an
/// empty one stands for nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnKeys(BTreeMap<(&'static str, String), String>);

impl OwnKeys {
    pub(super) fn parse(text: &str) -> Result<Self, Wrong> {
        type Table = BTreeMap<Spanned<String>, Spanned<String>>;
        let tables: BTreeMap<Spanned<String>, Table> =
            toml::from_str(text).map_err(|error| unreadable(text, &error))?;
        let mut own = BTreeMap::new();
        for (name, table) in tables {
            let line = |at: usize| line_of(text, at);
            // A command that has the keyboard has it whole: the way out of it is always the same.
            let mut places = Place::ALL.iter().filter(|place| **place != Place::Attached);
            let words: Vec<&str> = places.clone().map(|place| place.word()).collect();
            let Some(place) = places.find(|place| place.word() == name.get_ref()) else {
                let what = format!("there is no place `{}`: {}", name.get_ref(), words.join(", "));
                return Err((line(name.span().start), what));
            };
            for (pressed, meant) in table {
                if parse(pressed.get_ref()).is_none() {
                    let what = format!(
                        "`{}` is no key: write it as docs/terminal.md does, such as ctrl-s, \
                         alt-enter, f5",
                        pressed.get_ref()
                    );
                    return Err((line(pressed.span().start), what));
                }
                let is_known = |key: &str| {
                    let here = |it: Place| it == *place || it == Place::Anywhere;
                    KEYS.iter().any(|row| here(row.place) && row.keys.contains(&key))
                };
                let meant_name = meant.get_ref();
                if !meant_name.is_empty() && !is_known(meant_name) {
                    let what = format!(
                        "`{meant_name}` does nothing there: name a key of the table in \
                         docs/terminal.md that `{}` is to do the work of",
                        pressed.get_ref()
                    );
                    return Err((line(meant.span().start), what));
                }
                own.insert((place.word(), pressed.into_inner()), meant.into_inner());
            }
        }
        Ok(Self(own))
    }

    /// The key that is meant by the one that was pressed; nothing when it is to do nothing.
    pub(crate) fn meant(&self, place: Place, key: KeyEvent) -> Option<KeyEvent> {
        if self.0.is_empty() {
            return Some(key);
        }
        let Some(name) = keys::name(key) else { return Some(key) };
        let find = |place: Place| self.0.get(&(place.word(), name.clone()));
        match find(place).or_else(|| find(Place::Anywhere)) {
            None => Some(key),
            Some(meant) => parse(meant),
        }
    }

    /// The keys of a row of the table as they are now.
    pub(crate) fn in_force(&self, place: Place, keys: &[&str]) -> Vec<String> {
        let own = |key: &str| self.0.get(&(place.word(), key.to_owned()));
        let usual = keys.iter().filter(|key| own(key).is_none()).map(|key| (*key).to_owned());
        let added = self
            .0
            .iter()
            .filter(|((word, _), meant)| *word == place.word() && keys.contains(&meant.as_str()));
        usual.chain(added.map(|((_, pressed), _)| pressed.clone())).collect()
    }
}

/// The key with that name.
fn parse(name: &str) -> Option<KeyEvent> {
    let mut held = KeyModifiers::NONE;
    let mut rest = name;
    for (word, modifier) in [
        ("ctrl-", KeyModifiers::CONTROL),
        ("alt-", KeyModifiers::ALT),
        ("shift-", KeyModifiers::SHIFT),
    ] {
        if let Some(later) = rest.strip_prefix(word).filter(|later| !later.is_empty()) {
            held |= modifier;
            rest = later;
        }
    }
    let mut letters = rest.chars();
    let code = match (letters.next(), letters.next()) {
        (Some(letter), None) => KeyCode::Char(letter),
        _ => named(rest, held)?,
    };
    Some(KeyEvent::new(code, held))
}

fn named(name: &str, held: KeyModifiers) -> Option<KeyCode> {
    Some(match name {
        "space" => KeyCode::Char(' '),
        "tab" if held.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        "tab" => KeyCode::Tab,
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        name => {
            let number: u8 = name.strip_prefix('f')?.parse().ok()?;
            KeyCode::F((1..=12).contains(&number).then_some(number)?)
        }
    })
}
