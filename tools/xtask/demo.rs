//! `cargo xtask demo`: from a fresh clone to the main job done.

use anyhow::Result;

use crate::process::{cargo, program, run as run_command, target};
use crate::setup;

pub(crate) const HELP: &str = "\
Usage: cargo xtask demo [ARG…]

Sets the machine up, builds limn and runs `limn demo` with the same arguments: the whole loop on
a scripted model. Needs no key and no network once the crates are fetched.";

pub(crate) fn run(args: &[String]) -> Result<()> {
    setup::run(&[])?;
    run_command(&mut cargo(&["build", "--release", "--locked", "--offline", "--bin", "limn"]))?;
    let limn = target().join("release").join("limn");
    run_command(program(&limn.to_string_lossy(), &["demo"]).args(args))
}
