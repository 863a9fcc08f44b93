//! limn: an agent terminal whose every session is a recording good enough to train on.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
