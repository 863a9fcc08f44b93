//! Colours: two themes, and what a terminal can show of them.
//!
//! A theme is a file of `assets/themes`, built in. It never sets the background of the screen, so
//! it sits on whatever the user's terminal has. A terminal with fewer colours gets the nearest of
//! 256, or the names that the theme gives for sixteen; with `NO_COLOR` only bold, italic and the
//! like are left.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};
use screen::{Colour, Look};
use serde::Deserialize;

const DARK: &str = include_str!("../../assets/themes/dark.toml");
const LIGHT: &str = include_str!("../../assets/themes/light.toml");

/// How many colours a terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// None, or none are wanted.
    None,
    /// The sixteen with names.
    Sixteen,
    /// The palette of 256.
    Palette,
    /// All of them.
    #[default]
    True,
}

impl Depth {
    /// What the environment says: `NO_COLOR`, `COLORTERM`, `TERM`.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        if variable("NO_COLOR").is_some_and(|value| !value.is_empty()) {
            return Self::None;
        }
        let colours = variable("COLORTERM").unwrap_or_default();
        if matches!(colours.as_str(), "truecolor" | "24bit") {
            return Self::True;
        }
        let name = variable("TERM").unwrap_or_default();
        if name.contains("direct") {
            Self::True
        } else if name.contains("256color") {
            Self::Palette
        } else {
            Self::Sixteen
        }
    }
}

/// What lies behind the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Dark, or nobody knows.
    #[default]
    Dark,
    /// Light.
    Light,
}

impl Background {
    /// The background of that colour.
    #[must_use]
    pub fn of(red: u8, green: u8, blue: u8) -> Self {
        let luminance = 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue);
        if luminance > 127.0 { Self::Light } else { Self::Dark }
    }
}

/// The styles of the interface.
#[derive(Clone, Debug, Default)]
pub(crate) struct Theme {
    pub(crate) text: Style,
    /// What is of second rank.
    pub(crate) dim: Style,
    /// Lines and frames.
    pub(crate) faint: Style,
    pub(crate) accent: Style,
    pub(crate) user: Style,
    pub(crate) success: Style,
    pub(crate) warning: Style,
    pub(crate) error: Style,
    pub(crate) tool: Style,
    pub(crate) reasoning: Style,
    pub(crate) code: Style,
    pub(crate) heading: Style,
    pub(crate) link: Style,
    pub(crate) quote: Style,
    pub(crate) added: Style,
    pub(crate) removed: Style,
    pub(crate) selected: Style,
    pub(crate) chip: Style,
    /// Of source code, by the names of [`CODE`].
    pub(crate) syntax: Vec<Style>,
    depth: Depth,
}

/// The kinds of words in source code that have a style of their own, and the scopes that mean them.
pub(crate) const CODE: &[(&str, &str)] = &[
    ("comment", "comment, punctuation.definition.comment"),
    ("keyword", "keyword, storage"),
    ("string", "string, punctuation.definition.string"),
    ("number", "constant"),
    ("function", "entity.name.function, support.function, variable.function"),
    (
        "type",
        "entity.name.type, entity.name.class, entity.name.struct, entity.name.enum, \
         entity.name.trait, support.type, support.class",
    ),
    ("attribute", "entity.other.attribute-name, meta.annotation, variable.annotation"),
    ("tag", "entity.name.tag, markup.heading"),
    ("inserted", "markup.inserted"),
    ("deleted", "markup.deleted"),
];

/// A theme as it is written: names of styles, and the words of each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThemeFile {
    pub(crate) ui: BTreeMap<String, String>,
    pub(crate) code: BTreeMap<String, String>,
}

impl ThemeFile {
    /// The one for dark backgrounds, which has every name there is.
    pub(crate) fn dark() -> Self {
        toml::from_str(DARK).unwrap_or_default()
    }
}

impl Theme {
    /// The theme for that background, as far as the terminal can show it.
    pub(crate) fn new(background: Background, depth: Depth) -> Self {
        Self::with(background, depth, &ThemeFile::default())
    }

    /// The same with styles of the user's own in the place of its.
    pub(crate) fn with(background: Background, depth: Depth, own: &ThemeFile) -> Self {
        let text = match background {
            Background::Dark => DARK,
            Background::Light => LIGHT,
        };
        // A test reads both; a broken one would be a terminal without colours.
        match toml::from_str::<ThemeFile>(text) {
            Ok(mut file) => {
                file.ui.extend(own.ui.clone());
                file.code.extend(own.code.clone());
                Self::of(&file, depth)
            }
            Err(_) => Self { depth, ..Self::default() },
        }
    }

    fn of(file: &ThemeFile, depth: Depth) -> Self {
        let style =
            |words: Option<&String>| words.map(|words| style(words, depth)).unwrap_or_default();
        let ui = |name: &str| style(file.ui.get(name));
        Self {
            text: ui("text"),
            dim: ui("dim"),
            faint: ui("faint"),
            accent: ui("accent"),
            user: ui("user"),
            success: ui("success"),
            warning: ui("warning"),
            error: ui("error"),
            tool: ui("tool"),
            reasoning: ui("reasoning"),
            code: ui("code"),
            heading: ui("heading"),
            link: ui("link"),
            quote: ui("quote"),
            added: ui("added"),
            removed: ui("removed"),
            selected: ui("selected"),
            chip: ui("chip"),
            syntax: CODE.iter().map(|(name, _)| style(file.code.get(*name))).collect(),
            depth,
        }
    }

