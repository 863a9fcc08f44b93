//! What a model writes, as rows: headings, lists, tables, code.
//!
//! A [`Flow`] takes text as it comes. Whatever can no longer change (a paragraph with an empty
//! line behind it, a line of a code block) is laid out once and kept, so that a long reply costs
//! no more per piece than a short one. A whole text goes the same way, so it looks as it looked
//! while it was being written.

mod prose;
mod table;

use ratatui::text::{Line, Span};

use crate::highlight::Highlighter;
use crate::text::wrap_behind;
use crate::theme::Theme;

/// A paragraph that is longer is laid out in pieces.
const OPEN_BYTES_MAX: usize = 16 << 10;

/// Text that is laid out as it comes.
pub(crate) struct Flow {
    columns: usize,
    /// What cannot change any more.
    done: Vec<Line<'static>>,
    /// What may.
    open: String,
    fence: Option<Fence>,
    /// Where in `open` nothing has been looked at yet.
    seen: usize,
}

/// A code block that has begun.
struct Fence {
    mark: char,
    length: usize,
    indent: usize,
    highlighter: Option<Highlighter>,
}

/// The rows of a whole text.
pub(crate) fn render(text: &str, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut flow = Flow::new(columns);
    flow.push(text, theme);
    flow.finish(theme)
}

impl Flow {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, done: Vec::new(), open: String::new(), fence: None, seen: 0 }
    }

    /// Takes the next piece; it must be clean.
    pub(crate) fn push(&mut self, text: &str, theme: &Theme) {
        self.open.push_str(text);
        while self.settle(theme) {}
    }

    /// For how many columns it lays out.
    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// The rows that stay as they are.
    pub(crate) fn done(&self) -> &[Line<'static>] {
        &self.done
    }

    /// The rows of what may change yet.
    pub(crate) fn open_rows(&self, theme: &Theme) -> Vec<Line<'static>> {
        if self.open.trim().is_empty() {
            return Vec::new();
        }
        let mut rows = Vec::new();
        if let Some(fence) = &self.fence {
            if fence.is_closed_by(&self.open) {
                return rows;
            }
            let line = Span::styled(self.open.as_str(), theme.text);
            rows.extend(self.code_rows(&[line], theme));
        } else {
            if !self.done.is_empty() {
                rows.push(Line::default());
            }
            rows.extend(prose::rows(&self.open, self.columns, theme));
        }
        rows
    }

    /// All rows, once there is no more to come.
    pub(crate) fn finish(mut self, theme: &Theme) -> Vec<Line<'static>> {
        self.done.extend(self.open_rows(theme));
        self.done
    }

    /// Lays out the first part of the open text that cannot change; false when there is none.
    fn settle(&mut self, theme: &Theme) -> bool {
        if self.fence.is_some() {
            return self.settle_code(theme);
        }
        let mut line_start = self.seen;
        while let Some(length) = self.open.get(line_start..).and_then(|rest| rest.find('\n')) {
            let line_end = line_start + length;
            let line = self.open.get(line_start..line_end).unwrap_or_default();
            if let Some(fence) = Fence::opened_by(line) {
                self.settle_prose(line_start, theme);
                self.begin_code(fence, theme);
                return true;
            }
            // The next line has to be seen: what is indented belongs to the item above.
            let Some(next) = self.open.get(line_end + 1..).and_then(|rest| rest.chars().next())
            else {
                break;
            };
            if line.trim().is_empty() && !next.is_whitespace() {
                self.settle_prose(line_end + 1, theme);
                return true;
            }
            line_start = line_end + 1;
        }
        self.seen = line_start;
        if self.open.len() > OPEN_BYTES_MAX {
            let end = (1..=OPEN_BYTES_MAX).rev().find(|end| self.open.is_char_boundary(*end));
            let end = end.unwrap_or(self.open.len());
            let cut =
                self.open.get(..end).and_then(|text| text.rfind('\n')).map_or(end, |at| at + 1);
            self.settle_prose(cut, theme);
            return true;
        }
        false
    }

    fn settle_prose(&mut self, end: usize, theme: &Theme) {
        let rest = self.open.split_off(end);
        let text = std::mem::replace(&mut self.open, rest);
        self.seen = 0;
        if !text.trim().is_empty() {
            if !self.done.is_empty() {
                self.done.push(Line::default());
            }
            self.done.extend(prose::rows(&text, self.columns, theme));
        }
    }

    fn begin_code(&mut self, fence: Fence, theme: &Theme) {
        let end = self.open.find('\n').map_or(self.open.len(), |at| at + 1);
        let rest = self.open.split_off(end);
        let opening = std::mem::replace(&mut self.open, rest);
        if !self.done.is_empty() {
            self.done.push(Line::default());
        }
        let language = opening.trim().trim_start_matches(fence.mark).trim();
        if !language.is_empty() {
            let name = crate::text::shorten(language, self.columns.saturating_sub(2));
            self.done.push(Line::from(vec![
                Span::styled("▏ ", theme.faint),
                Span::styled(name, theme.dim),
            ]));
        }
        self.fence = Some(fence);
    }

    fn settle_code(&mut self, theme: &Theme) -> bool {
        let Some(end) = self.open.find('\n') else {
            if self.open.len() > OPEN_BYTES_MAX {
                let line = std::mem::take(&mut self.open);
                let rows = self.code_rows(&[Span::styled(line, theme.text)], theme);
                self.done.extend(rows);
            }
            return false;
        };
        let rest = self.open.split_off(end + 1);
        let line = std::mem::replace(&mut self.open, rest);
        let line = line.trim_end_matches('\n');
        let Some(fence) = &mut self.fence else { return false };
        if fence.is_closed_by(line) {
            self.fence = None;
            self.seen = 0;
            return true;
        }
        let spans = fence.line(line, theme);
        let rows = self.code_rows(&spans, theme);
        self.done.extend(rows);
        true
    }

    fn code_rows(&self, spans: &[Span<'_>], theme: &Theme) -> Vec<Line<'static>> {
        wrap_behind(&[Span::styled("▏ ", theme.faint)], spans, self.columns)
    }
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        let mark = bare.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let length = bare.chars().take_while(|c| *c == mark).count();
        let language = bare.trim_start_matches(mark).trim();
        if length < 3 || language.contains('`') {
            return None;
        }
        let language = language.split([' ', ',', '{']).next().unwrap_or_default();
        Some(Self { mark, length, indent, highlighter: Highlighter::new(language) })
    }

    fn is_closed_by(&self, line: &str) -> bool {
        let bare = line.trim();
        bare.len() >= self.length && bare.chars().all(|c| c == self.mark)
    }

    fn line(&mut self, line: &str, theme: &Theme) -> Vec<Span<'static>> {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        let line = line.get(blanks.min(self.indent)..).unwrap_or_default();
        match &mut self.highlighter {
            Some(highlighter) => highlighter.line(line, theme, theme.text),
            None => vec![Span::styled(line.to_owned(), theme.text)],
        }
    }
}

#[cfg(test)]
mod tests;
