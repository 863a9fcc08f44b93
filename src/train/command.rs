//! The command line of `limn-train`. It is for `limn`, which has the one for people.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::Result;
use crate::run::{Ended, run as train};
use crate::torch::Cuda;
use crate::{doctor, merge, serve};

const USAGE: &str = "\
Usage: limn-train run RUN | merge RUN --out DIR | serve TARGET [FLAGS] | doctor

People use `limn train` and `limn serve`, which start this program.
  run RUN              trains what the folder says, from its newest checkpoint; a signal saves
  merge RUN --out DIR  writes a model with the adapter of a run in its weights
  serve TARGET         serves a model or what came of a run; `limn-train serve --help` has the flags
  doctor               says as JSON which libtorch runs, and what it computes with
";

/// Ended by a signal, and saved.
const STOPPED: u8 = 130;

/// Does what the arguments ask. Exit code 1 is a failure, 2 a command line that is none, 130 a run
/// that was asked to stop.
#[must_use]
pub fn run(cuda: &Cuda, args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    // A path need not be a word.
    let path = |at: usize| args.get(at).map(Path::new).unwrap_or(Path::new(""));
    match words.as_slice() {
        ["doctor"] => say(&format!("{:#}\n", doctor::report(cuda)), ExitCode::SUCCESS),
        ["--help" | "-h"] => say(USAGE, ExitCode::SUCCESS),
        ["serve", "--help" | "-h"] => say(serve::USAGE, ExitCode::SUCCESS),
        ["serve", ..] => serve::serve(args.iter().skip(1).cloned(), cuda),
        ["run", ..] if args.len() == 2 => run_folder(path(1), cuda),
        ["merge", ..] if args.len() == 4 && args.get(2).is_some_and(|it| it == "--out") => {
            ended(merge::merge(path(1), path(3)))
        }
        _ => say(USAGE, ExitCode::from(2)),
    }
}

fn run_folder(folder: &Path, cuda: &Cuda) -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        // Without a handler the process dies of the signal, and goes on from its checkpoint.
        let _ = signal_hook::flag::register(signal, Arc::clone(&stop));
    }
    match train(folder, cuda, &stop) {
        Ok(Ended::Finished) => ExitCode::SUCCESS,
        Ok(Ended::Stopped) => ExitCode::from(STOPPED),
        Err(error) => ended(Err(error)),
    }
}

fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever started this may be gone; then nobody reads it.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}
