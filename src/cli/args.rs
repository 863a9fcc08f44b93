//! What can be typed. This is the first of two stages: here the words are parsed, in
//! [`crate::settings`] they are given their meaning together with the settings files and the
//! environment.

mod checkpoints;
mod compare;
mod datasets;
mod isolation;
mod run;
mod serve;
mod sessions;
mod train;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub(crate) use checkpoints::{
    CheckpointCommand, CheckpointCopyArgs, CheckpointEnterArgs, CheckpointRestoreArgs,
    CheckpointTakeArgs, CopyHow, ForkArgs, RewindArgs, StoreBackupArgs, StoreCheckArgs,
    StoreCommand, StoreGcArgs, StoreRebuildArgs, StoreStatsArgs,
};
pub(crate) use compare::CompareArgs;
pub(crate) use datasets::{
    CardArgs, ConsentArg, DatasetCommand, DiffArgs, ExportArgs, FilesArg, FilterArgs, FormatArg,
    ImportBundleArgs, ImportCommand, InspectArgs, RowsArg, StatsArgs, StatusArg, TokensArgs,
    VerifyArgs, VersionArgs,
};
pub(crate) use isolation::{PresetArg, SandboxArgs};
pub(crate) use run::{Api, ApprovalArg, RunArgs, SandboxArg, SessionArgs, ThinkArg, ToolsArg};
pub(crate) use serve::ServeArgs;
pub(crate) use sessions::{ListArgs, PlayArgs};
pub(crate) use train::{
    AttachArgs, DeviceArg, MergeArgs, MethodArg, PrecisionArg, RecipeArgs, ResumeRunArgs,
    RunnerArgs, StopArgs, TrainArgs, TrainCommand, WatchArgs, computed_by,
};

/// An agent terminal whose every session is a recording good enough to train on.
#[derive(Debug, Parser)]
#[command(name = "limn", version, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Without a command, the terminal opens in this folder. Data lies in $LIMN_HOME, else in the XDG data folder; settings in \
    config.toml in the XDG config folder.\n\nExample:\n  limn exec --model gpt-5 \
    \"Why does the build fail?\""
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The error of a prompt that is the name of a command behind options, and was not said to be a prompt.
pub(crate) fn misplaced_command(
    cli: &Cli,
    mut arguments: impl Iterator<Item = OsString>,
) -> Option<clap::Error> {
    let word = cli.terminal.prompt.as_deref()?;
    let mut command = Cli::command();
    let is_command = command.find_subcommand(word).is_some();
    (is_command && arguments.all(|argument| argument != "--")).then(|| {
        let told = format!(
            "`{word}` is a command and comes before its options: limn {word} …\n\nTo ask just that: \
             limn … -- {word}"
        );
        command.error(ErrorKind::ArgumentConflict, told)
    })
}

/// The terminal.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TerminalArgs {
    /// What to ask first.
    pub(crate) prompt: Option<String>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Keep the session out of datasets.
    #[arg(long)]
    pub(crate) private: bool,
}

/// Go on with a recorded session in the terminal.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn resume last")]
pub(crate) struct ResumeArgs {
    /// An id, a unique prefix of one, or `last`.
    #[arg(default_value = "last")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Exec(Box<ExecArgs>),
    Resume(Box<ResumeArgs>),
    Demo(DemoArgs),
    Sessions(ListArgs),
    Show(ShowArgs),
    Play(PlayArgs),
    Rm(RmArgs),
    Rewind(RewindArgs),
    Fork(ForkArgs),
    Annotate(AnnotateArgs),
    Export(Box<ExportArgs>),
    #[command(subcommand)]
    Dataset(DatasetCommand),
    #[command(subcommand)]
    Import(ImportCommand),
    Train(Box<TrainArgs>),
    Compare(Box<CompareArgs>),
    Serve(Box<ServeArgs>),
    Models(ModelsArgs),
    #[command(subcommand)]
    Key(KeyCommand),
    #[command(subcommand)]
    Store(StoreCommand),
    #[command(subcommand, hide = true)]
    Checkpoint(CheckpointCommand),
    Trust(TrustArgs),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Run one session without a terminal: the answer on stdout, what happens on stderr.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 completed, 1 failed or hit a limit, 2 usage, 3 the model \
    could not be reached, 4 recording failed, 130 interrupted.\n\nExample:\n  limn exec --json \
    --max-steps 20 \"Add a test for the parser\"")]
pub(crate) struct ExecArgs {
    /// What to do; `-` reads it from stdin.
    pub(crate) prompt: Option<String>,
    /// Print every event as a JSON object on a line of its own.
    #[arg(long)]
    pub(crate) json: bool,
    /// Go on with a recorded session: an id, a unique prefix of one, or `last`.
    #[arg(long, value_name = "ID")]
    pub(crate) resume: Option<String>,
    /// A picture to show with the prompt: png, jpeg, gif or webp. May be repeated.
    #[arg(long = "image", value_name = "FILE")]
    pub(crate) images: Vec<PathBuf>,
    /// A file to hand in with the prompt: a picture, or text, which is put into the prompt. May be
    /// repeated.
    #[arg(long = "attach", value_name = "FILE")]
    pub(crate) attachments: Vec<PathBuf>,
    /// How stdin is read: one prompt as text, or `{"prompt":…,"attachments":[…]}` a line, a round
    /// each.
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) input_format: InputFormat,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Record the provider's raw streams in this folder too, for replay with `--model cassette:DIR`.
    #[arg(long, value_name = "DIR")]
    pub(crate) cassette: Option<PathBuf>,
    /// Keep this session out of datasets. Said when it begins.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) private: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    Text,
    Jsonl,
}

