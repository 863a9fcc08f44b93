//! The terminal by lines, where nothing can be drawn: `TERM=dumb`, an editor's shell.
//!
//! What happens is printed as `limn exec` prints it; a line is a prompt, or the answer to a
//! question about a call. A session begins with the first prompt.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::pin::pin;

use session::{Command, Notice, Session, SessionError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use trajectory::event::ApprovalDecision;
use trajectory::{ApprovalMode, Body, SessionId};

use crate::args::RunArgs;
use crate::bill::Bill;
use crate::commands::exec::{self, Printer};
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::local;
use crate::print::{note, safe};
use crate::settings::{self, Settings};

const HELP: &str = "A line is a prompt. /quit or the end of the input leaves; ctrl-c stops a round, \
                    and leaves between rounds. Questions about calls are answered with y, n \
                    REASON, or a (this one and all that come). Other commands, and ! before one of \
                    your own, need a terminal that can be drawn on.";

const ANSWERS: &str =
    "A call waits: y allows it, n REASON denies it, a allows it and all that come.";

/// What a line says.
#[derive(Debug, PartialEq)]
enum Line {
    Prompt(String),
    /// What is decided of a call, why, and whether it holds for all that come.
    Answer(ApprovalDecision, Option<String>, bool),
    Leave,
}

pub(super) fn run(
    run: &RunArgs,
    private: bool,
    prompt: Option<&str>,
    resumed: Option<SessionId>,
) -> CliResult {
    let settings = Settings::resolve(run)?;
    settings::refuse_mixed(run, &settings)?;
    note(&format!("limn {} by lines; /help tells how", env!("CARGO_PKG_VERSION")));
    compose::run(async {
        let mut lines = Lines::of_stdin();
        let first = match prompt {
            Some(prompt) => Line::Prompt(prompt.to_owned()),
            None => {
                let mut interrupt = signals()?;
                tokio::select! {
                    line = lines.next(false) => line,
                    _ = interrupt.recv() => Line::Leave,
                }
            }
        };
        let Line::Prompt(first) = first else { return Ok(Exit::Completed) };
        let server = exec::server(&settings)?;
        if let Some(server) = &server {
            local::load(server).await?;
        }
        let mut options = compose::options(&settings, private, None, server.as_ref())?;
        options.interactive = true;
        let session = match resumed {
            Some(id) => Session::resume(options, id).await,
            None => Session::start(options).await,
        };
        let session = session.map_err(failed)?;
        talk(session, lines, first, Printer::new(false, Bill::of(&settings))).await
    })?
}

fn failed(error: SessionError) -> CliError {
    CliError::new(Exit::RecordingFailed, error.to_string())
}

fn signals() -> Result<Signal, CliError> {
    signal(SignalKind::interrupt())
        .map_err(|error| CliError::failed(format!("Cannot listen for signals: {error}.")))
}

/// Lines as they are typed.
struct Lines {
    lines: mpsc::UnboundedReceiver<String>,
    /// Whether it stands there that a line is waited for.
    is_asked: bool,
}

impl Lines {
    fn of_stdin() -> Self {
        // As many as are typed: those that nobody has read yet cannot be told from later ones.
        let (sender, lines) = mpsc::unbounded_channel();
        // A thread, because a blocked read of stdin cannot be cancelled: it dies with the process.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).into_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { lines, is_asked: false }
    }

    /// Drops the lines that are there already, which answer nothing that comes after them.
    fn drop_early(&mut self) {
        let dropped = std::iter::from_fn(|| self.lines.try_recv().ok());
        let dropped = dropped.filter(|line| !line.trim().is_empty()).count();
        if dropped > 0 {
            let was = if dropped == 1 { "line was" } else { "lines were" };
            note(&format!("{dropped} {was} written before this question, and dropped."));
        }
    }

    /// The next line that says something; a call that is dropped loses none.
    async fn next(&mut self, is_question: bool) -> Line {
        loop {
            if !std::mem::replace(&mut self.is_asked, true) {
                ask(if is_question { "y, n REASON, or a? " } else { "> " });
            }
            let line = self.lines.recv().await;
            self.is_asked = false;
            let said = match (line, is_question) {
                (None, false) => Some(Line::Leave),
                // Whoever is gone allows nothing.
                (None, true) => Some(Line::Answer(ApprovalDecision::Denied, None, false)),
                (Some(line), true) => answer(line.trim()),
                (Some(line), false) => prompt(line.trim()),
            };
            if let Some(said) = said {
                return said;
            }
        }
    }
}

fn prompt(line: &str) -> Option<Line> {
    match line {
        "" => None,
        "/quit" | "/exit" => Some(Line::Leave),
        "/help" => {
            note(HELP);
            None
        }
        text if is_command(text) => {
            note(HELP);
            None
        }
        text => Some(Line::Prompt(text.to_owned())),
    }
}

/// Whether a line is meant for the terminal, as one that can be drawn on takes it: a path is not.
fn is_command(line: &str) -> bool {
    let word = line.split_whitespace().next().unwrap_or_default();
    line.starts_with('!') || word.strip_prefix('/').is_some_and(|name| !name.contains('/'))
}

fn answer(line: &str) -> Option<Line> {
    let (word, reason) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let reason = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    // A line that goes on is no yes, whatever it begins with.
    match (line, word) {
        ("", _) => None,
        ("y" | "yes", _) => Some(Line::Answer(ApprovalDecision::Allowed, None, false)),
        ("a", _) => Some(Line::Answer(ApprovalDecision::Allowed, None, true)),
        (_, "n" | "no") => Some(Line::Answer(ApprovalDecision::Denied, reason, false)),
        _ => {
            note(ANSWERS);
            None
        }
    }
}

fn ask(text: &str) {
    let mut out = std::io::stdout().lock();
    // A terminal that is gone is noticed by its lines, which end.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Rounds, one after the other, until the user leaves.
async fn talk(
    session: Session,
    mut lines: Lines,
    first: String,
    mut printer: Printer,
) -> CliResult {
    let id = session.id();
    printer.begin(id);
    let (commands, commands_end) = mpsc::channel(16);
    let (notices_end, mut notices) = mpsc::channel(1024);
    let mut running = pin!(session.run(commands_end, notices_end));
    let mut interrupt = signals()?;
    let submit = |text| Command::Submit { text, attached: Vec::new() };
    let mut calls: HashMap<u32, String> = HashMap::new();
    let (mut asked, mut is_idle, mut is_left) = (None, false, false);
    let _ = commands.send(submit(first)).await;
    let result = loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {
                asked = None;
                is_left |= is_idle;
                let command = if is_idle { Command::Close } else { Command::Interrupt };
                let _ = commands.send(command).await;
            }
            notice = notices.recv(), if !notices.is_closed() || !notices.is_empty() => {
                let Some(notice) = notice else { continue };
                let waits = matches!(notice, Notice::Decide { .. } | Notice::RoundOver(_));
                lines.is_asked &= !waits;
                match &notice {
                    Notice::Event(event) => remember(&mut calls, &event.body),
                    Notice::Decide { call } => asked = Some(*call),
                    Notice::RoundOver(_) => {
                        (asked, is_idle) = (None, true);
                        calls.clear();
                    }
                    _ => {}
                }
                printer.notice(notice);
                if let Some(call) = asked.filter(|_| waits) {
                    lines.drop_early();
                    let what = calls.get(&call).map_or("a call", String::as_str);
                    note(&format!("     ? May it? {what}"));
                }
            }
            line = lines.next(asked.is_some()), if asked.is_some() || is_idle && !is_left => {
                let command = match line {
                    Line::Prompt(text) => submit(text),
                    Line::Leave => Command::Close,
                    Line::Answer(decision, reason, is_for_all) => {
                        let Some(call) = asked.take() else { continue };
                        if is_for_all {
                            let _ = commands.send(Command::Approval(ApprovalMode::Auto)).await;
                        }
                        Command::Decide { call, decision, reason, arguments: None }
                    }
                };
                is_left |= command == Command::Close;
                is_idle = false;
                let _ = commands.send(command).await;
            }
            result = &mut running => break result,
        }
    };
    std::iter::from_fn(|| notices.try_recv().ok()).for_each(|notice| printer.notice(notice));
    printer.end(id, &result);
    result.map_err(failed)?;
    note("`limn resume` goes on with it, `limn show last` shows it.");
    Ok(Exit::Completed)
}

/// What a call is, for the question about it.
fn remember(calls: &mut HashMap<u32, String>, body: &Body) {
    if let Body::ToolCall(call) = body {
        calls.insert(call.call, format!("{} {}", safe(&call.name), safe(&call.arguments)));
    }
}

#[cfg(test)]
mod tests;
