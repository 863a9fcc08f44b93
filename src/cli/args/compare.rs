//! `limn compare`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use super::{RunArgs, SessionArgs};

/// Let two models do the same tasks, each in a fresh copy of the workspace, and see side by side
/// what they did, whether it passed, and what it cost.
#[derive(Clone, Debug, Args)]
#[command(after_help = "A task is a line of JSON, {\"id\":…,\"prompt\":…,\"workspace\":DIR,\
    \"check\":COMMAND}, of which all but the prompt may be left out; or a whole Markdown or text \
    file, which is one prompt. A check that exits with 0 is a task done.\n\nExit codes: 0 compared, \
    whatever came of it, 2 usage, 3 one of the models was never reached, 4 recording failed, 130 \
    interrupted.\n\nExample:\n  limn compare gpt-5 local:first-run --queries tasks.jsonl --out \
    compared")]
pub(crate) struct CompareArgs {
    /// The first model, as --model takes it, or the path of a run.
    pub(crate) a: String,
    /// The second.
    pub(crate) b: String,
    /// The tasks. May be repeated.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) queries: Vec<PathBuf>,
    /// Where what came of each is kept: the same command goes on where it was stopped.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How often each model does each task.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: u32,
    /// How many sessions run at a time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) jobs: u32,
    /// The folder that tasks work in a copy of, where they name none; else an empty one.
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// The command that says whether a task was done, where it names none.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) check: Option<String>,
    /// One JSON object for each session, and one for the whole.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the sessions out of datasets.
    #[arg(long)]
    pub(crate) private: bool,
    #[command(flatten)]
    pub(crate) run: CompareRunArgs,
}

/// How the sessions run.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CompareRunArgs {
    /// The endpoint of both models.
    #[arg(long, value_name = "URL", conflicts_with_all = ["base_url_a", "base_url_b"])]
    pub(crate) base_url: Option<String>,
    /// The endpoint of the first model.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url_a: Option<String>,
    /// The endpoint of the second model.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url_b: Option<String>,
    /// The environment variable that holds the key for that endpoint, where both models have the
    /// same one.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["api_key_env_a", "api_key_env_b"])]
    pub(crate) api_key_env: Option<String>,
    /// The variable that holds the key for the endpoint of the first model.
    #[arg(long, value_name = "NAME")]
    pub(crate) api_key_env_a: Option<String>,
    /// The variable that holds the key for the endpoint of the second model.
    #[arg(long, value_name = "NAME")]
    pub(crate) api_key_env_b: Option<String>,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

impl CompareArgs {
    /// How the sessions of one of the two models run.
    pub(crate) fn run_of(&self, is_first: bool) -> RunArgs {
        let run = self.run.clone();
        let (model, own_url, own_key) = match is_first {
            true => (&self.a, run.base_url_a, run.api_key_env_a),
            false => (&self.b, run.base_url_b, run.api_key_env_b),
        };
        RunArgs {
            model: Some(model.clone()),
            base_url: own_url.or(run.base_url),
            api_key_env: own_key.or(run.api_key_env),
            at_a_time: NonZeroU32::new(self.jobs),
            session: run.session,
            ..RunArgs::default()
        }
    }
}
