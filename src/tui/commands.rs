//! The commands that are typed: a table, from which the list above the prompt and the help are
//! made.

use crate::panel::Page;
use crate::protocol::{Command, Order, Query};
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
    row("model", "[NAME]", "go on with another model; without a name, choose one"),
    row("mode", "read-only|ask|auto|all", "how much the agent may do without asking"),
    row("allow", "HOST or PATH", "let this session reach a host or read a file"),
    row("compact", "[WORDS]", "replace the conversation by a summary, which heeds your words"),
    row("status", "", "the session, its model, its tokens, where it is recorded"),
    row("resume", "", "go on with an earlier session of this folder"),
    row("search", "WORDS", "find words in all recordings, and go to where they stand"),
    row("rewind", "", "go back to before a round: the conversation, the files, or both"),
    row("fork", "", "go on with a copy of this session; the original stays as it is"),
    row("good", "", "this session did what it should"),
    row("bad", "", "it did not"),
    row("outcome", "success|failure|unknown", "how the task turned out"),
    row("tag", "WORD or -WORD", "a word to find and export the session by; - takes it away"),
    row("note", "TEXT", "a remark, kept beside the recording"),
    row("annotator", "NAME", "a pseudonym of yours, for the recordings from now on"),
    row("consent", "private|team|public", "what the recordings may be used for, from now on"),
    row("private", "", "keep this session out of datasets; before its first prompt"),
    row("export", "DIR", "write this session out as training samples"),
    row("panel", "timeline|changes|terminals|plan", "a page of the panel at the side"),
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
    /// A list that the driver knows.
    List(Query),
    Panel(Page),
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
    if rest.is_empty() && !row.takes.is_empty() && !row.takes.starts_with('[') {
        return Typed::Wrong(format!("/{name} takes {}.", row.takes.replace('|', ", ")));
    }
    match name {
        "help" => Typed::Help,
        "copy" => Typed::Copy,
        "resume" => Typed::List(Query::Sessions),
        "search" => Typed::List(Query::Search(rest)),
        "rewind" => Typed::List(Query::Rounds),
        "fork" => order(Order::Fork),
        "model" if rest.is_empty() => Typed::List(Query::Models),
        "panel" => match Page::parse(&rest) {
            Some(page) => Typed::Panel(page),
            None => Typed::Wrong(format!("A page is one of {}.", row.takes.replace('|', ", "))),
        },
        "quit" => Typed::Driver(Command::Leave),
        "model" => order(Order::Model(rest)),
        "compact" => order(Order::Compact((!rest.is_empty()).then_some(rest))),
        "status" => order(Order::Status),
        "allow" => order(Order::Allow(rest)),
        "private" => order(Order::Private),
        "annotator" => order(Order::Annotator(rest)),
        "consent" => match CONSENTS.iter().find(|consent| **consent == rest) {
            Some(consent) => order(Order::Consent(consent)),
            None => Typed::Wrong(format!("Consent is one of {}.", row.takes.replace('|', ", "))),
        },
        "export" => order(Order::Export(rest)),
        "good" => outcome("success"),
        "bad" => outcome("failure"),
        "note" | "tag" => order(Order::Judge(row.name, rest)),
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

/// What recordings may be used for.
const CONSENTS: [&str; 3] = ["private", "team", "public"];

/// The modes, from the strictest.
pub(crate) const MODES: [ApprovalMode; 4] =
    [ApprovalMode::ReadOnly, ApprovalMode::Ask, ApprovalMode::Auto, ApprovalMode::All];

/// The mode behind this one.
pub(crate) fn next_mode(mode: ApprovalMode) -> ApprovalMode {
    let at = MODES.iter().position(|it| *it == mode).unwrap_or(0);
    MODES.get((at + 1) % MODES.len()).copied().unwrap_or_default()
}
