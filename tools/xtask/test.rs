//! `cargo xtask test`: what CI runs, in stages, each timed.
//!
//! A stage prints straight to the terminal, so its closing lines are seen whole. The first stage
//! that fails ends the run: the later ones would mostly say the same thing again.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::libtorch::{self, Libtorch};
use crate::process::{cargo, is_ci, run as run_command, succeeds};
use crate::table::{Table, time_text};
use crate::{Usage, setup, tidy};

pub(crate) const HELP: &str = "\
Usage: cargo xtask test [--only STAGE,…] [--from STAGE]

Stages, in order:
  setup    check and install what is needed, fetch all crates
  fmt      cargo fmt --check
  clippy   clippy on everything, warnings are errors
  tidy     the limits of docs/STYLE.md, licences included
  deny     duplicate and banned crates (skipped without cargo-deny)
  test     all tests but those of limn-train
  train    limn-train, which needs libtorch: clippy, its tests, what it trained asked by limn,
           its documentation
  docs     the documentation builds without a warning

After setup nothing needs the network. Ends with the time of each stage; the first failure ends
the run and the exit code is 1.";

/// What stages share.
struct Run {
    /// Set once setup has fetched everything: later stages may not reach for the network.
    offline: bool,
}

impl Run {
    fn cargo(&self, args: &[&str]) -> Command {
        let mut command = cargo(args);
        if self.offline {
            command.env("CARGO_NET_OFFLINE", "true");
        }
        command
    }
}

enum Outcome {
    Passed,
    Skipped(&'static str),
}

struct Stage {
    name: &'static str,
    run: fn(&mut Run) -> Result<Outcome>,
}

const STAGES: &[Stage] = &[
    Stage { name: "setup", run: setup_stage },
    Stage { name: "fmt", run: fmt },
    Stage { name: "clippy", run: clippy },
    Stage { name: "tidy", run: tidy_stage },
    Stage { name: "deny", run: deny },
    Stage { name: "test", run: tests_stage },
    Stage { name: "train", run: train },
    Stage { name: "docs", run: docs },
];

pub(crate) fn run(args: &[String]) -> Result<()> {
    let stages = select(args)?;
    let started = Instant::now();
    let mut table = Table::new(&["stage", "result", "time"]);
    let mut shared = Run { offline: false };
    for stage in stages {
        println!("\n=== {} ===", stage.name);
        let begun = Instant::now();
        let outcome = (stage.run)(&mut shared);
        let took = begun.elapsed();
        let result = match &outcome {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(_) => "FAILED".to_owned(),
        };
        println!("=== {}: {result}, {} ===", stage.name, time_text(took));
        table.row(vec![stage.name.to_owned(), result, time_text(took)]);
        if let Err(error) = outcome {
            close(table, "stopped", started.elapsed());
            bail!("stage `{}` failed: {error:#}", stage.name);
        }
    }
    close(table, "passed", started.elapsed());
    Ok(())
}

fn close(mut table: Table, result: &str, took: Duration) {
    table.row(vec!["all".to_owned(), result.to_owned(), time_text(took)]);
    println!("\n{table}");
}

/// The stages that the arguments ask for, in their order.
fn select(args: &[String]) -> Result<Vec<&'static Stage>> {
    let known = |name: &str| {
        STAGES.iter().position(|stage| stage.name == name).ok_or_else(|| {
            let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
            Usage(format!("no stage `{name}`; there are {}", names.join(", ")))
        })
    };
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(STAGES.iter().collect()),
        ["--only", names] => {
            let chosen = names.split(',').map(known).collect::<Result<Vec<usize>, Usage>>()?;
            let stages = STAGES.iter().enumerate();
            Ok(stages.filter(|(at, _)| chosen.contains(at)).map(|(_, stage)| stage).collect())
        }
        ["--from", name] => Ok(STAGES.iter().skip(known(name)?).collect()),
        _ => Err(Usage("test takes --only STAGE,… or --from STAGE".to_owned()).into()),
    }
}