    /// How many colours it was made for.
    pub(crate) const fn depth(&self) -> Depth {
        self.depth
    }

    /// The look of a program's own output.
    pub(crate) fn of_look(&self, look: &Look) -> Style {
        let mut style = Style::new();
        if let Some(colour) = own_colour(look.foreground, self.depth) {
            style = style.fg(colour);
        }
        if let Some(colour) = own_colour(look.background, self.depth) {
            style = style.bg(colour);
        }
        let modifiers = [
            (look.bold, Modifier::BOLD),
            (look.dim, Modifier::DIM),
            (look.italic, Modifier::ITALIC),
            (look.underline, Modifier::UNDERLINED),
            (look.inverse, Modifier::REVERSED),
            (look.strike, Modifier::CROSSED_OUT),
        ];
        for (_, modifier) in modifiers.into_iter().filter(|(is_set, _)| *is_set) {
            style = style.add_modifier(modifier);
        }
        style
    }
}

fn own_colour(colour: Colour, depth: Depth) -> Option<Color> {
    match (colour, depth) {
        (Colour::Default, _) | (_, Depth::None) => None,
        (Colour::Indexed(index), Depth::Sixteen) if index >= 16 => None,
        (Colour::Indexed(index), _) => Some(Color::Indexed(index)),
        (Colour::Rgb(..), Depth::Sixteen) => None,
        (Colour::Rgb(red, green, blue), depth) => Some(many(red, green, blue, depth)),
    }
}

fn many(red: u8, green: u8, blue: u8, depth: Depth) -> Color {
    match depth {
        Depth::True => Color::Rgb(red, green, blue),
        _ => Color::Indexed(nearest(red, green, blue)),
    }
}

/// The nearest colour of the cube of 6 × 6 × 6 and the 24 greys behind it.
fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let level = |value: u8| {
        (0u8..6).min_by_key(|place| LEVELS[usize::from(*place)].abs_diff(value)).unwrap_or(0)
    };
    let distance = |r: u8, g: u8, b: u8| {
        let square = |one: u8, other: u8| u32::from(one.abs_diff(other)).pow(2);
        square(r, red) + square(g, green) + square(b, blue)
    };
    let (r, g, b) = (level(red), level(green), level(blue));
    let value = |place: u8| LEVELS[usize::from(place)];
    let cube = (16 + 36 * r + 6 * g + b, distance(value(r), value(g), value(b)));
    let average = (u32::from(red) + u32::from(green) + u32::from(blue)) / 3;
    let step = u8::try_from(average.saturating_sub(3) / 10).unwrap_or(23).min(23);
    let level = 8 + 10 * step;
    let grey = (232 + step, distance(level, level, level));
    if grey.1 < cube.1 { grey.0 } else { cube.0 }
}

/// A style from its words; a word that means nothing is passed over, and a test finds it.
fn style(words: &str, depth: Depth) -> Style {
    words.split_whitespace().fold(Style::new(), |style, word| {
        let (word, is_behind) = match word.strip_prefix("on-") {
            Some(word) => (word, true),
            None => (word, false),
        };
        if let Some(modifier) = modifier(word, depth) {
            return style.add_modifier(modifier);
        }
        match colour(word, depth) {
            Some(colour) if is_behind => style.bg(colour),
            Some(colour) => style.fg(colour),
            None => style,
        }
    })
}

/// The first word of a style that means nothing.
pub(crate) fn unknown_word(words: &str) -> Option<&str> {
    words.split_whitespace().find(|word| {
        let bare = word.strip_prefix("on-").unwrap_or(word);
        let is_known = modifier(word, Depth::Sixteen).is_some()
            || colour(bare, Depth::True).is_some()
            || NAMES.contains(&bare);
        !is_known
    })
}

fn modifier(word: &str, depth: Depth) -> Option<Modifier> {
    Some(match word {
        "bold" => Modifier::BOLD,
        "dim" => Modifier::DIM,
        "italic" => Modifier::ITALIC,
        "underline" => Modifier::UNDERLINED,
        "reversed" => Modifier::REVERSED,
        "reversed-16" if matches!(depth, Depth::Sixteen | Depth::None) => Modifier::REVERSED,
        "strike" => Modifier::CROSSED_OUT,
        _ => return None,
    })
}

fn colour(word: &str, depth: Depth) -> Option<Color> {
    if let Some(digits) = word.strip_prefix('#') {
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 6)?;
        let [_, red, green, blue] = value.to_be_bytes();
        return matches!(depth, Depth::True | Depth::Palette)
            .then(|| many(red, green, blue, depth));
    }
    let place = NAMES.iter().position(|name| *name == word)?;
    let index = u8::try_from(place).ok()?;
    (depth == Depth::Sixteen).then_some(Color::Indexed(index))
}

const NAMES: [&str; 16] = [
    "black",
    "red",
    "green",
    "yellow",
    "blue",
    "magenta",
    "cyan",
    "white",
    "bright-black",
    "bright-red",
    "bright-green",
    "bright-yellow",
    "bright-blue",
    "bright-magenta",
    "bright-cyan",
    "bright-white",
];

#[cfg(test)]
mod tests;
