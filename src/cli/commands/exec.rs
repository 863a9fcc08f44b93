//! `limn exec`: one session without a terminal.

mod printer;
mod prompts;

use std::pin::pin;
use std::sync::Arc;

use session::{Command, Notice, Session, SessionError, Summary};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use trajectory::event::Ended;

use crate::args::ExecArgs;
use crate::attachments::Ready;
use crate::bill::Bill;
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::local::{self, Server};
use crate::print::note;
use crate::settings::{self, Settings};

pub(crate) use printer::{Printer, verdict};
pub(crate) use prompts::Prompts;

pub(crate) fn run(args: &ExecArgs) -> CliResult {
    let asked = prompts::Asked::read(args)?;
    let mut run = args.run.clone();
    let resumed = args.resume.as_deref().map(compose::find_resumable).transpose()?;
    if let Some(resumed) = &resumed {
        run.model = resumed.model(&run)?;
        run.workspace = Some(resumed.goes_on_in(run.workspace.as_deref())?);
    }
    let settings = Settings::resolve(&run)?;
    settings::refuse_mixed(&run, &settings)?;
    let server = server(&settings)?;
    if let Some(server) = &server {
        compose::run(local::load(server))??;
    }
    let cassette = args.cassette.as_deref();
    let options = compose::options(&settings, args.private, cassette, server.as_ref())?;
    let prompts = asked.open()?;
    if prompts.have_pictures() && !compose::shows_pictures(&settings) {
        note(
            "     ! Pictures cannot be shown to this model: a line of text stands in their place.",
        );
    }
    let printer = Printer::new(args.json, Bill::of(&settings));
    compose::run(async {
        let session = match &resumed {
            Some(resumed) => Session::resume(options, resumed.id).await,
            None => Session::start(options).await,
        };
        let session = session.map_err(recording_failed)?;
        if let Some(told) = resumed.and_then(|it| compose::told_of_fork(it.id, session.id())) {
            note(&format!("     ! {told}"));
        }
        drive(session, prompts, printer).await
    })?
}

/// The server of a model of this machine, which tells the person at the keyboard what it does.
pub(crate) fn server(settings: &Settings) -> Result<Option<Arc<Server>>, CliError> {
    let launch = settings.endpoint().and_then(|endpoint| endpoint.local.as_ref());
    launch.map(|launch| Server::new(launch, Box::new(note)).map(Arc::new)).transpose()
}

pub(crate) fn recording_failed(error: SessionError) -> CliError {
    CliError::new(Exit::RecordingFailed, error.to_string())
}

/// Runs a session to its end and prints what it does.
pub(crate) async fn drive(
    session: Session,
    mut prompts: Prompts,
    mut printer: Printer,
) -> CliResult {
    let id = session.id();
    printer.begin(id);
    let (commands, commands_end) = mpsc::channel(16);
    let (notices_end, mut notices) = mpsc::channel(1024);
    let mut running = pin!(session.run(commands_end, notices_end));
    let mut stop = Stop::new()?;
    let mut bad_input = None;
    let mut between_rounds = true;
    let mut batch = Vec::new();
    let result = loop {
        tokio::select! {
            biased;
            () = stop.signalled() => {
                let _ = commands.send(Command::Interrupt).await;
                let _ = commands.send(Command::Close).await;
                stop.told = true;
            }
            count = notices.recv_many(&mut batch, 256), if !notices.is_closed() || !notices.is_empty() => {
                between_rounds |= batch.iter().any(|notice| matches!(notice, Notice::RoundOver(_)));
                batch.drain(..).for_each(|notice| printer.notice(notice));
                if count == 0 { continue; }
            }
            prompt = prompts.next(), if between_rounds && bad_input.is_none() && !stop.told => {
                between_rounds = false;
                let command = match prompt {
                    Ok(Some(Ready { text, attached })) => Command::Submit { text, attached },
                    Ok(None) => Command::Close,
                    Err(error) => {
                        bad_input = Some(error);
                        Command::Close
                    }
                };
                let _ = commands.send(command).await;
            }
            result = &mut running => break result,
        }
    };
    while let Ok(notice) = notices.try_recv() {
        printer.notice(notice);
    }
    printer.end(id, &result);
    match (result, bad_input) {
        (Err(error), _) => Err(recording_failed(error)),
        (Ok(_), Some(error)) => Err(error),
        (Ok(summary), None) => Ok(exit_of(&summary, stop.told)),
    }
}

fn exit_of(summary: &Summary, interrupted: bool) -> Exit {
    match summary.ended {
        _ if interrupted => Exit::Interrupted,
        Ended::Completed => Exit::Completed,
        Ended::Failed if summary.unreachable => Exit::ModelUnreachable,
        Ended::Failed | Ended::Limit => Exit::Failed,
        Ended::Interrupted => Exit::Interrupted,
    }
}

/// Ctrl-C, SIGTERM and a terminal that goes away: the first stops the session in order, the second
/// at once.
pub(crate) struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    pub(crate) told: bool,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, CliError> {
        let failed = |error| CliError::failed(format!("Cannot listen for signals: {error}."));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: signal(SignalKind::hangup()).map_err(failed)?,
            told: false,
        })
    }

    pub(crate) async fn signalled(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
        if self.told {
            // What is on record stays; recovery closes what is open.
            sandbox::kill_all();
            std::process::exit(Exit::Interrupted as i32);
        }
    }
}
