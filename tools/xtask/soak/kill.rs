//! `kill -9` at a random moment of a session, and what must be true afterwards: the store opens
//! and verifies, every event that was printed is on record, and no command ran without its intent
//! recorded; and the session can be gone on with.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, Reply, Scenario};

use super::Round;
use crate::process::{cargo, run, target};

/// The latest moment of a kill: a session of three steps is over by then.
const LATEST: Duration = Duration::from_millis(60);

/// Builds the program that is killed.
pub(super) fn prepare() -> Result<()> {
    run(&mut cargo(&["build", "--release", "--locked", "--bin", "limn"]))
}

pub(super) fn play(round: &mut Round) -> Result<()> {
    let folder = target().join("soak").join(format!("kill-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("work"))?;
    let server = MockServer::start(Scenario::generate(|number, _| match number {
        0..3 => Reply::new()
            .reasoning("One more.")
            .text_deltas((0..12).map(|piece| format!("word{piece} ")))
            .call("shell", &format!(r#"{{"command":"echo {number} >> effects; seq 200"}}"#)),
        _ => Reply::text("Done."),
    }))?;
    let moment = Duration::from_nanos(round.random.below(LATEST.as_nanos() as u64));
    let printed = killed_after(&folder, &server, moment)?;
    let told = || format!("killed after {moment:?}");
    check(&folder, &printed).with_context(told)?;
    go_on(&folder, &server).with_context(told)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn limn(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("LIMN_HOME", folder.join("home"))
        .current_dir(folder.join("work"))
        .stdin(Stdio::null());
    command
}

fn binary() -> PathBuf {
    target().join("release").join("limn")
}

/// Runs a session, kills it at that moment, and returns what it had printed.
fn killed_after(folder: &Path, server: &MockServer, moment: Duration) -> Result<String> {
    let url = server.url();
    let args = ["exec", "--json", "--model", "m", "--base-url", &url, "--sandbox", "off", "go"];
    let mut command = limn(folder, &args);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdout = child.stdout.take().context("no stdout")?;
    // The reader sees the end of the pipe when the killed process is gone.
    let reader = std::thread::spawn(move || {
        let mut printed = String::new();
        stdout.read_to_string(&mut printed).map(|_| printed)
    });
    std::thread::park_timeout(moment);
    child.kill()?;
    child.wait()?;
    reader.join().map_err(|_| anyhow::anyhow!("the reader died"))?.context("reading stdout")
}

/// Whatever was cut short can be gone on with, and ends as it should.
fn go_on(folder: &Path, server: &MockServer) -> Result<()> {
    let sessions = limn(folder, &["sessions", "--json"]).output()?;
    if sessions.stdout.is_empty() {
        return Ok(());
    }
    let url = server.url();
    let model = ["--model", "m", "--base-url", &url, "--sandbox", "off"];
    let args = [&["exec", "--json", "--resume", "last"], &model[..], &["go on"]].concat();
    let resumed = limn(folder, &args).output()?;
    if !resumed.status.success() {
        let complaint = String::from_utf8_lossy(&resumed.stderr).into_owned();
        bail!("it cannot be resumed ({}): {complaint}", resumed.status);
    }
    check(folder, &String::from_utf8_lossy(&resumed.stdout))
}

fn check(folder: &Path, printed: &str) -> Result<()> {
    let doctor = limn(folder, &["doctor", "--store", "--json"]).output()?;
    let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let bad = |line: &&str| line.contains(r#""check":"session "#) && !line.contains(r#""ok":true"#);
    if let Some(line) = report.lines().find(bad) {
        bail!("the store is not sound: {line}");
    }
    let shown = limn(folder, &["show", "last", "--json"]).output()?;
    let recorded = String::from_utf8_lossy(&shown.stdout).into_owned();
    let is_event = |line: &&str| line.starts_with(r#"{"type":"event""#) && line.ends_with('}');
    for line in printed.lines().filter(is_event) {
        if !recorded.lines().any(|other| other == line) {
            bail!("an event that was printed is not on record: {line}");
        }
    }
    let started = recorded.lines().filter(|line| line.contains(r#""kind":"tool_started""#)).count();
    let effects = fs::read_to_string(folder.join("work/effects")).unwrap_or_default();
    if effects.lines().count() > started {
        bail!("{} commands ran, {started} are on record as started", effects.lines().count());
    }
    let count = |kind: &str| recorded.matches(&format!(r#""kind":"{kind}""#)).count();
    if count("tool_call") != count("observation") || count("prompt") != count("round_ended") {
        bail!("a call without an observation, or a round without an end");
    }
    Ok(())
}
