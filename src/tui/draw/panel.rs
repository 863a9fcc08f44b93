//! The panel beside the conversation, or in its place where there is no room for both.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use trajectory::event::{ChangeKind, Exit};

use super::{put, split};
use crate::card::exit_word;
use crate::diff::{Kind, plain_row};
use crate::entry::plan_rows;
use crate::panel::{Asks, JobRow, JobState, Known, Page, Row, Trained};
use crate::text::{clean, clock, headline, kept, short_number, shorten, thousands, wrap};
use crate::theme::Theme;
use crate::view::{Focus, View};

/// From so many columns on there is room for conversation and panel.
const BESIDE_COLUMNS_MIN: u16 = 100;
const COLUMNS_MIN: u16 = 40;
const COLUMNS_MAX: u16 = 76;

/// Columns of the kind of an action, where there is room and where there is not, and of when it was.
const KIND_COLUMNS: usize = 14;
const KIND_COLUMNS_MIN: usize = 11;
const CLOCK_COLUMNS: usize = 5;

/// In fewer columns there is no room.
const ROOM_COLUMNS: usize = 56;

/// How many columns it takes of so many; all of them where it covers the conversation.
pub(super) fn width(view: &View, columns: u16) -> u16 {
    match view.panel.is_open {
        false => 0,
        true if columns < BESIDE_COLUMNS_MIN => columns,
        true => (columns * 2 / 5).clamp(COLUMNS_MIN, COLUMNS_MAX),
    }
}

pub(super) fn draw(view: &mut View, buffer: &mut Buffer, area: Rect, is_beside: bool) {
    let bar = if is_beside { "│ " } else { " " };
    for y in area.y..area.bottom() {
        buffer.set_stringn(area.x, y, bar, usize::from(area.width), view.theme.faint);
    }
    let indent = u16::try_from(Span::raw(bar).width()).unwrap_or(0).min(area.width);
    let area = Rect { x: area.x + indent, width: area.width - indent, ..area };
    let [head, body] = split(area, 1);
    put(buffer, (head.x, head.y), &heading(view), head.width);
    let [body, foot] = split(body, body.height.saturating_sub(1));
    let hint = hint(view, usize::from(foot.width));
    put(buffer, (foot.x, foot.y), &hint, foot.width);
    match view.panel.page {
        Page::Timeline => timeline(view, buffer, body),
        Page::Changes => changes(view, buffer, body),
        Page::Terminals => terminals(view, buffer, body),
        Page::Plan => plan(view, buffer, body),
    }
}

fn heading(view: &View) -> Line<'static> {
    let theme = &view.theme;
    let mut spans = Vec::new();
    for page in Page::ALL {
        let count = match page {
            Page::Timeline | Page::Plan => 0,
            Page::Changes => view.panel.changes.len(),
            Page::Terminals => view.panel.jobs.running(),
        };
        let title = match count {
            0 => page.title().to_owned(),
            count => format!("{} {count}", page.title()),
        };
        let is_shown = page == view.panel.page;
        let style = match (is_shown, view.focus == Focus::Panel) {
            (true, true) => theme.accent.patch(theme.selected),
            (true, false) => theme.accent,
            (false, _) => theme.dim,
        };
        spans.push(Span::styled(format!(" {title} "), style));
    }
    Line::from(spans)
}

fn hint(view: &View, columns: usize) -> Line<'static> {
    let theme = &view.theme;
    match &view.panel.asks {
        Some(Asks::Revert(path)) => {
            let path = shorten(&clean(path), columns.saturating_sub(26));
            return Line::styled(format!("Take {path} back? y yes · else no"), theme.warning);
        }
        Some(Asks::Stop(exec)) => {
            return Line::styled(format!("End job {exec}? y yes · else no"), theme.warning);
        }
        None => {}
    }
    if view.focus != Focus::Panel {
        return Line::styled("f3 goes in here", theme.dim);
    }
    let hint = match view.panel.page {
        Page::Timeline => "enter go there · ←→ page · f3 close",
        Page::Changes => "r revert · pgdn diff · ←→ page · f3 close",
        Page::Terminals => "enter attach · x stop · ←→ page · f3 close",
        Page::Plan => "←→ page · f3 close",
    };
    Line::styled(shorten(hint, columns), theme.dim)
}

/// The first row of so many that are seen, so that the chosen one is among them.
fn top(chosen: usize, count: usize, rows: usize) -> usize {
    chosen.saturating_sub(rows / 2).min(count.saturating_sub(rows))
}

fn select(view: &View, buffer: &mut Buffer, area: Rect, y: u16) {
    if view.focus == Focus::Panel {
        buffer.set_style(Rect { y, height: 1, ..area }, view.theme.selected);
    }
}

