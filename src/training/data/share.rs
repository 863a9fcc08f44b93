//! Which samples are trained and which are held out, and which are too long.

use std::collections::BTreeMap;

use super::{Dataset, Entry, Part};
use crate::error::TrainingError;

/// The samples of a run, by their places in the list of the dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Those that are trained.
    pub train: Vec<usize>,
    /// Those that are held out.
    pub held_out: Vec<usize>,
    /// Those that are longer than asked for.
    pub skipped: Vec<usize>,
}

impl Dataset {
    /// Divides the samples. A dataset with a part of its own that is held out keeps it; otherwise
    /// this share of all groups is, drawn by a hash of their names.
    ///
    /// # Errors
    /// When a sample is longer than `sequence_max` and `skip_longer` does not allow it, or nothing
    /// is left to train.
    pub fn split(
        &self,
        share: f64,
        sequence_max: usize,
        skip_longer: bool,
    ) -> Result<Split, TrainingError> {
        let mut split = Split::default();
        let mut fitting = Vec::new();
        for (place, entry) in self.entries().iter().enumerate() {
            if entry.tokens <= sequence_max {
                fitting.push(place);
            } else if skip_longer {
                split.skipped.push(place);
            } else {
                return Err(self.too_long(entry, sequence_max));
            }
        }
        let is_own = |place: &&usize| self.part(&self.entries()[**place]) == Part::HeldOut;
        if self.files().iter().any(|file| file.part == Part::HeldOut) {
            split.held_out = fitting.iter().filter(is_own).copied().collect();
            split.train = fitting.iter().filter(|place| !is_own(place)).copied().collect();
        } else {
            let held_out = self.drawn(&fitting, share);
            let is_drawn =
                |place: &usize| held_out.contains(&self.entries()[*place].group.as_str());
            (split.held_out, split.train) = fitting.into_iter().partition(is_drawn);
        }
        if split.train.is_empty() {
            let remedy = "Allow longer samples, hold out less, or record more.";
            let reason = "no sample is left to train";
            return Err(TrainingError::dataset(self.folder(), reason, remedy));
        }
        Ok(split)
    }

    fn too_long(&self, entry: &Entry, sequence_max: usize) -> TrainingError {
        let file = self.files().get(entry.file).map_or("", |file| file.name.as_str());
        let reason =
            format!("sample {} has {} tokens, and {sequence_max} fit", entry.id, entry.tokens);
        TrainingError::Line {
            path: file.into(),
            line: entry.line,
            reason,
            remedy:
                "Leave such samples out with --skip-longer, or raise --sequence-max: nothing is \
                     cut."
                    .to_owned(),
        }
    }

    /// The groups that are held out: those with the smallest hashes, so a group that is added moves
    /// one other at most.
    fn drawn(&self, places: &[usize], share: f64) -> Vec<&str> {
        let mut groups: BTreeMap<[u8; 32], &str> = BTreeMap::new();
        for place in places {
            let group = self.entries()[*place].group.as_str();
            let mut hasher = blake3::Hasher::new();
            hasher.update(b"limn held out 1\0").update(group.as_bytes());
            groups.insert(*hasher.finalize().as_bytes(), group);
        }
        let count = held_out_count(groups.len(), share);
        groups.into_values().take(count).collect()
    }
}

/// How many of so many groups are held out: one at least where there are five, never all.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count, never negative"
)]
fn held_out_count(groups: usize, share: f64) -> usize {
    if share <= 0.0 {
        return 0;
    }
    let count = (groups as f64 * share).round() as usize;
    let least = usize::from(groups >= 5);
    count.max(least).min(groups.saturating_sub(1))
}
