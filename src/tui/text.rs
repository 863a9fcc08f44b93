//! Text from outside, made safe to draw, and broken into rows.
//!
//! Whatever a model, a tool or a file brings is cleaned here once, before it is kept: control
//! characters become pictures, direction overrides are taken out, and marks without a width are
//! bounded. So no escape sequence reaches the terminal, and a flood of accents costs nothing.
//!
//! A tab stays a tab in what may be copied, or a Makefile would come out broken. Where it is laid
//! out it becomes a character that says how wide it is, and blanks; when the frame is complete that
//! character becomes a blank too, and its place is remembered for whoever marks it.

use std::borrow::Cow;

use ratatui::style::Style;
use ratatui::text::{Line, Span};
pub(crate) use screen::thousands;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Marks that may stand on one character.
const MARKS_MAX: usize = 8;

/// Columns of a tab stop.
const TAB_COLUMNS: usize = 4;

/// What stands before a tab's other columns: this character and as many further as it has columns.
const TAB: u32 = 0x10_fff0;

/// The text with nothing in it that a terminal would obey, for a line that is only drawn.
pub(crate) fn clean(text: &str) -> String {
    let kept = kept(text);
    if kept.contains('\t') { kept.replace('\t', &" ".repeat(TAB_COLUMNS)) } else { kept }
}

/// The same with its tabs, for a text that may be copied. What draws it lays it out first.
pub(crate) fn kept(text: &str) -> String {
    kept_behind("", text)
}

/// The same for a text that goes on behind one that is clean: marks on its last character count.
pub(crate) fn kept_behind(before: &str, text: &str) -> String {
    let is_plain =
        |byte: u8| matches!(byte, b'\n' | b'\t') || (byte.is_ascii() && !byte.is_ascii_control());
    if text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let is_mark = |c: &char| unicode_width::UnicodeWidthChar::width(*c) == Some(0);
    let mut marks = before.chars().rev().take(MARKS_MAX).take_while(is_mark).count();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\t' => out.push(character),
            '\u{0}'..='\u{1f}' => {
                out.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'));
            }
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => out.push('\u{fffd}'),
            // Nobody but us says how wide a tab is.
            '\u{10fff0}'..='\u{10ffff}' => out.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => continue,
            _ if is_mark(&character) => {
                marks += 1;
                if marks <= MARKS_MAX {
                    out.push(character);
                }
                continue;
            }
            _ => out.push(character),
        }
        marks = 0;
    }
    out
}

/// The first line of a text, at most so many columns wide.
pub(crate) fn headline(text: &str, columns: usize) -> String {
    let line = text.trim_start().lines().next().unwrap_or_default();
    // No more is looked at than can be shown, however long the line is.
    let end = line.char_indices().nth(columns.saturating_mul(4)).map_or(line.len(), |(at, _)| at);
    let start = line.get(..end).unwrap_or_default();
    shorten(&clean(start), columns)
}

/// The text cut to so many columns, with an ellipsis where something is left out.
pub(crate) fn shorten(text: &str, columns: usize) -> String {
    let text = laid_out(text, 0);
    if text.len() <= columns || text.width() <= columns {
        return text.into_owned();
    }
    let mut out = String::from(beginning(&text, columns.saturating_sub(1)).0);
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The same for text in several styles.
pub(crate) fn fit(spans: Vec<Span<'static>>, columns: usize) -> Vec<Span<'static>> {
    let mut used = 0;
    let mut all: Vec<Span<'static>> = Vec::with_capacity(spans.len());
    for span in spans {
        let text = laid_out(&span.content, used).into_owned();
        used += text.width();
        all.push(Span::styled(text, span.style));
    }
    if used <= columns {
        return all;
    }
    let mut left = columns.saturating_sub(1);
    let mut out = Vec::new();
    for span in all {
        let (start, width) = beginning(&span.content, left);
        let is_cut = start.len() < span.content.len();
        let end = if is_cut && columns > 0 { "…" } else { "" };
        out.push(Span::styled(format!("{start}{end}"), span.style));
        if is_cut {
            break;
        }
        left -= width;
    }
    out
}

/// What of a text fits into so many columns, and how many it takes.
fn beginning(text: &str, columns: usize) -> (&str, usize) {
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        let width = grapheme.width();
        if used + width > columns {
            return (text.get(..at).unwrap_or_default(), used);
        }
        used += width;
    }
    (text, used)
}

/// How many columns a tab takes that stands behind so many.
pub(crate) const fn tab_columns(before: usize) -> usize {
    TAB_COLUMNS - before % TAB_COLUMNS
}

/// A tab of so many columns, as it is laid out.
pub(crate) fn tab(columns: usize) -> String {
    let first = u32::try_from(columns).ok().and_then(|columns| char::from_u32(TAB + columns));
    let rest = " ".repeat(columns.saturating_sub(1));
    format!("{}{rest}", first.unwrap_or(' '))
}

/// How many columns the tab has that begins with what stands in a cell.
pub(crate) fn tab_of(symbol: &str) -> Option<u16> {
    let columns = u32::from(symbol.chars().next()?).checked_sub(TAB)?;
    u16::try_from(columns).ok().filter(|columns| (1..=0xf).contains(columns))
}

/// A text that stands behind so many columns, with its tabs as wide as they are.
fn laid_out(text: &str, before: usize) -> Cow<'_, str> {
    if !text.contains('\t') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut used = before;
    for (number, part) in text.split('\t').enumerate() {
        if number > 0 {
            let columns = tab_columns(used);
            out.push_str(&tab(columns));
            used += columns;
        }
        out.push_str(part);
        used += part.width();
    }
    Cow::Owned(out)
}

