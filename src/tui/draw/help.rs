//! Every key and every command, from their tables.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{put, split};
use crate::commands::COMMANDS;
use crate::keys::{Place, told};
use crate::text::wrap;
use crate::view::View;

/// Columns of the keys of a row.
const KEYS_COLUMNS: usize = 34;

pub(super) fn draw(view: &mut View, buffer: &mut Buffer, area: Rect) {
    let rows = rows(view, usize::from(area.width));
    let [area, last] = split(area, area.height - 1);
    let most = rows.len().saturating_sub(usize::from(area.height));
    let from = view.help.unwrap_or(0).min(most);
    view.help = Some(from);
    super::lines(buffer, area, rows.get(from..).unwrap_or_default());
    let hint = Line::styled(" ↑↓ scroll · any other key closes", view.theme.dim);
    put(buffer, (last.x, last.y), &hint, last.width);
}

fn rows(view: &View, columns: usize) -> Vec<Line<'static>> {
    let theme = &view.theme;
    let width = KEYS_COLUMNS.min(columns / 3);
    let row = |left: String, about: &str| {
        let pad = width.saturating_sub(Span::raw(&left).width()).max(1);
        let spans = [
            Span::styled(format!("  {left}"), theme.accent),
            Span::raw(" ".repeat(pad)),
            Span::styled(about.to_owned(), theme.text),
        ];
        wrap(&spans, columns, &[Span::raw(" ".repeat(width + 2))])
    };
    let mut rows = Vec::new();
    for place in Place::ALL {
        rows.push(Line::styled(place.title(), theme.heading));
        rows.extend(
            told(place, &view.taste.keys).into_iter().flat_map(|(keys, about)| row(keys, about)),
        );
        rows.push(Line::default());
    }
    rows.push(Line::styled("Commands", theme.heading));
    for command in COMMANDS {
        let left = format!("/{} {}", command.name, command.takes);
        rows.extend(row(left.trim_end().to_owned(), command.about));
    }
    rows
}
