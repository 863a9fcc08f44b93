//! `limn-train`: what `limn train` starts, as a process of its own with libtorch in it.
//!
//! People use `limn train`. This program is told what to do by a run folder, and says what comes of
//! it in the files there, so that a terminal may come and go.

use std::process::ExitCode;

fn main() -> ExitCode {
    train::torch::keep_freed();
    // Before anything asks libtorch whether there is a GPU: it remembers the answer.
    let cuda = train::torch::load_cuda();
    train::command::run(&cuda, std::env::args_os().skip(1))
}