/// The rows of styled text in so many columns. Words are kept whole where they fit; every row but
/// the first begins with `indent`.
pub(crate) fn wrap(
    spans: &[Span<'_>],
    columns: usize,
    indent: &[Span<'static>],
) -> Vec<Line<'static>> {
    let mut rows = Rows::new(columns, indent);
    spans.iter().for_each(|span| rows.push(&span.content, span.style));
    rows.finish()
}

/// The same where the first row too begins with `indent`.
pub(crate) fn wrap_behind(
    indent: &[Span<'static>],
    spans: &[Span<'_>],
    columns: usize,
) -> Vec<Line<'static>> {
    let mut rows = Rows::new(columns, indent);
    rows.begin_row();
    spans.iter().for_each(|span| rows.push(&span.content, span.style));
    rows.finish()
}

/// The rows of a plain text, for whoever prints them: without blanks at their ends.
#[must_use]
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let rows = wrap(&[Span::raw(text)], columns, &[]);
    rows.iter().map(|row| row.to_string().trim_end().to_owned()).collect()
}

/// Rows that are filled word by word.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    done: Vec<Line<'static>>,
    row: Vec<Span<'static>>,
    used: usize,
    columns: usize,
    indent: Vec<Span<'static>>,
    indent_columns: usize,
    /// Columns of the row from which its tabs are counted.
    before: usize,
}

impl Rows {
    pub(crate) fn new(columns: usize, indent: &[Span<'static>]) -> Self {
        let indent_columns: usize = indent.iter().map(Span::width).sum();
        let columns = columns.max(indent_columns + 2).max(2);
        let indent = indent.to_vec();
        let (done, row) = (Vec::new(), Vec::new());
        Self { done, row, used: 0, columns, indent, indent_columns, before: 0 }
    }

    /// Whole words and blanks.
    pub(crate) fn push(&mut self, text: &str, style: Style) {
        words(text).for_each(|word| self.word(word, style));
    }

    fn word(&mut self, word: &str, style: Style) {
        if word == "\t" {
            let columns = tab_columns(self.used - self.before);
            // As blanks that do not fit, one ends the row.
            return match self.used + columns <= self.columns {
                true => self.append(&tab(columns), columns, style),
                false => self.end_row(),
            };
        }
        let width = word.width();
        if self.used + width <= self.columns {
            return self.append(word, width, style);
        }
        if word.trim().is_empty() {
            // Blanks that do not fit end the row; the next begins with a word.
            return self.end_row();
        }
        let is_fresh = self.used == 0;
        if !is_fresh && width <= self.columns - self.indent_columns {
            self.end_row();
            return self.append(word, width, style);
        }
        for grapheme in word.graphemes(true) {
            let width = grapheme.width();
            if self.used + width > self.columns {
                self.end_row();
            }
            self.append(grapheme, width, style);
        }
    }

    fn append(&mut self, text: &str, width: usize, style: Style) {
        self.used += width;
        match self.row.last_mut() {
            Some(last) if last.style == style => last.content.to_mut().push_str(text),
            _ => self.row.push(Span::styled(text.to_owned(), style)),
        }
    }

    /// What comes next stands in the next row.
    pub(crate) fn end_row(&mut self) {
        self.done.push(Line::from(std::mem::take(&mut self.row)));
        self.begin_row();
    }

    /// The row begins as all but the first do.
    pub(crate) fn begin_row(&mut self) {
        self.row.extend(self.indent.iter().cloned());
        self.used = self.indent_columns;
        self.before = self.indent_columns;
    }

    /// Whether nothing stands in the row yet.
    pub(crate) const fn is_bare(&self) -> bool {
        self.used <= self.indent_columns
    }

    /// The rows that are full.
    pub(crate) fn done(&self) -> &[Line<'static>] {
        &self.done
    }

    /// The row that is being filled, without those above it.
    pub(crate) fn rest(&self) -> Self {
        let (row, indent) = (self.row.clone(), self.indent.clone());
        Self { done: Vec::new(), row, indent, ..*self }
    }

    /// All of them.
    pub(crate) fn finish(mut self) -> Vec<Line<'static>> {
        self.done.push(Line::from(self.row));
        self.done
    }
}

/// Words and the blanks between them, apart; each tab by itself.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match first {
            '\t' => 1,
            ' ' => rest.find(|c: char| c != ' ').unwrap_or(rest.len()),
            _ => rest.find([' ', '\t']).unwrap_or(rest.len()),
        };
        let (word, later) = rest.split_at(end);
        rest = later;
        Some(word)
    })
}

/// `842`, `12.3k`, `1.5M`.
pub(crate) fn short_number(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// Microseconds as people read a clock: `4:05`, `1:02:03`.
pub(crate) fn clock(microseconds: u64) -> String {
    let seconds = microseconds / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// `12 ms`, `3.4 s`, `2 min 5 s`.
pub(crate) fn duration(microseconds: u64) -> String {
    match microseconds {
        0..1_000_000 => format!("{} ms", microseconds / 1_000),
        1_000_000..60_000_000 => format!("{:.1} s", microseconds as f64 / 1e6),
        _ => {
            let seconds = microseconds / 1_000_000;
            format!("{} min {} s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests;
