//! The question about a call that waits.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use trajectory::Reading;

use super::composer::{framed, pieces};
use super::{COLUMNS_MAX, MARGIN};
use crate::decision::{Decision, Hunk};
use crate::diff::{Kind, plain_row};
use crate::text::{clean, kept, shorten, wrap};
use crate::theme::Theme;
use crate::view::View;

/// Rows of a command that are shown.
const TEXT_ROWS_MAX: usize = 12;

/// Characters of a line of it that are looked at.
const LINE_CHARS_MAX: usize = 2_000;

/// Lines of what a hunk takes out, and of what it puts in, that are shown.
const HUNK_ROWS_MAX: usize = 6;

/// Rows of what is asked about that nothing takes the place of: the first, and that there is more.
const BODY_ROWS_MIN: usize = 2;

/// Rows of the reason for a denial that are shown; the caret is in them.
const REASON_ROWS_MAX: usize = 4;

pub(super) fn height(view: &mut View, area: Rect) -> u16 {
    let (columns, is_settled) = (columns(area), view.is_settled());
    let View { decision: Some(decision), theme, .. } = view else { return 0 };
    let answers = answers(decision, is_settled, columns, theme).0.len();
    let rows =
        1 + body(decision, columns, theme).len() + answers + offer(decision, columns, theme).len();
    // Something of the conversation is left, unless the answers could not be seen then.
    let room = usize::from(area.height.saturating_sub(2)).max(2 + answers);
    u16::try_from(rows.min(room)).unwrap_or(u16::MAX).min(area.height)
}

pub(super) fn draw(view: &mut View, buffer: &mut Buffer, area: Rect) {
    let (columns, is_settled) = (columns(area), view.is_settled());
    let View { decision: Some(decision), theme, toast, conversation, room: screen, .. } = view
    else {
        return;
    };
    let title = format!(" May it? {} ", shorten(&clean(&decision.name), 30));
    let mut title = vec![Span::styled(title, theme.warning)];
    if let Some((toast, _)) = toast {
        let room = usize::from(area.width).saturating_sub(title[0].width() + 5);
        title.push(Span::styled(format!("─ {} ", shorten(toast, room)), theme.warning));
    }
    let below = if conversation.is_elsewhere() { " more below: ctrl-end " } else { "" };
    let mut rows = vec![framed(title, below, usize::from(area.width), theme)];
    let mut body = body(decision, columns, theme);
    // The answers stay in sight, whatever the question is; so does that there is more of it.
    let (answers, caret) = answers(decision, is_settled, columns, theme);
    let mut offer = offer(decision, columns, theme);
    let room = usize::from(area.height).saturating_sub(1 + answers.len());
    let is_whole = body.len().min(BODY_ROWS_MIN) + offer.len() <= room;
    decision.is_offered = is_whole && !offer.is_empty();
    if !is_whole {
        offer.clear();
    }
    let room = room.saturating_sub(offer.len());
    if body.len() > room {
        body.truncate(room.saturating_sub(1));
        body.push(more(theme));
    }
    rows.extend(body.into_iter().map(|line| {
        let style = line.style;
        let spans = std::iter::once(Span::raw("  ")).chain(line.spans);
        Line::from_iter(spans).style(style)
    }));
    let above = rows.len();
    rows.extend(answers);
    rows.extend(offer);
    super::lines(buffer, area, &rows);
    if let Some((row, column)) = caret {
        let y = area.y + u16::try_from(above + row).unwrap_or(0);
        let x = area.x + MARGIN + u16::try_from(column).unwrap_or(0);
        screen.cursor = Some(Position {
            x: x.min(area.right().saturating_sub(1)),
            y: y.min(area.bottom().saturating_sub(1)),
        });
    }
}

fn columns(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(MARGIN + 1).min(COLUMNS_MAX))
}

/// What can be answered, or what is being answered and the row and the column of its caret.
fn answers(
    decision: &mut Decision,
    is_settled: bool,
    columns: usize,
    theme: &Theme,
) -> (Vec<Line<'static>>, Option<(usize, usize)>) {
    if !is_settled {
        return (vec![Line::styled("  you were typing: answer in a moment", theme.dim)], None);
    }
    if let Some(reason) = &mut decision.reason {
        let (rows, (row, column)) = reason.draw(columns);
        let from = (row + 1).saturating_sub(REASON_ROWS_MAX);
        let shown = rows.iter().skip(from).take(REASON_ROWS_MAX);
        let mut lines = vec![Line::styled("  why not (enter to deny):", theme.warning)];
        lines.extend(shown.map(|row| {
            Line::from_iter(std::iter::once(Span::raw("  ")).chain(pieces(row, theme)))
        }));
        return (lines, Some((1 + row - from, column)));
    }
    let yes = if decision.is_edited { "allow as you wrote it" } else { "allow once" };
    let mut answers = vec![("y", yes), ("n", "deny"), ("e", "edit"), ("a", "allow, mode auto")];
    if decision.hunks().len() > 1 {
        answers.extend([("space", "take/leave"), ("↑↓", "hunk")]);
    }
    let mut rows: Vec<Line<'static>> = Vec::new();
    for (key, about) in answers {
        let answer =
            [Span::styled(key, theme.accent), Span::styled(format!(" {about}  "), theme.dim)];
        let width: usize = answer.iter().map(Span::width).sum();
        match rows.last_mut().filter(|row| row.width() + width <= columns + 2) {
            Some(row) => row.spans.extend(answer),
            None => rows.push(Line::from_iter(std::iter::once(Span::raw("  ")).chain(answer))),
        }
    }
    (rows, None)
}

