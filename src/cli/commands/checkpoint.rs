//! `limn checkpoint`: checkpoints without a session.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use workspace::{FreshCopy, Hash, How, OnEdits, Overlay, Policy, Restore, Workspace};

use crate::args::{
    CheckpointCopyArgs, CheckpointEnterArgs, CheckpointRestoreArgs, CheckpointTakeArgs, CopyHow,
};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note};
use crate::store::Store;

/// Nobody cancels a command but by killing it.
pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

pub(crate) fn take(args: &CheckpointTakeArgs) -> CliResult {
    let taken = open(&args.workspace)?.checkpoint(&NEVER)?;
    let manifest = &taken.manifest;
    Out::new().json(&json!({
        "tree": taken.tree.to_string(),
        "content": manifest.content.to_string(),
        "files": manifest.files,
        "folders": manifest.folders,
        "links": manifest.links,
        "bytes": manifest.bytes,
        "hard_linked": manifest.hard_linked,
        "read": taken.read,
        "finished": taken.finished.as_ref().map(ToString::to_string),
        "added_blobs": taken.added.blobs,
        "added_bytes": taken.added.bytes,
        "skipped": manifest.skipped.iter().map(skipped).collect::<Vec<Value>>(),
    }));
    Ok(Exit::Completed)
}

pub(crate) fn restore(args: &CheckpointRestoreArgs) -> CliResult {
    let what = Restore { on_edits: OnEdits::Overwrite, ..Restore::to(tree(&args.tree)?) };
    let restored = open(&args.workspace)?.restore(&what, &NEVER)?;
    Out::new().json(&told(&restored));
    Ok(Exit::Completed)
}

pub(crate) fn copy(args: &CheckpointCopyArgs) -> CliResult {
    let store = Store::open()?;
    let tree = tree(&args.tree)?;
    let fresh = |how| FreshCopy::new(store.home.path(), &tree, &args.scratch, how);
    if args.how != CopyHow::Copy {
        let copy = fresh(How::Overlay)?;
        if let Some(overlay) = copy.overlay()
            && (args.how == CopyHow::Overlay || can_mount(overlay))
        {
            return run(within(overlay)?.args(&args.command), &copy);
        }
        drop(copy);
        note("     ! No overlay can be mounted here: every file is copied.");
    }
    let copy = fresh(How::Copy)?;
    let [program, arguments @ ..] = args.command.as_slice() else {
        return Err(CliError::usage("There is no command. Name one after `--`."));
    };
    run(Command::new(program).args(arguments), &copy)
}

/// The other half of `copy`: this process gets mounts of its own, and becomes the command.
pub(crate) fn enter(args: &CheckpointEnterArgs) -> CliResult {
    use std::os::unix::process::CommandExt;

    let CheckpointEnterArgs { at, lower, upper, work, command } = args;
    let overlay =
        Overlay { at: at.clone(), lower: lower.clone(), upper: upper.clone(), work: work.clone() };
    overlay.enter()?;
    let [program, arguments @ ..] = command.as_slice() else {
        return Err(CliError::usage("There is no command. Name one after `--`."));
    };
    let error = Command::new(program).args(arguments).current_dir(at).exec();
    Err(cannot_start(program, &error))
}

/// Whether an overlay can be mounted, by trying it.
fn can_mount(overlay: &Overlay) -> bool {
    let tried = within(overlay).map(|mut command| command.arg("true").output());
    matches!(tried, Ok(Ok(output)) if output.status.success())
}

fn within(overlay: &Overlay) -> Result<Command, CliError> {
    let own = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("Cannot find limn itself: {error}.")))?;
    let mut command = Command::new(own);
    command.args(["checkpoint", "enter"]);
    command.args([&overlay.at, &overlay.lower, &overlay.upper, &overlay.work]).arg("--");
    Ok(command)
}

fn run(command: &mut Command, copy: &FreshCopy) -> CliResult {
    let status = command.current_dir(copy.root()).status();
    let status = status.map_err(|error| cannot_start(command.get_program(), &error))?;
    Ok(if status.success() { Exit::Completed } else { Exit::Failed })
}

fn cannot_start(program: &std::ffi::OsStr, error: &std::io::Error) -> CliError {
    let program = program.to_string_lossy();
    CliError::failed(format!("Cannot start {program}: {error}. Name a program that is there."))
}

fn open(root: &Path) -> Result<Workspace, CliError> {
    let store = Store::open()?;
    Ok(Workspace::open(root, store.home.path(), Policy::default(), true)?)
}

fn tree(text: &str) -> Result<Hash, CliError> {
    text.parse().map_err(|_| {
        CliError::usage(format!(
            "`{}` is no checkpoint. Its name is 64 hexadecimal digits.",
            text.chars().take(80).collect::<String>()
        ))
    })
}

/// What a restore did, as JSON.
pub(crate) fn told(restored: &workspace::Restored) -> Value {
    let changes = |changes: &[workspace::Change]| -> Vec<Value> {
        let files = changes.iter().filter(|change| !change.is_folder());
        files.map(|change| json!({ "path": path(&change.path), "change": change.kind() })).collect()
    };
    json!({
        "before": restored.before.tree.to_string(),
        "after": restored.after.as_ref().map(|after| after.tree.to_string()),
        "changes": changes(&restored.changes),
        "edited": changes(&restored.edited),
        "stopped": restored.stopped,
        "finished": restored.finished.as_ref().map(ToString::to_string),
        "left": restored
            .left
            .iter()
            .map(|left| json!({ "path": path(&left.path), "why": why(left.why) }))
            .collect::<Vec<Value>>(),
        "skipped": restored.skipped.iter().map(skipped).collect::<Vec<Value>>(),
    })
}

/// Why a path was left alone, as the end of a sentence.
pub(crate) const fn why(why: workspace::Why) -> &'static str {
    match why {
        workspace::Why::LeftOut => "one of the two checkpoints left it out",
        workspace::Why::Edited => "you changed it",
        workspace::Why::Meanwhile => "it changed meanwhile",
        workspace::Why::NotEmpty => "something that stays lies in it",
    }
}

fn skipped(skipped: &workspace::Skipped) -> Value {
    json!({ "path": path(&skipped.path), "reason": skipped.reason.name() })
}

/// A path as text; what is no text in it is shown as such.
pub(crate) fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
