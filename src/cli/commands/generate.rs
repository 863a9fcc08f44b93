//! `limn completions` and `limn man`: generated from the same definitions as `--help`.

use std::fs;
use std::io::Write;

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note};

pub(crate) fn completions(args: &CompletionsArgs) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "limn", &mut script);
    // A reader that went away wants no more of it.
    let _ = Out::new().write_all(&script);
    Ok(Exit::Completed)
}

pub(crate) fn man(args: &ManArgs) -> CliResult {
    let failed = |error: std::io::Error| {
        CliError::failed(format!(
            "Cannot write man pages into {}: {error}. Name another folder with --out.",
            args.out.display()
        ))
    };
    fs::create_dir_all(&args.out).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.out).map_err(failed)?;
    note(&format!("man pages are in {}", args.out.display()));
    Ok(Exit::Completed)
}
