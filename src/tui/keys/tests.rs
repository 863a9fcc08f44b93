use std::collections::HashSet;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Action, KEYS, Place, find};
use crate::commands::COMMANDS;
use crate::taste::OwnKeys;

#[test]
fn no_key_means_two_things_in_one_place() {
    let mut seen = HashSet::new();
    for binding in KEYS {
        for key in binding.keys {
            assert!(seen.insert((binding.place.title(), *key)), "{key} twice");
        }
    }
}

#[test]
fn a_key_is_found_however_the_terminal_tells_it() {
    let stop =
        |modifiers, letter| find(Place::Composer, KeyEvent::new(KeyCode::Char(letter), modifiers));
    assert_eq!(stop(KeyModifiers::CONTROL, 'c'), Some(Action::Stop));
    assert_eq!(stop(KeyModifiers::CONTROL, 'C'), Some(Action::Stop));
    let back_tab = |modifiers| find(Place::Composer, KeyEvent::new(KeyCode::BackTab, modifiers));
    assert_eq!(back_tab(KeyModifiers::SHIFT), Some(Action::Mode));
    assert_eq!(back_tab(KeyModifiers::NONE), Some(Action::Mode));
    assert_eq!(stop(KeyModifiers::NONE, 'c'), None);
}

/// The manual has the tables of keys and commands; this writes them.
fn tables() -> String {
    let mut out = String::new();
    for place in Place::ALL {
        out.push_str(&format!("### {}\n\n| key | what it does |\n| --- | --- |\n", place.title()));
        for (keys, about) in super::told(place, &OwnKeys::default()) {
            let keys: Vec<String> = keys.split(", ").map(|key| format!("`{key}`")).collect();
            out.push_str(&format!("| {} | {about} |\n", keys.join(", ")));
        }
        out.push('\n');
    }
    out.push_str("### Commands\n\n| command | what it does |\n| --- | --- |\n");
    for command in COMMANDS {
        let (name, takes, about) = (command.name, command.takes, command.about);
        out.push_str(&format!(
            "| `{}` | {about} |\n",
            format!("/{name} {takes}").trim_end().replace('|', "\\|")
        ));
    }
    out
}

#[test]
fn the_manual_has_every_key_and_every_command() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/terminal.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let tables = tables();
    assert!(manual.contains(tables.trim_end()), "docs/terminal.md should have:\n{tables}");
}
