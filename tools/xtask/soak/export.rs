//! Killed while an export is written: it is there whole, or not at all, and can be made again.

use std::fs;

use anyhow::{Context, Result};
use mock_server::{MockServer, Reply, Scenario};

use super::Round;
use super::ground::{Ground, killed_after, same, succeed, timed};

/// Thirty steps that are much alike would be kept out of a dataset.
const EXPORT: &[&str] =
    &["export", "--format", "messages", "--status", "all", "--waive", "loops=a soak", "--out"];

pub(super) fn play(round: &mut Round) -> Result<()> {
    let ground = Ground::kept("export", make)?;
    let whole = fs::read_to_string(ground.folder.join("whole-us"))?;
    let moment = round.moment(std::time::Duration::from_micros(whole.parse()?));
    let out = ground.folder.join("out");
    let _ = fs::remove_dir_all(&out);
    let export = || {
        let out = out.display().to_string();
        ground.limn(&[EXPORT, &[&out]].concat())
    };
    killed_after(export(), moment)?;
    let check = || -> Result<()> {
        if !out.exists() {
            succeed(export())?;
        }
        same(&ground.folder.join("whole"), &out)?;
        ground.check_store()
    };
    check().with_context(|| format!("killed after {moment:?}"))
}

/// A dozen recordings, and what they are as a dataset.
fn make(ground: &Ground) -> Result<()> {
    let server = MockServer::start(Scenario::generate(|number, request| {
        let messages = request.messages();
        match messages.iter().filter(|message| message["role"] == "tool").count() {
            0..30 => {
                let command = format!(r#"{{"command":"seq {number} {}"}}"#, number + 2_000);
                Reply::new().reasoning(&format!("On to {number}.")).call("shell", &command)
            }
            _ => Reply::text("Done."),
        }
    }))?;
    for number in 0..12 {
        succeed(ground.exec(&server, &[&format!("Count on, for the {number}. time.")]))?;
    }
    let out = ground.folder.join("whole").display().to_string();
    let whole = timed(ground.limn(&[EXPORT, &[&out]].concat()))?;
    fs::write(ground.folder.join("whole-us"), whole.as_micros().to_string())?;
    Ok(())
}
