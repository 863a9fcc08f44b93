use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Notify, Taste};
use crate::keys::{KEYS, Place};
use crate::theme::{Background, Depth, Theme};

fn key(code: KeyCode, held: KeyModifiers) -> KeyEvent {
    KeyEvent::new(code, held)
}

#[test]
fn a_key_of_ones_own_does_the_work_of_another() {
    let mut taste = Taste::default();
    let text = "[writing]\n\"ctrl-s\" = \"enter\"\n[everywhere]\nf5 = \"f3\"\n\"f3\" = \"\"\n";
    taste.set_keys(text).unwrap();
    let meant = |place, code, held| taste.keys.meant(place, key(code, held)).map(|it| it.code);
    let (none, ctrl) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
    assert_eq!(meant(Place::Composer, KeyCode::Char('s'), ctrl), Some(KeyCode::Enter));
    assert_eq!(meant(Place::Conversation, KeyCode::Char('s'), ctrl), Some(KeyCode::Char('s')));
    assert_eq!(meant(Place::Panel, KeyCode::F(5), none), Some(KeyCode::F(3)));
    assert_eq!(meant(Place::Panel, KeyCode::F(3), none), None);
    // The help tells what is in force.
    assert_eq!(taste.keys.in_force(Place::Composer, &["enter"]), ["enter", "ctrl-s"]);
    assert_eq!(taste.keys.in_force(Place::Anywhere, &["f3"]), ["f5"]);
}

#[test]
fn every_key_of_the_table_can_be_written() {
    for row in KEYS.iter().filter(|row| row.place != Place::Attached) {
        for name in row.keys {
            let text = format!("[{}]\n{:?} = {:?}\n", row.place.word(), name, name);
            Taste::default().set_keys(&text).unwrap_or_else(|wrong| panic!("{name}: {wrong:?}"));
        }
    }
}

#[test]
fn a_wrong_line_is_told_and_changes_nothing() {
    let keys = [
        ("[writing]\n\"ctrl-s\" = \"entr\"\n", 2, "does nothing there"),
        ("[writing]\n\n\"hyper-s\" = \"enter\"\n", 3, "is no key"),
        ("\n[wrting]\n", 2, "there is no place"),
        ("[attached]\n\"ctrl-x\" = \"ctrl-]\"\n", 1, "there is no place `attached`"),
        ("[writing\n", 1, ""),
        ("[writing]\nf5 = 5\n", 2, ""),
    ];
    for (text, line, what) in keys {
        let mut taste = Taste::default();
        let (told, why) = taste.set_keys(text).unwrap_err();
        assert!(told == line && why.contains(what), "{text:?}: {told}, {why}");
    }
    let themes = [
        ("[ui]\naccent = \"#ff00\"\n", 2, "no colour"),
        ("[ui]\n\nacent = \"red\"\n", 3, "there is no style `acent`: accent"),
        ("[code]\nstring = \"red\"\nkeyword = \"blod\"\n", 3, "`blod`"),
        ("[colours]\n", 1, "unknown field"),
    ];
    for (text, line, what) in themes {
        let mut taste = Taste::default();
        let (told, why) = taste.set_theme(text).unwrap_err();
        assert!(told == line && why.contains(what), "{text:?}: {told}, {why}");
        assert!(taste.theme.ui.is_empty());
    }
}

#[test]
fn a_colour_of_ones_own_takes_the_place_of_the_themes() {
    let mut taste = Taste::default();
    taste.set_theme("[ui]\naccent = \"red bold\"\n").unwrap();
    for background in [Background::Dark, Background::Light] {
        let usual = Theme::new(background, Depth::Sixteen);
        let own = Theme::with(background, Depth::Sixteen, &taste.theme);
        assert_ne!(own.accent, usual.accent);
        assert_eq!(own.error, usual.error);
    }
}

#[test]
fn somebody_is_called_as_the_terminal_can() {
    let on = |pairs: &[(&str, &str)]| {
        Notify::Auto.on(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(on(&[("TERM", "xterm-kitty")]), Notify::Osc9);
    assert_eq!(on(&[("TERM", "xterm-kitty"), ("TMUX", "x")]), Notify::Bell);
    assert_eq!(on(&[("TERM", "foot")]), Notify::Osc777);
    assert_eq!(on(&[("TERM", "xterm-256color")]), Notify::Bell);
    assert_eq!(Notify::Off.sequence("x"), "");
    // What a model named its tool cannot end the sequence.
    let hostile = "a\x07b\x1b\\c;d";
    assert_eq!(Notify::Osc777.sequence(hostile), "\x1b]777;notify;limn;a␇b␛\\c,d\x1b\\");
}
