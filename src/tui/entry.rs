//! One thing in the conversation, and its rows as they were last laid out.

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use trajectory::event::{PlanItem, PlanStatus};

use crate::card::Card;
use crate::markdown::Flow;
use crate::text::{clean, duration, kept, kept_behind, shorten, thousands, wrap};
use crate::theme::Theme;
use crate::thought::{self, Thought};

/// Bytes of a text that are drawn: the end of it, when it is longer.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Rows of reasoning that are shown while it comes.
const REASONING_ROWS: usize = 5;

/// What the user thinks of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rating {
    /// It helped.
    Good,
    /// Neither.
    Neutral,
    /// It did harm, or was in vain.
    Bad,
}

impl Rating {
    /// The word for it, as it is kept.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Neutral => "neutral",
            Self::Bad => "bad",
        }
    }

    /// The one that is kept as that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Good, Self::Neutral, Self::Bad].into_iter().find(|rating| rating.as_str() == word)
    }
}

/// What kind of remark a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoteKind {
    /// Worth knowing.
    Info,
    /// It will be tried again.
    Retry,
    /// Something failed, or was cut short.
    Error,
    /// The end of a round.
    End,
}

/// What a thing in the conversation is.
pub(crate) enum Block {
    /// The user asked.
    User { text: String, attachments: usize },
    /// The model thinks.
    Reasoning { text: String, took_us: u64 },
    /// The model speaks.
    Text { text: String, interrupted: bool },
    /// The model calls a tool.
    Card(Box<Card>),
    /// The checklist.
    Plan(Vec<PlanItem>),
    /// A remark.
    Note { kind: NoteKind, text: String },
}

/// A block with what the view knows of it.
pub(crate) struct Entry {
    pub(crate) block: Block,
    /// The request that it comes from while it is being written; nothing once it is recorded.
    pub(crate) live: Option<u32>,
    /// Which of a reply's parallel calls it is.
    pub(crate) index: u32,
    /// What the user thinks of it.
    pub(crate) rating: Option<Rating>,
    /// The event that it comes from; while it is being written, the one before.
    pub(crate) seq: u64,
    /// Folded or unfolded by hand.
    pub(crate) open: Option<bool>,
    flow: Option<Live>,
    rows: Vec<Line<'static>>,
    /// How many of the flow's rows that cannot change are among them.
    settled: usize,
    /// For what the rows were made: columns, theme, second; nothing when they are out of date.
    made_for: Option<(usize, u32, u64)>,
}

/// What is being written, laid out as it comes.
enum Live {
    Text(Flow),
    Reasoning(Thought),
}

impl Live {
    fn push(&mut self, piece: &str, theme: &Theme) {
        match self {
            Self::Text(flow) => flow.push(piece, theme),
            Self::Reasoning(thought) => thought.push(piece),
        }
    }

    const fn columns(&self) -> usize {
        match self {
            Self::Text(flow) => flow.columns(),
            Self::Reasoning(thought) => thought.columns(),
        }
    }

    /// The rows that stay as they are.
    fn done(&self) -> &[Line<'static>] {
        match self {
            Self::Text(flow) => flow.done(),
            Self::Reasoning(thought) => thought.done(),
        }
    }

    /// The rows of what may change yet.
    fn open_rows(&self, theme: &Theme) -> Vec<Line<'static>> {
        match self {
            Self::Text(flow) => flow.open_rows(theme),
            Self::Reasoning(thought) => thought.open_rows(),
        }
    }
}

/// What rows depend on beside the block itself.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) columns: usize,
    pub(crate) theme: &'a Theme,
    /// Changes when the theme does.
    pub(crate) theme_number: u32,
    pub(crate) now_us: u64,
    /// Whether reasoning is shown whole.
    pub(crate) show_reasoning: bool,
}

impl Entry {
    pub(crate) fn new(block: Block) -> Self {
        Self {
            block,
            live: None,
            index: 0,
            rating: None,
            seq: 0,
            open: None,
            flow: None,
            rows: Vec::new(),
            settled: 0,
            made_for: None,
        }
    }

    /// One that is being written.
    pub(crate) fn live(block: Block, request: u32) -> Self {
        Self { live: Some(request), ..Self::new(block) }
    }

    /// Its rows are out of date.
    pub(crate) fn touch(&mut self) {
        self.made_for = None;
    }

    /// Forgets its rows; they are made again when they are wanted.
    pub(crate) fn forget(&mut self) {
        self.rows = Vec::new();
        self.settled = 0;
        self.made_for = None;
        self.flow = None;
    }

