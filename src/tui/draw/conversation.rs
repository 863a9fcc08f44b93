//! The conversation, its signs, and what is chosen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{MARGIN, put};
use crate::entry::Context;
use crate::view::{Focus, View};

pub(super) fn draw(view: &mut View, buffer: &mut Buffer, area: Rect) {
    let rows = usize::from(area.height);
    let context = Context {
        columns: view.room.columns,
        theme: &view.theme,
        theme_number: view.theme_number,
        now_us: view.now_us,
        show_reasoning: view.conversation.show_reasoning,
    };
    let seen = view.conversation.visible(rows, context);
    let chosen = view.conversation.chosen.filter(|_| view.focus != Focus::Composer);
    let columns = u16::try_from(view.room.columns).unwrap_or(u16::MAX);
    let wanted = view.search.to_lowercase();
    for (y, row) in (area.y..area.bottom()).zip(&seen) {
        put(buffer, (area.x + MARGIN, y), &row.line, columns);
        if row.is_first
            && let Some(entry) = view.conversation.entry(row.entry)
        {
            let (sign, style) = entry.sign(&view.theme);
            buffer.set_stringn(area.x, y, sign, usize::from(MARGIN), style);
        }
        if chosen == Some(row.entry) && !row.is_gap {
            let width = area.width.min(MARGIN + columns);
            buffer.set_style(Rect { y, height: 1, width, ..area }, view.theme.selected);
        }
        if view.focus != Focus::Composer && !wanted.is_empty() {
            mark(
                buffer,
                Rect { x: area.x + MARGIN, y, width: columns, height: 1 },
                &row.line.to_string(),
                &wanted,
                view.theme.chip,
            );
        }
    }
}

/// Marks where a row has what is looked for.
fn mark(buffer: &mut Buffer, area: Rect, row: &str, wanted: &str, style: Style) {
    let lower = row.to_lowercase();
    // Only where capitals take as many bytes can the places be told.
    if lower.len() != row.len() {
        return;
    }
    for (at, found) in lower.match_indices(wanted) {
        let width = |text: Option<&str>| {
            let width = unicode_width::UnicodeWidthStr::width(text.unwrap_or_default());
            u16::try_from(width).unwrap_or(u16::MAX)
        };
        let x = area.x.saturating_add(width(row.get(..at)));
        let width = width(row.get(at..at + found.len()));
        let place = Rect { x, y: area.y, width, height: 1 }.intersection(area);
        buffer.set_style(place, style);
    }
}
