//! Killed while a recording of the first format is brought up to date: it is of one format or of the
//! other, what it was is kept, nothing half made stays, and it can be gone on with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, Reply, Scenario};
use rusqlite::Connection;

use super::Round;
use super::ground::{Ground, killed_after, recording, succeed, timed};

/// Takes a recording back to the first format.
const TO_FORMAT_1: &str = include_str!("../../../src/record/fixtures/to-session-1.sql");

pub(super) fn play(round: &mut Round) -> Result<()> {
    let ground = Ground::kept("migration", make)?;
    let file = recording(&ground.home())?;
    let put_back = || -> Result<()> {
        for name in ["v1.bak", "db-wal", "db-shm"] {
            let _ = fs::remove_file(file.with_extension(name));
        }
        fs::copy(ground.folder.join("old"), &file)?;
        Ok(())
    };
    put_back()?;
    let whole = timed(ground.limn(&["show", "last"]))?;
    let newest = version_of(&file)?;
    put_back()?;
    let moment = round.moment(whole);
    killed_after(ground.limn(&["show", "last"]), moment)?;
    check(&ground, &file, newest).with_context(|| format!("killed after {moment:?}"))
}

/// A recording with some megabytes in it, of the first format, and the events that are in it.
fn make(ground: &Ground) -> Result<()> {
    let server = MockServer::start(Scenario::replies([
        Reply::new().call("shell", r#"{"command":"head -c 6000000 /dev/urandom | base64"}"#),
        Reply::text("Done."),
    ]))?;
    // Of no repository, not even of the one around the target folder: the first format had no place
    // for that, and it is part of what an environment is told by.
    fs::write(ground.work().join(".git"), "")?;
    let printed = succeed(ground.exec(&server, &["go"]))?;
    fs::write(ground.folder.join("printed"), printed)?;
    let file = recording(&ground.home())?;
    Connection::open(&file)?.execute_batch(TO_FORMAT_1)?;
    fs::rename(&file, ground.folder.join("old"))?;
    // The name is what the copies are found by.
    fs::copy(ground.folder.join("old"), &file)?;
    Ok(())
}

fn version_of(file: &Path) -> Result<i64> {
    Ok(Connection::open(file)?.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn check(ground: &Ground, file: &Path, newest: i64) -> Result<()> {
    let version = version_of(file)?;
    if version != 1 && version != newest {
        bail!("it is of format {version}");
    }
    ground.check_store()?;
    let printed = fs::read_to_string(ground.folder.join("printed"))?;
    ground.check_events(&printed)?;
    if version_of(file)? != newest || version_of(&file.with_extension("v1.bak"))? != 1 {
        bail!("whoever came next did not bring it up to date");
    }
    for entry in fs::read_dir(ground.home().join("sessions"))? {
        let name = entry?.file_name();
        if name.to_string_lossy().contains(".part") {
            bail!("half a copy stayed: {}", name.display());
        }
    }
    let server = MockServer::start(Scenario::replies([Reply::text("And on.")]))?;
    succeed(ground.exec(&server, &["--resume", "last", "and on"])).context("going on")?;
    ground.check_store()
}
