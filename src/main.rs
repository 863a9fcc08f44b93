//! limn: an agent terminal whose every session is a recording good enough to train on.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else exists: the holder of a sandbox must be a process of one thread.
    #[cfg(target_os = "linux")]
    if std::env::args_os().nth(1).is_some_and(|word| word == sandbox::holder::WORD) {
        return sandbox::holder::run();
    }
    cli::run()
}