/// What is offered for good: the rules, whole, since they are what is agreed to.
fn offer(decision: &Decision, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    if decision.rules.is_empty() || decision.is_edited || decision.reason.is_some() {
        return Vec::new();
    }
    let rules = decision.rules.join(", ");
    let spans = [
        Span::styled("  p", theme.accent),
        Span::styled(" always, in this folder:  ", theme.dim),
        Span::styled(rules, theme.text),
    ];
    wrap(&spans, columns, &[Span::raw("    ")])
}

fn body(decision: &Decision, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let hunks = decision.hunks();
    let path = decision.change.as_ref().map_or("", |change| change.path.as_str());
    let mut rows = text_rows(path, columns, theme);
    if let Some(change) = decision.change.as_ref().filter(|_| hunks.len() <= 1) {
        // The change itself is in the conversation, just above; the user's own is not there yet.
        if decision.is_edited {
            rows.push(Line::styled("As you wrote it:", theme.warning));
            rows.extend(change.rows(columns, TEXT_ROWS_MAX, theme));
        } else {
            rows.push(Line::styled("The change is shown above.", theme.dim));
        }
    }
    rows.extend(text_rows(&decision.text, columns, theme));
    if let Some(reading) = &decision.reading {
        rows.extend(reading_rows(reading, columns, theme));
    }
    if hunks.len() > 1 {
        let hunks = hunks.iter().enumerate();
        rows.extend(
            hunks.flat_map(|(at, hunk)| hunk_rows(hunk, at == decision.chosen, columns, theme)),
        );
    }
    rows
}

/// The beginning of a text; where more of it follows, the last row says so.
fn text_rows(text: &str, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut rows = Vec::new();
    let mut is_cut = text.lines().nth(TEXT_ROWS_MAX).is_some();
    for line in text.lines().take(TEXT_ROWS_MAX) {
        let end = line.char_indices().nth(LINE_CHARS_MAX).map(|(end, _)| end);
        is_cut |= end.is_some();
        let shown = line.get(..end.unwrap_or(line.len())).unwrap_or_default().to_owned();
        rows.extend(wrap(&[Span::styled(shown, theme.text)], columns, &[]));
    }
    if is_cut || rows.len() > TEXT_ROWS_MAX {
        rows.truncate(TEXT_ROWS_MAX);
        rows.push(more(theme));
    }
    rows
}

/// What a command would do, as far as reading it can tell.
fn reading_rows(reading: &Reading, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let told = |name: &str, text: String, style| {
        let spans = [Span::styled(format!("{name:8}"), theme.faint), Span::styled(text, style)];
        wrap(&spans, columns, &[Span::raw("        ")])
    };
    let mut rows = Vec::new();
    if reading.runs.len() > 1 {
        rows.extend(told("runs", reading.runs.join(" · "), theme.dim));
    }
    if !reading.writes.is_empty() {
        rows.extend(told("writes", reading.writes.join(" · "), theme.warning));
    }
    if let Some(why) = reading.unclear {
        rows.extend(told("unclear", format!("it may do more: {why}"), theme.warning));
    }
    rows
}

fn more(theme: &Theme) -> Line<'static> {
    Line::styled("⋯ more of it: ctrl-o unfolds the call", theme.warning)
}

fn hunk_rows(hunk: &Hunk, is_chosen: bool, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mark = if hunk.is_taken { "[x]" } else { "[ ]" };
    let pointer = if is_chosen { "▸" } else { " " };
    let (added, removed) = (hunk.new.lines().count(), hunk.old.lines().count());
    let style = if is_chosen { theme.accent } else { theme.dim };
    let mut rows = vec![Line::styled(format!("{pointer} {mark} +{added} −{removed}"), style)];
    if is_chosen {
        for (sign, text, kind) in [("- ", &hunk.old, Kind::Removed), ("+ ", &hunk.new, Kind::Added)]
        {
            rows.extend(text.lines().take(HUNK_ROWS_MAX).map(|line| {
                let row = plain_row(kind, &kept(line), columns.saturating_sub(4), theme);
                Line::from_iter(std::iter::once(Span::raw("    ")).chain(row.spans))
            }));
            let left_out = text.lines().count().saturating_sub(HUNK_ROWS_MAX);
            if left_out > 0 {
                rows.push(Line::styled(format!("    {sign}⋯ {left_out} more"), theme.dim));
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests;
