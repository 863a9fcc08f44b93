//! Noticing a model that says the same thing over and over, until its limit on tokens.
//!
//! Small models do that. What repeats may be short or a paragraph; a table of zeros or a ruler is
//! not long enough to count.

use trajectory::Progress;

/// The end of the text that is looked at, and how much has to come between two looks.
const TAIL_BYTES: usize = 12 << 10;
const LOOK_BYTES: usize = 2 << 10;
/// The longest text that is taken for one repetition.
const PERIOD_MAX: usize = 600;
/// A stretch of at least this many bytes and repetitions is a stutter.
const STUTTER_BYTES: usize = 6 << 10;
const STUTTER_TIMES: usize = 20;

/// The end of a reply, as it comes.
#[derive(Debug, Default)]
pub(crate) struct Stutter {
    tail: Vec<u8>,
    since_look: usize,
    is_stuck: bool,
}

impl Stutter {
    /// Takes a piece; whether the model is stuck.
    pub(crate) fn take(&mut self, piece: &Progress) -> bool {
        let text = match piece {
            Progress::Reasoning { text, .. } | Progress::Text { text, .. } => text,
            Progress::ToolCall { arguments, .. } => arguments,
            Progress::Retry { .. } | Progress::Output { .. } | Progress::Resized { .. } => {
                return false;
            }
        };
        self.tail.extend_from_slice(text.as_bytes());
        self.since_look += text.len();
        if self.since_look >= LOOK_BYTES && !self.is_stuck {
            self.since_look = 0;
            let excess = self.tail.len().saturating_sub(TAIL_BYTES);
            self.tail.drain(..excess);
            self.is_stuck = repeats(&self.tail);
        }
        self.is_stuck
    }

    /// Whether it was.
    pub(crate) const fn is_stuck(&self) -> bool {
        self.is_stuck
    }
}

/// Whether the end of the text is one piece over and over.
fn repeats(text: &[u8]) -> bool {
    // A line of one character is a ruler, not a stutter: the piece has to hold several.
    (2..=PERIOD_MAX).any(|period| {
        let wanted = STUTTER_BYTES.max(period * STUTTER_TIMES);
        let Some(end) = text.len().checked_sub(wanted).and_then(|start| text.get(start..)) else {
            return false;
        };
        let same = end.iter().zip(end.iter().skip(period)).all(|(one, next)| one == next);
        same && end.get(..period).is_some_and(|piece| piece.iter().any(|byte| *byte != end[0]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> bool {
        let mut stutter = Stutter::default();
        for piece in text.as_bytes().chunks(7) {
            let text = String::from_utf8_lossy(piece).into_owned();
            stutter.take(&Progress::Text { request: 1, text });
        }
        stutter.is_stuck()
    }

    #[test]
    fn one_sentence_for_ever_is_a_stutter() {
        assert!(said(&"I will now look at the file. ".repeat(1000)));
        assert!(said(&format!("{}{}", "A good beginning.\n".repeat(3), "no no ".repeat(3000))));
        assert!(!said(&"I will now look at the file. ".repeat(30)));
    }

    #[test]
    fn what_changes_is_none() {
        let lines: String = (0..5000).map(|number| format!("row {number}: 0 0 0 0\n")).collect();
        assert!(!said(&lines));
        assert!(!said(&"=".repeat(20_000)));
        assert!(!said(&format!("{}end of it", "0, ".repeat(1500))));
    }
}
