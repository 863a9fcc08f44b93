//! What a run says while it goes: lines of `metrics.jsonl`, written by the runner and read by
//! whoever looks.
//!
//! A line is an object with the time and one [`Metric`]. The runner appends whole lines and syncs
//! them with each checkpoint; a reader may meet half a line at the end, where the runner is writing
//! or was killed, and waits for the rest. After a kill the runner goes on from its last checkpoint,
//! so steps may be said twice: the later one counts.

mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use read::{Follower, History, read_all};
pub use write::Writer;

/// The name of the file within a run folder.
pub const FILE: &str = "metrics.jsonl";

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What it says.
    #[serde(flatten)]
    pub metric: Metric,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Metric {
    /// A process began to train, from the beginning or from a checkpoint.
    Started(Started),
    /// A step of the optimizer was made.
    Step(Step),
    /// The held-out samples were measured.
    HeldOut(HeldOut),
    /// A checkpoint is whole on the disk.
    Checkpoint(Checkpoint),
    /// Memory was short: the run goes on in another way.
    Rung(Rung),
    /// Something to know that is no reason to stop.
    Note(Note),
    /// The process ended before the run did; it can be gone on with.
    Stopped(Stopped),
    /// The run is done.
    Finished(Finished),
    /// A newer limn wrote it.
    #[serde(other)]
    Unknown,
}

/// A process began to train.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Started {
    /// The process.
    pub pid: u32,
    /// The last step that was made before; 0 at the beginning.
    pub step: u64,
    /// All steps of the run.
    pub steps: u64,
    /// All epochs of the run.
    pub epochs: u32,
    /// Samples that are trained, in an epoch.
    pub samples: usize,
    /// Samples that are held out.
    pub held_out: usize,
    /// The rung of the ladder that it begins on.
    pub rung: String,
    /// The device, as its maker calls it.
    pub device: String,
    /// Its memory, in bytes.
    pub device_bytes: u64,
    /// The kernel of attention that was chosen.
    pub attention: String,
    /// The highest speed that the device was measured at, in floating point operations a second; 0
    /// when it was not.
    pub peak_flops: f64,
    /// Seconds until the first step could be made: weights, tokens, the optimizer's state.
    pub load_s: f64,
    /// What was used, by name: limn, libtorch, CUDA, cuDNN.
    pub versions: BTreeMap<String, String>,
}

/// A step of the optimizer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Step {
    /// From 1.
    pub step: u64,
    /// How much of the dataset was gone through: 1.5 is half-way through the second time.
    #[serde(deserialize_with = "or_none")]
    pub epoch: f64,
    /// The mean loss of a trained token.
    #[serde(deserialize_with = "or_none")]
    pub loss: f64,
    /// Tokens that were trained.
    pub trained_tokens: u64,
    /// All tokens that were computed.
    pub tokens: u64,
    /// The length of the gradient before it was shortened.
    #[serde(deserialize_with = "or_none")]
    pub grad_norm: f64,
    /// The learning rate.
    #[serde(deserialize_with = "or_none")]
    pub lr: f64,
    /// Tokens of the step over its time.
    #[serde(deserialize_with = "or_none")]
    pub tokens_per_s: f64,
    /// Floating point operations of the model over what the device could do, from 0 to 1; 0 where
    /// that is not known.
    #[serde(deserialize_with = "or_none")]
    pub mfu: f64,
    /// The most memory that was in use, in bytes.
    pub peak_bytes: u64,
    /// The most memory that was held, in bytes.
    pub reserved_bytes: u64,
    /// Where the time went, in seconds, by phase: `data`, `passes` there and back, `optimizer`.
    pub phases_s: BTreeMap<String, f64>,
    /// The samples of the step.
    pub samples: Vec<String>,
    /// Seconds until the run is done, at this speed.
    #[serde(deserialize_with = "or_none")]
    pub eta_s: f64,
}

/// What the held-out samples say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldOut {
    /// After this step.
    pub step: u64,
    /// The mean loss of a token that would be trained.
    #[serde(deserialize_with = "or_none")]
    pub loss: f64,
    /// Such tokens.
    pub tokens: u64,
    /// Replies that were generated where the recorded model made a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replies: Option<u64>,
    /// The share of them with a call that can be read and whose arguments are an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_validity: Option<f64>,
    /// The share of them that call the tool that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact_name: Option<f64>,
}

/// A checkpoint is whole on the disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checkpoint {
    /// After this step.
    pub step: u64,
    /// Its folder, within that of the run.
    pub folder: String,
    /// Its size.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// The run goes on in another way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rung {
    /// In this step.
    pub step: u64,
    /// The rung before.
    pub from: String,
    /// The rung from now on.
    pub to: String,
    /// Why.
    pub why: String,
}

/// Something to know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// A sentence.
    pub text: String,
}

/// The process ended before the run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stopped {
    /// The last step that was made.
    pub step: u64,
    /// The last step of which there is a checkpoint.
    pub saved: u64,
    /// Why, a sentence; with what to do when it is a failure.
    pub why: String,
    /// Whether it is a failure: otherwise somebody asked for it.
    pub failed: bool,
}

/// The run is done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finished {
    /// The last step.
    pub step: u64,
    /// How long its steps took, in seconds, whichever process made them.
    pub seconds: f64,
    /// The folder of what came of it, within that of the run.
    pub folder: String,
}

/// A number that is none, such as a loss of NaN, is `null` in JSON.
fn or_none<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(from).map(|number| number.unwrap_or(f64::NAN))
}