fn timeline(view: &mut View, buffer: &mut Buffer, area: Rect) {
    let [area, detail] = split(area, area.height.saturating_sub(3));
    view.panel.rows = usize::from(area.height);
    let (panel, theme) = (&view.panel, &view.theme);
    let (count, chosen) = (panel.timeline.len(), panel.chosen());
    let from = top(chosen, count, usize::from(area.height));
    for (y, at) in (area.y..area.bottom()).zip(from..count) {
        let Some(row) = panel.timeline.row(at) else { break };
        let line = action(view, row, usize::from(area.width), theme);
        put(buffer, (area.x, y), &line, area.width);
        if at == chosen {
            select(view, buffer, area, y);
        }
    }
    let Some(row) = panel.timeline.row(chosen) else {
        let nothing = Line::styled("Nothing has happened yet.", theme.dim);
        return super::lines(buffer, area, &[nothing]);
    };
    super::lines(buffer, detail, &about(view, row, (chosen, count), usize::from(detail.width)));
}

/// An action in a line: when, whether it is trained, what, and what its reply took.
fn action(view: &View, row: &Row, columns: usize, theme: &Theme) -> Line<'static> {
    let (mark, style) = match row.trained {
        Some(Trained::Yes) => ("●", theme.success),
        Some(Trained::No(_)) => ("○", theme.warning),
        None => (" ", theme.dim),
    };
    let usage = row.request.filter(|_| row.is_first).and_then(|it| view.panel.timeline.usage(it));
    // A model that is not counted says nothing.
    let usage = usage.filter(|usage| usage.total() > 0);
    let tokens = usage.map_or_else(String::new, |usage| {
        let (reply, context) = (short_number(usage.output_tokens), short_number(usage.total()));
        format!(" +{reply} {context}")
    });
    let kind_style = match row.kind {
        _ if row.is_rewound => theme.faint,
        "prompt" | "steering" | "user_edit" | "user_command" => theme.user,
        "error" | "interruption" => theme.error,
        "tool_call" => theme.tool,
        "reasoning" | "message" => theme.text,
        _ => theme.dim,
    };
    let kind_columns = if columns < ROOM_COLUMNS { KIND_COLUMNS_MIN } else { KIND_COLUMNS };
    let used = CLOCK_COLUMNS + 1 + 2 + kind_columns + 1 + tokens.len();
    let brief = shorten(&row.brief, columns.saturating_sub(used));
    let pad = columns.saturating_sub(used + Span::raw(&brief).width());
    let kind = shorten(&row.kind.replace('_', " "), kind_columns);
    Line::from(vec![
        Span::styled(format!("{:>CLOCK_COLUMNS$} ", clock(row.since_us)), theme.faint),
        Span::styled(format!("{mark} "), style),
        Span::styled(format!("{kind:kind_columns$} "), kind_style),
        Span::styled(brief, if row.is_rewound { theme.faint } else { theme.dim }),
        Span::raw(" ".repeat(pad)),
        Span::styled(tokens, theme.dim),
    ])
}

/// All that is known of the chosen action, below a rule.
fn about(view: &View, row: &Row, place: (usize, usize), columns: usize) -> Vec<Line<'static>> {
    let theme = &view.theme;
    let trained = match row.trained {
        _ if view.facts.is_private && row.trained.is_some() => "private: not trained".to_owned(),
        Some(Trained::Yes) => "trained".to_owned(),
        Some(Trained::No(why)) => format!("not trained: {}", why.as_str().replace('_', " ")),
        None => "context".to_owned(),
    };
    let rewound = if row.is_rewound { " · rewound" } else { "" };
    let (at, count) = (thousands(place.0 as u64 + 1), thousands(place.1 as u64));
    let kind = row.kind.replace('_', " ");
    let what = format!("{kind} · {trained}{rewound} · {at} of {count} · #{}", row.seq);
    let usage = row.request.and_then(|request| view.panel.timeline.usage(request));
    let tokens = usage.map_or_else(String::new, |usage| {
        format!(
            "request {}: {} in ({} cached), {} out",
            row.request.unwrap_or(0),
            thousands(usage.input_tokens),
            thousands(usage.cached_tokens),
            thousands(usage.output_tokens),
        )
    });
    vec![
        Line::styled("─".repeat(columns), theme.faint),
        Line::styled(shorten(&what, columns), theme.text),
        Line::styled(shorten(&tokens, columns), theme.dim),
    ]
}

