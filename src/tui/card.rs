//! A call of a tool: what is called, what it prints while it runs, what came of it.

mod own;

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use screen::{Emulator, Run, TerminalSize};
use serde_json::{Map, Value};
use trajectory::event::{ApprovalDecision, ApprovalEvent, CallStatus, Exit, Observation, ToolCall};

use crate::diff::{self, Diff};
use crate::text::{clean, duration, headline, kept, short_number, shorten, wrap_behind};
use crate::theme::Theme;

/// Rows of a running command that are shown.
const LIVE_ROWS: usize = 8;

/// Rows of what is folded.
const FOLDED_ROWS: usize = 3;

/// Rows of a failure, or of a diff, that is folded.
const FOLDED_ROWS_LONG: usize = 12;

/// Rows of output that are kept with their colours.
const OUTPUT_ROWS_MAX: usize = 400;

/// Rows of anything that is unfolded.
const OPEN_ROWS_MAX: usize = 2_000;

/// Calls that are no commands and take less time do not tell it, microseconds.
const TOLD_US: u64 = 100_000;

/// Rows of a change that waits for the user's word.
const ASKED_ROWS: usize = 200;

/// What of arguments that are being written is looked at for their first text.
const BRIEF_BYTES_MAX: usize = 1_600;

/// What is shown of an argument that is unfolded.
const ARGUMENT_LINES_MAX: usize = 200;
const ARGUMENT_CHARS_MAX: usize = 16_000;

/// Arguments that are kept while they are being written.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The model is writing it.
    Writing,
    /// It waits for its turn.
    Waiting,
    /// It waits for the user's word.
    Asked,
    /// It runs; the clock said this many microseconds when it began.
    Running(u64),
    /// It is over.
    Done(CallStatus),
}

/// A call.
pub(crate) struct Card {
    /// limn's number for it; 0 while it is being written.
    pub(crate) call: u32,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) state: State,
    pub(crate) exec: Option<u32>,
    /// What was decided, where somebody did.
    pub(crate) decided: Option<String>,
    /// It was allowed as it stood, without a word.
    is_plainly_allowed: bool,
    brief: String,
    diff: Option<Diff>,
    terminal: Option<Box<Emulator>>,
    output: Vec<Vec<Run>>,
    shown: String,
    exit: Option<Exit>,
    duration_us: u64,
    /// A command that the user ran.
    is_own: bool,
}

impl Card {
    /// A call that the model begins to write.
    pub(crate) fn begun(name: &str) -> Self {
        Self {
            call: 0,
            name: headline(name, 40),
            arguments: String::new(),
            state: State::Writing,
            exec: None,
            decided: None,
            is_plainly_allowed: false,
            brief: String::new(),
            diff: None,
            terminal: None,
            output: Vec::new(),
            shown: String::new(),
            exit: None,
            duration_us: 0,
            is_own: false,
        }
    }

    /// A recorded call.
    pub(crate) fn recorded(call: &ToolCall) -> Self {
        let mut card = Self::begun(&call.name);
        card.call = call.call;
        card.state = State::Waiting;
        card.set_arguments(&call.arguments);
        card
    }

    fn set_arguments(&mut self, arguments: &str) {
        self.arguments = arguments.to_owned();
        self.brief = brief(arguments);
        self.diff = diff::of_call(&self.name, arguments);
        if let Some(diff) = &self.diff
            && !diff.path.is_empty()
        {
            self.brief.clone_from(&diff.path);
        }
    }

    /// The next piece of the arguments.
    pub(crate) fn write(&mut self, name: Option<&str>, arguments: &str) {
        if let Some(name) = name {
            self.name = headline(name, 40);
        }
        if self.arguments.len() < ARGUMENTS_BYTES_MAX {
            self.arguments.push_str(arguments);
        }
        if self.brief.len() < 80 {
            self.brief = brief_of_part(&self.arguments);
        }
    }

    /// It runs.
    pub(crate) fn start(&mut self, exec: u32, now_us: u64) {
        self.exec = Some(exec);
        self.state = State::Running(now_us);
    }

    /// It printed something.
    pub(crate) fn print(&mut self, bytes: &[u8]) {
        let new = || Box::new(Emulator::new(TerminalSize::default(), OUTPUT_ROWS_MAX));
        self.terminal.get_or_insert_with(new).feed(bytes);
    }

