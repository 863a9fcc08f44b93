//! `limn exec`: one session without a terminal.

use std::io::{BufRead, IsTerminal, Read};
use std::pin::pin;

use serde::Deserialize;
use serde_json::json;
use session::{Command, Notice, Session, SessionError, Summary};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use trajectory::event::{CallStatus, Ended, InterruptionCause, Observation};
use trajectory::{Body, Progress, SessionId};

use crate::args::{ExecArgs, InputFormat};
use crate::compose;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, headline, note, safe};
use crate::settings::Settings;

/// A prompt on stdin, when it comes as JSON lines.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Prompt { text: String },
}

pub(crate) fn run(args: &ExecArgs) -> CliResult {
    let prompts = Prompts::open(args)?;
    let mut run = args.run.clone();
    let resumed = args.resume.as_deref().map(compose::find_resumable).transpose()?;
    if let Some(resumed) = &resumed {
        run.workspace.get_or_insert_with(|| resumed.workspace.clone());
    }
    let settings = Settings::resolve(&run)?;
    let options = compose::options(&settings, args.private, args.cassette.as_deref())?;
    let printer = Printer::new(args.json);
    compose::run(async {
        let session = match resumed {
            Some(resumed) => Session::resume(options, resumed.id).await,
            None => Session::start(options).await,
        };
        drive(session.map_err(recording_failed)?, prompts, printer).await
    })?
}

fn recording_failed(error: SessionError) -> CliError {
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
                    Ok(Some(text)) => Command::Submit { text, attached: Vec::new() },
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
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    told: bool,
}

impl Stop {
    fn new() -> Result<Self, CliError> {
        let failed = |error| CliError::failed(format!("Cannot listen for signals: {error}."));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: signal(SignalKind::hangup()).map_err(failed)?,
            told: false,
        })
    }

    async fn signalled(&mut self) {
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

/// Where prompts come from.
pub(crate) enum Prompts {
    /// Known beforehand.
    Given(std::vec::IntoIter<String>),
    /// Read from stdin, a line each, as the rounds go by.
    Lines(mpsc::Receiver<Result<String, CliError>>),
}

impl Prompts {
    fn open(args: &ExecArgs) -> Result<Self, CliError> {
        if args.input_format == InputFormat::Jsonl {
            if args.prompt.as_deref().is_some_and(|prompt| prompt != "-") {
                return Err(CliError::usage(
                    "With --input-format jsonl the prompts come from stdin. Leave the prompt out.",
                ));
            }
            return Ok(Self::from_stdin());
        }
        let text = match args.prompt.as_deref() {
            Some("-") => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(|error| {
                    CliError::usage(format!("Cannot read the prompt from stdin: {error}."))
                })?;
                text
            }
            Some(prompt) => prompt.to_owned(),
            None => String::new(),
        };
        if text.trim().is_empty() {
            return Err(CliError::usage(
                "The prompt is empty. Say what to do: `limn exec \"…\"`, or `-` to read stdin.",
            ));
        }
        Ok(Self::given(vec![text]))
    }

    /// These, in this order.
    pub(crate) fn given(prompts: Vec<String>) -> Self {
        Self::Given(prompts.into_iter())
    }

    fn from_stdin() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        // A thread, because a blocked read of stdin cannot be cancelled: it dies with the process.
        std::thread::spawn(move || {
            for (number, line) in std::io::stdin().lock().lines().enumerate() {
                let parsed = prompt_line(number + 1, line);
                let failed = parsed.is_err();
                if let Some(parsed) = parsed.transpose()
                    && (sender.blocking_send(parsed).is_err() || failed)
                {
                    return;
                }
            }
        });
        Self::Lines(receiver)
    }

    async fn next(&mut self) -> Result<Option<String>, CliError> {
        match self {
            Self::Given(prompts) => Ok(prompts.next()),
            Self::Lines(lines) => lines.recv().await.transpose(),
        }
    }
}

fn prompt_line(number: usize, line: std::io::Result<String>) -> Result<Option<String>, CliError> {
    let bad = |what: String| {
        CliError::usage(format!(
            "stdin, line {number}: {what}. Expected {{\"type\":\"prompt\",\"text\":\"…\"}}."
        ))
    };
    let line = line.map_err(|error| bad(error.to_string()))?;
    if line.trim().is_empty() {
        return Ok(None);
    }
    let Line::Prompt { text } =
        serde_json::from_str(&line).map_err(|error| bad(error.to_string()))?;
    if text.trim().is_empty() { Err(bad("the prompt is empty".to_owned())) } else { Ok(Some(text)) }
}