/// The whole loop on a scripted model: record, show, annotate, export. Needs no key.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn demo --dir /tmp/limn-demo")]
pub(crate) struct DemoArgs {
    /// Where to put it; a new temporary folder unless told.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Milliseconds between the pieces of a reply, to watch it being written.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) delay_ms: u64,
    /// Print one JSON object at the end instead of a report.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show a session: what was asked, thought, called, seen and answered.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn show last")]
pub(crate) struct ShowArgs {
    /// An id, a unique prefix of one, or `last`.
    pub(crate) id: String,
    /// One JSON object a line: the session, its events, its result.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the complete output of this execution instead; byte for byte where stdout is not a
    /// terminal.
    #[arg(long, value_name = "N", conflicts_with = "json")]
    pub(crate) output: Option<u32>,
    /// Print the exact body of this request to the model instead.
    #[arg(long, value_name = "N", conflicts_with_all = ["json", "output"])]
    pub(crate) request: Option<u32>,
    /// Print the provider's raw answer to this request instead.
    #[arg(long, value_name = "N", conflicts_with_all = ["json", "output", "request"])]
    pub(crate) response: Option<u32>,
}

/// Delete sessions for good.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn rm 0198f2")]
pub(crate) struct RmArgs {
    /// Ids, unique prefixes, or `last`.
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// One JSON object for each session deleted, and one for what only their checkpoints held.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say how a session turned out. Judgements are kept beside the recording, never in it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn annotate last --outcome success --source verifier\n  \
    limn annotate last --tag gomoku --domain coding --consent team")]
pub(crate) struct AnnotateArgs {
    /// An id, a unique prefix of one, or `last`.
    pub(crate) id: String,
    /// Whether the task was done.
    #[arg(long, value_enum, required_unless_present_any = ["review", "domain", "consent", "tags", "untags"])]
    pub(crate) outcome: Option<OutcomeArg>,
    /// Who says so.
    #[arg(long, value_enum, default_value = "user")]
    pub(crate) source: OutcomeSource,
    /// Whether it is good enough to train on.
    #[arg(long, value_enum)]
    pub(crate) review: Option<ReviewArg>,
    /// The field it belongs to, such as `coding`.
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<String>,
    /// For whom it may be used; `private` keeps it out of datasets.
    #[arg(long, value_enum)]
    pub(crate) consent: Option<ConsentArg>,
    /// A word for it, by which it can be exported; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Take a tag away; may be repeated.
    #[arg(long = "untag", value_name = "TAG")]
    pub(crate) untags: Vec<String>,
    /// Print the annotations as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeArg {
    Success,
    Failure,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutcomeSource {
    User,
    Verifier,
    Judge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReviewArg {
    Accepted,
    Rejected,
    None,
}

/// List the providers (their address, their API, and whether their key is there) and the models of
/// this machine.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn models --remote ollama")]
pub(crate) struct ModelsArgs {
    /// Only this provider; `local`: only the models of this machine.
    pub(crate) provider: Option<String>,
    /// Ask the provider which models it has: the one named, or the one that is chosen.
    #[arg(long)]
    pub(crate) remote: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Keep keys in the system's keyring.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    Set(KeySetArgs),
    Rm(KeyRmArgs),
    List(KeyListArgs),
}

/// Put a provider's key into the keyring. It is read from stdin, or typed without being shown.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  limn key set deepseek\n  pass show deepseek | limn key set deepseek"
)]
pub(crate) struct KeySetArgs {
    /// The provider: a name of `limn models`.
    pub(crate) provider: String,
}

/// Take a provider's key out of the keyring.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn key rm deepseek")]
pub(crate) struct KeyRmArgs {
    /// The provider: a name of `limn models`.
    pub(crate) provider: String,
}

/// List the providers whose keys are in the keyring. The keys themselves are never printed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn key list")]
pub(crate) struct KeyListArgs {
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// See what a workspace's own settings ask for beyond making things stricter, and trust them.
///
/// They are trusted as they are now: when the file changes, it is asked about again.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn trust ~/src/project\n  limn trust --list")]
pub(crate) struct TrustArgs {
    /// The workspace; the current folder unless told.
    pub(crate) path: Option<PathBuf>,
    /// Do not ask.
    #[arg(long, conflicts_with_all = ["list", "revoke"])]
    pub(crate) yes: bool,
    /// List what is trusted.
    #[arg(long, conflicts_with_all = ["revoke", "path"])]
    pub(crate) list: bool,
    /// Trust it no more.
    #[arg(long)]
    pub(crate) revoke: bool,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say what works on this machine, and the fix for what does not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn doctor --store")]
pub(crate) struct DoctorArgs {
    /// Look at the data folder alone, and at every recording: integrity, hash chains, calls, blobs.
    #[arg(long)]
    pub(crate) store: bool,
    /// One JSON object for each check.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print a profile for AppArmor instead, which lets limn isolate commands where AppArmor lets
    /// only programs that it knows make user namespaces.
    #[arg(long, conflicts_with_all = ["store", "json"])]
    pub(crate) apparmor: bool,
}

/// Print a completion script.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  limn completions bash > ~/.local/share/bash-completion/completions/limn"
)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Write the man pages.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The folder to write them into.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}
