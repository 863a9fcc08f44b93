//! Colours of source code.
//!
//! The grammars are loaded when the first code comes, and a grammar's patterns when its language
//! does. A line is highlighted once and kept; long lines and the far end of long texts stay plain,
//! since a frame may not wait for them.

use std::sync::LazyLock;

use ratatui::style::Style;
use ratatui::text::Span;
use syntect::easy::HighlightLines;
use syntect::highlighting::{
    Color, ScopeSelectors, StyleModifier, Theme as SyntectTheme, ThemeItem,
};
use syntect::parsing::{SyntaxReference, SyntaxSet};

use crate::theme::{CODE, Theme};

/// Lines of one text that are highlighted.
const LINES_MAX: usize = 400;

/// Bytes of a line that is.
const LINE_BYTES_MAX: usize = 500;

static GRAMMARS: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// Scopes to places in [`CODE`], written into the red of a colour: which colours those are, the
/// theme says when a line is drawn.
static PLACES: LazyLock<SyntectTheme> = LazyLock::new(|| {
    let item = |(place, (_, scopes)): (usize, &(&str, &str))| {
        let scope: ScopeSelectors = scopes.parse().ok()?;
        let r = u8::try_from(place + 1).ok()?;
        let foreground = Some(Color { r, g: 0, b: 0, a: 255 });
        let style = StyleModifier { foreground, background: None, font_style: None };
        Some(ThemeItem { scope, style })
    };
    let mut theme = SyntectTheme::default();
    theme.settings.foreground = Some(Color { r: 0, g: 0, b: 0, a: 255 });
    theme.scopes = CODE.iter().enumerate().filter_map(item).collect();
    theme
});

/// Loads the grammars, on a thread of its own: the first code is not what waits for them.
pub(crate) fn prepare() {
    // Without a thread they are loaded when they are needed.
    let _ = std::thread::Builder::new().spawn(|| {
        LazyLock::force(&PLACES);
        LazyLock::force(&GRAMMARS);
    });
}

/// Names that models and files use for languages whose grammar has another.
const ALIASES: &[(&str, &str)] = &[
    ("console", "bash"),
    ("cxx", "cpp"),
    ("jsonc", "json"),
    ("jsx", "js"),
    ("mjs", "js"),
    ("shell", "bash"),
    ("tsx", "js"),
    ("ts", "js"),
    ("typescript", "js"),
    ("zsh", "bash"),
];

/// Highlights a text line by line.
pub(crate) struct Highlighter {
    lines: HighlightLines<'static>,
    count: usize,
}

impl Highlighter {
    /// For a language by its name, or a file by its extension; nothing for one that is not known.
    pub(crate) fn new(language: &str) -> Option<Self> {
        let lines = HighlightLines::new(grammar(language)?, &PLACES);
        Some(Self { lines, count: 0 })
    }

    /// A line, without its end, in spans.
    pub(crate) fn line(&mut self, line: &str, theme: &Theme, base: Style) -> Vec<Span<'static>> {
        let plain = || vec![Span::styled(line.to_owned(), base)];
        self.count += 1;
        if self.count > LINES_MAX || line.len() > LINE_BYTES_MAX {
            return plain();
        }
        let ended = format!("{line}\n");
        let Ok(pieces) = self.lines.highlight_line(&ended, &GRAMMARS) else {
            return plain();
        };
        let span = |(style, text): (syntect::highlighting::Style, &str)| {
            let place = usize::from(style.foreground.r).checked_sub(1);
            let own = place.and_then(|place| theme.syntax.get(place));
            let text = text.trim_end_matches('\n').to_owned();
            Span::styled(text, own.map_or(base, |own| base.patch(*own)))
        };
        pieces.into_iter().map(span).filter(|span| !span.content.is_empty()).collect()
    }
}

fn grammar(language: &str) -> Option<&'static SyntaxReference> {
    let name = language.trim().to_ascii_lowercase();
    if name.is_empty() || name.len() > 30 || matches!(name.as_str(), "text" | "txt" | "plain") {
        return None;
    }
    let alias = ALIASES.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
    GRAMMARS.find_syntax_by_token(alias.unwrap_or(&name))
}
