//! What can be typed about datasets: out, in, and looked at.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use dataset::{Consent, Splits, Waivers};
use jiff::civil::Date;

use crate::args::OutcomeArg;
use crate::store::parse_time;

/// Write sessions out as a dataset, with a ledger of what the format cannot hold.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn export --format messages --out data/ --status all\n  \
    limn export --format messages --split train=90,test=10 --tag gomoku --out data/v1\n  limn \
    export --format messages --parent data/v1 --out data/v2\n  limn export --again data/v1 --out \
    copy\n  limn export --format tokens --tokenizer models/qwen3 --max-tokens 131072 --out ids")]
pub(crate) struct ExportArgs {
    /// `messages` for trainers (one sample a line; as TRL reads it, or in the form of another
    /// trainer), `tokens` for one model (ids and labels), `atif` and `traces` for viewers, `bundle`
    /// for everything, losslessly.
    #[arg(long, value_enum, required_unless_present = "again")]
    pub(crate) format: Option<FormatArg>,
    /// What a row is [default: trajectory]. Formats that train every reply (`limi`,
    /// `llamafactory`, `sharegpt`) have none by round.
    #[arg(long, value_enum)]
    pub(crate) rows: Option<RowsArg>,
    /// What the files of `messages` and `tokens` are; in Parquet, messages and tools are columns of
    /// JSON text [default: jsonl].
    #[arg(long, value_enum)]
    pub(crate) files: Option<FilesArg>,
    #[command(flatten)]
    pub(crate) tokens: TokensArgs,
    /// The folder to make; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    #[command(flatten)]
    pub(crate) version: VersionArgs,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which sessions are exported.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which sessions")]
pub(crate) struct FilterArgs {
    /// Only these sessions; may be repeated.
    #[arg(long = "session", value_name = "ID")]
    pub(crate) sessions: Vec<String>,
    /// Which sessions count [default: success, or all of an --outcome].
    #[arg(long, value_enum)]
    pub(crate) status: Option<StatusArg>,
    /// Only sessions of this outcome.
    #[arg(long, value_enum)]
    pub(crate) outcome: Option<OutcomeArg>,
    /// Only sessions with this tag; may be repeated: each of them.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// No sessions with this tag; may be repeated.
    #[arg(long = "without-tag", value_name = "TAG")]
    pub(crate) without_tags: Vec<String>,
    /// Only sessions of this domain; may be repeated: any of them.
    #[arg(long = "domain", value_name = "NAME")]
    pub(crate) domains: Vec<String>,
    /// Only sessions in which no other model was asked; may be repeated.
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// Only what this person recorded; may be repeated.
    #[arg(long = "annotator", value_name = "NAME")]
    pub(crate) annotators: Vec<String>,
    /// Only sessions begun on this day or later, or since then: `2026-11-20`, `2026-11-20T14:00`,
    /// or an age such as `7d`.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) since: Option<i64>,
    /// Only sessions begun up to the end of this day, or before then.
    #[arg(long, value_name = "TIME", value_parser = end)]
    pub(crate) until: Option<i64>,
    /// Only sessions that were said to be for the team, or for the public.
    #[arg(long, value_enum)]
    pub(crate) consent: Option<ConsentArg>,
    /// Only sessions of this workspace, or of a folder in it.
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
}

/// What makes a folder a version of a dataset.
#[derive(Debug, Args)]
#[command(next_help_heading = "Versions")]
pub(crate) struct VersionArgs {
    /// Split into parts by weight, such as `train=90,test=10`: by the group of a session's query,
    /// else by its workspace, never within one.
    #[arg(long, value_name = "PARTS", value_parser = parts)]
    pub(crate) split: Option<Splits>,
    /// Another seed, another split.
    #[arg(long, value_name = "N", requires = "split")]
    pub(crate) seed: Option<u64>,
    /// Keep what a quality gate would leave out, and say why; may be repeated.
    #[arg(long = "waive", value_name = "GATE=REASON", value_parser = waiver)]
    pub(crate) waivers: Vec<String>,
    /// What the dataset is called, on its card.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The licence it comes under, as Hugging Face spells it (`cc-by-4.0`).
    #[arg(long, value_name = "ID")]
    pub(crate) licence: Option<String>,
    /// The version before this one: split, waivers, name, licence and --files are as they were
    /// unless they are given.
    #[arg(long, value_name = "DIR")]
    pub(crate) parent: Option<PathBuf>,
    /// Export this version again: the same sessions up to the same events, the same bytes.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "format", "rows", "files", "max_tokens", "sessions", "status", "outcome", "tags", "without_tags",
        "domains", "models", "annotators", "since", "until", "consent", "workspace", "split",
        "waivers", "name", "licence", "parent",
    ])]
    pub(crate) again: Option<PathBuf>,
}

