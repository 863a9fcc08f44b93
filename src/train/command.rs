//! The command line of `limn-train`. It is for `limn`, which has the one for people.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::doctor;
use crate::torch::Cuda;

const USAGE: &str = "\
Usage: limn-train doctor

People use `limn train`, which starts this program.
  doctor   says as JSON which libtorch runs, and what it computes with
";

/// Does what the arguments ask. Exit code 2 is a command line that is none.
#[must_use]
pub fn run(cuda: &Cuda, args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let (text, code) = match words.as_slice() {
        ["doctor"] => (format!("{:#}\n", doctor::report(cuda)), ExitCode::SUCCESS),
        ["--help" | "-h"] => (USAGE.to_owned(), ExitCode::SUCCESS),
        _ => (USAGE.to_owned(), ExitCode::from(2)),
    };
    // Whoever started this may be gone; then nobody reads it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    code
}
