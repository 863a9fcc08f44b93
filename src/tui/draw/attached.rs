//! A command that has the keyboard: its screen, and below it how to get away.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use screen::TerminalSize;

use super::{put, split};
use crate::panel::JobRow;
use crate::text::{clean, shorten};
use crate::view::View;

pub(super) fn draw(view: &mut View, buffer: &mut Buffer, area: Rect, exec: u32) {
    let [screen, bar] = split(area, area.height - 1);
    if let Some(attached) = &mut view.panel.attached {
        let room = TerminalSize { columns: screen.width, rows: screen.height };
        attached.room = Some(room.clamped());
    }
    let theme = &view.theme;
    if let Some(terminal) = view.conversation.terminal_of(exec) {
        for (y, runs) in (screen.y..screen.bottom()).zip(terminal.styled_screen()) {
            let spans = runs.into_iter().map(|run| {
                Span::styled(clean(&run.text), theme.text.patch(theme.of_look(&run.look)))
            });
            put(buffer, (screen.x, y), &Line::from_iter(spans), screen.width);
        }
        let cursor = terminal.cursor();
        let place = Position { x: screen.x + cursor.column, y: screen.y + cursor.row };
        if cursor.visible && screen.contains(place) {
            view.room.cursor = Some(place);
        }
    }
    let title = view.panel.jobs.find(exec).map_or("", |row: &JobRow| row.title.as_str());
    let waits = match &view.toast {
        _ if view.decision.is_some() => "  a call waits for you".to_owned(),
        Some((toast, _)) => format!("  {}", shorten(toast, usize::from(bar.width) / 2)),
        None => String::new(),
    };
    let hint = "  ctrl-] gives the keyboard back ";
    let used = Span::raw(hint).width() + Span::raw(&waits).width() + 12;
    let title = shorten(&clean(title), usize::from(bar.width).saturating_sub(used));
    let line = Line::from(vec![
        Span::styled(format!(" job {exec} "), theme.accent),
        Span::styled(title, theme.text),
        Span::styled(waits, theme.warning),
        Span::styled(hint, theme.dim),
    ]);
    put(buffer, (bar.x, bar.y), &line, bar.width);
    buffer.set_style(bar, theme.selected);
}
