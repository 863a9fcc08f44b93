use ratatui::style::{Color, Modifier};

use super::{Background, CODE, DARK, Depth, LIGHT, NAMES, Theme, ThemeFile, nearest};

#[test]
fn every_word_of_both_themes_means_something() {
    for text in [DARK, LIGHT] {
        let file: ThemeFile = toml::from_str(text).unwrap();
        for (name, words) in file.ui.iter().chain(&file.code) {
            for word in words.split_whitespace() {
                let word = word.strip_prefix("on-").unwrap_or(word);
                let known = super::modifier(word, Depth::Sixteen).is_some()
                    || super::colour(word, Depth::True).is_some()
                    || NAMES.contains(&word);
                assert!(known, "{name}: {word}");
            }
        }
        assert_eq!(file.ui.len(), 18);
        assert!(CODE.iter().all(|(name, _)| file.code.contains_key(*name)));
        assert_eq!(file.code.len(), CODE.len());
    }
}

#[test]
fn a_theme_uses_what_the_terminal_has() {
    let error = |depth| Theme::new(Background::Dark, depth).error;
    assert_eq!(error(Depth::True).fg, Some(Color::Rgb(0xf7, 0x76, 0x8e)));
    assert_eq!(error(Depth::Palette).fg, Some(Color::Indexed(nearest(0xf7, 0x76, 0x8e))));
    assert_eq!(error(Depth::Sixteen).fg, Some(Color::Indexed(9)));
    assert_eq!(error(Depth::None).fg, None);
    let selected = Theme::new(Background::Light, Depth::None).selected;
    assert!(selected.add_modifier.contains(Modifier::REVERSED));
}

#[test]
fn the_environment_says_how_many_colours() {
    let of = |pairs: &[(&str, &str)]| {
        Depth::of(|name| {
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(of(&[("TERM", "xterm-256color")]), Depth::Palette);
    assert_eq!(of(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")]), Depth::True);
    assert_eq!(of(&[("TERM", "linux")]), Depth::Sixteen);
    assert_eq!(of(&[("NO_COLOR", "1"), ("COLORTERM", "truecolor")]), Depth::None);
}

#[test]
fn the_nearest_of_256_is_near() {
    assert_eq!(nearest(255, 0, 0), 196);
    assert_eq!(nearest(8, 8, 8), 232);
    assert_eq!(nearest(238, 238, 238), 255);
    assert_eq!(nearest(255, 255, 255), 231);
}
