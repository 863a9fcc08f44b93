//! `limn serve`: becomes `limn-train serve`, which has libtorch in it.
//!
//! It takes this process's place, so signals, the terminal and the exit code are its own, and
//! nothing is left when it is killed.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::{ServeArgs, computed_by};
use crate::error::{CliError, CliResult};
use crate::limn_train::{self, cannot_start};
use crate::local;
use crate::settings;

pub(crate) fn run(args: &ServeArgs) -> CliResult {
    let target = target(&args.target)?;
    let arguments = arguments(args)?;
    let program = limn_train::find()?;
    let error = Command::new(&program).arg("serve").arg(&target).args(&arguments).exec();
    Err(cannot_start(&program, &error))
}

/// A path as it is, or that of a model that is named.
fn target(named: &Path) -> Result<PathBuf, CliError> {
    let name = named.to_str().and_then(|text| text.strip_prefix(local::PREFIX));
    if let Some(name) = name {
        return Ok(local::find(name, &settings::user_file()?)?.path);
    }
    if !named.exists() {
        return Err(CliError::usage(format!(
            "There is no {}. Name a run of `limn train`, a model's folder or a .gguf file, or \
             {}RUN for a model that `limn models local` lists.",
            named.display(),
            local::PREFIX
        )));
    }
    Ok(named.to_owned())
}

/// What was said, as the program wants it said; what was not, it decides.
fn arguments(args: &ServeArgs) -> Result<Vec<OsString>, CliError> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |flag: &str, value: &OsStr| arguments.extend([flag.into(), value.to_owned()]);
    for adapter in &args.adapters {
        let (name, run) =
            adapter.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                CliError::usage(format!("--adapter {adapter:?} is not NAME=RUN. Name both."))
            })?;
        let mut value = OsString::from(format!("{name}="));
        value.push(target(Path::new(run))?);
        add("--adapter", &value);
    }
    let numbers = [
        ("--port", args.port.map(|port| port.to_string())),
        ("--context", args.context.map(|tokens| tokens.to_string())),
        ("--slots", args.slots.map(|slots| slots.to_string())),
    ];
    for (flag, number) in numbers {
        number.iter().for_each(|number| add(flag, number.as_ref()));
    }
    let texts = [("--host", &args.host), ("--name", &args.name)];
    for (flag, text) in texts {
        text.iter().for_each(|text| add(flag, text.as_ref()));
    }
    let files = [("--key-file", &args.key_file), ("--template", &args.template)];
    for (flag, file) in files {
        file.iter().for_each(|file| add(flag, file.as_os_str()));
    }
    arguments.extend(computed_by(args.device, args.precision));
    let switches = [
        ("--no-graphs", args.no_graphs),
        ("--json", args.json),
        ("--until-stdin-ends", args.until_stdin_ends),
    ];
    arguments.extend(switches.iter().filter(|(_, on)| *on).map(|(flag, _)| (*flag).into()));
    Ok(arguments)
}
