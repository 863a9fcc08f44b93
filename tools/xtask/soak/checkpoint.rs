//! Killed while checkpoints are taken: of the workspace, before a round and after a command, and of
//! SQLite, which folds in what the command prints.

use std::fs;

use anyhow::{Context, Result, bail};
use mock_server::{MockServer, Reply, Scenario};

use super::Round;
use super::ground::{Ground, copy, killed_after, same, succeed, timed};

pub(super) fn play(round: &mut Round) -> Result<()> {
    let ground = Ground::kept("checkpoint", make)?;
    let begin = || -> Result<MockServer> {
        let _ = fs::remove_dir_all(ground.home());
        copy(&ground.folder.join("then"), &ground.work())?;
        Ok(MockServer::start(Scenario::generate(|number, _| match number {
            0 => Reply::new().call(
                "shell",
                r#"{"command":"head -c 6000000 /dev/urandom | base64 | tee noise; rm -r folder3"}"#,
            ),
            _ => Reply::text("Done."),
        }))?)
    };
    let server = begin()?;
    let whole = timed(ground.exec(&server, &["go"]))?;
    let server = begin()?;
    let moment = round.moment(whole);
    let printed = killed_after(ground.exec(&server, &["go"]), moment)?;
    check(&ground, &server, &printed).with_context(|| format!("killed after {moment:?}"))
}

/// A workspace whose checkpoint takes a while.
fn make(ground: &Ground) -> Result<()> {
    for number in 0..2_000 {
        let folder = ground.work().join(format!("folder{}", number % 40));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{number}.txt")), format!("{number}\n").repeat(700))?;
    }
    copy(&ground.work(), &ground.folder.join("then"))
}

fn check(ground: &Ground, server: &MockServer, printed: &str) -> Result<()> {
    if succeed(ground.limn(&["sessions", "--json"]))?.is_empty() {
        return Ok(());
    }
    ground.check_store()?;
    ground.check_events(printed)?;
    succeed(ground.limn(&["store", "check"]))?;
    let rounds = succeed(ground.limn(&["rewind", "last", "--json"]))?;
    if rounds.lines().next().is_some_and(|round| !round.contains(r#""tree":null"#)) {
        let back = ["rewind", "last", "--to", "1", "--files", "--overwrite"];
        succeed(ground.limn(&back))?;
        same(&ground.folder.join("then"), &ground.work())?;
    } else if rounds.is_empty() && printed.contains(r#""kind":"prompt""#) {
        bail!("the round is gone");
    }
    succeed(ground.exec(server, &["--resume", "last", "go on"])).context("going on")?;
    ground.check_store()
}
