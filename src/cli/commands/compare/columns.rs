//! Two trajectories side by side, round by round; one above the other where the terminal is narrow.

use unicode_width::UnicodeWidthStr as _;

use super::outcome::{Call, Outcome, Step};
use crate::bill::tokens_and;
use crate::print::{safe, safe_line};

/// Below this two columns are no pleasure to read.
const COLUMNS_MIN: usize = 90;
/// Wider lines are harder to read, not easier.
const COLUMNS_MAX: usize = 200;
const BETWEEN: &str = " │ ";

/// How many lines of each sort of text are shown.
const REASONING_LINES: usize = 2;
const TEXT_LINES: usize = 3;
const ANSWER_LINES: usize = 12;
const ARGUMENT_LINES: usize = 2;

/// A session as it is shown: how it is headed, and what is known of it.
pub(super) struct Column<'a> {
    pub(super) head: String,
    pub(super) outcome: Option<&'a Outcome>,
    pub(super) has_check: bool,
}

/// The lines of two sessions in a terminal this wide.
pub(super) fn side_by_side(both: &[Column<'_>; 2], columns: usize) -> Vec<String> {
    let columns = columns.min(COLUMNS_MAX);
    if columns < COLUMNS_MIN {
        let one = |column: &Column<'_>| {
            let mut lines = blocks(column, columns.max(20)).concat();
            lines.push(String::new());
            lines
        };
        return both.iter().flat_map(one).collect();
    }
    let width = (columns - BETWEEN.chars().count()) / 2;
    let [left, right] = both.each_ref().map(|column| blocks(column, width));
    // The last block says how it went, and stands beside the other one's.
    let count = left.len().max(right.len());
    let mut lines = Vec::new();
    for number in 0..count {
        let of = |blocks: &[Vec<String>]| -> Vec<String> {
            let is_last = number + 1 == count;
            let place = match is_last {
                true => blocks.len().checked_sub(1),
                false => (number + 1 < blocks.len()).then_some(number),
            };
            place.and_then(|place| blocks.get(place)).cloned().unwrap_or_default()
        };
        let (left, right) = (of(&left), of(&right));
        for row in 0..left.len().max(right.len()) {
            let text = |lines: &[String]| lines.get(row).cloned().unwrap_or_default();
            let line = format!("{}{BETWEEN}{}", padded(&text(&left), width), text(&right));
            lines.push(line.trim_end().to_owned());
        }
    }
    lines.push(String::new());
    lines
}

/// The head, each step, and how it went.
fn blocks(column: &Column<'_>, width: usize) -> Vec<Vec<String>> {
    let mut blocks = vec![wrapped(&column.head, "", width, 2)];
    let Some(outcome) = column.outcome else {
        blocks.push(vec!["not run yet".to_owned()]);
        return blocks;
    };
    let last = outcome.steps.len();
    for (number, step) in outcome.steps.iter().enumerate() {
        blocks.push(block(number + 1, step, number + 1 == last, width));
    }
    blocks.push(end(outcome, column.has_check, width));
    blocks
}

fn block(number: usize, step: &Step, is_last: bool, width: usize) -> Vec<String> {
    let mut lines = vec![format!("── {number} ──")];
    lines.extend(wrapped(&step.reasoning, "~ ", width, REASONING_LINES));
    let is_answer = is_last && step.calls.is_empty();
    let most = if is_answer { ANSWER_LINES } else { TEXT_LINES };
    lines.extend(wrapped(&step.text, "", width, most));
    for Call { name, arguments, verdict } in &step.calls {
        let arguments = plain(arguments);
        let call = format!("{name} {arguments}");
        lines.extend(wrapped(call.trim_end(), "> ", width, ARGUMENT_LINES));
        lines.extend(wrapped(verdict, "  ", width, 1));
    }
    lines
}

fn end(outcome: &Outcome, has_check: bool, width: usize) -> Vec<String> {
    let mut lines = vec!["──".to_owned()];
    lines.extend(wrapped(&verdict(outcome, has_check), "", width, 2));
    if let Some(error) = outcome.error.as_deref().filter(|_| !outcome.is_done(has_check)) {
        lines.extend(wrapped(error, "! ", width, TEXT_LINES));
    }
    let steps = outcome.steps.len();
    let (calls, seconds) = (outcome.calls(), outcome.seconds);
    let counts = format!("{}, {}, {seconds:.1} s", many(steps, "step"), many(calls, "call"));
    lines.extend(wrapped(&counts, "", width, 2));
    lines.extend(wrapped(&tokens_and(&outcome.usage, outcome.cost_usd), "", width, 2));
    if let Some(session) = outcome.session {
        lines.extend(wrapped(&format!("session {session}"), "", width, 2));
    }
    lines
}

fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// How it went, in a few words.
pub(super) fn verdict(outcome: &Outcome, has_check: bool) -> String {
    if !outcome.reached {
        return "the model was not reached".to_owned();
    }
    let ended = outcome.ended.map_or("did not begin", trajectory::event::Ended::as_str);
    match &outcome.check {
        Some(check) if check.passed => format!("PASSED · {ended}"),
        Some(check) => match check.exit {
            Some(code) => format!("NOT PASSED (check exit {code}) · {ended}"),
            None => format!("NOT PASSED (the check did not end by itself) · {ended}"),
        },
        None if has_check => format!("NOT PASSED (not checked) · {ended}"),
        None => ended.to_owned(),
    }
}

/// Arguments as `name=value`, where they are an object, since that is easier to read than JSON.
fn plain(arguments: &str) -> String {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(arguments) else {
        return arguments.to_owned();
    };
    let one = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    if let [value] = object.values().collect::<Vec<_>>()[..] {
        return one(value).unwrap_or_else(|| value.to_string());
    }
    let pair = |(name, value): (&String, &serde_json::Value)| {
        format!("{name}={}", one(value).unwrap_or_else(|| value.to_string()))
    };
    object.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// A text in lines of this width, at most so many, each behind a mark or as much space.
fn wrapped(text: &str, mark: &str, width: usize, lines_max: usize) -> Vec<String> {
    let text = safe(text.trim()).replace('\t', "    ");
    if text.is_empty() {
        return Vec::new();
    }
    let room = width.saturating_sub(mark.chars().count()).max(8);
    let mut lines: Vec<String> = Vec::new();
    let mut is_cut = false;
    'text: for paragraph in text.lines().filter(|line| !line.trim().is_empty()) {
        for line in tui::wrapped(paragraph.trim_end(), room) {
            if lines.len() == lines_max {
                is_cut = true;
                break 'text;
            }
            lines.push(line);
        }
    }
    if is_cut && let Some(last) = lines.last_mut() {
        while last.width() + 1 > room {
            last.pop();
        }
        last.push('…');
    }
    let space = " ".repeat(mark.chars().count());
    let marked = |(number, line): (usize, String)| {
        let mark = if number == 0 { mark } else { &space };
        format!("{mark}{line}")
    };
    lines.into_iter().enumerate().map(marked).collect()
}

fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

/// A head of two sessions: which task, which of its repetitions, which model.
pub(super) fn head(letter: &str, model: &str) -> String {
    format!("{letter}  {}", safe_line(model))
}

#[cfg(test)]
pub(super) mod tests;
