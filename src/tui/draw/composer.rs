//! The prompt that is written, the rule above it, and prompts that wait.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::{MARGIN, put, split};
use crate::composer::{DrawnRow, Hand};
use crate::text::{duration, headline, shorten};
use crate::theme::Theme;
use crate::view::{Focus, View};

/// Prompts that wait are shown up to this number.
const QUEUED_SHOWN: usize = 3;

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// How long a picture of the spinner stays, microseconds.
const SPINNER_US: u64 = 120_000;

/// How many rows it wants.
pub(super) fn height(view: &mut View, area: Rect) -> u16 {
    let columns = usize::from(area.width.saturating_sub(margin(view) + 1));
    let (rows, _) = view.composer.draw(columns);
    let rows = u16::try_from(rows.len()).unwrap_or(u16::MAX);
    let queued = u16::try_from(view.queued.len().min(QUEUED_SHOWN + 1)).unwrap_or(0);
    (rows.clamp(1, (area.height / 2).max(1)) + 1 + queued).min(area.height.saturating_sub(2))
}

pub(super) fn draw(view: &mut View, buffer: &mut Buffer, area: Rect) {
    // A row is left for the rule, and one for the prompt.
    let queued = queued(view, usize::from(area.width), usize::from(area.height.saturating_sub(2)));
    let count = u16::try_from(queued.len()).unwrap_or(0);
    let [above, area] = split(area, count);
    super::lines(buffer, above, &queued);
    let [line, area] = split(area, 1);
    put(buffer, (line.x, line.y), &rule(view, usize::from(line.width)), line.width);
    if view.focus == Focus::Search {
        return search(view, buffer, area);
    }
    let margin = margin(view);
    let columns = usize::from(area.width.saturating_sub(margin + 1));
    let (rows, (caret_row, caret_column)) = view.composer.draw(columns);
    // The row of the caret is always in sight.
    let from = (caret_row + 1).saturating_sub(usize::from(area.height));
    let theme = &view.theme;
    let is_active = view.focus == Focus::Composer;
    let hand = view.composer.hand();
    let sign = match hand {
        Hand::Model if is_active => theme.accent,
        Hand::Model => theme.dim,
        Hand::Inside => theme.warning,
        Hand::Outside => theme.error,
    };
    let is_normal = view.taste.vim.is_some_and(|vim| vim.is_normal);
    let mark = if is_normal { "N" } else { hand.sign() };
    buffer.set_stringn(area.x, area.y, mark, 2, sign);
    if view.composer.is_empty() {
        let hint = Line::styled(hint(view), theme.dim);
        put(buffer, (area.x + margin, area.y), &hint, area.width.saturating_sub(margin));
    }
    for (y, row) in (area.y..area.bottom()).zip(rows.iter().skip(from)) {
        let line = Line::from_iter(pieces(row, theme));
        put(buffer, (area.x + margin, y), &line, area.width.saturating_sub(margin));
    }
    if is_active {
        let x = area.x + margin + u16::try_from(caret_column).unwrap_or(0);
        let y = area.y + u16::try_from(caret_row.saturating_sub(from)).unwrap_or(0);
        view.room.cursor = Some(Position { x: x.min(area.right().saturating_sub(1)), y });
    }
}

/// What is in a row that is written.
pub(super) fn pieces(row: &DrawnRow, theme: &Theme) -> impl Iterator<Item = Span<'static>> {
    row.pieces.iter().map(|(text, is_chip)| {
        Span::styled(text.clone(), if *is_chip { theme.chip } else { theme.text })
    })
}

/// Columns before the text: its sign, and a blank.
fn margin(view: &View) -> u16 {
    MARGIN + u16::from(view.composer.hand() == Hand::Outside)
}

