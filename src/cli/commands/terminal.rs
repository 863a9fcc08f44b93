//! `limn` and `limn resume`: the terminal, and the driver behind it.
//!
//! The terminal has this thread, so that nothing a session does keeps a key waiting; the session
//! has another ([`driver`]). They share nothing but two channels.

mod back;
mod changes;
mod clipboard;
mod driver;
mod editor;
mod facts;
mod files;
mod follow;
mod history;
mod lines;
mod offers;
mod orders;
mod pictures;
mod prepared;
mod search;
mod served;

use std::io::IsTerminal;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

use clap::CommandFactory;
use rustix::process::Signal;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tui::{Background, Depth, Facts, Keys, Outside, Tui, Update, View};

use crate::args::{Cli, ResumeArgs, RunArgs, TerminalArgs};
use crate::bill::Bill;
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::print::note;
use crate::settings;
use driver::{Driver, Parted};
use facts::Chosen;

/// No command is longer.
const WORD_BYTES_MAX: usize = 20;

/// Commands that may wait for the driver.
const COMMANDS_WAITING_MAX: usize = 256;

/// Updates that may wait for the terminal; a session that is faster waits.
const UPDATES_WAITING_MAX: usize = 4_096;

pub(crate) fn run(args: &TerminalArgs) -> CliResult {
    args.prompt.as_deref().map_or(Ok(()), refuse_misspelt)?;
    open(&args.run, args.private, args.prompt.as_deref(), None)
}

/// A single word that is nearly a command is more likely that command than a prompt.
fn refuse_misspelt(prompt: &str) -> Result<(), CliError> {
    let is_word = prompt.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if !is_word || prompt.is_empty() || prompt.len() > WORD_BYTES_MAX {
        return Ok(());
    }
    let distance_max = if prompt.len() < 6 { 1 } else { 2 };
    let cli = Cli::command();
    let near = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .map(|command| (strsim::osa_distance(prompt, command.get_name()), command.get_name()))
        .filter(|(distance, _)| (1..=distance_max).contains(distance))
        .min();
    near.map_or(Ok(()), |(_, name)| {
        Err(CliError::usage(format!(
            "There is no command `{prompt}`. Did you mean `limn {name}`? To ask it of a model, \
             write it in the terminal."
        )))
    })
}

pub(crate) fn resume(args: &ResumeArgs) -> CliResult {
    if !is_by_lines() {
        need_terminal()?;
    }
    let found = compose::find_resumable(&args.id)?;
    let mut run = args.run.clone();
    run.model = found.model(&run)?;
    run.workspace = Some(found.goes_on_in(run.workspace.as_deref())?);
    open(&run, false, None, Some(found.id))
}

