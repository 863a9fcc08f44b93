//! What can be typed after `limn train`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

/// Fine-tune a model on a dataset. The run is a folder, goes on without a terminal, and can be
/// watched, stopped and gone on with.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Exit codes: 0 the run is done or was left, 1 it failed, 130 it was \
    stopped, or a signal ended the watching.\n\nExample:\n  limn train data/v1 --model models/qwen3-4b --plan\n  limn train data/v1 \
    --model models/qwen3-4b --out runs/one\n  limn train merge runs/one --out models/mine")]
pub(crate) struct TrainArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TrainCommand>,
    /// The dataset: a folder that `limn export` wrote, or JSON lines as TRL reads them.
    #[arg(required = true)]
    pub(crate) dataset: Option<PathBuf>,
    /// The model: a folder as Hugging Face publishes it, or a GGUF file of a Llama.
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) model: Option<PathBuf>,
    /// The folder of the run, a new one.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["plan", "hand_over"])]
    pub(crate) out: Option<PathBuf>,
    /// Say what it would take (memory, time, steps) and begin nothing.
    #[arg(long)]
    pub(crate) plan: bool,
    /// Begin nothing here: write the same tokens and masks with a program for several GPUs (TRL
    /// under torchrun) into this folder, a new one.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["plan", "out"])]
    pub(crate) hand_over: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// How it is trained: each flag wins over the recipe.
#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    /// Settings in a TOML file, as docs/training.md lists them.
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: Option<PathBuf>,
    /// All weights, or an adapter (the default).
    #[arg(long, value_enum)]
    pub(crate) method: Option<MethodArg>,
    /// The width of the adapter's matrices.
    #[arg(long, value_name = "N")]
    pub(crate) rank: Option<usize>,
    /// What the adapter is scaled by, times its rank.
    #[arg(long, value_name = "N")]
    pub(crate) alpha: Option<usize>,
    /// How often the dataset is gone through.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<u32>,
    /// Samples of a step of the optimizer.
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<usize>,
    /// The learning rate after the warm-up; it falls to a tenth.
    #[arg(long, value_name = "RATE")]
    pub(crate) lr: Option<f64>,
    /// Where the order of the samples comes from.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// In what the model is computed; bf16 where the device has units for it, unless given.
    #[arg(long, value_enum)]
    pub(crate) precision: Option<PrecisionArg>,
    /// What computes.
    #[arg(long, value_enum)]
    pub(crate) device: Option<DeviceArg>,
    /// No sample may have more tokens; otherwise as many as the model was made for.
    #[arg(long, value_name = "N")]
    pub(crate) sequence_max: Option<usize>,
    /// Leave longer samples out and say so. Nothing is ever cut.
    #[arg(long)]
    pub(crate) skip_longer: bool,
    /// The share that is held out, where the dataset has no part for it.
    #[arg(long, value_name = "SHARE")]
    pub(crate) held_out: Option<f64>,
    /// A chat template in the place of the model's own: a file, or `chatml-tools` or
    /// `deepseek-tools`.
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// The same bits each time, at the cost of the fastest attention.
    #[arg(long)]
    pub(crate) deterministic: bool,
}

/// How it is watched.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WatchArgs {
    /// Begin it and do not watch.
    #[arg(long)]
    pub(crate) detach: bool,
    /// One JSON object a line: the plan, what the run says, how it ended.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodArg {
    /// All weights.
    Full,
    /// Two thin matrices beside each linear layer.
    Lora,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrecisionArg {
    Bf16,
    F32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeviceArg {
    /// A GPU where there is one, else the processor.
    Auto,
    Cpu,
    Cuda,
}

/// How the program that computes is told where, and in what.
pub(crate) fn computed_by(
    device: Option<DeviceArg>,
    precision: Option<PrecisionArg>,
) -> impl Iterator<Item = OsString> {
    let device = device.and_then(|device| device.to_possible_value());
    let precision = precision.and_then(|precision| precision.to_possible_value());
    let said = [("--device", device), ("--precision", precision)].into_iter();
    said.filter_map(|(flag, value)| Some([flag.into(), value?.get_name().into()])).flatten()
}

/// What is done with a run.
#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    Attach(AttachArgs),
    Resume(ResumeRunArgs),
    Stop(StopArgs),
    Merge(MergeArgs),
    #[command(hide = true)]
    Runner(RunnerArgs),
}

/// Watch a run that goes on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn train attach runs/one")]
pub(crate) struct AttachArgs {
    /// The folder of the run.
    pub(crate) run: PathBuf,
    /// One JSON object a line: what the run says, how it ended.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Go on with a run from its last checkpoint.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn train resume runs/one")]
pub(crate) struct ResumeRunArgs {
    /// The folder of the run.
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// Stop a run: it saves a checkpoint first, and can be gone on with.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn train stop runs/one")]
pub(crate) struct StopArgs {
    /// The folder of the run.
    pub(crate) run: PathBuf,
}

/// Put the adapter of a run into its model: a folder that any server reads.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn train merge runs/one --out models/mine")]
pub(crate) struct MergeArgs {
    /// The folder of the run.
    pub(crate) run: PathBuf,
    /// The folder of the merged model, a new one.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Become the runner, in a session of its own that no terminal ends.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn train runner runs/one")]
pub(crate) struct RunnerArgs {
    /// The folder of the run.
    pub(crate) run: PathBuf,
}