fn hint(view: &View) -> &'static str {
    match view.composer.hand() {
        Hand::Model => {}
        Hand::Inside if view.facts.sandbox == "off" => {
            return "a command of yours · the sandbox is off: it has all your rights";
        }
        Hand::Inside => return "a command of yours, in the sandbox · ! once more: outside it",
        Hand::Outside => return "a command of yours, OUTSIDE the sandbox, with all your rights",
    }
    match (&view.focus, view.working) {
        (Focus::Conversation | Focus::Search, _) => {
            "↑↓ choose · enter unfold · y copy · / search · tab back"
        }
        (Focus::Panel, _) => "tab: back to the prompt",
        (_, Some(_)) => "enter: waits for the end of the round · ctrl-s: told now",
        (_, None) if view.facts.model.is_none() => "/model NAME, then ask",
        (_, None) => "ask · @ file · / command · ! run · F1 help",
    }
}

fn queued(view: &View, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let line = |prompt: &String| {
        let text = headline(prompt, columns.saturating_sub(14));
        Line::from(vec![
            Span::styled("  waits  ", view.theme.warning),
            Span::styled(text, view.theme.dim),
        ])
    };
    let count = view.queued.len();
    let is_whole = count <= QUEUED_SHOWN.min(rows);
    let shown = if is_whole { count } else { QUEUED_SHOWN.min(rows.saturating_sub(1)) };
    let mut lines: Vec<Line<'static>> = view.queued.iter().take(shown).map(line).collect();
    if !is_whole && rows > 0 {
        let more = count - shown;
        lines.push(Line::styled(format!("  and {more} more"), view.theme.dim));
    }
    lines
}

/// The line above the prompt: what goes on, or a remark.
pub(super) fn rule(view: &View, columns: usize) -> Line<'static> {
    let theme = &view.theme;
    let mut left = Vec::new();
    if let Some((toast, _)) = &view.toast {
        left.push(Span::styled(
            format!(" {} ", shorten(toast, columns.saturating_sub(6))),
            theme.warning,
        ));
    } else if let Some(since) = view.working {
        let turn = usize::try_from(view.now_us / SPINNER_US).unwrap_or(0) % SPINNER.len();
        let spinner = SPINNER.get(turn).copied().unwrap_or_default();
        let seconds = view.now_us.saturating_sub(since) / 1_000_000 * 1_000_000;
        let time = if seconds == 0 {
            String::new()
        } else {
            format!(" {}", duration(seconds).replace(".0", ""))
        };
        left.push(Span::styled(format!(" {spinner} working{time} "), theme.accent));
        left.push(Span::styled(
            if view.facts.is_watched { "elsewhere " } else { "esc stops " },
            theme.dim,
        ));
    }
    if view.own.is_some() && view.toast.is_none() {
        left.push(Span::styled(" your command runs ", theme.warning));
        let how = if view.facts.is_watched { "elsewhere " } else { "ctrl-c stops it " };
        left.push(Span::styled(how, theme.dim));
    }
    if view.composer.hand() == Hand::Outside {
        left.push(Span::styled(" outside the sandbox ", theme.error));
    }
    let right = if view.conversation.is_elsewhere() { " more below: ctrl-end " } else { "" };
    framed(left, right, columns, theme)
}

/// A rule with something in it at the left and at the right.
pub(super) fn framed(
    left: Vec<Span<'static>>,
    right: &str,
    columns: usize,
    theme: &Theme,
) -> Line<'static> {
    let mut spans = vec![Span::styled("─", theme.faint)];
    spans.extend(left);
    let used: usize = spans.iter().map(Span::width).sum();
    let room = columns.saturating_sub(used + Span::raw(right).width() + 1);
    spans.push(Span::styled("─".repeat(room), theme.faint));
    spans.push(Span::styled(right.to_owned(), theme.accent));
    spans.push(Span::styled("─", theme.faint));
    Line::from(spans)
}

fn search(view: &mut View, buffer: &mut Buffer, area: Rect) {
    let line = Line::from(vec![
        Span::styled("search: ", view.theme.accent),
        Span::styled(view.search.clone(), view.theme.text),
    ]);
    put(buffer, (area.x, area.y), &line, area.width);
    let x = area.x + u16::try_from(line.width()).unwrap_or(0);
    let x = x.min(area.right().saturating_sub(1));
    view.room.cursor = Some(Position { x, y: area.y });
}

#[cfg(test)]
mod tests;
