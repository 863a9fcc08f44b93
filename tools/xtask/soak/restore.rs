//! Killed while files are taken back: whoever comes next finishes it, and every file is what it was.

use std::fs;

use anyhow::{Context, Result};
use mock_server::{MockServer, Reply, Scenario};

use super::Round;
use super::ground::{Ground, copy, killed_after, same, succeed, timed};

const BACK: &[&str] = &["rewind", "last", "--to", "1", "--files", "--overwrite"];

const CHANGE: &str = "for f in folder1*/*.txt; do echo more >>$f; done; rm -r folder2 folder3; \
                      mkdir new; seq 100 >new/file";

pub(super) fn play(round: &mut Round) -> Result<()> {
    let ground = Ground::kept("restore", make)?;
    let begin = || -> Result<()> {
        copy(&ground.folder.join("home-then"), &ground.home())?;
        copy(&ground.folder.join("work-then"), &ground.work())
    };
    begin()?;
    let whole = timed(ground.limn(BACK))?;
    begin()?;
    let moment = round.moment(whole);
    killed_after(ground.limn(BACK), moment)?;
    let check = || -> Result<()> {
        ground.check_store()?;
        succeed(ground.limn(BACK))?;
        same(&ground.folder.join("before"), &ground.work())?;
        succeed(ground.limn(&["store", "check"]))?;
        let server = MockServer::start(Scenario::replies([Reply::text("And on.")]))?;
        succeed(ground.exec(&server, &["--resume", "last", "and on"])).context("going on")?;
        ground.check_store()
    };
    check().with_context(|| format!("killed after {moment:?}"))
}

/// A session whose round changed many files.
fn make(ground: &Ground) -> Result<()> {
    for number in 0..1_000 {
        let folder = ground.work().join(format!("folder{}", number % 20));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{number}.txt")), format!("{number}\n").repeat(300))?;
    }
    copy(&ground.work(), &ground.folder.join("before"))?;
    let command = serde_json::json!({ "command": CHANGE }).to_string();
    let server = MockServer::start(Scenario::replies([
        Reply::new().call("shell", &command),
        Reply::text("Done."),
    ]))?;
    succeed(ground.exec(&server, &["go"]))?;
    copy(&ground.home(), &ground.folder.join("home-then"))?;
    copy(&ground.work(), &ground.folder.join("work-then"))
}
