//! The system prompt. Every training sample carries it, so it is short, and it names nothing that
//! differs between two runs of the same task on the same machine: no date, no path.

use std::env;

use crate::instructions;
use crate::options::{Instructions, Options};

const SYSTEM: &str = include_str!("../../assets/prompts/system.md");

/// The system prompt of a session.
pub(crate) fn system(options: &Options) -> String {
    let mut prompt = SYSTEM.trim_end().to_owned();
    prompt.push_str(&format!("\n\n{}", surroundings(options)));
    if let Instructions::Read { own } = &options.instructions {
        prompt.push_str(&instructions::read(&options.workspace, own.as_deref()));
    }
    prompt
}

/// What a model has to know of where it is, in a line.
fn surroundings(options: &Options) -> String {
    let repository = options.workspace.ancestors().any(|folder| folder.join(".git").exists());
    let git = if repository { "a git repository" } else { "no git repository" };
    let system = match env::consts::OS {
        "macos" => "macOS",
        "linux" => "Linux",
        other => other,
    };
    let sandbox = match options.sandbox.as_str() {
        "off" => "commands run without a sandbox".to_owned(),
        tier => format!("commands run in a sandbox ({tier})"),
    };
    format!("You are on {system} ({}); the workspace is {git}; {sandbox}.", env::consts::ARCH)
}
