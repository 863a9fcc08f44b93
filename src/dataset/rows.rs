//! Rows of a dataset: a whole sample, or one row for each time the user spoke.

use serde::Serialize;
use trajectory::{LossReason, Message, Sample, SampleMessage};

#[cfg(test)]
mod tests;

/// What a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rows {
    /// A sample as it was cut.
    #[default]
    Trajectory,
    /// What the model did after the user spoke, with all before it as context. Templates that
    /// forget the thoughts of earlier rounds need it.
    Round,
}

impl Rows {
    /// The rows of a sample, each of which trains something. What is trained in one is context in
    /// those after it.
    pub(crate) fn of(self, sample: &Sample) -> Vec<Sample> {
        if self == Self::Trajectory {
            return vec![sample.clone()];
        }
        let mut rows = Vec::new();
        let mut from = 0;
        for place in 1..=sample.messages.len() {
            let user_speaks = sample
                .messages
                .get(place)
                .is_none_or(|next| matches!(next.message, Message::User { .. }));
            if user_speaks {
                rows.extend(row(sample, from, place));
                from = place;
            }
        }
        rows
    }
}

/// The row that trains the messages from `from` to `to`; `None` when nothing of them is trained.
fn row(sample: &Sample, from: usize, to: usize) -> Option<Sample> {
    let last = sample.messages[from..to].iter().rposition(SampleMessage::is_trained)?;
    let mut messages = sample.messages[..=from + last].to_vec();
    for span in messages[..from].iter_mut().flat_map(|message| &mut message.spans) {
        span.untrained = span.untrained.or(Some(LossReason::Context));
    }
    Some(Sample { messages, model: sample.model.clone(), tools: sample.tools.clone() })
}
