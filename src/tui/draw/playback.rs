//! Where a playback stands, in the place of the prompt.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::composer::rule;
use crate::protocol::Playback;
use crate::text::clock;
use crate::view::{Focus, View};

/// Rows that it takes: a rule, the bar, the keys.
pub(super) const ROWS: u16 = 3;

/// Columns of the bar between the two times.
const BAR_COLUMNS: usize = 40;

pub(super) fn draw(view: &View, playback: &Playback, buffer: &mut Buffer, area: Rect) {
    let columns = usize::from(area.width);
    let theme = &view.theme;
    let sign = if playback.is_paused { "⏸" } else { "▶" };
    let room = columns.saturating_sub(44).clamp(4, BAR_COLUMNS);
    let done = match playback.length_us {
        0 => room,
        all => (room as u128 * u128::from(playback.at_us) / u128::from(all)) as usize,
    };
    let bar = Line::from(vec![
        Span::styled(format!("{sign} "), theme.accent),
        Span::styled(clock(playback.at_us), theme.text),
        Span::raw(" "),
        Span::styled("━".repeat(done.min(room)), theme.accent),
        Span::styled("─".repeat(room.saturating_sub(done)), theme.faint),
        Span::raw(" "),
        Span::styled(clock(playback.length_us), theme.text),
        Span::styled(
            format!("  ×{}  event {} of {}", playback.speed, playback.events, playback.events_all),
            theme.dim,
        ),
    ]);
    let keys = match view.focus {
        Focus::Search => format!("search: {}", view.search),
        _ => "space pause · ←→ event · [ ] prompt · + - speed · 0-9 jump · q leave".to_owned(),
    };
    super::lines(buffer, area, &[rule(view, columns), bar, Line::styled(keys, theme.dim)]);
}
