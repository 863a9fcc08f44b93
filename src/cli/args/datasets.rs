//! What can be typed about datasets: out, in, and looked at.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Write sessions out as a dataset, with a ledger of what the format cannot hold.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn export --format messages --out data/ --status all\n  \
    limn export --format tokens --tokenizer models/qwen3 --max-tokens 131072 --out data/")]
pub(crate) struct ExportArgs {
    /// `messages` for trainers (one sample a line; as TRL reads it, or in the form of another
    /// trainer), `tokens` for one model (ids and labels), `bundle` for everything, losslessly.
    #[arg(long, value_enum)]
    pub(crate) format: FormatArg,
    /// What a row is.
    #[arg(long, value_enum, default_value = "trajectory")]
    pub(crate) rows: RowsArg,
    #[command(flatten)]
    pub(crate) tokens: TokensArgs,
    /// The folder to make; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Only these sessions; may be repeated.
    #[arg(long = "session", value_name = "ID")]
    pub(crate) sessions: Vec<String>,
    /// Which sessions count.
    #[arg(long, value_enum, default_value = "success")]
    pub(crate) status: StatusArg,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    Messages,
    Openai,
    Axolotl,
    Slime,
    Limi,
    Tokens,
    Bundle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowsArg {
    /// A whole trajectory, as far as no context was changed.
    Trajectory,
    /// What the model did after the user spoke, with all before it as context.
    Round,
}

/// For which model `--format tokens` writes.
#[derive(Debug, Args)]
pub(crate) struct TokensArgs {
    /// The model's folder (tokenizer.json and what lies beside it), or a GGUF file.
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// A chat template (Jinja) in the place of the model's own: a file, or `chatml-tools`, which
    /// comes with limn.
    #[arg(long, value_name = "FILE", requires = "tokenizer")]
    pub(crate) template: Option<PathBuf>,
    /// Leave out rows of more tokens, and say so: nothing is cut.
    #[arg(long, value_name = "N", requires = "tokenizer")]
    pub(crate) max_tokens: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusArg {
    /// Annotated as a success, and not rejected in review.
    Success,
    /// Reviewed and accepted.
    Accepted,
    /// Every session that is not private.
    All,
}

/// Look at exports of tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    Inspect(InspectArgs),
    Stats(StatsArgs),
}

/// Show the text of the rows, and token by token what of it is trained: in colour, or between
/// signs where there are no colours.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn dataset inspect data --tokenizer models/qwen3 --row 1")]
pub(crate) struct InspectArgs {
    /// The folder of an export of tokens.
    pub(crate) dir: PathBuf,
    /// The tokenizer it was made with: a model's folder, its tokenizer.json, or a GGUF
    /// file.
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: PathBuf,
    /// Only this row, from 1.
    #[arg(long, value_name = "N")]
    pub(crate) row: Option<usize>,
}

/// Count rows and tokens, and draw how long the rows are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn dataset stats data")]
pub(crate) struct StatsArgs {
    /// The folder of an export of tokens.
    pub(crate) dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Bring recordings in.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    Bundle(ImportBundleArgs),
}

/// Import bundles that `limn export --format bundle` wrote: identical rows, identical hashes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn import bundle out/*.limn")]
pub(crate) struct ImportBundleArgs {
    /// Bundle files.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// One JSON object for each bundle.
    #[arg(long)]
    pub(crate) json: bool,
}