fn changes(view: &mut View, buffer: &mut Buffer, area: Rect) {
    let theme = &view.theme;
    let changes = &view.panel.changes;
    let word = match &changes.known {
        Known::Nothing if changes.is_asked => Some("Comparing …".to_owned()),
        Known::Nothing => Some("The session begins with the first prompt.".to_owned()),
        Known::Problem(problem) => Some(problem.clone()),
        Known::Files(files) if files.is_empty() => {
            Some("Every file is as it was when the session began.".to_owned())
        }
        Known::Files(_) => None,
    };
    if let Some(word) = word {
        let word = [Span::styled(clean(&word), theme.dim)];
        return super::lines(buffer, area, &wrap(&word, usize::from(area.width), &[]));
    }
    let count = u16::try_from(changes.len()).unwrap_or(u16::MAX);
    let [list, diff] = split(area, count.min(area.height / 2).max(1));
    let from = top(changes.chosen, changes.len(), usize::from(list.height));
    let files = changes.files().iter().enumerate().skip(from);
    for (y, (at, file)) in (list.y..list.bottom()).zip(files) {
        let (sign, style) = match file.change {
            ChangeKind::Created => ("A", theme.added),
            ChangeKind::Modified => ("M", theme.accent),
            ChangeKind::Deleted => ("D", theme.removed),
        };
        let path = shorten(&clean(&file.path).replace('\n', " "), usize::from(list.width) - 2);
        let line = Line::from(vec![
            Span::styled(sign, style),
            Span::raw(" "),
            Span::styled(path, theme.text),
        ]);
        put(buffer, (list.x, y), &line, list.width);
        if at == changes.chosen {
            select(view, buffer, list, y);
        }
    }
    let [rule, diff] = split(diff, 1);
    let line = Line::styled("─".repeat(usize::from(rule.width)), theme.faint);
    put(buffer, (rule.x, rule.y), &line, rule.width);
    let rows = diff_rows(view, usize::from(diff.width), usize::from(diff.height));
    super::lines(buffer, diff, &rows);
    view.panel.rows = usize::from(diff.height);
}

fn diff_rows(view: &View, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let (theme, changes) = (&view.theme, &view.panel.changes);
    let Some(file) = changes.file() else { return Vec::new() };
    let Some(diff) = &file.diff else {
        return vec![Line::styled("No diff: it is no text, or a long one.", theme.dim)];
    };
    // The names of both sides stand above already.
    let lines =
        diff.lines().skip_while(|line| line.starts_with("--- ") || line.starts_with("+++ "));
    lines
        .skip(changes.top)
        .take(rows)
        .map(|line| {
            // No more is looked at than can be shown, however long the line is.
            let end = line.char_indices().nth(columns.saturating_mul(4)).map(|(end, _)| end);
            let line = kept(line.get(..end.unwrap_or(line.len())).unwrap_or_default());
            let kind = match line.bytes().next() {
                Some(b'+') => Kind::Added,
                Some(b'-') => Kind::Removed,
                Some(b'@') => return Line::styled(shorten(&line, columns), theme.faint),
                _ => {
                    let text = line.strip_prefix(' ').unwrap_or(&line);
                    let text = shorten(text, columns.saturating_sub(2));
                    return Line::styled(format!("  {text}"), theme.dim);
                }
            };
            plain_row(kind, line.get(1..).unwrap_or_default(), columns, theme)
        })
        .collect()
}

fn terminals(view: &mut View, buffer: &mut Buffer, area: Rect) {
    let theme = &view.theme;
    let jobs = &view.panel.jobs;
    if jobs.len() == 0 {
        let word = Line::styled("No command has run yet.", theme.dim);
        return super::lines(buffer, area, &[word]);
    }
    let chosen = view.panel.chosen();
    let from = top(chosen, jobs.len(), usize::from(area.height));
    for (y, (at, job)) in (area.y..area.bottom()).zip(jobs.rows().iter().enumerate().skip(from)) {
        let line = job_line(job, usize::from(area.width), theme);
        put(buffer, (area.x, y), &line, area.width);
        if at == chosen {
            select(view, buffer, area, y);
        }
    }
    view.panel.rows = usize::from(area.height);
}

fn job_line(job: &JobRow, columns: usize, theme: &Theme) -> Line<'static> {
    let ended = |exit: &Option<Exit>| exit.map_or_else(|| "ended".to_owned(), exit_word);
    let (word, style): (String, Style) = match &job.state {
        JobState::Running => ("runs".to_owned(), theme.accent),
        JobState::Background => ("background".to_owned(), theme.accent),
        JobState::Ended(exit) if exit.is_some_and(|exit| !exit.success()) => {
            (ended(exit), theme.error)
        }
        JobState::Ended(exit) => (ended(exit), theme.dim),
    };
    let title = shorten(&job.title, columns.saturating_sub(word.len() + 8));
    let pad = columns.saturating_sub(Span::raw(&title).width() + word.len() + 6);
    let text = if job.runs() { theme.text } else { theme.dim };
    Line::from(vec![
        Span::styled(format!("{:>3} ", job.exec), theme.faint),
        Span::styled(title, text),
        Span::raw(" ".repeat(pad)),
        Span::styled(word, style),
    ])
}

fn plan(view: &View, buffer: &mut Buffer, area: Rect) {
    if view.panel.plan.is_empty() {
        let word = Line::styled(headline("The model has made no plan.", 60), view.theme.dim);
        return super::lines(buffer, area, &[word]);
    }
    let rows = plan_rows(&view.panel.plan, usize::from(area.width), &view.theme);
    super::lines(buffer, area, &rows);
}
