//! Killed at any moment: the store opens, every finished action is there, and no tool ran without
//! its intent recorded.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use mock_server::{MockServer, Reply, Scenario};
use trajectory::event::CallStatus;
use trajectory::{Body, Event};

use crate::world::{PATIENCE, World, kill, server, shell};

/// A server whose every reply streams a little and then appends its number to a file of the
/// workspace.
fn busy_server() -> MockServer {
    MockServer::start(Scenario::generate(|number, _| {
        Reply::new()
            .text_deltas((0..20).map(|piece| format!("word{piece} ")))
            .call("shell", &format!(r#"{{"command":"echo {number} >> effects.txt; echo seen"}}"#))
            .pause(Duration::from_micros(200))
    }))
    .unwrap()
}

/// What the kill must not have cost. `acknowledged` are the lines that were printed before it.
#[track_caller]
pub fn check(world: &World, acknowledged: &[String]) {
    let Ok(id) = world.home().find("last") else {
        assert!(acknowledged.is_empty());
        return;
    };
    let before = record::Archive::open(&world.home(), id);
    let Ok(before) = before else {
        assert!(acknowledged.len() < 2, "{acknowledged:?}");
        return;
    };
    let events = before.events().unwrap();
    drop(before);
    for line in acknowledged.iter().filter(|line| line.contains(r#""type":"event""#)) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let seq = line["seq"].as_u64().unwrap();
        let event = events.get(seq as usize).map(|event| event.id.to_string());
        assert_eq!(event.as_deref(), line["id"].as_str(), "an acknowledged event is gone");
    }
    // No effect without its intent.
    let started = events.iter().filter(|event| matches!(event.body, Body::ToolStarted(_))).count();
    let effects = fs::read_to_string(world.workspace().join("effects.txt")).unwrap_or_default();
    assert!(effects.lines().count() <= started, "{effects} but {started} started");
    world.assert_sound();
    let after = world.events();
    assert_every_call_is_answered(&after);
    let ended = after.iter().filter(|event| matches!(event.body, Body::RoundEnded(_))).count();
    let begun = after.iter().filter(|event| matches!(event.body, Body::Prompt(_))).count();
    assert_eq!(ended, begun);
}

fn assert_every_call_is_answered(events: &[Event]) {
    let calls = events.iter().filter(|event| matches!(event.body, Body::ToolCall(_))).count();
    let answers = events.iter().filter(|event| matches!(event.body, Body::Observation(_))).count();
    assert_eq!(calls, answers);
}

#[test]
fn killed_at_25_moments_nothing_that_was_finished_is_lost() {
    // The moments are counted in lines of output and spread over the life of a session, so that
    // they fall on the same kinds of places on a slow and on a fast machine.
    for moment in 0..25 {
        let world = World::new();
        let server = busy_server();
        let mut command = world.exec_command(&server.url(), &["--json", "go"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        for line in lines.take(moment * 2) {
            acknowledged.push(line.unwrap());
        }
        // A little later than the line: another instant each time.
        let spin = std::time::Instant::now();
        while spin.elapsed() < Duration::from_micros(317 * (moment as u64 % 7)) {
            std::hint::spin_loop();
        }
        kill(&mut child);
        check(&world, &acknowledged);
    }
}

#[test]
fn what_was_streamed_before_a_kill_is_an_interrupted_reply() {
    let world = World::new();
    let words = (0..100).map(|number| format!("word{number} "));
    let server = server([Reply::new().text_deltas(words).hang_after(80), Reply::text("on")]);
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    while !drafts_hold(&world, "word70 ") {
        assert!(began.elapsed() < PATIENCE, "the drafts never came");
        std::thread::yield_now();
    }
    kill(&mut child);
    let shown = world.limn(&["show", "last"]).succeeds();
    assert!(shown.stdout.contains("word70"), "{}", shown.stdout);
    let Body::Message(half) = &world.bodies("message")[0] else { panic!() };
    assert!(half.interrupted && half.text.contains("word70 "));
    world.assert_sound();
    // And it can be gone on with.
    world.exec(&server.url(), &["--resume", "last", "go on"]).succeeds();
    let messages = server.requests()[1].messages();
    assert!(messages[2]["content"].as_str().unwrap().contains("word70 "));
    world.assert_sound();
}

fn drafts_hold(world: &World, text: &str) -> bool {
    let Ok(id) = world.home().find("last") else { return false };
    let Ok(archive) = record::Archive::open(&world.home(), id) else { return false };
    archive.drafts().is_ok_and(|drafts| drafts.iter().any(|draft| draft.text.contains(text)))
}

#[test]
fn a_tool_that_ran_when_limn_died_is_lost_in_crash_and_its_output_is_kept() {
    let world = World::new();
    let server = server([shell("echo begun; sleep 1000"), Reply::text("on")]);
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    loop {
        assert!(began.elapsed() < PATIENCE, "the output never came");
        let archive =
            world.home().find("last").and_then(|id| record::Archive::open(&world.home(), id));
        let printed = |archive: record::Archive| archive.output(1, &mut std::io::sink());
        if archive.and_then(printed).is_ok_and(|length| length >= "begun\r\n".len() as u64) {
            break;
        }
        std::thread::yield_now();
    }
    kill(&mut child);
    world.limn(&["sessions"]).succeeds();
    let Body::Observation(seen) = &world.bodies("observation")[0] else { panic!() };
    assert_eq!(seen.status, CallStatus::LostInCrash);
    let mut raw = world.command(&["show", "last", "--output", "1"]);
    assert_eq!(raw.output().unwrap().stdout, b"begun\r\n");
    world.assert_sound();
}

#[test]
fn a_recording_that_is_deleted_under_it_stops_the_session() {
    let world = World::new();
    let data = world.data();
    let remove = format!("rm -rf {}/sessions", data.display());
    let server = server([shell(&remove), shell("touch too-late"), Reply::text("never")]);
    world.exec(&server.url(), &["go"]).exits(4).says(&["deleted"]);
    assert!(!world.workspace().join("too-late").exists());
}

#[test]
fn what_is_broken_is_not_added_to() {
    let world = World::new();
    let server = server([Reply::text("one"), Reply::text("never")]);
    world.exec(&server.url(), &["the prompt"]).succeeds();
    let file = world.home().session_file(world.home().find("last").unwrap());
    let connection = rusqlite::Connection::open(file).unwrap();
    let changed = "UPDATE event SET body = replace(body, 'the prompt', 'a prompt!!')";
    assert!(connection.execute(changed, []).unwrap() > 0);
    drop(connection);
    world.exec(&server.url(), &["--resume", "last", "on"]).exits(4).says(&["event 2"]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_live_session_has_one_writer_and_many_readers() {
    let world = World::new();
    let server = server([shell("echo begun; sleep 1000")]);
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = std::time::Instant::now();
    while world.home().find("last").is_err()
        || !world.limn(&["show", "last"]).stdout.contains("shell")
    {
        assert!(began.elapsed() < PATIENCE, "the session never began");
    }
    world.exec(&server.url(), &["--resume", "last", "me too"]).exits(4).says(&["another limn"]);
    world.limn(&["rm", "last"]).exits(1).says(&["another limn"]);
    // Reading did not close what is still going on.
    assert!(world.bodies("interruption").is_empty());
    kill(&mut child);
}