    /// Its terminal, as long as its command runs.
    pub(crate) fn terminal(&mut self) -> Option<&mut Emulator> {
        let runs = matches!(self.state, State::Running(_) | State::Done(CallStatus::Ok));
        if !runs || self.exec.is_none() || self.exit.is_some() {
            return None;
        }
        let new = || Box::new(Emulator::new(TerminalSize::default(), OUTPUT_ROWS_MAX));
        Some(self.terminal.get_or_insert_with(new))
    }

    /// What was decided of it.
    pub(crate) fn decide(&mut self, event: &ApprovalEvent) {
        let word = match event.decision {
            ApprovalDecision::Allowed => "allowed",
            ApprovalDecision::Amended => "allowed, amended",
            ApprovalDecision::Denied => "denied",
        };
        let by = match event.by {
            trajectory::event::DecidedBy::User => "by you",
            trajectory::event::DecidedBy::Mode => "by the mode",
            trajectory::event::DecidedBy::Rule => "by a rule",
            trajectory::event::DecidedBy::Policy => "by the policy",
        };
        let reason = event.reason.as_deref().map(|why| format!(": {}", headline(why, 100)));
        self.is_plainly_allowed =
            event.decision == ApprovalDecision::Allowed && event.reason.is_none();
        self.decided = Some(format!("{word} {by}{}", reason.unwrap_or_default()));
        if let Some(arguments) = &event.arguments {
            self.set_arguments(arguments);
        }
        if self.state == State::Asked {
            self.state = State::Waiting;
        }
    }

    /// It is over.
    pub(crate) fn finish(&mut self, seen: &Observation) {
        self.state = State::Done(seen.status);
        self.exit = seen.exit;
        self.duration_us = seen.duration_us;
        self.shown = kept(&seen.shown);
        // A command that goes on in the background keeps its terminal.
        if seen.exit.is_some() || seen.status != CallStatus::Ok {
            self.close();
        }
    }

    /// Its command, which went on, has ended.
    pub(crate) fn end(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.close();
    }

    fn close(&mut self) {
        if let Some(terminal) = self.terminal.take() {
            self.output = terminal.styled_rows(OUTPUT_ROWS_MAX);
        }
    }

    /// Whether it looks different from one moment to the next.
    pub(crate) const fn is_moving(&self) -> bool {
        matches!(self.state, State::Writing | State::Running(_))
    }

    /// Whether it went wrong.
    pub(crate) fn has_failed(&self) -> bool {
        match self.state {
            State::Done(CallStatus::Ok) => self.exit.is_some_and(|exit| !exit.success()),
            State::Done(_) => true,
            _ => false,
        }
    }

    /// Whether it changes files.
    pub(crate) const fn diff(&self) -> Option<&Diff> {
        self.diff.as_ref()
    }

    /// Everything of it, as text.
    pub(crate) fn plain(&self) -> String {
        let arguments = kept(&self.arguments);
        format!("{} {arguments}\n\n{}", self.name, self.shown)
    }

    /// The style of the dot before it.
    pub(crate) fn dot(&self, theme: &Theme) -> Style {
        match self.state {
            State::Writing | State::Waiting => theme.dim,
            State::Asked => theme.warning,
            State::Running(_) => theme.accent,
            State::Done(CallStatus::Denied) => theme.warning,
            State::Done(_) if self.has_failed() => theme.error,
            State::Done(_) => theme.success,
        }
    }

