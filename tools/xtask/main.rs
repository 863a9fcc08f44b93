//! Automation for limn, run as `cargo xtask COMMAND` from any folder of the workspace.
//!
//! One file per command. Only `setup` installs or fetches anything; everything after it works
//! without a network. This crate knows cargo, git and the layout of the workspace, and nothing of
//! what limn does: it runs the binary as a user would.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks by printing")]

mod bench;
mod demo;
mod interop;
mod libtorch;
mod measure;
mod process;
mod random;
mod screenshots;
mod setup;
mod soak;
mod table;
mod test;
mod tidy;
mod wheels;

use std::process::ExitCode;

use anyhow::Result;

/// What the user got wrong on the command line; ends with exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl std::fmt::Display for Usage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

struct Command {
    name: &'static str,
    about: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "setup",
        about: "check and install what the other commands need",
        help: setup::HELP,
        run: setup::run,
    },
    Command {
        name: "demo",
        about: "build limn, run its demo, train a small model; no key needed",
        help: demo::HELP,
        run: demo::run,
    },
    Command {
        name: "test",
        about: "everything that CI runs, in stages",
        help: test::HELP,
        run: test::run,
    },
    Command {
        name: "bench",
        about: "measure speed and memory; prints medians",
        help: bench::HELP,
        run: bench::run,
    },
    Command {
        name: "interop",
        about: "read exports with the packages they are for; needs PyPI once",
        help: interop::HELP,
        run: interop::run,
    },
    Command {
        name: "libtorch",
        about: "fetch what limn-train computes with",
        help: libtorch::HELP,
        run: libtorch::run,
    },
    Command {
        name: "screenshots",
        about: "pictures of the terminal for the documentation",
        help: screenshots::HELP,
        run: screenshots::run,
    },
    Command {
        name: "soak",
        about: "the loops that are too long for the tests",
        help: soak::HELP,
        run: soak::run,
    },
    Command {
        name: "tidy",
        about: "check the limits of docs/STYLE.md",
        help: tidy::HELP,
        run: tidy::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        return Err(Usage(format!("which command?\n\n{}", overview())).into());
    };
    if ["--help", "-h", "help"].contains(&name.as_str()) {
        println!("{}", overview());
        return Ok(());
    }
    if name == measure::WRAPPER {
        return measure::wrapper(rest);
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return Err(Usage(format!("no command `{name}`\n\n{}", overview())).into());
    };
    if rest.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{}", command.help.trim_end());
        return Ok(());
    }
    (command.run)(rest)
}

fn overview() -> String {
    let mut text = "Usage: cargo xtask COMMAND [--help]\n".to_owned();
    for command in COMMANDS {
        text.push_str(&format!("\n  {:12}{}", command.name, command.about));
    }
    text
}
