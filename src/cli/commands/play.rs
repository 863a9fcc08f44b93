//! `limn play`: a session as it happened, in the terminal that it happened in; or what its commands
//! printed, as a file that other players read.

mod cast;
mod player;
mod timeline;

use std::fs::Permissions;
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use record::Archive;
use tokio::sync::mpsc;
use trajectory::event;
use tui::Facts;

use self::cast::Shown;
use self::player::Player;
use self::timeline::Timeline;
use super::terminal;
use crate::args::PlayArgs;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{headline, note};
use crate::store::Store;

/// Updates that may wait for the terminal.
const UPDATES_WAITING_MAX: usize = 4_096;

/// The longest line above a command in a cast.
const TITLE_CHARS_MAX: usize = 200;

pub(crate) fn run(args: &PlayArgs) -> CliResult {
    let archive = Store::open()?.archive(&args.id)?;
    let mut timeline = Timeline::read(&archive, args.input)?;
    if let Some(longest) = args.idle_max {
        let longest = Duration::try_from_secs_f64(longest).unwrap_or(Duration::MAX);
        timeline.cap_pauses(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX));
    }
    match &args.cast {
        Some(path) => write_cast(&archive, &timeline, path, args.exec),
        None => show(&archive, timeline, args),
    }
}

fn show(archive: &Archive, timeline: Timeline, args: &PlayArgs) -> CliResult {
    terminal::need_terminal()?;
    let (session, status) = (archive.session()?, archive.status()?);
    let facts = Facts {
        model: status.model,
        workspace: session.environment.cwd,
        version: session.app_version,
        is_private: status.private,
        playback: Some(tui::Playback::default()),
        ..Facts::default()
    };
    let (commands, commands_end) = mpsc::channel(256);
    let (updates, updates_end) = mpsc::channel(UPDATES_WAITING_MAX);
    let (speed, from) = (args.speed, args.from);
    let view = terminal::view(facts);
    let player = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(Player::new(timeline, speed, updates).run(from, commands_end));
        Ok::<(), std::io::Error>(())
    });
    let shown = terminal::show_safely(view, commands, updates_end);
    // Without a terminal to tell, the player has ended.
    let played = player.join();
    shown?;
    match played {
        Ok(Ok(())) => Ok(Exit::Completed),
        Ok(Err(error)) => Err(CliError::failed(format!("The playback cannot begin: {error}."))),
        Err(_) => Err(CliError::failed("The playback failed inside limn; please report this.")),
    }
}

fn write_cast(archive: &Archive, timeline: &Timeline, path: &Path, only: Option<u32>) -> CliResult {
    let execs = archive.execs()?;
    let printed: Vec<Shown> = execs
        .iter()
        .filter(|row| row.output.is_some() && only.is_none_or(|only| row.exec == only))
        .map(|row| Shown {
            exec: row.exec,
            title: title(&row.tool, &row.facts.argv),
            status: row.exit.and_then(status),
        })
        .collect();
    if printed.is_empty() {
        let id = archive.id();
        return Err(CliError::failed(match only {
            Some(exec) => format!(
                "Execution {exec} of session {id} printed nothing, or is not there. `limn show \
                 {id}` names them."
            ),
            None => {
                format!("No command of session {id} printed anything: there is nothing to cast.")
            }
        }));
    }
    let status = archive.status()?;
    let title = headline(&status.title.unwrap_or_default(), TITLE_CHARS_MAX);
    let began_s = status.started_ns.div_euclid(1_000_000_000);
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        let mut out = BufWriter::new(file.as_file_mut());
        cast::write(&mut out, timeline, &printed, &title, began_s)?;
        std::io::Write::flush(&mut out)?;
        drop(out);
        file.as_file().sync_all()?;
        file.persist(path).map(|_| ()).map_err(|error| error.error)
    };
    write().map_err(|error| {
        CliError::failed(format!(
            "Cannot write {}: {error}. Nothing was left there.",
            path.display()
        ))
    })?;
    note(&format!("wrote {} commands to {}", printed.len(), path.display()));
    Ok(Exit::Completed)
}

/// How a program ended, as a shell tells it.
fn status(exit: event::Exit) -> Option<i32> {
    exit.code.or_else(|| exit.signal.map(|signal| 128 + signal))
}

/// What was run, as a line.
fn title(tool: &str, argv: &[String]) -> String {
    // A shell's command stands behind its flags.
    let said = argv.last().map_or(tool, String::as_str);
    headline(said, TITLE_CHARS_MAX)
}
