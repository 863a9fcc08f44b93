//! `limn show`: a session for people, or for programs.

use std::io::{IsTerminal, Write};

use record::Archive;
use serde_json::json;
use trajectory::event::{CallStatus, Observation, ReasoningForm};
use trajectory::{Body, Event};

use crate::args::ShowArgs;
use crate::bill::{Bill, tokens_and};
use crate::commands::exec::verdict;
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, headline, safe};
use crate::settings::{self, Catalogue};
use crate::store::{Store, moment};

/// Lines of an observation that are shown; `--output` prints all of it.
const LINES_SHOWN_MAX: usize = 12;

pub(crate) fn run(args: &ShowArgs) -> CliResult {
    let store = Store::open()?;
    let archive = store.archive(&args.id)?;
    let mut out = Out::new();
    if let Some(exec) = args.output {
        output(&archive, exec, &mut out)?;
    } else if let Some(request) = args.request {
        check_request(&archive, request)?;
        raw(&archive.request_body(request, 1)?, &mut out);
    } else if let Some(request) = args.response {
        check_request(&archive, request)?;
        raw(&archive.response(request, 1)?.unwrap_or_default(), &mut out);
    } else if args.json {
        objects(&archive, &mut out)?;
    } else {
        report(&archive, &mut out)?;
    }
    Ok(Exit::Completed)
}

fn output(archive: &Archive, exec: u32, out: &mut Out) -> Result<(), CliError> {
    if !archive.execs()?.iter().any(|row| row.exec == exec) {
        return Err(CliError::failed(format!(
            "Session {} has no execution {exec}. `limn show {}` names them.",
            archive.id(),
            archive.id()
        )));
    }
    if std::io::stdout().is_terminal() {
        let mut bytes = Vec::new();
        archive.output(exec, &mut bytes)?;
        raw(&bytes, out);
        return Ok(());
    }
    match archive.output(exec, out) {
        Err(error) if !out.is_gone() => Err(error.into()),
        _ => Ok(()),
    }
}

fn check_request(archive: &Archive, request: u32) -> Result<(), CliError> {
    let requests = archive.requests()?;
    if requests.iter().any(|row| row.request == request) {
        return Ok(());
    }
    let last = requests.last().map_or(0, |row| row.request);
    Err(CliError::failed(format!(
        "Session {} has no request {request}. It has {last}, counted from 1.",
        archive.id()
    )))
}

/// Bytes as they are; on a terminal made safe for it.
fn raw(bytes: &[u8], out: &mut Out) {
    if std::io::stdout().is_terminal() {
        out.line(&safe(&String::from_utf8_lossy(bytes).replace("\r\n", "\n")));
    } else {
        // Nothing is lost by a reader that went away.
        let _ = out.write_all(bytes);
    }
}

fn objects(archive: &Archive, out: &mut Out) -> Result<(), CliError> {
    let (session, status) = (archive.session()?, archive.status()?);
    out.json(&json!({
        "type": "session",
        "id": session.id,
        "started_ns": session.started_ns,
        "app_version": session.app_version,
        "annotator": session.annotator,
        "parent": session.parent.map(|(parent, _)| parent),
        "private": session.private,
        "environment": {
            "os": session.environment.os,
            "arch": session.environment.arch,
            "cwd": session.environment.cwd,
            "git_commit": session.environment.git_commit,
            "repository": session.environment.repository,
        },
        "config": session.config,
    }));
    for event in archive.events()? {
        out.json(&event.to_json());
    }
    out.json(&json!({
        "type": "result",
        "ended": status.ended,
        "session": session.id,
        "usage": status.usage,
        "cost_usd": cost(archive)?,
    }));
    Ok(())
}

/// What its requests cost, one by one, by the table of models as it is now; none when the price of
/// one of them is not known.
fn cost(archive: &Archive) -> Result<Option<f64>, CliError> {
    let catalogue = Catalogue::of(&settings::user_file().unwrap_or_default(), None);
    let mut total = None;
    for request in archive.requests()? {
        let Some(usage) = request.end.and_then(|end| end.usage) else { continue };
        match Bill::of_model(&catalogue, Some(&request.model)).cost(&usage) {
            Some(cost) => total = Some(total.unwrap_or(0.0) + cost),
            None => return Ok(None),
        }
    }
    Ok(total)
}

