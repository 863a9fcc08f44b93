//! How the user likes the terminal: keys and colours of their own, vim's keys, how to be called.
//!
//! What a file says wrongly is told with its line, and the usual holds in its place.

mod own_keys;

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(crate) use own_keys::OwnKeys;

use crate::theme::{self, ThemeFile};
use crate::vim::Vim;

/// How somebody who looked away is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    /// A desktop notification where the terminal is known to have them, else a bell.
    #[default]
    Auto,
    /// A bell.
    Bell,
    /// A desktop notification, by OSC 9.
    Osc9,
    /// The same by OSC 777.
    Osc777,
    /// Not at all.
    Off,
}

impl Notify {
    /// What that means on the terminal that the environment tells of.
    #[must_use]
    pub fn on(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        if self != Self::Auto {
            return self;
        }
        // A multiplexer keeps to itself what it does not know.
        if variable("TMUX").is_some() || variable("STY").is_some() {
            return Self::Bell;
        }
        let program = variable("TERM_PROGRAM").unwrap_or_default();
        let term = variable("TERM").unwrap_or_default();
        if ["iTerm.app", "WezTerm", "ghostty"].contains(&program.as_str())
            || term.contains("kitty")
            || variable("WT_SESSION").is_some()
        {
            Self::Osc9
        } else if term.starts_with("foot") || term.starts_with("rxvt") {
            Self::Osc777
        } else {
            Self::Bell
        }
    }

    /// What is written to the terminal. The text holds nothing that it would obey.
    pub(crate) fn sequence(self, text: &str) -> String {
        let text = crate::text::headline(text, 120).replace(';', ",");
        match self {
            Self::Off => String::new(),
            Self::Auto | Self::Bell => "\x07".to_owned(),
            Self::Osc9 => format!("\x1b]9;limn: {text}\x1b\\"),
            Self::Osc777 => format!("\x1b]777;notify;limn;{text}\x1b\\"),
        }
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Taste {
    /// How to be called.
    pub notify: Notify,
    pub(crate) keys: OwnKeys,
    pub(crate) theme: ThemeFile,
    /// Vim's keys, and where they are.
    pub(crate) vim: Option<Vim>,
    /// Whether the mouse is ours.
    pub(crate) has_mouse: bool,
}

impl Default for Taste {
    fn default() -> Self {
        Self {
            notify: Notify::default(),
            keys: OwnKeys::default(),
            theme: ThemeFile::default(),
            vim: None,
            has_mouse: true,
        }
    }
}

/// A line of a file that says nothing sensible, and why.
pub type Wrong = (usize, String);

/// The user's colours as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnTheme {
    #[serde(default)]
    ui: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    code: BTreeMap<Spanned<String>, Spanned<String>>,
}

impl Taste {
    /// Vim's keys where a prompt is written, or the usual ones.
    #[must_use]
    pub fn with_vim(self, is_wanted: bool) -> Self {
        Self { vim: is_wanted.then(Vim::default), ..self }
    }

    /// Keys of the user's own, as a file says.
    ///
    /// # Errors
    /// The line that says nothing sensible. Nothing of the file holds then.
    pub fn set_keys(&mut self, text: &str) -> Result<(), Wrong> {
        self.keys = OwnKeys::parse(text)?;
        Ok(())
    }

    /// Colours of the user's own, as a file says: they take the place of the theme's.
    ///
    /// # Errors
    /// The line that says nothing sensible. Nothing of the file holds then.
    pub fn set_theme(&mut self, text: &str) -> Result<(), Wrong> {
        let own: OwnTheme = toml::from_str(text).map_err(|error| unreadable(text, &error))?;
        let known = ThemeFile::dark();
        let mut theme = ThemeFile::default();
        for (own, known, into) in
            [(own.ui, &known.ui, &mut theme.ui), (own.code, &known.code, &mut theme.code)]
        {
            for (name, words) in own {
                let line = |at: usize| line_of(text, at);
                if !known.contains_key(name.get_ref()) {
                    let names: Vec<&str> = known.keys().map(String::as_str).collect();
                    let what =
                        format!("there is no style `{}`: {}", name.get_ref(), names.join(", "));
                    return Err((line(name.span().start), what));
                }
                if let Some(word) = theme::unknown_word(words.get_ref()) {
                    let what = format!(
                        "`{word}` is no colour and no look: write #rrggbb, a name such as \
                         bright-red, on- before either, bold, dim, italic, underline, reversed \
                         or strike"
                    );
                    return Err((line(words.span().start), what));
                }
                into.insert(name.into_inner(), words.into_inner());
            }
        }
        self.theme = theme;
        Ok(())
    }
}

/// What is wrong with a file that is no TOML, or has what nobody knows.
fn unreadable(text: &str, error: &toml::de::Error) -> Wrong {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    (line, error.message().trim_end_matches('.').to_owned())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
