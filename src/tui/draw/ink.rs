//! Lines, written into cells.

use ratatui::buffer::Buffer;
use ratatui::style::Style;
use ratatui::text::Line;

/// Writes a line from a cell on, over so many columns: as [`Buffer::set_line`] does, but where every
/// character is a cluster of its own and one column wide, nobody has to find that out.
pub(super) fn put(buffer: &mut Buffer, (x, y): (u16, u16), line: &Line<'_>, columns: u16) {
    let end = x.saturating_add(columns).min(buffer.area.right());
    let mut at = x;
    for span in line {
        if at >= end {
            return;
        }
        let style = line.style.patch(span.style);
        at = if span.content.chars().all(is_plain) {
            put_plain(buffer, (at, y), end, &span.content, style)
        } else {
            buffer.set_stringn(at, y, &span.content, usize::from(end - at), style).0
        };
    }
}

/// What is printed of ASCII, and what boxes are drawn with. Nothing among them joins anything.
const fn is_plain(character: char) -> bool {
    matches!(character, ' '..='~' | '─'..='╿')
}

fn put_plain(buffer: &mut Buffer, (x, y): (u16, u16), end: u16, text: &str, style: Style) -> u16 {
    let mut at = x;
    for character in text.chars() {
        if at >= end {
            break;
        }
        if let Some(cell) = buffer.cell_mut((at, y)) {
            cell.set_char(character).set_style(style);
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
