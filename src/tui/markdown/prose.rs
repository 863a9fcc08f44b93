//! Everything but fenced code: a few paragraphs, a list, a table.

use pulldown_cmark::{Alignment, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::table::Table;
use crate::text::wrap;
use crate::theme::Theme;

/// Deeper lists and quotes are no longer indented.
const DEPTH_MAX: usize = 8;

/// The rows of a text.
pub(super) fn rows(text: &str, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let mut prose = Prose {
        theme,
        columns,
        rows: Vec::new(),
        spans: Vec::new(),
        styles: vec![theme.text],
        marks: Vec::new(),
        lists: Vec::new(),
        link: None,
        table: None,
        is_loose: false,
    };
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for event in Parser::new_ext(text, options) {
        prose.event(event);
    }
    prose.end_line();
    prose.rows
}

/// What stands before the rows of a quote or an item.
struct Mark {
    /// Before its first row, until that is made.
    first: Option<Span<'static>>,
    rest: Span<'static>,
}

struct Prose<'a> {
    theme: &'a Theme,
    columns: usize,
    rows: Vec<Line<'static>>,
    /// The line that is being put together.
    spans: Vec<Span<'static>>,
    styles: Vec<Style>,
    marks: Vec<Mark>,
    /// The next number of each list we are in; none for a list of bullets.
    lists: Vec<Option<u64>>,
    link: Option<String>,
    table: Option<Table>,
    /// An empty row comes before the next one.
    is_loose: bool,
}

impl Prose<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text, self.style()),
            Event::Code(text) => self.text(&text, self.style().patch(self.theme.code)),
            Event::InlineHtml(text) | Event::Html(text) => {
                self.text(text.trim_end_matches('\n'), self.theme.dim);
            }
            Event::InlineMath(text) | Event::DisplayMath(text) => self.text(&text, self.style()),
            Event::FootnoteReference(name) => self.text(&format!("[{name}]"), self.theme.dim),
            Event::SoftBreak => self.text(" ", self.style()),
            Event::HardBreak => self.end_line(),
            Event::Rule => {
                self.gap();
                let rule = "─".repeat(self.columns.min(40));
                self.rows.push(Line::styled(rule, self.theme.faint));
                self.is_loose = true;
            }
            Event::TaskListMarker(is_done) => {
                let (mark, style) =
                    if is_done { ("☑ ", self.theme.success) } else { ("☐ ", self.theme.dim) };
                // The box stands in the place of the bullet.
                match self.marks.last_mut().and_then(|mark| mark.first.as_mut()) {
                    Some(bullet) => *bullet = Span::styled(mark, style),
                    None => self.text(mark, style),
                }
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                let style = match level {
                    HeadingLevel::H1 | HeadingLevel::H2 => self.theme.heading,
                    _ => self.theme.text.add_modifier(Modifier::BOLD),
                };
                self.styles.push(style);
            }
            Tag::BlockQuote(_) => {
                self.mark(None, Span::styled("│ ", self.theme.quote));
                self.styles.push(self.theme.quote);
            }
            Tag::List(first) => {
                self.end_line();
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.push(|style| style.add_modifier(Modifier::ITALIC)),
            Tag::Strong => self.push(|style| style.add_modifier(Modifier::BOLD)),
            Tag::Strikethrough => self.push(|style| style.add_modifier(Modifier::CROSSED_OUT)),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some(dest_url.to_string());
                let link = self.theme.link;
                self.push(|style| style.patch(link));
            }
            Tag::Table(alignments) => {
                self.end_line();
                self.table = Some(Table::new(alignments.iter().map(is_right).collect()));
            }
            Tag::TableHead => self.push(|style| style.add_modifier(Modifier::BOLD)),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => {
                self.end_line();
                self.is_loose = true;
            }
            TagEnd::Heading(_) => {
                self.end_line();
                self.styles.pop();
                self.is_loose = true;
            }
            TagEnd::CodeBlock => {
                self.end_line();
                self.is_loose = true;
            }
            TagEnd::BlockQuote(_) => {
                self.end_line();
                self.marks.pop();
                self.styles.pop();
                self.is_loose = true;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.is_loose = self.lists.is_empty();
            }
            TagEnd::Item => {
                self.end_line();
                self.marks.pop();
                self.is_loose = false;
            }
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => {
                self.styles.pop();
            }
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.spans);
                self.table.iter_mut().for_each(|table| table.cell(cell.clone()));
            }
            TagEnd::TableHead => {
                self.styles.pop();
                self.table.iter_mut().for_each(Table::end_row);
            }
            TagEnd::TableRow => self.table.iter_mut().for_each(Table::end_row),
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.gap();
                    self.rows.extend(table.rows(self.columns, self.theme));
                    self.is_loose = true;
                }
            }
            _ => {}
        }
    }

    fn item(&mut self) {
        self.end_line();
        let first = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!("{number}. ");
                *number = number.saturating_add(1);
                mark
            }
            _ => "• ".to_owned(),
        };
        let rest = Span::raw(" ".repeat(first.chars().count()));
        self.mark(Some(Span::styled(first, self.theme.accent)), rest);
    }

    fn mark(&mut self, first: Option<Span<'static>>, rest: Span<'static>) {
        self.end_line();
        self.marks.push(Mark { first, rest });
    }

    fn end_link(&mut self) {
        self.styles.pop();
        let Some(target) = self.link.take() else { return };
        let label: String = self.spans.iter().map(|span| span.content.as_ref()).collect();
        // Where a link leads is seen before it is followed.
        if !target.is_empty() && !label.ends_with(&target) {
            let target = crate::text::shorten(&target, 100);
            self.text(&format!(" ({target})"), self.theme.dim);
        }
    }

    fn style(&self) -> Style {
        self.styles.last().copied().unwrap_or_default()
    }

    fn push(&mut self, change: impl Fn(Style) -> Style) {
        self.styles.push(change(self.style()));
    }

    fn text(&mut self, text: &str, style: Style) {
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            if !line.is_empty() {
                // The columns of a table are as wide as what stands in them.
                let is_cell = self.table.is_some() && line.contains('\t');
                let line = if is_cell { line.replace('\t', " ") } else { line.to_owned() };
                self.spans.push(Span::styled(line, style));
            }
            // A block of indented code has its lines in one text.
            if lines.peek().is_some() && self.table.is_none() {
                self.end_line();
            }
        }
    }

    fn gap(&mut self) {
        if std::mem::take(&mut self.is_loose) && !self.rows.is_empty() {
            let marks = self.marks.iter().map(|mark| mark.rest.clone());
            self.rows.push(Line::from(marks.collect::<Vec<_>>()));
        }
    }

    fn end_line(&mut self) {
        if self.spans.is_empty() || self.table.is_some() {
            return;
        }
        self.gap();
        let mut spans: Vec<Span<'static>> = Vec::new();
        let mut indent = Vec::new();
        for mark in self.marks.iter_mut().take(DEPTH_MAX) {
            spans.push(mark.first.take().unwrap_or_else(|| mark.rest.clone()));
            indent.push(mark.rest.clone());
        }
        spans.append(&mut self.spans);
        self.rows.extend(wrap(&spans, self.columns, &indent));
    }
}

const fn is_right(alignment: &Alignment) -> bool {
    matches!(alignment, Alignment::Right)
}
