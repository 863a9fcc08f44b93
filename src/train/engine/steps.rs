//! How a step is made on a GPU: recorded once for what it looks at, and then replayed.
//!
//! What a record says is compared with what was computed, before anybody hears it. One that differs,
//! or that cannot be made, is the end of recording: steps are computed from then on, which takes
//! longer and is as right.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use tch::Tensor;

use crate::decoder::{Extent, Step};
use crate::error::{Result, TrainError};
use crate::torch::{Graph, Graphs, give_back, number};

/// Records that are kept. Each is a few megabytes of the GPU's memory.
const KEPT: usize = 64;

/// Steps that are computed before another record is tried after memory did not do for one.
const PATIENCE: u64 = 256;

/// How far a replay may be from what was computed, as a part of the largest logit. The kernels are
/// the same; libraries may choose others for what they were asked before.
const TOLERANCE: f64 = 0.01;

/// What records steps.
pub(super) trait Recorder {
    /// Computes a step, and records how.
    fn record(&self, step: &Step<'_>) -> Result<Box<dyn Replay + Send>>;
}

/// What was recorded.
pub(super) trait Replay {
    /// Makes a step that looks at what the recorded one looked at.
    fn replay(&self, step: &Step<'_>) -> Result<()>;
}

impl Recorder for Graphs {
    fn record(&self, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
        Ok(Box::new(Self::record(self, &mut || step.compute())?))
    }
}

impl Replay for Graph {
    /// What it reads and writes has its place in memory, and is not looked for again.
    fn replay(&self, _: &Step<'_>) -> Result<()> {
        Self::replay(self)
    }
}

/// A record, and when it was used last.
struct Record {
    replay: Box<dyn Replay + Send>,
    used: u64,
}

/// The steps of an engine.
pub(super) struct Steps {
    recorder: std::result::Result<Box<dyn Recorder + Send>, String>,
    /// By the model, and what is looked at.
    records: HashMap<(usize, Extent), Record>,
    made: u64,
    /// Nothing is recorded before so many were made.
    waits: u64,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Steps")
            .field("records", &self.records.len())
            .finish_non_exhaustive()
    }
}

impl Steps {
    /// Steps that are recorded by this, or computed, and why.
    pub(super) fn new(recorder: std::result::Result<Box<dyn Recorder + Send>, String>) -> Self {
        Self { recorder, records: HashMap::new(), made: 0, waits: 0 }
    }

    /// Why steps are not recorded; `None` when they are.
    pub(super) fn refusal(&self) -> Option<&str> {
        match &self.recorder {
            Err(why) => Some(why),
            Ok(_) if self.made < self.waits => Some("memory does not do for one now"),
            Ok(_) => None,
        }
    }

    /// Makes a step of this model.
    ///
    /// # Errors
    /// When it can be neither replayed nor computed.
    pub(super) fn make(&mut self, variant: usize, step: &Step<'_>) -> Result<()> {
        let Ok(recorder) = &self.recorder else { return step.compute() };
        self.made += 1;
        let key = (variant, step.extent());
        if let Some(record) = self.records.get_mut(&key) {
            record.used = self.made;
            return record.replay.replay(step);
        }
        if self.made < self.waits {
            return step.compute();
        }
        match recorded_with_room(recorder.as_ref(), step) {
            Ok(replay) => {
                self.forget_oldest();
                self.records.insert(key, Record { replay, used: self.made });
                Ok(())
            }
            Err(TrainError::OutOfMemory(_)) => {
                self.waits = self.made + PATIENCE;
                step.compute()
            }
            Err(why) => {
                self.records.clear();
                self.recorder = Err(why.to_string());
                step.compute()
            }
        }
    }

    /// Makes room for one more.
    fn forget_oldest(&mut self) {
        if self.records.len() >= KEPT {
            let oldest = self.records.iter().min_by_key(|(_, record)| record.used);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                self.records.remove(&key);
            }
        }
    }
}

/// The same as below; where memory runs out, once more without what the allocator keeps and nobody
/// uses: while a record is made, it gives nothing of that back.
fn recorded_with_room(recorder: &dyn Recorder, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
    match recorded(recorder, step) {
        Err(TrainError::OutOfMemory(_)) => {
            give_back()?;
            recorded(recorder, step)
        }
        other => other,
    }
}

/// Makes a step while it is recorded, and once more from the record, which has to come to the same.
fn recorded(recorder: &dyn Recorder, step: &Step<'_>) -> Result<Box<dyn Replay + Send>> {
    let replay = recorder.record(step)?;
    let mut logits = step.logits()?;
    let computed = logits.f_detach_copy()?;
    logits.f_copy_(&number(f64::NAN)?)?;
    replay.replay(step)?;
    // A text that comes to no numbers, of a slot that is not asked, is no fault of the record.
    let is_number = computed.f_isfinite()?;
    let largest = |of: &Tensor| -> Result<f64> {
        let of = of.f_abs()?.f_where_self(&is_number, &of.f_zeros_like()?)?;
        Ok(of.f_max()?.f_double_value(&[])?)
    };
    let (off, largest) = (largest(&logits.f_sub(&computed)?)?, largest(&computed)?);
    // What is not a number where one was computed is not close either.
    if off <= TOLERANCE * largest {
        return Ok(replay);
    }
    Err(TrainError::Torch(format!(
        "what was replayed is {off:.3} off what was computed, of {largest:.3}"
    )))
}
