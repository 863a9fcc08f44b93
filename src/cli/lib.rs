//! The command line: arguments, settings, one file for each command.
//!
//! [`run`] is all that `main` calls. Commands print through [`mod@print`] and fail with a sentence and
//! an exit code ([`mod@error`]); they decide nothing about agents, recordings or formats.

mod args;
mod attachments;
mod bill;
mod commands;
mod compose;
mod error;
mod limn_train;
mod local;
mod packages;
mod patience;
mod print;
mod settings;
mod store;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{
    CheckpointCommand, Cli, Command, DatasetCommand, ImportCommand, KeyCommand, StoreCommand,
};
use error::{CliResult, Exit};

/// Parses the command line and does what it says.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // A closed terminal is no reason to fail louder.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { Exit::Usage as u8 });
        }
    };
    let Some(command) = &cli.command else {
        if let Some(told) = args::misplaced_command(&cli, std::env::args_os()) {
            let _ = told.print();
            return ExitCode::from(Exit::Usage as u8);
        }
        return ended(commands::terminal::run(&cli.terminal));
    };
    ended(match command {
        Command::Resume(args) => commands::terminal::resume(args),
        Command::Exec(args) => commands::exec::run(args),
        Command::Demo(args) => commands::demo::run(args),
        Command::Sessions(args) => commands::sessions::run(args),
        Command::Play(args) => commands::play::run(args),
        Command::Show(args) => commands::show::run(args),
        Command::Rm(args) => commands::rm::run(args),
        Command::Rewind(args) => commands::rewind::run(args),
        Command::Fork(args) => commands::fork::run(args),
        Command::Annotate(args) => commands::annotate::run(args),
        Command::Export(args) => commands::export::run(args),
        Command::Dataset(DatasetCommand::Inspect(args)) => commands::dataset::inspect(args),
        Command::Dataset(DatasetCommand::Stats(args)) => commands::dataset::stats(args),
        Command::Dataset(DatasetCommand::Verify(args)) => commands::dataset::verify(args),
        Command::Dataset(DatasetCommand::Diff(args)) => commands::dataset::diff(args),
        Command::Dataset(DatasetCommand::Card(args)) => commands::dataset::card(args),
        Command::Import(ImportCommand::Bundle(args)) => commands::import::run(args),
        Command::Train(args) => commands::train::run(args),
        Command::Compare(args) => commands::compare::run(args),
        Command::Serve(args) => commands::serve::run(args),
        Command::Models(args) => commands::models::run(args),
        Command::Key(KeyCommand::Set(args)) => commands::key::set(args),
        Command::Key(KeyCommand::Rm(args)) => commands::key::rm(args),
        Command::Key(KeyCommand::List(args)) => commands::key::list(args),
        Command::Store(StoreCommand::Stats(args)) => commands::store::stats(args),
        Command::Store(StoreCommand::Gc(args)) => commands::store::gc(args),
        Command::Store(StoreCommand::Check(args)) => commands::store::check(args),
        Command::Store(StoreCommand::Backup(args)) => commands::store::backup(args),
        Command::Store(StoreCommand::Rebuild(args)) => commands::store::rebuild(args),
        Command::Checkpoint(CheckpointCommand::Take(args)) => commands::checkpoint::take(args),
        Command::Checkpoint(CheckpointCommand::Restore(args)) => {
            commands::checkpoint::restore(args)
        }
        Command::Checkpoint(CheckpointCommand::Copy(args)) => commands::checkpoint::copy(args),
        Command::Checkpoint(CheckpointCommand::Enter(args)) => commands::checkpoint::enter(args),
        Command::Trust(args) => commands::trust::run(args),
        Command::Doctor(args) => commands::doctor::run(args),
        Command::Completions(args) => commands::generate::completions(args),
        Command::Man(args) => commands::generate::man(args),
    })
}

/// The exit code of a command, and its error told.
fn ended(result: CliResult) -> ExitCode {
    match result {
        Ok(Exit::Completed) if print::has_failed() => ExitCode::from(Exit::Failed as u8),
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            print::note(&format!("limn: {}", print::safe(&error.to_string())));
            ExitCode::from(error.exit as u8)
        }
    }
}

#[cfg(test)]
mod tests;