fn report(archive: &Archive, out: &mut Out) -> Result<(), CliError> {
    let (session, status) = (archive.session()?, archive.status()?);
    out.line(&format!("session {}", session.id));
    let model = status.model.as_deref().unwrap_or("no model");
    out.line(&format!("{}  {}", moment(session.started_ns), safe(model)));
    out.line(&format!("in {}", safe(&session.environment.cwd)));
    if let Some((parent, _)) = session.parent {
        out.line(&format!("goes on from {parent}"));
    }
    for event in archive.events()? {
        show_event(&event, out);
    }
    let ended = status.ended.map_or("still open", trajectory::event::Ended::as_str);
    out.line(&format!(
        "\n{ended}: {} rounds, {} requests, {} calls, {}",
        status.rounds,
        status.requests,
        status.calls,
        tokens_and(&status.usage, cost(archive)?),
    ));
    Ok(())
}

fn show_event(event: &Event, out: &mut Out) {
    match &event.body {
        Body::Prompt(prompt) => {
            out.line(&format!("\n── round {} ──", event.round));
            indented("", &prompt.text, usize::MAX, out);
            for attachment in &prompt.attachments {
                let (name, media_type) = (&attachment.name, &attachment.media_type);
                out.line(&format!("[with {} ({})]", safe(name), safe(media_type)));
            }
        }
        Body::UserCommand(ran) => {
            out.line(&format!("\nthe user ran, execution {}:", ran.exec));
            indented("  ", &ran.shown, usize::MAX, out);
        }
        Body::Steering(steering) => indented("(meanwhile) ", &steering.text, usize::MAX, out),
        Body::Reasoning(reasoning) => {
            out.line(match reasoning.form {
                ReasoningForm::Full => "\nthinks:",
                ReasoningForm::Summary => "\nthinks (a summary):",
                ReasoningForm::Encrypted => "\nthinks (encrypted)",
            });
            if reasoning.form != ReasoningForm::Encrypted {
                indented("  ", &reasoning.text, usize::MAX, out);
            }
            cut_short(reasoning.interrupted, out);
        }
        Body::Message(message) => {
            out.line("\nsays:");
            indented("  ", &message.text, usize::MAX, out);
            cut_short(message.interrupted, out);
        }
        Body::ToolCall(call) => {
            out.line(&format!("\ncall {}: {}", call.call, headline(&call.name, 60)));
            match &call.malformed {
                Some(why) => out.line(&format!("  (malformed: {})", safe(why))),
                None => arguments(&call.arguments, out),
            }
        }
        Body::Observation(seen) => observation(seen, out),
        Body::UserEdit(edit) => {
            out.line("");
            indented("(edited) ", &edit.shown, usize::MAX, out);
        }
        Body::Error(error) => out.line(&format!("\nerror: {}", safe(&error.message))),
        Body::Interruption(cut) => {
            out.line(&format!("\ninterrupted by: {}", format!("{:?}", cut.cause).to_lowercase()));
        }
        Body::ModelChanged(model) => {
            let endpoint = model.endpoint.as_deref().unwrap_or("no endpoint");
            out.line(&format!(
                "model {} ({}, {})",
                safe(&model.model),
                safe(&model.provider),
                safe(endpoint)
            ));
        }
        _ => {}
    }
}

fn cut_short(interrupted: bool, out: &mut Out) {
    if interrupted {
        out.line("  (cut short)");
    }
}

/// Arguments as `name: value`, since that is easier to read than JSON.
fn arguments(raw: &str, out: &mut Out) {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(raw) else {
        return indented("  ", raw, LINES_SHOWN_MAX, out);
    };
    for (name, value) in &object {
        match value.as_str() {
            Some(text) if text.contains('\n') => {
                out.line(&format!("  {}:", safe(name)));
                indented("    ", text, LINES_SHOWN_MAX, out);
            }
            Some(text) => out.line(&format!("  {}: {}", safe(name), safe(text))),
            None => out.line(&format!("  {}: {}", safe(name), safe(&value.to_string()))),
        }
    }
}

fn observation(seen: &Observation, out: &mut Out) {
    let exec = seen.exec.map_or(String::new(), |exec| format!(", execution {exec}"));
    let verdict = match seen.status {
        CallStatus::Error => "error".to_owned(),
        CallStatus::Denied => "denied".to_owned(),
        _ => verdict(seen),
    };
    out.line(&format!("seen by call {}{exec}: {verdict}", seen.call));
    indented("  ", &seen.shown, LINES_SHOWN_MAX, out);
}

fn indented(indent: &str, text: &str, lines_max: usize, out: &mut Out) {
    let text = safe(text.trim_end());
    let count = text.lines().count();
    for line in text.lines().take(lines_max) {
        out.line(&format!("{indent}{line}"));
    }
    if count > lines_max {
        out.line(&format!("{indent}… {} more lines", count - lines_max));
    }
}