    /// Its rows.
    pub(crate) fn rows(
        &self,
        columns: usize,
        open: bool,
        now_us: u64,
        theme: &Theme,
    ) -> Vec<Line<'static>> {
        let mut rows = vec![self.header(columns, now_us, theme)];
        if let Some(decided) = self.decided.as_ref().filter(|_| open || !self.is_plainly_allowed) {
            let line = shorten(decided, columns.saturating_sub(2));
            rows.push(Line::from(vec![
                Span::styled("│ ", theme.faint),
                Span::styled(line, theme.dim),
            ]));
        }
        if open && self.diff.is_none() {
            rows.extend(self.argument_rows(columns, theme));
        }
        let inner = columns.saturating_sub(2);
        let body = self.body(inner, open, theme);
        rows.extend(body.into_iter().map(|line| {
            let style = line.style;
            let own = line.spans.into_iter().map(|span| {
                let look = style.patch(span.style);
                span.style(look)
            });
            Line::from_iter(std::iter::once(Span::styled("│ ", theme.faint)).chain(own))
        }));
        rows
    }

    fn header(&self, columns: usize, now_us: u64, theme: &Theme) -> Line<'static> {
        let (status, style) = self.status(now_us, theme);
        let status = shorten(&status, columns / 2);
        let name = shorten(&self.name, columns.saturating_sub(8));
        let used = Span::raw(&name).width() + 1 + Span::raw(&status).width() + 2;
        let brief = shorten(&self.brief, columns.saturating_sub(used));
        let gap = columns.saturating_sub(used + Span::raw(&brief).width()) + 2;
        Line::from(vec![
            Span::styled(name, theme.tool),
            Span::raw(" "),
            Span::styled(brief, theme.text),
            Span::raw(" ".repeat(gap.min(columns))),
            Span::styled(status, style),
        ])
    }

    fn status(&self, now_us: u64, theme: &Theme) -> (String, Style) {
        let took = duration(self.duration_us);
        match self.state {
            State::Writing => {
                (format!("writing {}", short_number(self.arguments.len() as u64)), theme.dim)
            }
            State::Waiting => ("waiting".to_owned(), theme.dim),
            State::Asked => ("waits for you".to_owned(), theme.warning),
            State::Running(since) => {
                let seconds = now_us.saturating_sub(since) / 1_000_000;
                let running = if seconds == 0 {
                    "running".to_owned()
                } else {
                    format!("running {}", duration(seconds * 1_000_000).replace(".0", ""))
                };
                (running, theme.accent)
            }
            State::Done(CallStatus::Ok) => match (self.exit, &self.diff) {
                (Some(exit), _) => {
                    let style = if exit.success() { theme.dim } else { theme.error };
                    (format!("{} · {took}", exit_word(exit)), style)
                }
                (None, Some(diff)) => (diff.count(), theme.dim),
                (None, None) if self.terminal.is_some() => {
                    ("goes on in the background".to_owned(), theme.accent)
                }
                // How long it took is worth a word only where it took long.
                (None, None) if self.duration_us < TOLD_US => (String::new(), theme.dim),
                (None, None) => (took, theme.dim),
            },
            State::Done(CallStatus::Error) => ("failed".to_owned(), theme.error),
            State::Done(CallStatus::Denied) => ("denied".to_owned(), theme.warning),
            State::Done(CallStatus::Cancelled) => ("cancelled".to_owned(), theme.warning),
            State::Done(CallStatus::LostInCrash) => ("lost in a crash".to_owned(), theme.error),
        }
    }

    fn argument_rows(&self, columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let mut rows = Vec::new();
        let bar = [Span::styled("┊ ", theme.faint)];
        let fields: Option<Map<String, Value>> = serde_json::from_str(&self.arguments).ok();
        let texts: Vec<(String, String)> = match fields {
            Some(fields) => fields
                .iter()
                .map(|(key, value)| {
                    (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                })
                .collect(),
            None => vec![(String::new(), self.arguments.clone())],
        };
        for (key, text) in texts {
            let text = kept(&text);
            let end = text.char_indices().nth(ARGUMENT_CHARS_MAX).map(|(end, _)| end);
            let shown = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
            for (number, line) in shown.lines().take(ARGUMENT_LINES_MAX).enumerate() {
                let label = if number == 0 && !key.is_empty() {
                    format!("{}: ", clean(&key))
                } else {
                    String::new()
                };
                let spans = [Span::styled(label, theme.dim), Span::styled(line, theme.text)];
                rows.extend(wrap_behind(&bar, &spans, columns));
            }
            if end.is_some() || shown.lines().nth(ARGUMENT_LINES_MAX).is_some() {
                rows.push(Line::styled(
                    "┊ ⋯ more of it: tab, then y copies it whole",
                    theme.warning,
                ));
            }
        }
        rows
    }

    fn body(&self, columns: usize, open: bool, theme: &Theme) -> Vec<Line<'static>> {
        let is_over = matches!(self.state, State::Done(_));
        if let Some(terminal) = &self.terminal {
            let rows = if open { OUTPUT_ROWS_MAX } else { LIVE_ROWS };
            return self.styled(&terminal.styled_rows(rows), columns, theme);
        }
        if let Some(diff) = &self.diff {
            let rows_max = match self.state {
                _ if open => OPEN_ROWS_MAX,
                // What is agreed to is seen first.
                State::Asked => ASKED_ROWS,
                _ => FOLDED_ROWS_LONG,
            };
            let mut rows = diff.rows(columns, rows_max, theme);
            rows.extend(more(diff.lines.len().saturating_sub(rows_max), theme));
            if is_over && (open || self.has_failed()) {
                rows.extend(self.shown_rows(columns, FOLDED_ROWS_LONG, theme));
            }
            return rows;
        }
        if !is_over {
            return Vec::new();
        }
        let rows_max = match (open, self.has_failed(), self.exit.is_some()) {
            (true, ..) => OPEN_ROWS_MAX,
            // Whoever runs a command wants to see what comes of it.
            (false, ..) if self.is_own => FOLDED_ROWS_LONG,
            // Why it was denied stands there already.
            (false, ..) if self.state == State::Done(CallStatus::Denied) => match self.decided {
                Some(_) => 0,
                None => FOLDED_ROWS_LONG,
            },
            (false, true, _) => FOLDED_ROWS_LONG,
            (false, false, true) => FOLDED_ROWS,
            (false, false, false) => 0,
        };
        if self.output.is_empty() {
            return self.shown_rows(columns, rows_max, theme);
        }
        let left_out = self.output.len().saturating_sub(rows_max);
        let mut rows: Vec<Line<'static>> = if self.output.len() < OUTPUT_ROWS_MAX {
            more(left_out, theme).into_iter().collect()
        } else {
            vec![Line::styled("⋯ many more lines", theme.dim)]
        };
        rows.extend(self.styled(self.output.get(left_out..).unwrap_or_default(), columns, theme));
        rows
    }

    /// The end of what the model was shown.
    fn shown_rows(&self, columns: usize, rows_max: usize, theme: &Theme) -> Vec<Line<'static>> {
        if rows_max == 0 {
            return Vec::new();
        }
        let lines: Vec<&str> = self.shown.trim_end().lines().collect();
        let left_out = lines.len().saturating_sub(rows_max);
        let mut rows: Vec<Line<'static>> = more(left_out, theme).into_iter().collect();
        for line in lines.get(left_out..).unwrap_or_default() {
            let line: String = line.chars().take(columns.saturating_mul(4)).collect();
            rows.push(Line::styled(shorten(&line, columns), theme.dim));
        }
        rows
    }

    fn styled(&self, output: &[Vec<Run>], columns: usize, theme: &Theme) -> Vec<Line<'static>> {
        let row = |runs: &Vec<Run>| {
            let mut left = columns;
            let mut spans = Vec::new();
            for run in runs {
                if left == 0 {
                    break;
                }
                let text = shorten(&clean(&run.text), left);
                left = left.saturating_sub(Span::raw(&text).width());
                spans.push(Span::styled(text, theme.dim.patch(theme.of_look(&run.look))));
            }
            Line::from(spans)
        };
        output.iter().map(row).collect()
    }
}