    /// More of a text that is being written.
    pub(crate) fn append(&mut self, piece: &str, theme: &Theme) {
        let (Block::Text { text, .. } | Block::Reasoning { text, .. }) = &mut self.block else {
            return;
        };
        let piece = kept_behind(text, piece);
        text.push_str(&piece);
        if text.len() > 2 * TEXT_BYTES_MAX {
            let cut = (TEXT_BYTES_MAX..text.len()).find(|at| text.is_char_boundary(*at));
            text.drain(..cut.unwrap_or(0));
            self.forget();
        } else if let Some(flow) = &mut self.flow {
            flow.push(&piece, theme);
        }
        self.made_for = None;
    }

    /// It is on record now: this is its text.
    pub(crate) fn settle(&mut self, recorded: &str) {
        if let Block::Text { text, .. } | Block::Reasoning { text, .. } = &mut self.block {
            *text = kept(recorded);
        }
        self.live = None;
        self.forget();
    }

    /// Whether it looks different from one moment to the next.
    pub(crate) fn is_moving(&self) -> bool {
        matches!(&self.block, Block::Card(card) if card.is_moving())
    }

    /// Whether it is the call with this number.
    pub(crate) fn is_call(&self, call: u32) -> bool {
        matches!(&self.block, Block::Card(card) if card.call == call)
    }

    /// Whether something went wrong here.
    pub(crate) fn is_error(&self) -> bool {
        match &self.block {
            Block::Card(card) => card.has_failed(),
            Block::Note { kind, .. } => *kind == NoteKind::Error,
            _ => false,
        }
    }

    /// Whether it can be folded.
    pub(crate) const fn can_fold(&self) -> bool {
        matches!(self.block, Block::Card(_) | Block::Reasoning { .. })
    }

    /// Whether the model made it, so that it can be rated.
    pub(crate) const fn is_step(&self) -> bool {
        matches!(
            self.block,
            Block::Reasoning { .. } | Block::Text { .. } | Block::Card(_) | Block::Plan(_)
        )
    }

    /// Whether an empty row stands before it, when that one does.
    pub(crate) fn gap_after(&self, before: &Self) -> usize {
        let is_step =
            |entry: &Self| matches!(entry.block, Block::Card(_) | Block::Reasoning { .. });
        if is_step(self) && is_step(before) { 0 } else { 1 }
    }

    /// Its text, for the clipboard.
    pub(crate) fn copied(&self) -> String {
        match &self.block {
            Block::Card(card) => card.copied(),
            _ => self.plain(),
        }
    }

    /// Its text, for searching.
    pub(crate) fn plain(&self) -> String {
        match &self.block {
            Block::User { text, .. }
            | Block::Reasoning { text, .. }
            | Block::Text { text, .. }
            | Block::Note { text, .. } => text.clone(),
            Block::Card(card) => card.plain(),
            Block::Plan(items) => items
                .iter()
                .map(|item| format!("{} {}\n", plan_mark(item.status), kept(&item.text)))
                .collect(),
        }
    }

    /// The sign before its first row.
    pub(crate) fn sign(&self, theme: &Theme) -> (&'static str, Style) {
        match self.rating {
            Some(Rating::Good) => return ("+", theme.success),
            Some(Rating::Bad) => return ("−", theme.error),
            Some(Rating::Neutral) | None => {}
        }
        match &self.block {
            Block::User { .. } => ("❯", theme.user),
            Block::Reasoning { .. } => ("∙", theme.reasoning),
            Block::Text { .. } => (" ", theme.text),
            Block::Card(card) => ("●", card.dot(theme)),
            Block::Plan(_) => ("≡", theme.accent),
            Block::Note { kind, .. } => match kind {
                NoteKind::Info => ("·", theme.dim),
                NoteKind::Retry => ("↻", theme.warning),
                NoteKind::Error => ("!", theme.error),
                NoteKind::End => (" ", theme.dim),
            },
        }
    }

    /// Its rows, laid out if they are not.
    pub(crate) fn rows(&mut self, context: Context<'_>) -> &[Line<'static>] {
        let second = if self.is_moving() { context.now_us / 1_000_000 + 1 } else { 0 };
        let wanted = (context.columns, context.theme_number, second);
        if self.made_for != Some(wanted) {
            if self.flow.as_ref().is_none_or(|flow| flow.columns() != context.columns) {
                self.flow = None;
                self.settled = 0;
            }
            self.lay_out(context);
            self.made_for = Some(wanted);
        }
        &self.rows
    }

    fn lay_out(&mut self, context: Context<'_>) {
        let Context { columns, theme, now_us, .. } = context;
        let open = self.open.unwrap_or(match self.block {
            Block::Reasoning { .. } => context.show_reasoning,
            _ => false,
        });
        if self.live.is_some() && self.lay_out_live(open, context) {
            return;
        }
        self.rows = match &self.block {
            Block::User { text, attachments } => user_rows(text, *attachments, columns, theme),
            Block::Reasoning { text, took_us } => {
                let mut rows = vec![Line::styled(thought_for(text, *took_us), theme.reasoning)];
                if open {
                    rows.extend(thought::render(end_of(text), columns, theme));
                }
                rows
            }
            Block::Card(card) => card.rows(columns, open, now_us, theme),
            Block::Plan(items) => plan_rows(items, columns, theme),
            Block::Note { kind, text } => note_rows(*kind, text, columns, theme),
            Block::Text { text, interrupted } => {
                let mut rows = crate::markdown::render(end_of(text), columns, theme);
                if *interrupted {
                    rows.push(Line::styled("(cut off)", theme.warning));
                }
                rows
            }
        };
    }

