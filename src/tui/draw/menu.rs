//! The list above the prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::put;
use crate::text::{clean, shorten};
use crate::view::View;

/// Rows of the list.
const ROWS_MAX: usize = 10;

/// How many rows it takes of so many.
pub(super) fn height(view: &View, rows: u16) -> u16 {
    let count = view.menu.as_ref().map_or(0, |menu| menu.rows.len());
    let more = usize::from(count > ROWS_MAX);
    u16::try_from(count.min(ROWS_MAX) + more).unwrap_or(0).min(rows)
}

pub(super) fn draw(view: &View, buffer: &mut Buffer, above: Rect) {
    let Some(menu) = &view.menu else { return };
    let theme = &view.theme;
    let count = menu.rows.len().min(ROWS_MAX).min(usize::from(above.height));
    let from = (menu.chosen + 1).saturating_sub(count);
    let height = height(view, above.height);
    let area = Rect { y: above.bottom() - height, height, ..above };
    Clear.render(area, buffer);
    let columns = usize::from(area.width);
    let rows = menu.rows.iter().enumerate().skip(from).take(count);
    let widest = rows.clone().map(|(_, row)| Span::raw(row.label.as_str()).width()).max();
    let label_columns = widest.unwrap_or(0).min(columns * 2 / 3);
    for (y, (at, row)) in (area.y..area.bottom()).zip(rows) {
        let is_chosen = at == menu.chosen;
        let label = shorten(&clean(&row.label).replace('\n', " "), label_columns);
        let pad = label_columns.saturating_sub(Span::raw(&label).width());
        let about = shorten(&row.about, columns.saturating_sub(label_columns + 6));
        let line = Line::from(vec![
            // The pointer comes when the row can be taken.
            Span::styled(if is_chosen && view.is_settled() { "▸ " } else { "  " }, theme.accent),
            Span::styled(label, if is_chosen { theme.accent } else { theme.text }),
            Span::raw(" ".repeat(pad + 2)),
            Span::styled(about, theme.dim),
        ]);
        put(buffer, (area.x, y), &line, area.width);
        if is_chosen {
            buffer.set_style(Rect { y, height: 1, ..area }, theme.selected);
        }
    }
    if usize::from(height) > count {
        let place = format!("  {} of {}", menu.chosen + 1, menu.rows.len());
        let line = Line::styled(place, theme.faint);
        put(buffer, (area.x, area.bottom() - 1), &line, area.width);
    }
}
