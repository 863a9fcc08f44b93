//! Showing old observations shorter.
//!
//! Only what lies behind the latest quarter of the window is touched, the oldest first, and only
//! when much is won at once: each time it happens the provider has to read the conversation anew.

use trajectory::event::{ContextEdit, ShortenedObservation};
use trajectory::{Message, Transcript, Turn};

use super::gauge::Gauge;

/// An observation below this many tokens is not worth a note.
const WORTH_TOKENS: u64 = 200;
const LINES_KEPT_FIRST: usize = 4;
const LINES_KEPT_LAST: usize = 6;
const LINE_CHARS_MAX: usize = 160;
/// What a shortened observation says of itself; it is also how one is known again.
const NOTE: &str = "of this older output are left out; run or read it again if you need them]";

/// The batch that brings the context down to half of what is usable, or as far as it goes. `None`
/// when less than a tenth would be won.
pub(super) fn plan(
    transcript: &Transcript,
    gauge: &mut Gauge,
    tokens: u64,
    usable: u64,
) -> Option<ContextEdit> {
    let wanted = tokens.saturating_sub(usable / 2);
    let (won, edit) = batch(transcript, gauge, (tokens, usable), usable / 4, wanted);
    (won >= usable / 10).then_some(edit)
}

/// The batch that makes the context just fit, at the cost of what came last. `None` when there is
/// nothing to win.
pub(super) fn squeeze(
    transcript: &Transcript,
    gauge: &mut Gauge,
    tokens: u64,
    usable: u64,
) -> Option<ContextEdit> {
    let wanted = tokens.saturating_sub(usable - usable / 8);
    let (won, edit) = batch(transcript, gauge, (tokens, usable), 0, wanted);
    (won > 0).then_some(edit)
}

/// Shortens what lies behind the latest `recent_tokens`, until so much is won.
fn batch(
    transcript: &Transcript,
    gauge: &mut Gauge,
    (tokens, usable): (u64, u64),
    recent_tokens: u64,
    wanted: u64,
) -> (u64, ContextEdit) {
    let turns: Vec<&Turn> = transcript.upcoming().collect();
    let recent = recent_turns(&turns, gauge, recent_tokens);
    let mut won = 0;
    let mut observations = Vec::new();
    for turn in turns.get(..recent).unwrap_or_default() {
        if won >= wanted {
            break;
        }
        let (Some(call), Message::Tool { content, .. }) = (turn.call, &turn.message) else {
            continue;
        };
        if gauge.turn(turn) < WORTH_TOKENS || content.contains(NOTE) {
            continue;
        }
        let shown = shortened(content);
        let saved = gauge.text(content).saturating_sub(gauge.text(&shown));
        if saved > WORTH_TOKENS / 2 {
            won += saved;
            observations.push(ShortenedObservation { call, shown });
        }
    }
    let reason = format!("The context was about {tokens} of {usable} tokens.");
    (won, ContextEdit { observations, reason })
}

/// Where the turns begin that are recent: those of the last so many tokens.
pub(super) fn recent_turns(turns: &[&Turn], gauge: &mut Gauge, tokens: u64) -> usize {
    let mut left = tokens;
    for (index, turn) in turns.iter().enumerate().rev() {
        match left.checked_sub(gauge.turn(turn)) {
            Some(rest) => left = rest,
            None => return index + 1,
        }
    }
    0
}

/// The first and the last lines, and how much lay between.
fn shortened(content: &str) -> String {
    let lines: Vec<&str> = content.lines().collect();
    let last_from = lines.len().saturating_sub(LINES_KEPT_LAST).max(LINES_KEPT_FIRST);
    let first = lines.get(..LINES_KEPT_FIRST).unwrap_or(&lines);
    let last = lines.get(last_from..).unwrap_or_default();
    let clip = |line: &&str| -> String { line.chars().take(LINE_CHARS_MAX).collect() };
    let first: Vec<String> = first.iter().map(clip).collect();
    let last: Vec<String> = last.iter().map(clip).collect();
    let kept: usize = first.iter().chain(&last).map(|line| line.chars().count() + 1).sum();
    let chars = content.chars().count().saturating_sub(kept);
    let left_out = lines.len().saturating_sub(first.len() + last.len());
    let note = format!("[{left_out} lines, {chars} characters {NOTE}");
    [first.join("\n"), note, last.join("\n")].join("\n")
}
