//! `kill -9` at a random moment of a session, and what must be true afterwards: the store opens
//! and verifies, every event that was printed is on record, and no command ran without its intent
//! recorded; and the session can be gone on with.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, Reply, Scenario};

use super::Round;
use super::ground::{Ground, killed_after, succeed};

/// The latest moment of a kill: a session of three steps is over by then.
const LATEST: Duration = Duration::from_millis(60);

pub(super) fn play(round: &mut Round) -> Result<()> {
    let ground = Ground::fresh("kill")?;
    let server = MockServer::start(Scenario::generate(|number, _| match number {
        0..3 => Reply::new()
            .reasoning("One more.")
            .text_deltas((0..12).map(|piece| format!("word{piece} ")))
            .call("shell", &format!(r#"{{"command":"echo {number} >> effects; seq 200"}}"#)),
        _ => Reply::text("Done."),
    }))?;
    let moment = round.moment(LATEST);
    let printed = killed_after(ground.exec(&server, &["go"]), moment)?;
    let told = || format!("killed after {moment:?}");
    check(&ground, &printed).with_context(told)?;
    go_on(&ground, &server).with_context(told)?;
    ground.remove()
}

/// Whatever was cut short can be gone on with, and ends as it should.
fn go_on(ground: &Ground, server: &MockServer) -> Result<()> {
    if succeed(ground.limn(&["sessions", "--json"]))?.is_empty() {
        return Ok(());
    }
    let resumed = succeed(ground.exec(server, &["--resume", "last", "go on"]));
    check(ground, &resumed.context("it cannot be resumed")?)
}

fn check(ground: &Ground, printed: &str) -> Result<()> {
    ground.check_store()?;
    let recorded = ground.check_events(printed)?;
    let started = recorded.lines().filter(|line| line.contains(r#""kind":"tool_started""#)).count();
    let effects = fs::read_to_string(ground.work().join("effects")).unwrap_or_default();
    if effects.lines().count() > started {
        bail!("{} commands ran, {started} are on record as started", effects.lines().count());
    }
    Ok(())
}
