//! A screen as SVG: a rectangle for each coloured stretch, a text for each run.

use std::fmt::Write as _;

use screen::{Colour, Emulator, Look, TerminalSize};
use unicode_width::UnicodeWidthStr;

/// A cell, in pixels.
const WIDTH: f64 = 8.4;
const HEIGHT: f64 = 18.0;
const MARGIN: f64 = 14.0;
const FONT_SIZE: f64 = 14.0;

/// A terminal's own colours.
pub(super) struct Paper {
    paper: &'static str,
    ink: &'static str,
    /// The sixteen with names.
    named: [&'static str; 16],
}

/// A dark terminal.
pub(super) const DARK: Paper = Paper {
    paper: "#1a1b26",
    ink: "#c0caf5",
    named: [
        "#15161e", "#f7768e", "#9ece6a", "#e0af68", "#7aa2f7", "#bb9af7", "#7dcfff", "#a9b1d6",
        "#414868", "#f7768e", "#9ece6a", "#e0af68", "#7aa2f7", "#bb9af7", "#7dcfff", "#c0caf5",
    ],
};

/// A light one.
pub(super) const LIGHT: Paper = Paper {
    paper: "#fafafa",
    ink: "#24283b",
    named: [
        "#24283b", "#b3123a", "#2f6f1f", "#8a5a00", "#1f5fc4", "#7a3bb5", "#00627a", "#5c6070",
        "#6b7080", "#b3123a", "#2f6f1f", "#8a5a00", "#1f5fc4", "#7a3bb5", "#00627a", "#24283b",
    ],
};

/// The screen of a terminal.
pub(super) fn picture(emulator: &Emulator, size: TerminalSize, paper: &Paper) -> String {
    let Paper { paper: behind, ink, .. } = paper;
    let width = f64::from(size.columns) * WIDTH + 2.0 * MARGIN;
    let height = f64::from(size.rows) * HEIGHT + 2.0 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"{FONT_SIZE}\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" \
         fill=\"{behind}\"/>\n"
    );
    for (row, runs) in emulator.styled_screen().iter().enumerate() {
        let y = MARGIN + row as f64 * HEIGHT;
        let mut column = 0;
        for run in runs {
            let columns = run.text.width();
            let x = MARGIN + column as f64 * WIDTH;
            draw(&mut out, &run.text, (&run.look, paper), (x, y), columns);
            column += columns;
        }
    }
    let cursor = emulator.cursor();
    if cursor.visible {
        let x = MARGIN + f64::from(cursor.column) * WIDTH;
        let y = MARGIN + f64::from(cursor.row) * HEIGHT;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{ink}\" \
             opacity=\"0.6\"/>"
        );
    }
    out.push_str("</svg>\n");
    out
}

fn draw(
    out: &mut String,
    text: &str,
    (look, own): (&Look, &Paper),
    (x, y): (f64, f64),
    columns: usize,
) {
    let (mut ink, mut paper) = (colour(look.foreground, own), colour(look.background, own));
    if look.inverse {
        (ink, paper) = (paper.or(Some(own.paper.to_owned())), ink.or(Some(own.ink.to_owned())));
    }
    let width = columns as f64 * WIDTH;
    if let Some(paper) = paper {
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" \
             fill=\"{paper}\"/>"
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let mut style = String::new();
    for (is_set, attribute) in [
        (look.bold, " font-weight=\"bold\""),
        (look.italic, " font-style=\"italic\""),
        (look.dim, " opacity=\"0.7\""),
        (look.underline, " text-decoration=\"underline\""),
        (look.strike, " text-decoration=\"line-through\""),
    ] {
        style.push_str(if is_set { attribute } else { "" });
    }
    let ink = ink.unwrap_or_else(|| own.ink.to_owned());
    // Each run is as wide as its cells, whatever font is there.
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
         xml:space=\"preserve\" fill=\"{ink}\"{style}>{}</text>",
        y + HEIGHT * 0.76,
        escaped(text)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The colour as SVG has it; nothing for the terminal's own.
fn colour(colour: Colour, own: &Paper) -> Option<String> {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match colour {
        Colour::Default => None,
        Colour::Rgb(red, green, blue) => Some(format!("#{red:02x}{green:02x}{blue:02x}")),
        Colour::Indexed(index @ 0..=15) => Some(own.named[usize::from(index)].to_owned()),
        Colour::Indexed(index @ 16..=231) => {
            let at = |step: u8| LEVELS[usize::from((index - 16) / step % 6)];
            Some(format!("#{:02x}{:02x}{:02x}", at(36), at(6), at(1)))
        }
        Colour::Indexed(index) => {
            let level = 8 + 10 * (index - 232);
            Some(format!("#{level:02x}{level:02x}{level:02x}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use screen::{Emulator, TerminalSize};

    use super::{DARK, picture};

    #[test]
    fn a_screen_is_drawn_with_its_colours_and_nothing_of_it_is_markup() {
        let size = TerminalSize { columns: 20, rows: 3 };
        let mut emulator = Emulator::new(size, 0);
        emulator
            .feed(b"a \x1b[1;31m<b>&\x1b[0m\r\n\x1b[48;5;231mx\x1b[0m\x1b[38;2;1;2;3m\xe6\x95\xb0");
        let svg = picture(&emulator, size, &DARK);
        assert!(
            svg.contains("fill=\"#f7768e\" font-weight=\"bold\">&lt;b&gt;&amp;</text>"),
            "{svg}"
        );
        assert!(svg.contains("fill=\"#ffffff\"/>") && svg.contains("fill=\"#010203\">数"), "{svg}");
    }
}
