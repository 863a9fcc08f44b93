//! Text from outside, made safe to draw, and broken into rows.
//!
//! Whatever a model, a tool or a file brings is cleaned here once, before it is kept: control
//! characters become pictures, direction overrides are taken out, and marks without a width are
//! bounded. So no escape sequence reaches the terminal, and a flood of accents costs nothing.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
pub(crate) use screen::thousands;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Marks that may stand on one character.
const MARKS_MAX: usize = 8;

/// Columns of a tab stop.
const TAB_COLUMNS: usize = 4;

/// The text with nothing in it that a terminal would obey.
pub(crate) fn clean(text: &str) -> String {
    clean_behind("", text)
}

/// The same for a text that goes on behind one that is clean: marks on its last character count.
pub(crate) fn clean_behind(before: &str, text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii() && (byte >= b' ' || byte == b'\n') && byte != 0x7f;
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
            '\n' => out.push('\n'),
            '\t' => out.push_str(&" ".repeat(TAB_COLUMNS)),
            '\u{0}'..='\u{1f}' => {
                out.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'));
            }
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => out.push('\u{fffd}'),
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
    if text.len() <= columns || text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let width = grapheme.width();
        if used + width + 1 > columns {
            break;
        }
        used += width;
        out.push_str(grapheme);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// The rows of styled text in so many columns. Words are kept whole where they fit; every row but
/// the first begins with `indent`.
pub(crate) fn wrap(
    spans: &[Span<'_>],
    columns: usize,
    indent: &[Span<'static>],
) -> Vec<Line<'static>> {
    let indent_columns: usize = indent.iter().map(Span::width).sum();
    let columns = columns.max(indent_columns + 2).max(2);
    let mut rows = Rows { rows: Vec::new(), row: Vec::new(), used: 0, columns, indent };
    for span in spans {
        for word in words(&span.content) {
            rows.push(word, span.style);
        }
    }
    rows.finish()
}

struct Rows<'a> {
    rows: Vec<Line<'static>>,
    row: Vec<Span<'static>>,
    used: usize,
    columns: usize,
    indent: &'a [Span<'static>],
}

impl Rows<'_> {
    fn push(&mut self, word: &str, style: Style) {
        let width = word.width();
        if self.used + width <= self.columns {
            return self.append(word, width, style);
        }
        if word.trim().is_empty() {
            // Blanks that do not fit end the row; the next begins with a word.
            return self.end_row();
        }
        let room = self.columns - self.indent.iter().map(Span::width).sum::<usize>();
        let is_fresh = self.used == 0;
        if !is_fresh && width <= room {
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

    fn end_row(&mut self) {
        self.rows.push(Line::from(std::mem::take(&mut self.row)));
        self.row.extend(self.indent.iter().cloned());
        self.used = self.indent.iter().map(Span::width).sum();
    }

    fn finish(mut self) -> Vec<Line<'static>> {
        self.rows.push(Line::from(self.row));
        self.rows
    }
}

/// Words and the blanks between them, apart.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_blank = first == ' ';
        let end = rest.find(|c: char| (c == ' ') != is_blank).unwrap_or(rest.len());
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