/// A time; of a day, its end.
fn end(text: &str) -> Result<i64, String> {
    let day = text.parse::<Date>().ok().filter(|day| day.to_string() == text);
    let next = day.and_then(|day| day.tomorrow().ok());
    parse_time(&next.map_or_else(|| text.to_owned(), |next| next.to_string()))
}

fn parts(text: &str) -> Result<Splits, String> {
    text.parse()
}

fn waiver(text: &str) -> Result<String, String> {
    Waivers::default().add(text).map(|()| text.to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    Messages,
    Openai,
    Axolotl,
    Slime,
    Limi,
    Llamafactory,
    Sharegpt,
    Tokens,
    /// ATIF 1.8, a file for each session, for Harbor.
    Atif,
    /// Session traces, a file for each session, for the viewer of the Hugging Face Hub.
    Traces,
    Bundle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowsArg {
    /// A whole trajectory, as far as no context was changed.
    Trajectory,
    /// What the model did after the user spoke, with all before it as context.
    Round,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilesArg {
    Jsonl,
    Parquet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConsentArg {
    Private,
    Team,
    Public,
}

impl From<ConsentArg> for Consent {
    fn from(arg: ConsentArg) -> Self {
        match arg {
            ConsentArg::Private => Self::Private,
            ConsentArg::Team => Self::Team,
            ConsentArg::Public => Self::Public,
        }
    }
}

/// For which model tokens are written, or counted.
#[derive(Debug, Args)]
pub(crate) struct TokensArgs {
    /// The model's folder (tokenizer.json and what lies beside it), or a GGUF file: `tokens` is
    /// written for it, and in formats of messages it counts for --max-tokens.
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// A chat template (Jinja) in the place of the model's own: a file, or `chatml-tools` or
    /// `deepseek-tools`, which come with limn.
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

/// Look at exports: what is in them, whether they are whole, what differs.
#[derive(Debug, Subcommand)]
pub(crate) enum DatasetCommand {
    Stats(StatsArgs),
    Inspect(InspectArgs),
    Verify(VerifyArgs),
    Diff(DiffArgs),
    Card(CardArgs),
}

/// Check an export against its manifest: every file is there, as it was written, and no other.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 whole, 1 not.\n\nExample:\n  limn dataset verify data/v1")]
pub(crate) struct VerifyArgs {
    /// The folder of an export.
    pub(crate) dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say what differs between two versions: sessions, parts, recipe, files.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn dataset diff data/v1 data/v2")]
pub(crate) struct DiffArgs {
    /// The folder of one export.
    pub(crate) before: PathBuf,
    /// The folder of another.
    pub(crate) after: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Print the dataset card, as Hugging Face reads it. (An export has it as README.md.)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn dataset card data/v1")]
pub(crate) struct CardArgs {
    /// The folder of an export.
    pub(crate) dir: PathBuf,
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

/// Count what is in an export: rows, tokens, models, tools; and draw how long the rows are.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn dataset stats data")]
pub(crate) struct StatsArgs {
    /// The folder of an export.
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