    /// Lays out what is being written: only what is new of it. False when that is no text.
    fn lay_out_live(&mut self, open: bool, context: Context<'_>) -> bool {
        let Context { columns, theme, .. } = context;
        let (text, heading) = match &self.block {
            Block::Text { text, .. } => (end_of(text), None),
            Block::Reasoning { text, .. } => {
                (end_of(text), Some(Line::styled("thinking", theme.reasoning)))
            }
            _ => return false,
        };
        let flow = self.flow.get_or_insert_with(|| {
            let mut flow = match heading {
                None => Live::Text(Flow::new(columns)),
                Some(_) => Live::Reasoning(Thought::new(columns, theme)),
            };
            flow.push(text, theme);
            flow
        });
        let (done, last) = (flow.done(), flow.open_rows(theme));
        if heading.is_some() && !open {
            // Only its end is looked at.
            self.rows = heading.into_iter().collect();
            let from = done.len().saturating_sub(REASONING_ROWS.saturating_sub(last.len()));
            self.rows.extend(done.iter().skip(from).cloned());
            self.rows.extend(last.iter().rev().take(REASONING_ROWS).rev().cloned());
            self.settled = 0;
            return true;
        }
        let above = usize::from(heading.is_some());
        if self.settled == 0 {
            self.rows = heading.into_iter().collect();
        }
        self.rows.truncate(above + self.settled);
        self.rows.extend(done.iter().skip(self.settled).cloned());
        self.settled = done.len();
        self.rows.extend(last);
        true
    }
}

/// What of a text is drawn.
fn end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(TEXT_BYTES_MAX);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(from..).unwrap_or_default()
}

fn user_rows(text: &str, attachments: usize, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    const LINES_SHOWN: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    let mut rows = Vec::new();
    for line in lines.iter().take(LINES_SHOWN) {
        let line: String = line.chars().take(4_000).collect();
        rows.extend(wrap(&[Span::styled(line, theme.user)], columns, &[]));
    }
    if lines.len() > LINES_SHOWN {
        let more = thousands((lines.len() - LINES_SHOWN) as u64);
        rows.push(Line::styled(format!("⋯ {more} more lines"), theme.dim));
    }
    if attachments > 0 {
        let plural = if attachments == 1 { "" } else { "s" };
        rows.push(Line::styled(format!("{attachments} attachment{plural}"), theme.dim));
    }
    rows
}

/// How long the model thought, and how much.
fn thought_for(text: &str, took_us: u64) -> String {
    let words = match text.split_whitespace().count() {
        1 => "1 word".to_owned(),
        words => format!("{} words", thousands(words as u64)),
    };
    match took_us {
        0 => format!("thought, {words}"),
        took => format!("thought for {}, {words}", duration(took)),
    }
}

pub(crate) fn plan_rows(items: &[PlanItem], columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let done = items.iter().filter(|item| item.status == PlanStatus::Completed).count();
    let mut rows = vec![Line::from(vec![
        Span::styled("Plan", theme.tool),
        Span::styled(format!("  {done} of {}", items.len()), theme.dim),
    ])];
    for item in items {
        let style = match item.status {
            PlanStatus::Pending => theme.text,
            PlanStatus::InProgress => theme.accent,
            PlanStatus::Completed => theme.dim,
        };
        let mark = match item.status {
            PlanStatus::Completed => theme.success,
            _ => style,
        };
        let spans = [
            Span::styled(format!("{} ", plan_mark(item.status)), mark),
            Span::styled(clean(&item.text).replace('\n', " "), style),
        ];
        rows.extend(wrap(&spans, columns, &[Span::raw("  ")]));
    }
    rows
}

const fn plan_mark(status: PlanStatus) -> &'static str {
    match status {
        PlanStatus::Pending => "☐",
        PlanStatus::InProgress => "▸",
        PlanStatus::Completed => "☑",
    }
}

fn note_rows(kind: NoteKind, text: &str, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
    let style = match kind {
        NoteKind::Info | NoteKind::End => theme.dim,
        NoteKind::Retry => theme.warning,
        NoteKind::Error => theme.error,
    };
    if kind == NoteKind::End {
        return vec![Line::styled(shorten(text, columns), style)];
    }
    let lines = text.lines().take(60);
    lines.flat_map(|line| wrap(&[Span::styled(line.to_owned(), style)], columns, &[])).collect()
}