/// Prints what a session does.
pub(crate) struct Printer {
    out: Out,
    json: bool,
    /// Text goes out as it comes, because somebody watches.
    live: bool,
    in_line: bool,
    silent: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            out: Out::new(),
            json,
            live: !json && std::io::stdout().is_terminal(),
            in_line: false,
            silent: false,
        }
    }

    /// One that prints what happens to stderr, or nothing at all.
    pub(crate) fn quiet(silent: bool) -> Self {
        Self { silent, ..Self::new(false) }
    }

    fn begin(&mut self, id: SessionId) {
        if self.silent {
            return;
        }
        if self.json {
            self.out.json(&json!({"type": "session", "id": id}));
            self.out.flush();
        } else {
            note(&format!("session {id}"));
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            _ if self.silent => return,
            Notice::Event(event) if self.json => self.out.json(&event.to_json()),
            Notice::Event(event) => self.event(&event.body),
            Notice::Progress(Progress::Text { text, .. }) if self.live => {
                self.out.text(&safe(&text));
                self.in_line = !text.ends_with('\n');
            }
            Notice::Progress(_) | Notice::Decide { .. } => return,
            Notice::RoundOver(_) => {}
        }
        self.out.flush();
    }

    fn event(&mut self, body: &Body) {
        match body {
            // Into a file or a pipe goes what the model said; a terminal gets it made safe.
            Body::Message(message) if !self.live => self.out.line(message.text.trim_end()),
            Body::Message(_) => self.end_line(),
            Body::Reasoning(reasoning) => {
                self.end_line();
                note(&format!("     ~ {}", headline(&reasoning.text, 100)));
            }
            Body::ToolCall(call) => {
                self.end_line();
                note(&format!("{:>4} > {}", call.call, brief(&call.name, &call.arguments)));
            }
            Body::Observation(seen) => note(&format!("{:>4}   {}", seen.call, verdict(seen))),
            Body::Interruption(cut) => note(match cut.cause {
                InterruptionCause::Limit => {
                    "     ! The time limit is reached. Raise it with --timeout and resume."
                }
                InterruptionCause::User | InterruptionCause::Crash => "     ! interrupted",
            }),
            Body::Error(error) => {
                self.end_line();
                note(&format!("     ! {}", safe(&error.message)));
            }
            _ => {}
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.in_line) {
            self.out.line("");
            self.out.flush();
        }
    }

    fn end(&mut self, id: SessionId, result: &Result<Summary, SessionError>) {
        self.end_line();
        if !self.json {
            return;
        }
        self.out.json(&match result {
            Ok(summary) => json!({
                "type": "result", "ended": summary.ended, "session": id, "usage": summary.usage,
            }),
            Err(error) => json!({
                "type": "result", "ended": Ended::Failed, "session": id, "usage": {},
                "error": error.to_string(),
            }),
        });
        self.out.flush();
    }
}

/// One line about a call: the tool and what it is called with first, a command or a path.
fn brief(name: &str, arguments: &str) -> String {
    let parsed = serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(arguments);
    let first = parsed
        .ok()
        .and_then(|object| object.values().find_map(|value| value.as_str().map(str::to_owned)));
    let what = first.unwrap_or_else(|| arguments.to_owned());
    let what = if what.trim() == "{}" { String::new() } else { headline(&what, 100) };
    format!("{} {what}", headline(name, 40)).trim_end().to_owned()
}

/// One line about an observation.
pub(crate) fn verdict(seen: &Observation) -> String {
    let seconds = seen.duration_us as f64 / 1e6;
    match (seen.status, seen.exit) {
        (CallStatus::Ok, Some(exit)) => match (exit.code, exit.signal) {
            _ if exit.timed_out => format!("timed out after {seconds:.1} s"),
            (Some(code), _) => format!("exit {code} after {seconds:.1} s"),
            (None, Some(signal)) => format!("killed by signal {signal} after {seconds:.1} s"),
            (None, None) => "ended".to_owned(),
        },
        (CallStatus::Ok, None) => "done".to_owned(),
        (CallStatus::Error, _) => format!("error: {}", headline(&seen.shown, 120)),
        (CallStatus::Denied, _) => headline(&seen.shown, 120),
        (CallStatus::Cancelled, _) => "cancelled".to_owned(),
        (CallStatus::LostInCrash, _) => "lost in a crash".to_owned(),
    }
}
