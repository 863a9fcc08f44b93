//! The commands that are typed: a table, from which the list above the prompt and the help are
//! made.

use crate::protocol::{Command, Order};
use trajectory::ApprovalMode;

/// A command.
pub(crate) struct CommandRow {
    pub(crate) name: &'static str,
    /// What comes behind it.
    pub(crate) takes: &'static str,
    pub(crate) about: &'static str,
}

const fn row(name: &'static str, takes: &'static str, about: &'static str) -> CommandRow {
    CommandRow { name, takes, about }
}

/// All of them, in the order in which they are listed.
pub(crate) const COMMANDS: &[CommandRow] = &[
    row("help", "", "every key and every command"),
    row("model", "NAME", "go on with another model"),
    row("mode", "read-only|ask|auto|all", "how much the agent may do without asking"),
    row("allow", "HOST or PATH", "let this session reach a host or read a file"),
    row("status", "", "the session, its model, its tokens, where it is recorded"),
    row("resume", "", "go on with an earlier session of this folder"),
    row("good", "", "this session did what it should"),
    row("bad", "", "it did not"),
    row("outcome", "success|failure|unknown", "how the task turned out"),
    row("note", "TEXT", "a remark, kept beside the recording"),
    row("private", "", "keep this session out of datasets; before its first prompt"),
    row("export", "DIR", "write this session out as training samples"),
    row("copy", "", "copy the model's last words"),
    row("quit", "", "leave"),
];

/// What was typed, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// For the driver.
    Driver(Command),
    Help,
    Copy,
    /// The list of sessions.
    Resume,
    /// It is none, or not a whole one; in a sentence.
    Wrong(String),
}

/// Reads a line that begins with a slash.
pub(crate) fn parse(line: &str) -> Typed {
    let line = line.trim().trim_start_matches('/');
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim().to_owned();
    let order = |order| Typed::Driver(Command::Order(order));
    let outcome = |value: &str| order(Order::Judge("outcome", value.to_owned()));
    let Some(row) = COMMANDS.iter().find(|row| row.name == name) else {
        return Typed::Wrong(format!("There is no command /{name}. /help lists them."));
    };
    if rest.is_empty() && !row.takes.is_empty() {
        return Typed::Wrong(format!("/{name} takes {}.", row.takes.replace('|', ", ")));
    }
    match name {
        "help" => Typed::Help,
        "copy" => Typed::Copy,
        "resume" => Typed::Resume,
        "quit" => Typed::Driver(Command::Leave),
        "model" => order(Order::Model(rest)),
        "status" => order(Order::Status),
        "allow" => order(Order::Allow(rest)),
        "private" => order(Order::Private),
        "export" => order(Order::Export(rest)),
        "good" => outcome("success"),
        "bad" => outcome("failure"),
        "note" => order(Order::Judge("note", rest)),
        "outcome" if ["success", "failure", "unknown"].contains(&rest.as_str()) => outcome(&rest),
        "outcome" => {
            Typed::Wrong(format!("An outcome is one of {}.", row.takes.replace('|', ", ")))
        }
        "mode" => match MODES.iter().find(|mode| mode.as_str() == rest) {
            Some(mode) => Typed::Driver(Command::Mode(*mode)),
            None => Typed::Wrong(format!("A mode is one of {}.", row.takes.replace('|', ", "))),
        },
        _ => Typed::Wrong(format!("There is no command /{name}. /help lists them.")),
    }
}

/// The modes, from the strictest.
pub(crate) const MODES: [ApprovalMode; 4] =
    [ApprovalMode::ReadOnly, ApprovalMode::Ask, ApprovalMode::Auto, ApprovalMode::All];

/// The mode behind this one.
pub(crate) fn next_mode(mode: ApprovalMode) -> ApprovalMode {
    let at = MODES.iter().position(|it| *it == mode).unwrap_or(0);
    MODES.get((at + 1) % MODES.len()).copied().unwrap_or_default()
}
