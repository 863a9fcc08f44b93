//! A diff side by side: what was at the left, what will be at the right.

use ratatui::text::{Line, Span};

use super::{Diff, Kind, row};
use crate::highlight::Highlighter;
use crate::theme::Theme;

/// With fewer columns, each side would be too narrow for a line of code.
pub(super) const COLUMNS_MIN: usize = 132;

/// What stands between the sides.
const BETWEEN: &str = " │ ";

/// Its rows, at most so many.
pub(super) fn rows(
    diff: &Diff,
    columns: usize,
    rows_max: usize,
    theme: &Theme,
) -> Vec<Line<'static>> {
    let extension = diff.path.rsplit('.').next().unwrap_or_default();
    let mut before = Highlighter::new(extension);
    let mut after = Highlighter::new(extension);
    let side = columns.saturating_sub(BETWEEN.chars().count()) / 2;
    let pairs = pairs(&diff.lines);
    let mut rows = Vec::new();
    for (left, right) in pairs.into_iter().take(rows_max) {
        let blank = || vec![Span::raw(" ".repeat(side))];
        let mut spans = match left {
            Some((kind, text)) => row(kind, text, side, before.as_mut(), theme),
            None => blank(),
        };
        spans.push(Span::styled(BETWEEN, theme.faint));
        spans.extend(match right {
            Some((kind, text)) => row(kind, text, side, after.as_mut(), theme),
            None => blank(),
        });
        rows.push(Line::from(spans));
    }
    rows
}

type Side<'a> = Option<(Kind, &'a str)>;

/// What stands beside what: lines that give way beside those that come in their place.
fn pairs(lines: &[(Kind, String)]) -> Vec<(Side<'_>, Side<'_>)> {
    let mut pairs = Vec::new();
    let (mut gone, mut come): (Vec<Side<'_>>, Vec<Side<'_>>) = (Vec::new(), Vec::new());
    let mut flush = |gone: &mut Vec<Side<'_>>, come: &mut Vec<Side<'_>>, pairs: &mut Vec<_>| {
        for at in 0..gone.len().max(come.len()) {
            pairs.push((gone.get(at).copied().flatten(), come.get(at).copied().flatten()));
        }
        gone.clear();
        come.clear();
    };
    for (kind, text) in lines {
        let line = Some((*kind, text.as_str()));
        match kind {
            Kind::Removed => {
                if !come.is_empty() {
                    flush(&mut gone, &mut come, &mut pairs);
                }
                gone.push(line);
            }
            Kind::Added => come.push(line),
            Kind::Same | Kind::Between => {
                flush(&mut gone, &mut come, &mut pairs);
                pairs.push((line, line));
            }
        }
    }
    flush(&mut gone, &mut come, &mut pairs);
    pairs
}
