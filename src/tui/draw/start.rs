//! The first screen: where we are, what was done here before, how to begin.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::text::{headline, shorten, wrap};
use crate::view::View;

/// Sessions that are listed.
const RECENT_SHOWN: usize = 5;

pub(super) fn draw(view: &View, buffer: &mut Buffer, area: Rect) {
    let columns = usize::from(area.width.saturating_sub(4)).min(90);
    let rows = rows(view, columns);
    let height = u16::try_from(rows.len()).unwrap_or(u16::MAX).min(area.height);
    let y = area.y + (area.height - height) / 3;
    let place = Rect { x: area.x + 2, y, width: area.width.saturating_sub(2), height };
    super::lines(buffer, place, &rows);
}

fn rows(view: &View, columns: usize) -> Vec<Line<'static>> {
    let (theme, facts) = (&view.theme, &view.facts);
    let mut rows = vec![
        Line::from(vec![
            Span::styled("limn", theme.heading),
            Span::styled(format!(" {}", facts.version), theme.dim),
        ]),
        Line::styled(shorten(&facts.workspace, columns), theme.text),
        Line::default(),
    ];
    if let Some(hint) = &facts.hint {
        for line in hint.lines() {
            rows.extend(wrap(
                &[Span::styled(line.to_owned(), theme.text)],
                columns,
                &[Span::raw("  ")],
            ));
        }
        rows.push(Line::default());
    }
    if facts.asks_consent {
        let asked = [
            "What you do here stays on this machine. Say once whose it is, and what for:",
            "  /annotator NAME               a pseudonym that goes into the recordings",
            "  /consent private|team|public  private: never in a dataset",
        ];
        rows.extend(asked.iter().flat_map(|line| {
            wrap(&[Span::styled(*line, theme.text)], columns, &[Span::raw("    ")])
        }));
        rows.push(Line::default());
    }
    if facts.recent.is_empty() {
        rows.push(Line::styled(
            "Everything you do here is recorded in one file of yours.",
            theme.dim,
        ));
    } else {
        rows.push(Line::styled("Before, in this folder (↓ to go on with one)", theme.dim));
    }
    for recent in facts.recent.iter().take(RECENT_SHOWN) {
        let title = headline(&recent.title, columns.saturating_sub(recent.when.len() + 2));
        rows.push(Line::from(vec![
            Span::styled(format!("{}  ", recent.when), theme.dim),
            Span::styled(title, theme.text),
        ]));
    }
    rows
}