fn more(lines: usize, theme: &Theme) -> Option<Line<'static>> {
    (lines > 0).then(|| {
        let plural = if lines == 1 { "" } else { "s" };
        Line::styled(format!("⋯ {lines} more line{plural}"), theme.dim)
    })
}

pub(crate) fn exit_word(exit: Exit) -> String {
    match (exit.code, exit.signal) {
        _ if exit.timed_out => "timed out".to_owned(),
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// What a call is about, in a line: a command, a path, what is looked for.
pub(crate) fn brief(arguments: &str) -> String {
    let fields: Option<Map<String, Value>> = serde_json::from_str(arguments).ok();
    let first = fields.as_ref().and_then(|fields| {
        let known = ["command", "file_path", "absolute_path", "pattern", "path", "url", "query"];
        known
            .iter()
            .find_map(|key| fields.get(*key)?.as_str())
            .or_else(|| fields.values().find_map(Value::as_str))
    });
    match (first, fields.as_ref()) {
        (Some(first), _) => headline(first, 400),
        (None, Some(_)) => String::new(),
        (None, None) => headline(arguments, 400),
    }
}

/// The same of arguments that are not whole yet: the first text in them.
fn brief_of_part(arguments: &str) -> String {
    let end = (0..=arguments.len().min(BRIEF_BYTES_MAX)).rev();
    let end = end.into_iter().find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
    let arguments = arguments.get(..end).unwrap_or_default();
    let value = arguments.split_once(": \"").or_else(|| arguments.split_once(":\""));
    let text = value.map(|(_, text)| text).unwrap_or_default();
    let ends = [text.find("\\n"), text.find('"')];
    let end = ends.into_iter().flatten().min().unwrap_or(text.len());
    headline(text.get(..end).unwrap_or_default(), 400)
}

#[cfg(test)]
mod tests;
