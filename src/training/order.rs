//! In which order samples are trained: the same for the same seed, on every machine.
//!
//! An epoch goes through all samples once, in an order drawn from (seed, epoch). A step of the
//! optimizer takes the next few of them. Each is computed alone, as one micro-batch, or with other
//! short ones in a pack: positions begin again with each, nobody attends to another, and the first
//! token of each is predicted by nobody. The loss of a step is the sum over its trained tokens over
//! their number, so how samples fall into micro-batches changes nothing but the speed.
//!
//! Where a run is, is a [`Cursor`]: two numbers. Going on from one gives the very steps that were
//! left.
//!
//! Absent here: padding, which is the business of whoever has kernels that like it.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::recipe::Recipe;

/// Where a run is: the next step to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// The epoch, from 0.
    pub epoch: u32,
    /// The step within the epoch, from 0.
    pub step: u64,
}

/// What is computed at once: one sample, or a pack of short ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MicroBatch {
    /// The samples, by their places in the dataset.
    pub samples: Vec<usize>,
    /// Tokens of all of them.
    pub tokens: usize,
    /// Tokens that are trained.
    pub trained: usize,
}

/// A step of the optimizer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptimizerStep {
    /// The number of the step in the run, from 1.
    pub number: u64,
    /// The epoch, from 0.
    pub epoch: u32,
    /// Where the run is after it.
    pub next: Cursor,
    /// What is computed, in order.
    pub micro_batches: Vec<MicroBatch>,
    /// Trained tokens of the step: what the sum of the loss is divided by.
    pub trained: u64,
    /// All tokens of the step.
    pub tokens: u64,
}

/// The samples of a run in the order of their places.
#[derive(Clone, Debug)]
pub struct Order {
    samples: Vec<Item>,
    seed: u64,
    epochs: u32,
    batch: usize,
    pack_tokens: usize,
}

/// A sample, as far as its order goes.
#[derive(Clone, Debug)]
struct Item {
    place: usize,
    id: String,
    tokens: usize,
    trained: usize,
}

impl Order {
    /// The order in which these samples of a dataset are trained.
    #[must_use]
    pub fn new(dataset: &Dataset, places: &[usize], recipe: &Recipe) -> Self {
        let entries = dataset.entries();
        let item = |place: &usize| {
            let entry = entries.get(*place)?;
            let (tokens, trained) = (entry.tokens, entry.trained);
            Some(Item { place: *place, id: entry.id.clone(), tokens, trained })
        };
        Self {
            samples: places.iter().filter_map(item).collect(),
            seed: recipe.seed,
            epochs: recipe.epochs,
            batch: recipe.batch.max(1),
            pack_tokens: recipe.lengths.pack_tokens,
        }
    }

    /// The steps of an epoch.
    #[must_use]
    pub fn steps_in_epoch(&self) -> u64 {
        self.samples.len().div_ceil(self.batch) as u64
    }

    /// All steps of the run.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps_in_epoch() * u64::from(self.epochs)
    }

    /// How many steps are made before a cursor.
    #[must_use]
    pub fn steps_before(&self, cursor: Cursor) -> u64 {
        u64::from(cursor.epoch) * self.steps_in_epoch() + cursor.step
    }

    /// The steps from a cursor on.
    #[must_use]
    pub fn from(&self, cursor: Cursor) -> Batches<'_> {
        Batches { order: self, cursor, drawn: None }
    }

    /// The longest that is computed at once, in tokens.
    #[must_use]
    pub fn longest(&self) -> usize {
        let all = self.from(Cursor::default()).flat_map(|step| step.micro_batches);
        all.map(|micro_batch| micro_batch.tokens).max().unwrap_or(0)
    }

    /// The places of the samples in the order of an epoch.
    #[must_use]
    pub fn epoch(&self, epoch: u32) -> Vec<usize> {
        self.draw(epoch).into_iter().map(|item| self.samples[item].place).collect()
    }

    /// Every sample gets a number from its name, the seed and the epoch, and they are sorted: no
    /// generator whose next version draws otherwise.
    fn draw(&self, epoch: u32) -> Vec<usize> {
        let mut key = blake3::Hasher::new();
        key.update(b"limn order 1\0");
        key.update(&self.seed.to_le_bytes()).update(&epoch.to_le_bytes());
        let drawn = |item: usize| {
            let mut hasher = key.clone();
            hasher.update(self.samples[item].id.as_bytes());
            (*hasher.finalize().as_bytes(), item)
        };
        let mut all: Vec<([u8; 32], usize)> = (0..self.samples.len()).map(drawn).collect();
        // The same name twice: they stay in the order of the files.
        all.sort_unstable();
        all.into_iter().map(|(_, item)| item).collect()
    }

    fn pack(&self, items: &[usize]) -> Vec<MicroBatch> {
        let mut packs: Vec<MicroBatch> = Vec::new();
        for item in items {
            let Item { place, tokens, trained, .. } = &self.samples[*item];
            let fits = |pack: &&mut MicroBatch| pack.tokens + tokens <= self.pack_tokens;
            match packs.iter_mut().find(fits) {
                Some(pack) => {
                    pack.samples.push(*place);
                    pack.tokens += tokens;
                    pack.trained += trained;
                }
                None => packs.push(MicroBatch {
                    samples: vec![*place],
                    tokens: *tokens,
                    trained: *trained,
                }),
            }
        }
        packs
    }
}

/// The steps of a run, one after the other.
#[derive(Debug)]
pub struct Batches<'a> {
    order: &'a Order,
    cursor: Cursor,
    /// The order of the epoch that was drawn last.
    drawn: Option<(u32, Vec<usize>)>,
}

impl Iterator for Batches<'_> {
    type Item = OptimizerStep;

    fn next(&mut self) -> Option<OptimizerStep> {
        let Cursor { epoch, step } = self.cursor;
        let in_epoch = self.order.steps_in_epoch();
        if epoch >= self.order.epochs || step >= in_epoch {
            return None;
        }
        let drawn = match self.drawn.take() {
            Some((of, drawn)) if of == epoch => drawn,
            _ => self.order.draw(epoch),
        };
        let from = usize::try_from(step).ok()? * self.order.batch;
        let items = &drawn[from..(from + self.order.batch).min(drawn.len())];
        let micro_batches = self.order.pack(items);
        let number = self.order.steps_before(self.cursor) + 1;
        self.cursor = match step + 1 {
            next if next < in_epoch => Cursor { epoch, step: next },
            _ => Cursor { epoch: epoch + 1, step: 0 },
        };
        self.drawn = Some((epoch, drawn));
        Some(OptimizerStep {
            number,
            epoch,
            next: self.cursor,
            trained: micro_batches.iter().map(|it| it.trained as u64).sum(),
            tokens: micro_batches.iter().map(|it| it.tokens as u64).sum(),
            micro_batches,
        })
    }
}
