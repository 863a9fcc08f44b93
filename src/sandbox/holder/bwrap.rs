//! The second way to a holder: `bwrap` makes the namespaces and the mounts, and starts the holder
//! in them.
//!
//! On some systems only programs that the distribution knows may make user namespaces, and `bwrap`
//! is one of them. It is told the same plan in its own words; what it sets up, the holder then
//! confines as always. It is not asked to die with its parent: that is a thread, and those of limn
//! come and go. The holder sees limn hang up, and with the holder `bwrap` ends.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::handle::HolderProgram;
use super::plan::{Mount, Plan};

/// Where the holder's program is seen inside, wherever it lies outside.
const INSIDE: &str = "/run/limn-holder";

/// The command that starts a holder in what `bwrap` sets up.
pub(super) fn command(program: &HolderProgram, plan: &Plan) -> Result<Command, String> {
    let bwrap = find().ok_or("the program bwrap was not found on the PATH")?;
    let holder = program.path.canonicalize();
    let holder = holder.map_err(|error| format!("{}: {error}", program.path.display()))?;
    let mut command = Command::new(bwrap);
    command.args(["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
    command.args(["--unshare-cgroup-try", "--unshare-net", "--cap-drop", "ALL"]);
    // Its own first process would wait for everybody, and outlive the holder.
    command.arg("--as-pid-1");
    command.args(["--ro-bind", "/", "/"]);
    for mount in &plan.mounts {
        add(&mut command, mount);
    }
    command.arg("--ro-bind").arg(&holder).arg(INSIDE);
    command.args(["--chdir", "/", "--", INSIDE]).args(&program.args);
    Ok(command)
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("bwrap"))
        .find(|file| file.is_file())
}

fn add(command: &mut Command, mount: &Mount) {
    let mut say = |words: &[&OsStr]| {
        command.args(words);
    };
    match mount {
        Mount::Empty { at, bytes } => {
            let mode = if Path::new(at).ends_with("tmp") { "1777" } else { "0755" };
            let bytes = OsString::from(bytes.to_string());
            let size = [OsStr::new("--perms"), OsStr::new(mode), OsStr::new("--size"), &bytes];
            say(&size);
            say(&[OsStr::new("--tmpfs"), at]);
        }
        Mount::Show { at, writable } => {
            say(&[OsStr::new(if *writable { "--bind" } else { "--ro-bind" }), at, at]);
        }
        Mount::Hide { at } if Path::new(at).is_dir() => {
            say(&[OsStr::new("--perms"), OsStr::new("0000"), OsStr::new("--tmpfs"), at]);
            say(&[OsStr::new("--remount-ro"), at]);
        }
        // Devices do not work on what is bound without the right to them: it cannot be opened.
        Mount::Hide { at } => say(&[OsStr::new("--ro-bind"), OsStr::new("/dev/null"), at]),
        Mount::Devices { bytes } => {
            say(&[OsStr::new("--dev"), OsStr::new("/dev")]);
            let bytes = OsString::from(bytes.to_string());
            say(&[OsStr::new("--perms"), OsStr::new("1777"), OsStr::new("--size"), &bytes]);
            say(&[OsStr::new("--tmpfs"), OsStr::new("/dev/shm")]);
        }
        Mount::Processes => say(&[OsStr::new("--proc"), OsStr::new("/proc")]),
    }
}
