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
    let mut pairs = Pairs::default();
    for (kind, text) in lines {
        let line = (*kind, text.as_str());
        match kind {
            Kind::Removed => {
                if !pairs.come.is_empty() {
                    pairs.settle();
                }
                pairs.gone.push(line);
            }
            Kind::Added => pairs.come.push(line),
            Kind::Same | Kind::Between => {
                pairs.settle();
                pairs.done.push((Some(line), Some(line)));
            }
        }
    }
    pairs.settle();
    pairs.done
}

#[derive(Default)]
struct Pairs<'a> {
    done: Vec<(Side<'a>, Side<'a>)>,
    gone: Vec<(Kind, &'a str)>,
    come: Vec<(Kind, &'a str)>,
}

impl Pairs<'_> {
    fn settle(&mut self) {
        for at in 0..self.gone.len().max(self.come.len()) {
            self.done.push((self.gone.get(at).copied(), self.come.get(at).copied()));
        }
        self.gone.clear();
        self.come.clear();
    }
}
