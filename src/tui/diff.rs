//! What a call would change, as a diff.
//!
//! It is made from the arguments alone: what an edit replaces, what a write writes, what a patch
//! says. So it is there before the call runs, and the same when a recording is read again.

mod beside;

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

use crate::decision::DIFF_TIME_MAX;
use crate::highlight::Highlighter;
use crate::text::{clean, fit, kept};
use crate::theme::Theme;

/// Lines of unchanged text around a change.
const CONTEXT_LINES: usize = 3;

/// Lines of a diff that are kept.
const LINES_MAX: usize = 2_000;

/// Texts with more bytes are not compared.
const BYTES_MAX: usize = 512 << 10;

/// What a line of a diff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Same,
    Added,
    Removed,
    /// Where something is left out, or a heading of a patch.
    Between,
}

/// The change of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) path: String,
    pub(crate) lines: Vec<(Kind, String)>,
    pub(crate) added: usize,
    pub(crate) removed: usize,
}

/// What a call of a tool changes, as far as its arguments say.
pub(crate) fn of_call(name: &str, arguments: &str) -> Option<Diff> {
    let fields: Option<Map<String, Value>> = serde_json::from_str(arguments).ok();
    let text = |key: &str| fields.as_ref()?.get(key)?.as_str();
    match name {
        "edit" | "replace" => between(text("file_path")?, text("old_string")?, text("new_string")?),
        "write" | "write_file" => between(text("file_path")?, "", text("content")?),
        "apply_patch" => {
            let input = text("input").or_else(|| text("patch"));
            Some(of_patch(input.unwrap_or(arguments)))
        }
        _ => None,
    }
}

/// What turns one text into the other.
pub(crate) fn between(path: &str, old: &str, new: &str) -> Option<Diff> {
    if old.len() + new.len() > BYTES_MAX {
        return None;
    }
    let (old, new) = (kept(old), kept(new));
    let mut diff = Diff::new(path);
    if old.is_empty() {
        new.lines().for_each(|line| diff.push(Kind::Added, line));
        return Some(diff);
    }
    let whole = TextDiff::configure().timeout(DIFF_TIME_MAX).diff_lines(&old, &new);
    for (number, group) in whole.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if number > 0 {
            diff.push(Kind::Between, "⋯");
        }
        for change in group.iter().flat_map(|op| whole.iter_changes(op)) {
            let kind = match change.tag() {
                ChangeTag::Equal => Kind::Same,
                ChangeTag::Insert => Kind::Added,
                ChangeTag::Delete => Kind::Removed,
            };
            diff.push(kind, change.value().trim_end_matches('\n'));
        }
    }
    Some(diff)
}

fn of_patch(patch: &str) -> Diff {
    let mut diff = Diff::new("");
    for line in kept(patch).lines() {
        if let Some(heading) = line.strip_prefix("*** ") {
            if let Some((_, path)) = heading.split_once(" File: ") {
                let more = if diff.path.is_empty() { "" } else { ", " };
                diff.path.push_str(&format!("{more}{}", path.trim()));
                diff.push(Kind::Between, heading);
            }
        } else if let Some(text) = line.strip_prefix('+') {
            diff.push(Kind::Added, text);
        } else if let Some(text) = line.strip_prefix('-') {
            diff.push(Kind::Removed, text);
        } else if line.starts_with("@@") {
            diff.push(Kind::Between, line);
        } else {
            diff.push(Kind::Same, line.strip_prefix(' ').unwrap_or(line));
        }
    }
    diff
}

impl Diff {
    fn new(path: &str) -> Self {
        Self { path: clean(path).replace('\n', " "), lines: Vec::new(), added: 0, removed: 0 }
    }

    fn push(&mut self, kind: Kind, line: &str) {
        match kind {
            Kind::Added => self.added += 1,
            Kind::Removed => self.removed += 1,
            Kind::Same | Kind::Between => {}
        }
        if self.lines.len() < LINES_MAX {
            self.lines.push((kind, line.to_owned()));
        }
    }

    /// Its rows, at most so many of them: side by side where there is room, else a line each.
    pub(crate) fn rows(
        &self,
        columns: usize,
        rows_max: usize,
        theme: &Theme,
    ) -> Vec<Line<'static>> {
        if columns >= beside::COLUMNS_MIN && self.removed > 0 && self.added > 0 {
            return beside::rows(self, columns, rows_max, theme);
        }
        let extension = self.path.rsplit('.').next().unwrap_or_default();
        // Two, since what was and what is are two texts.
        let mut before = Highlighter::new(extension);
        let mut after = Highlighter::new(extension);
        let mut rows = Vec::new();
        for (kind, text) in self.lines.iter().take(rows_max) {
            let highlighter = if *kind == Kind::Removed { &mut before } else { &mut after };
            rows.push(Line::from(row(*kind, text, columns, highlighter.as_mut(), theme)));
        }
        rows
    }

    /// `+12 −3`.
    pub(crate) fn count(&self) -> String {
        match (self.added, self.removed) {
            (added, 0) => format!("+{added}"),
            (added, removed) => format!("+{added} −{removed}"),
        }
    }
}

/// A line of a diff without the colours of its language, as wide as it may be.
pub(crate) fn plain_row(kind: Kind, text: &str, columns: usize, theme: &Theme) -> Line<'static> {
    Line::from(row(kind, text, columns, None, theme))
}

/// A line of a diff, as wide as it may be.
fn row(
    kind: Kind,
    text: &str,
    columns: usize,
    highlighter: Option<&mut Highlighter>,
    theme: &Theme,
) -> Vec<Span<'static>> {
    let (sign, mark) = match kind {
        Kind::Added => ("+ ", theme.added),
        Kind::Removed => ("- ", theme.removed),
        Kind::Same | Kind::Between => ("  ", theme.dim),
    };
    // No more is looked at than can be shown, however long the line is.
    let end = text.char_indices().nth(columns.saturating_mul(4)).map(|(end, _)| end);
    let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    let base = match mark.bg {
        Some(colour) => Style::new().bg(colour),
        None => mark,
    };
    let line = match highlighter {
        Some(highlighter) if kind != Kind::Between => {
            let base = if kind == Kind::Same { theme.text } else { base };
            highlighter.line(text, theme, base)
        }
        _ => {
            let style = if kind == Kind::Between { theme.dim } else { base };
            vec![Span::styled(text.to_owned(), style)]
        }
    };
    let mut spans = vec![Span::styled(sign, mark)];
    spans.extend(fit(line, columns.saturating_sub(2)));
    let used: usize = spans.iter().map(Span::width).sum();
    spans.push(Span::styled(" ".repeat(columns.saturating_sub(used)), base));
    spans
}

#[cfg(test)]
mod tests;
