//! Cells with their looks, for whoever draws a terminal inside another.

use std::ops::RangeInclusive;

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Line;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{Color, NamedColor};

use crate::core::Core;

/// A colour as a program asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// The terminal's own.
    #[default]
    Default,
    /// A place in the palette of 256; the first sixteen are the named ones.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a run of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The colour of the letters.
    pub foreground: Colour,
    /// The colour behind them.
    pub background: Colour,
    /// Heavier.
    pub bold: bool,
    /// Fainter.
    pub dim: bool,
    /// Slanted.
    pub italic: bool,
    /// With a line below.
    pub underline: bool,
    /// Colours exchanged.
    pub inverse: bool,
    /// With a line through it.
    pub strike: bool,
}

/// Text that looks the same throughout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The text; no control characters are in it.
    pub text: String,
    /// Its look.
    pub look: Look,
}

/// The rows that hold something, scrollback first, at most the last `rows_max` of them.
pub(crate) fn styled_rows(core: &Core, rows_max: usize) -> Vec<Vec<Run>> {
    let term = core.term();
    let bottom = term.bottommost_line().0;
    let rows: RangeInclusive<i32> = term.topmost_line().0..=bottom;
    let mut styled: Vec<Vec<Run>> = Vec::new();
    for row in rows.rev() {
        let runs = runs(&term.grid()[Line(row)][..]);
        // Empty rows at the end are those that nothing was printed to yet.
        if styled.is_empty() && runs.is_empty() {
            continue;
        }
        styled.push(runs);
        if styled.len() >= rows_max {
            break;
        }
    }
    styled.reverse();
    styled
}

/// The rows of the screen alone, from the top, each in runs of one look without blanks at its end.
pub(crate) fn styled_screen(core: &Core) -> Vec<Vec<Run>> {
    let term = core.term();
    (0..=term.bottommost_line().0).map(|row| runs(&term.grid()[Line(row)][..])).collect()
}

fn runs(cells: &[Cell]) -> Vec<Run> {
    let is_seen = |cell: &Cell| {
        !matches!(cell.c, ' ' | '\t')
            || cell.flags.intersects(Flags::INVERSE | Flags::UNDERLINE)
            || colour(cell.bg) != Colour::Default
    };
    let end = cells.iter().rposition(is_seen).map_or(0, |last| last + 1);
    let mut runs: Vec<Run> = Vec::new();
    for cell in cells.iter().take(end) {
        if cell.flags.intersects(Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER) {
            continue;
        }
        let look = look(cell);
        if runs.last().is_none_or(|run| run.look != look) {
            runs.push(Run { text: String::new(), look });
        }
        if let Some(run) = runs.last_mut() {
            let hidden = cell.flags.contains(Flags::HIDDEN) || cell.c.is_control();
            run.text.push(if hidden { ' ' } else { cell.c });
            run.text.extend(cell.zerowidth().into_iter().flatten());
        }
    }
    runs
}

fn look(cell: &Cell) -> Look {
    let has = |flag| cell.flags.intersects(flag);
    Look {
        foreground: colour(cell.fg),
        background: colour(cell.bg),
        bold: has(Flags::BOLD),
        dim: has(Flags::DIM),
        italic: has(Flags::ITALIC),
        underline: has(Flags::ALL_UNDERLINES),
        inverse: has(Flags::INVERSE),
        strike: has(Flags::STRIKEOUT),
    }
}

fn colour(colour: Color) -> Colour {
    match colour {
        Color::Spec(rgb) => Colour::Rgb(rgb.r, rgb.g, rgb.b),
        Color::Indexed(index) => Colour::Indexed(index),
        Color::Named(name) => named(name),
    }
}

fn named(name: NamedColor) -> Colour {
    // The sixteen come first and in order; behind them stand the default ones and the dim ones.
    let place = name as usize;
    match u8::try_from(place) {
        Ok(index) if place < 16 => Colour::Indexed(index),
        _ => {
            let dim = NamedColor::DimBlack as usize..=NamedColor::DimWhite as usize;
            let index = place.checked_sub(*dim.start()).and_then(|at| u8::try_from(at).ok());
            match index {
                Some(index) if dim.contains(&place) => Colour::Indexed(index),
                _ => Colour::Default,
            }
        }
    }
}
