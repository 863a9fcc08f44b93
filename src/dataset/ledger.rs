//! The loss ledger: what a format cannot hold, counted. Nothing is dropped in silence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One kind of loss.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How often it happened.
    pub count: u64,
    /// What it means, in a sentence.
    pub note: String,
}

/// What was written and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Messages, calls and stretches that are in the export.
    pub kept: BTreeMap<String, u64>,
    /// What is not, by name.
    pub lost: BTreeMap<String, Loss>,
    /// Stretches of the model's that get no loss, by reason.
    pub untrained: BTreeMap<String, u64>,
}

impl Ledger {
    /// Counts something that is in the export.
    pub fn keep(&mut self, what: &str) {
        *self.kept.entry(what.to_owned()).or_default() += 1;
    }

    /// Counts something that is not.
    pub fn lose(&mut self, what: &str, count: u64, note: &str) {
        if count == 0 {
            return;
        }
        let loss = self.lost.entry(what.to_owned()).or_default();
        loss.count += count;
        if loss.note.is_empty() {
            note.clone_into(&mut loss.note);
        }
    }

    /// Counts a stretch without loss.
    pub fn untrain(&mut self, why: &str) {
        *self.untrained.entry(why.to_owned()).or_default() += 1;
    }

    /// Adds another ledger to this one.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.kept {
            *self.kept.entry(what.clone()).or_default() += count;
        }
        self.add_left_out(other);
    }

    /// Adds the ledger of something that was left out: why, and nothing that it would have kept.
    pub fn add_left_out(&mut self, other: &Self) {
        for (what, loss) in &other.lost {
            self.lose(what, loss.count, &loss.note);
        }
        for (why, count) in &other.untrained {
            *self.untrained.entry(why.clone()).or_default() += count;
        }
    }
}
