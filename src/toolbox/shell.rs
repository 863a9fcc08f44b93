//! Run a command in the workspace, in the sandbox, in a terminal of its own.
//!
//! What is shown is what the terminal shows, then a line that says how the command ended unless
//! it ended well. Absent: background commands and answers to what they ask; they have their own
//! issue.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use sandbox::{CommandSpec, Finished, OutputChunk, Running, Sandbox, SandboxError, TerminalSize};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trajectory::event::{CallStatus, Exit, OutputRef, Truncation};

use crate::beneath::Workspace;
use crate::environment::environment;
use crate::outcome::{ExecutionFacts, Outcome};
use crate::path::Relative;
use crate::suggest;

const TIMEOUT_MS: u64 = 120_000;
const TIMEOUT_MS_MAX: u64 = 3_600_000;

/// Runs a bash command in a terminal and returns what it prints, with its exit code if not 0.
/// Nobody answers questions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    /// The command.
    pub(crate) command: String,
    /// Directory to run in, relative to the workspace.
    pub(crate) workdir: Option<String>,
    /// Time allowed; 120000 if absent, 3600000 at most.
    pub(crate) timeout_ms: Option<u64>,
}

/// The longest single argument that Linux hands to a program, less its end.
const COMMAND_BYTES_MAX: usize = 128 * 1024 - 1;

/// Runs the tool.
pub(crate) async fn run(
    workspace: &Workspace,
    sandbox: &Sandbox,
    input: &Input,
    out: mpsc::Sender<OutputChunk>,
    cancel: &CancellationToken,
) -> Outcome {
    let timeout_ms = input.timeout_ms.unwrap_or(TIMEOUT_MS).clamp(1, TIMEOUT_MS_MAX);
    let timeout = Duration::from_millis(timeout_ms);
    let spec = match command(workspace, input, timeout) {
        Ok(spec) => spec,
        Err(problem) => return Outcome::told(CallStatus::Error, problem),
    };
    let execution = Some(facts(&spec, sandbox));
    let outcome = match sandbox.spawn(spec) {
        Ok(running) => match follow(running, out, cancel).await {
            (Ok(finished), cancelled) => conclude(finished, cancelled, timeout),
            (Err(error), _) => failed(&error),
        },
        Err(error) => failed(&error),
    };
    Outcome { execution, ..outcome }
}

fn command(workspace: &Workspace, input: &Input, timeout: Duration) -> Result<CommandSpec, String> {
    if input.command.trim().is_empty() {
        return Err("The command is empty.".to_owned());
    }
    if input.command.len() > COMMAND_BYTES_MAX {
        return Err(format!(
            "The command is {} bytes long, and the system takes {COMMAND_BYTES_MAX} at most. \
             Nothing was run. Write it into a file and run that.",
            input.command.len()
        ));
    }
    if input.command.contains('\0') {
        return Err("The command holds a NUL character.".to_owned());
    }
    let env = environment(std::env::vars_os());
    let argv = vec![shell(&env), "-c".into(), input.command.as_str().into()];
    let cwd = directory(workspace, input.workdir.as_deref())?;
    Ok(CommandSpec { argv, cwd, env, size: TerminalSize::default(), timeout: Some(timeout) })
}

/// bash where there is one on the command's own path, else sh.
fn shell(env: &[(OsString, OsString)]) -> OsString {
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path);
    let found = path.and_then(|path| {
        std::env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join("bash"))
            .find(|bash| bash.is_file())
    });
    found.map_or_else(|| "/bin/sh".into(), PathBuf::into_os_string)
}

/// Where the command starts: a directory that is beneath the workspace now.
fn directory(workspace: &Workspace, workdir: Option<&str>) -> Result<PathBuf, String> {
    let Some(workdir) = workdir.filter(|workdir| !workdir.is_empty()) else {
        return Ok(workspace.root().to_path_buf());
    };
    let path = Relative::parse(workdir, workspace)?;
    match workspace.open_directory(path.as_path()) {
        Ok(_) => {}
        Err(Errno::NOENT) => return Err(suggest::missing(workspace, &path)),
        Err(Errno::NOTDIR) => return Err(format!("{path} is not a directory.")),
        Err(error) => return Err(path.explain(error)),
    }
    let inside = workspace.root().join(path.as_path()).canonicalize();
    inside
        .ok()
        .filter(|inside| inside.starts_with(workspace.root()))
        .ok_or_else(|| path.explain(Errno::XDEV))
}

fn facts(spec: &CommandSpec, sandbox: &Sandbox) -> ExecutionFacts {
    let text = |part: &OsString| part.to_string_lossy().into_owned();
    ExecutionFacts {
        argv: spec.argv.iter().map(text).collect(),
        cwd: Path::new(&spec.cwd).to_path_buf(),
        env: spec.env.iter().map(|(name, _)| text(name)).collect(),
        policy: sandbox.tier().as_str().to_owned(),
    }
}

/// A command that did not start, or got lost.
fn failed(error: &SandboxError) -> Outcome {
    match error {
        SandboxError::Refused(refusal) => {
            Outcome::told(CallStatus::Denied, format!("The command was refused: {refusal}."))
        }
        error => Outcome::told(CallStatus::Error, format!("The command failed: {error}.")),
    }
}

/// Hands on what the command prints until it ends; kills it when it is cancelled. Answers
/// whether that happened.
async fn follow(
    mut running: Running,
    out: mpsc::Sender<OutputChunk>,
    cancel: &CancellationToken,
) -> (Result<Finished, SandboxError>, bool) {
    let mut cancelled = false;
    loop {
        let chunk = tokio::select! {
            chunk = running.output.recv() => chunk,
            () = cancel.cancelled(), if !cancelled => {
                cancelled = true;
                running.kill();
                continue;
            }
        };
        let Some(chunk) = chunk else { break };
        tokio::select! {
            // A taker that is gone misses the rest; the command goes on.
            _ = out.send(chunk) => {}
            () = cancel.cancelled(), if !cancelled => {
                cancelled = true;
                running.kill();
            }
        }
    }
    (running.wait().await, cancelled)
}

fn conclude(finished: Finished, cancelled: bool, timeout: Duration) -> Outcome {
    let truncated = finished.text.truncation.map(|truncation| Truncation {
        lines_omitted: truncation.lines_omitted,
        chars_omitted: truncation.chars_omitted,
    });
    let mut shown = finished.text.text;
    let note = if cancelled {
        Some("[cancelled; killed]".to_owned())
    } else {
        ending(finished.exit, timeout)
    };
    if let Some(note) = note {
        if !shown.is_empty() && !shown.ends_with('\n') {
            shown.push('\n');
        }
        shown.push_str(&note);
    } else if shown.is_empty() {
        shown.push_str("(no output)");
    }
    let status = if cancelled { CallStatus::Cancelled } else { CallStatus::Ok };
    Outcome {
        exit: Some(finished.exit),
        output: (finished.bytes > 0)
            .then_some(OutputRef { blake3: finished.blake3, bytes: finished.bytes }),
        truncated,
        ..Outcome::told(status, shown)
    }
}

/// How a command ended, unless it ended well.
fn ending(exit: Exit, timeout: Duration) -> Option<String> {
    if exit.timed_out {
        return Some(format!("[timed out after {} s; killed]", timeout.as_secs_f64()));
    }
    match (exit.code, exit.signal) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("[exit code {code}]")),
        (None, Some(signal)) => Some(format!("[killed by signal {signal}]")),
        (None, None) => Some("[how it ended is not known]".to_owned()),
    }
}

#[cfg(test)]
mod tests;
