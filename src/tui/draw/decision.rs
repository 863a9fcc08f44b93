//! The question about a call that waits.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::MARGIN;
use super::composer::framed;
use crate::decision::{Decision, Hunk};
use crate::text::{clean, shorten, wrap};
use crate::theme::Theme;
use crate::view::View;

/// Rows of a hunk, or of a command, that are shown.
const TEXT_ROWS_MAX: usize = 12;

pub(super) fn height(view: &View, area: Rect) -> u16 {
    let rows =
        view.decision.as_ref().map_or(0, |it| body(it, columns(area), &view.theme).len() + 2);
    u16::try_from(rows).unwrap_or(u16::MAX).min(area.height.saturating_sub(2))
}

pub(super) fn draw(view: &View, frame: &mut Frame<'_>, area: Rect) {
    let Some(decision) = &view.decision else { return };
    let theme = &view.theme;
    let columns = columns(area);
    let title = format!(" May it? {} ", shorten(&clean(&decision.name), 30));
    let title = vec![Span::styled(title, theme.warning)];
    let mut rows = vec![framed(title, "", usize::from(area.width), theme)];
    let mut body = body(decision, columns, theme);
    // The answers stay in sight, whatever the question is.
    body.truncate(usize::from(area.height).saturating_sub(2));
    rows.extend(body.into_iter().map(|line| {
        let style = line.style;
        let spans = std::iter::once(Span::raw("  ")).chain(line.spans);
        Line::from_iter(spans).style(style)
    }));
    rows.push(answers(decision, view.is_settled(), theme));
    super::lines(frame, area, &rows);
    if let Some(reason) = &decision.reason {
        let y = area.y + u16::try_from(rows.len()).unwrap_or(1) - 1;
        let before = Span::raw(REASON).width() + Span::raw(reason.text()).width();
        let x = area.x + u16::try_from(before).unwrap_or(0);
        frame.set_cursor_position(Position {
            x: x.min(area.right().saturating_sub(1)),
            y: y.min(area.bottom().saturating_sub(1)),
        });
    }
}

fn columns(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(MARGIN + 1))
}

const REASON: &str = "  why not (enter to deny): ";

fn answers(decision: &Decision, is_settled: bool, theme: &Theme) -> Line<'static> {
    if !is_settled {
        return Line::styled("  you were typing: answer in a moment", theme.dim);
    }
    if let Some(reason) = &decision.reason {
        return Line::from(vec![
            Span::styled(REASON, theme.warning),
            Span::styled(clean(&reason.content()).replace('\n', " "), theme.text),
        ]);
    }
    let mut answers = vec![("y", "allow once"), ("n", "deny"), ("a", "allow, mode auto")];
    if decision.hunks().len() > 1 {
        answers.extend([("space", "take or leave"), ("↑↓", "hunk")]);
    }
    let mut spans = vec![Span::raw("  ")];
    for (key, about) in answers {
        spans.push(Span::styled(key, theme.accent));
        spans.push(Span::styled(format!(" {about}   "), theme.dim));
    }
    Line::from(spans)
}

fn body(decision: &Decision, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let hunks = decision.hunks();
    if hunks.len() > 1 {
        let rows = hunks.iter().enumerate();
        return rows
            .flat_map(|(at, hunk)| hunk_rows(hunk, at == decision.chosen, columns, theme))
            .collect();
    }
    if crate::diff::of_call(&decision.name, &decision.arguments).is_some() {
        // The change itself is in the conversation, just above.
        return vec![Line::styled("The change is shown above.", theme.dim)];
    }
    let text = decision.text();
    let mut rows = Vec::new();
    for line in text.lines().take(TEXT_ROWS_MAX) {
        let line: String = line.chars().take(2_000).collect();
        rows.extend(wrap(&[Span::styled(line, theme.text)], columns, &[]));
    }
    if rows.len() > TEXT_ROWS_MAX || text.lines().count() > TEXT_ROWS_MAX {
        rows.truncate(TEXT_ROWS_MAX);
        rows.push(Line::styled("⋯ more of it: ctrl-o unfolds the call", theme.dim));
    }
    rows
}

fn hunk_rows(hunk: &Hunk, is_chosen: bool, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mark = if hunk.is_taken { "[x]" } else { "[ ]" };
    let pointer = if is_chosen { "▸" } else { " " };
    let (added, removed) = (hunk.new.lines().count(), hunk.old.lines().count());
    let style = if is_chosen { theme.accent } else { theme.dim };
    let mut rows = vec![Line::styled(format!("{pointer} {mark} +{added} −{removed}"), style)];
    if is_chosen {
        let lines = hunk.old.lines().map(|line| ("- ", line, theme.removed));
        let lines = lines.chain(hunk.new.lines().map(|line| ("+ ", line, theme.added)));
        rows.extend(lines.take(TEXT_ROWS_MAX).map(|(sign, line, style)| {
            let line = shorten(&clean(line), columns.saturating_sub(6));
            Line::styled(format!("    {sign}{line}"), style)
        }));
    }
    rows
}
