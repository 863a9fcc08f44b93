//! The summary that takes the place of a conversation.

use trajectory::{Message, Transcript, Turn};

use super::gauge::Gauge;
use super::gist::{Gist, Touch};
use super::shorten::recent_turns;

/// What the model is asked for; it is sent with the conversation and is on no record but that of
/// the request.
const INSTRUCTION: &str = include_str!("../../../assets/prompts/compact.md");

/// The same, with what the user wants of it.
pub(crate) fn instruction(words: Option<&str>) -> String {
    match words {
        Some(words) => format!("{INSTRUCTION}\nThe user asks of this summary: {words}\n"),
        None => INSTRUCTION.to_owned(),
    }
}

const HEADING: &str =
    "[The conversation up to here was replaced by this summary, to fit the context window.]";

/// The latest turns that stay as they are, as a share of what is usable.
const KEPT_SHARE: u64 = 6;
/// The share of what is usable that the user's words may take, at four bytes a token.
const SAID_SHARE: u64 = 8;
/// The longest a single prompt is repeated.
const SAID_BYTES_MAX: usize = 24 << 10;
const WORDS_BYTES_MAX: usize = 48 << 10;
const FILES_NAMED_MAX: usize = 40;

/// The last event that the summary stands for: all but the latest turns are before it.
pub(super) fn boundary(transcript: &Transcript, gauge: &mut Gauge, usable: u64) -> u64 {
    let turns: Vec<&Turn> = transcript.upcoming().collect();
    let mut start = recent_turns(&turns, gauge, usable / KEPT_SHARE);
    let head = transcript.head_seq().unwrap_or(0);
    // An observation stays with its call, and what is said to stay must have come later than all
    // that goes: what the user says joins the conversation later than it is said.
    while let Some(turn) = turns.get(start) {
        let first = turn.seqs.first().copied().unwrap_or(0);
        let gone = turns.get(..start).unwrap_or_default();
        let latest_gone = gone.iter().filter_map(|turn| turn.seqs.first()).max().copied();
        let stays = turns.get(start..).unwrap_or_default();
        let earliest = stays.iter().filter_map(|turn| turn.seqs.first()).min().copied();
        let is_cut = earliest.zip(latest_gone).is_none_or(|(earliest, gone)| earliest > gone);
        if !matches!(turn.message, Message::Tool { .. } | Message::System { .. }) && is_cut {
            return first.saturating_sub(1);
        }
        start += 1;
    }
    head
}

/// The text of the summary.
pub(super) fn compose(gist: &Gist, words: Option<&str>, usable: u64) -> String {
    let mut text = String::from(HEADING);
    let bytes = usize::try_from(usable / SAID_SHARE * 4).unwrap_or(usize::MAX);
    section(&mut text, "What the user said, in their words", &said(gist, bytes));
    section(&mut text, "The plan", gist.plan().unwrap_or_default());
    section(&mut text, "Files", &files(gist));
    match words {
        Some(words) => {
            let bytes_max = usize::try_from(usable).unwrap_or(usize::MAX).min(WORDS_BYTES_MAX);
            section(&mut text, "What was done, and where it stands", clip(words, bytes_max));
        }
        None => section(
            &mut text,
            "What was done, and where it stands",
            "No account of it could be had. Look at the workspace before you go on.",
        ),
    }
    text
}

fn section(text: &mut String, heading: &str, content: &str) {
    if !content.is_empty() {
        text.push_str(&format!("\n\n# {heading}\n{content}"));
    }
}

/// What the user said: the first and the last whatever they cost, of the rest the latest that fit.
fn said(gist: &Gist, bytes_max: usize) -> String {
    let all: Vec<&str> = gist.said().collect();
    let mut left = bytes_max;
    let mut kept = vec![false; all.len()];
    let last = all.len().saturating_sub(1);
    for index in [0, last].into_iter().chain((1..last).rev()) {
        let (Some(text), Some(kept)) = (all.get(index), kept.get_mut(index)) else { continue };
        let cost = text.len().min(SAID_BYTES_MAX);
        if index == 0 || index == last || cost <= left {
            *kept = true;
            left = left.saturating_sub(cost);
        }
    }
    let each = SAID_BYTES_MAX.min((bytes_max / 2).max(1024));
    let mut lines = Vec::new();
    let mut skipped = 0;
    for (index, text) in all.iter().enumerate() {
        if !kept.get(index).copied().unwrap_or(false) {
            skipped += 1;
            continue;
        }
        if skipped > 0 {
            lines.push(format!("({skipped} earlier messages left out)"));
            skipped = 0;
        }
        lines.push(format!("{}. {}", index + 1, middle_out(text, each)));
    }
    lines.join("\n\n")
}

fn files(gist: &Gist) -> String {
    let line = |word: &str, touch: Touch| {
        let all: Vec<&str> = gist.files(touch).collect();
        let named = all.get(..FILES_NAMED_MAX).unwrap_or(&all).join(", ");
        let more = all.len().saturating_sub(FILES_NAMED_MAX);
        match (all.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(format!("{word}: {named}")),
            (false, more) => Some(format!("{word}: {named}, and {more} more")),
        }
    };
    let lines = [line("changed", Touch::Changed), line("read", Touch::Read)];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn clip(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// A text whose middle is left out when it is too long.
fn middle_out(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let half = bytes_max / 2;
    let head = text.get(..text.floor_char_boundary(half)).unwrap_or_default();
    let tail = text.get(text.ceil_char_boundary(text.len() - half)..).unwrap_or_default();
    let gone = text.len() - head.len() - tail.len();
    format!("{head}\n[{gone} bytes left out]\n{tail}")
}
