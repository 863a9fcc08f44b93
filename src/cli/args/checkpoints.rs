//! What can be typed about checkpoints of the workspace.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Take a session back to before a round: what was said, what was done to the files, or both.
#[derive(Debug, Args)]
#[command(after_help = "Without --to, lists the rounds. What you changed yourself since then is \
    never undone unseen: choose with --keep-mine or --overwrite. The files as they are now are \
    kept in a checkpoint first.\n\nExit codes: 0 done, 1 not done, 2 usage.\n\nExample:\n  limn \
    rewind last --to 3 --dry-run\n  limn rewind last --to 3 --files")]
pub(crate) struct RewindArgs {
    /// An id, a unique prefix of one, or `last`.
    pub(crate) id: String,
    /// The round that is to be as if it had not been, with all that followed it.
    #[arg(long, value_name = "ROUND", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) to: Option<u32>,
    /// Only the files; the model is told.
    #[arg(long, requires = "to", conflicts_with_all = ["conversation", "both"])]
    pub(crate) files: bool,
    /// Only the conversation.
    #[arg(long, requires = "to", conflicts_with = "both")]
    pub(crate) conversation: bool,
    /// The files and the conversation: what it does unless told otherwise.
    #[arg(long, requires = "to")]
    pub(crate) both: bool,
    /// Only say what would change.
    #[arg(long, requires = "to")]
    pub(crate) dry_run: bool,
    /// Leave the files that you changed yourself as they are.
    #[arg(long, requires = "to", conflicts_with = "overwrite")]
    pub(crate) keep_mine: bool,
    /// Take the files that you changed yourself back too.
    #[arg(long, requires = "to")]
    pub(crate) overwrite: bool,
    /// Where the workspace is now, if it was moved.
    #[arg(long, value_name = "DIR", requires = "to")]
    pub(crate) workspace: Option<PathBuf>,
    /// JSON instead of text: an object a round, or one that says what changed.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Begin a session that goes on from another one: a copy of its events, up to a point or all of
/// them. The original stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "What is copied is context: nothing of it is trained a second time. The \
    files of the workspace stay as they are; `limn rewind` takes them back.\n\nExample:\n  \
    limn fork last\n  limn fork last --at 120 && limn resume last")]
pub(crate) struct ForkArgs {
    /// An id, a unique prefix of one, or `last`.
    pub(crate) id: String,
    /// The last event to take over, by its number as `limn show --json` prints it.
    #[arg(long, value_name = "SEQ")]
    pub(crate) at: Option<u64>,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Look after the store of workspace contents.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    Stats(StoreStatsArgs),
    Gc(StoreGcArgs),
}

/// Say how much is stored.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn store stats")]
pub(crate) struct StoreStatsArgs {
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Delete the workspace contents that no recording needs any more.
#[derive(Debug, Args)]
#[command(
    after_help = "Safe beside running sessions.\n\nExample:\n  limn rm 0198f2 && limn store \
    gc"
)]
pub(crate) struct StoreGcArgs {
    /// Seconds that something has to be out of use; while a session runs, at least 600.
    #[arg(long, value_name = "S", default_value_t = 3600)]
    pub(crate) older_than: u64,
    /// One JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checkpoints without a session: for scripts and benchmarks.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointCommand {
    Take(CheckpointTakeArgs),
    Restore(CheckpointRestoreArgs),
    Copy(CheckpointCopyArgs),
    #[command(hide = true)]
    Enter(CheckpointEnterArgs),
}

/// Take a checkpoint and print what it holds as JSON.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn checkpoint take")]
pub(crate) struct CheckpointTakeArgs {
    /// The folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) workspace: PathBuf,
}

/// Take a folder back to a checkpoint and print what changed as JSON.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn checkpoint restore \"$tree\"")]
pub(crate) struct CheckpointRestoreArgs {
    /// The checkpoint's name.
    pub(crate) tree: String,
    /// The folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) workspace: PathBuf,
}

/// Run a command in a throw-away copy of a checkpoint.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn checkpoint copy \"$tree\" --scratch /tmp/copy -- make \
    test")]
pub(crate) struct CheckpointCopyArgs {
    /// The checkpoint's name.
    pub(crate) tree: String,
    /// A folder to be made for the copy and deleted afterwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: PathBuf,
    /// How the copy is made.
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) how: CopyHow,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CopyHow {
    /// An overlay where the system has one, else a copy of every file.
    Auto,
    /// An overlay: changes are laid over the expanded checkpoint.
    Overlay,
    /// A copy of every file.
    Copy,
}

/// Mount an overlay in namespaces of this process and become a command: the other half of `copy`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  limn checkpoint enter root ground changes work -- make test")]
pub(crate) struct CheckpointEnterArgs {
    /// Where it is mounted.
    pub(crate) at: PathBuf,
    /// The expanded checkpoint.
    pub(crate) lower: PathBuf,
    /// Where changes go.
    pub(crate) upper: PathBuf,
    /// What the overlay needs for itself.
    pub(crate) work: PathBuf,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}