fn setup_stage(shared: &mut Run) -> Result<Outcome> {
    setup::run(&[])?;
    shared.offline = true;
    Ok(Outcome::Passed)
}

fn fmt(shared: &mut Run) -> Result<Outcome> {
    run_command(&mut shared.cargo(&["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed)
}

fn clippy(shared: &mut Run) -> Result<Outcome> {
    let args = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    run_command(&mut shared.cargo(&args))?;
    Ok(Outcome::Passed)
}

fn tidy_stage(_shared: &mut Run) -> Result<Outcome> {
    tidy::run(&[])?;
    Ok(Outcome::Passed)
}

fn deny(shared: &mut Run) -> Result<Outcome> {
    if !succeeds(&mut shared.cargo(&["deny", "--version"])) {
        return Ok(Outcome::Skipped("cargo-deny is not installed; tidy checks the licences"));
    }
    let args = ["deny", "--offline", "--locked", "check", "licenses", "bans", "sources"];
    run_command(&mut shared.cargo(&args))?;
    Ok(Outcome::Passed)
}

fn tests_stage(shared: &mut Run) -> Result<Outcome> {
    run_command(&mut shared.cargo(&["test", "--workspace", "--locked"]))?;
    Ok(Outcome::Passed)
}

fn train(shared: &mut Run) -> Result<Outcome> {
    match libtorch::ensure() {
        Ok(Libtorch::There(_)) => {}
        Ok(Libtorch::Unavailable(why)) => return Ok(Outcome::Skipped(why)),
        Err(error) if is_ci() => return Err(error),
        Err(_) => return Ok(Outcome::Skipped("libtorch is not here: cargo xtask libtorch")),
    }
    let package = ["--package", "limn-train", "--features", "torch", "--locked"];
    let clippy = [&["clippy", "--all-targets"], &package[..], &["--", "-D", "warnings"]].concat();
    run_command(&mut shared.cargo(&clippy))?;
    run_command(&mut shared.cargo(&[&["test"], &package[..]].concat()))?;
    // Beside limn, which finds it there: the loop from a recording to a model that says it again.
    run_command(&mut shared.cargo(&[&["build"], &package[..]].concat()))?;
    // With the targets of the stage before, so that nothing is built with other features.
    let story = ["test", "--workspace", "--tests", "--locked", "trained::", "--", "--ignored"];
    run_command(&mut shared.cargo(&story))?;
    document(shared, &package)
}

fn docs(shared: &mut Run) -> Result<Outcome> {
    document(shared, &["--workspace", "--locked"])
}

/// These docs are for us: links to private items are welcome, and must lead somewhere.
fn document(shared: &Run, packages: &[&str]) -> Result<Outcome> {
    let args = [&["doc", "--no-deps", "--document-private-items"], packages].concat();
    let mut command = shared.cargo(&args);
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    run_command(command.env("RUSTDOCFLAGS", flags))?;
    Ok(Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use super::select;

    fn names(args: &[&str]) -> Result<Vec<&'static str>, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        match select(&args) {
            Ok(stages) => Ok(stages.iter().map(|stage| stage.name).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn all_stages_unless_told_otherwise() {
        let all = names(&[]).unwrap();
        assert_eq!(all.first(), Some(&"setup"));
        assert_eq!(all.last(), Some(&"docs"));
    }

    #[test]
    fn only_keeps_the_order_of_the_stages() {
        assert_eq!(names(&["--only", "tidy,fmt"]).unwrap(), ["fmt", "tidy"]);
    }

    #[test]
    fn from_runs_the_rest() {
        assert_eq!(names(&["--from", "test"]).unwrap(), ["test", "train", "docs"]);
    }

    #[test]
    fn an_unknown_stage_is_named_with_those_there_are() {
        let error = names(&["--only", "fmt,lint"]).unwrap_err();
        assert!(error.contains("`lint`") && error.contains("clippy"), "{error}");
        assert!(names(&["--only"]).is_err());
    }
}