/// Whether there is somebody to talk to, by lines alone.
fn is_by_lines() -> bool {
    let term = variable("TERM");
    let is_dumb = term.as_deref().is_none_or(|term| term == "dumb");
    is_dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

pub(super) fn need_terminal() -> Result<(), CliError> {
    let term = std::env::var("TERM").ok();
    tui::is_capable(term.as_deref()).map_err(|what| {
        CliError::usage(format!(
            "{what} Use `limn exec PROMPT` there; `limn --help` lists every command."
        ))
    })
}

fn open(
    run: &RunArgs,
    private: bool,
    prompt: Option<&str>,
    resumed: Option<trajectory::SessionId>,
) -> CliResult {
    if is_by_lines() {
        return lines::run(run, private, prompt, resumed);
    }
    need_terminal()?;
    let chosen = Chosen::of(run)?;
    settings::refuse_mixed(run, &chosen.settings)?;
    let (taste, wrong) = chosen.settings.terminal.taste();
    let mut view = view(chosen.facts(private)).liked(taste, background(), &wrong);
    let (commands, commands_end) = mpsc::channel(COMMANDS_WAITING_MAX);
    let (updates, updates_end) = mpsc::channel(UPDATES_WAITING_MAX);
    let first = prompt.and_then(|prompt| view.begin(prompt));
    if let Some(first) = first {
        // The channel is empty: it takes one.
        let _ = commands.try_send(first);
    }
    let run = run.clone();
    let thread = std::thread::spawn(move || {
        // Made here, since a session never leaves its thread.
        let driver = Driver::new(run, chosen, private, updates, commands_end);
        compose::run(driver.run(resumed))?
    });
    let shown = show_safely(view, commands, updates_end);
    let parted = compose::run(wait(thread))??;
    tell(&parted);
    shown?;
    match parted.failed {
        Some(error) => Err(CliError::new(Exit::RecordingFailed, error)),
        None => Ok(Exit::Completed),
    }
}

/// An empty view in the colours of this terminal.
pub(super) fn view(facts: Facts) -> View {
    View::new(facts, background(), Depth::of(variable))
}

/// Shows a view until it is left, and gives the terminal back as it was, whatever happens.
pub(super) fn show_safely(
    view: View,
    commands: mpsc::Sender<tui::Command>,
    updates: mpsc::Receiver<Update>,
) -> Result<(), CliError> {
    tui::leave_by_panic();
    let knows_background = told_background().is_some();
    let outside =
        Outside { commands, edit: editor::edit, copy: clipboard::write, suspend, knows_background };
    match catch_unwind(AssertUnwindSafe(|| show(view, outside, updates))) {
        Err(_) => Err(CliError::failed(
            "The terminal failed inside limn. The recording is whole; please report this.",
        )),
        Ok(Err(error)) => Err(CliError::failed(format!(
            "The terminal cannot be used any more: {error}. `limn resume` goes on."
        ))),
        Ok(Ok(())) => Ok(()),
    }
}

/// Stops the process, as ctrl-z does elsewhere; it goes on when the shell says so.
fn suspend() {
    // Where no shell is that could let it go on, the kernel lets nothing be stopped.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::TSTP);
}

fn show(view: View, outside: Outside, updates: mpsc::Receiver<Update>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        Tui::open(std::io::stdout(), Keys::of_terminal()?, view, outside)?.run(updates).await
    });
    runtime.shutdown_background();
    result
}

/// Waits until the session is closed in order; a signal, or Ctrl-C once more, ends it at once.
async fn wait(thread: JoinHandle<Result<Parted, CliError>>) -> Result<Parted, CliError> {
    let died = || {
        CliError::failed(
            "The session failed inside limn. Its recording is whole; please report this.",
        )
    };
    let signal = |kind| {
        tokio::signal::unix::signal(kind)
            .map_err(|error| CliError::failed(format!("Cannot listen for signals: {error}.")))
    };
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut quit = signal(SignalKind::quit())?;
    let stopped = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = quit.recv() => {}
        }
    };
    tokio::select! {
        joined = spawn_blocking(|| thread.join()) => match joined {
            Ok(Ok(parted)) => parted,
            _ => Err(died()),
        },
        () = stopped => {
            // What is on record stays; recovery closes what is open.
            sandbox::kill_all();
            std::process::exit(Exit::Interrupted as i32);
        }
    }
}

/// What is left to say, once the terminal is as it was.
fn tell(parted: &Parted) {
    let Some(id) = parted.session else { return };
    note(&format!("session {id}"));
    if parted.usage.total() > 0 {
        note(&parted.bill.as_ref().unwrap_or(&Bill::free()).line(&parted.usage));
    }
    note("`limn resume` goes on with it, `limn show last` shows it.");
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What is taken for the terminal's background until it answers.
fn background() -> Background {
    told_background().unwrap_or(Background::Dark)
}

/// What some terminals say of their background without being asked.
fn told_background() -> Option<Background> {
    let colours = variable("COLORFGBG")?;
    match colours.rsplit(';').next()?.parse::<u8>().ok()? {
        7 | 15 => Some(Background::Light),
        _ => Some(Background::Dark),
    }
}
