//! Crashes: processes that are really killed, and sessions that are left open on purpose.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use trajectory::event::{CallStatus, Ended, InterruptionCause, Observation, ReasoningField};
use trajectory::{Body, Event, Progress, SessionId, Source};

use crate::tests::{Story, home, observation, sound, start};
use crate::*;

/// Where the child of a crash test writes.
const CHILD_HOME: &str = "LIMN_TEST_CHILD_HOME";
const CHILD_SESSION: &str = "LIMN_TEST_CHILD_SESSION";

/// How often the crash test kills; the soak run sets it high.
const KILLS: &str = "LIMN_TEST_KILLS";

/// Not a test by itself: the process that the crash tests kill. It writes for ever and says on
/// stdout what has been acknowledged.
#[tokio::test]
#[ignore = "run by the crash tests, as a child"]
async fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD_HOME) else { return };
    let home = Home::open(path.as_ref()).unwrap();
    let id: SessionId = std::env::var(CHILD_SESSION).unwrap().parse().unwrap();
    let mut story = if home.session_file(id).exists() {
        Story::resume(&home, id)
    } else {
        Story::of(Recorder::create(&home, start(id)).unwrap())
    };
    loop {
        story.prompt("go").await;
        let request = story.ask().await;
        for piece in 0..30 {
            let text = format!("piece {piece} ");
            let progress = if piece < 10 {
                Progress::Reasoning { request, field: ReasoningField::Reasoning, text }
            } else {
                Progress::Text { request, text }
            };
            story.recorder.draft(&progress).await.unwrap();
        }
        println!("\nacknowledged {}", story.events.len());
        for call in story.reply("let me look", 2).await {
            story.start(call).await;
            println!("\nruns {call}");
            let output = vec![b'x'; 100 * call as usize % 9000];
            story.print(call, &output).await;
            story.observe(call, &output).await;
            println!("\nacknowledged {}", story.events.len());
        }
        story.end_round().await;
        println!("\nacknowledged {}", story.events.len());
    }
}

fn spawn_child(home: &Home, id: SessionId) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recovery::tests::child_that_writes_until_it_is_killed"])
        .args(["--ignored", "--nocapture"])
        .env(CHILD_HOME, home.path())
        .env(CHILD_SESSION, id.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a killed child had been told.
#[derive(Default)]
struct Told {
    acknowledged: usize,
    runs: Vec<u32>,
}

/// Kills the child some time after it has said so many lines.
fn kill_after(mut child: Child, lines: usize, pause: Duration) -> Told {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    for _ in 0..lines {
        if out.read_line(&mut text).unwrap() == 0 {
            break;
        }
    }
    // Not to wait for anything: to be killed at no particular moment.
    std::thread::park_timeout(pause);
    child.kill().unwrap();
    out.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let mut told = Told::default();
    // A last line that was cut short says nothing; the one before it is whole.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines() {
        if let Some(count) = line.strip_prefix("acknowledged ") {
            told.acknowledged = count.parse().unwrap();
        } else if let Some(call) = line.strip_prefix("runs ") {
            told.runs.push(call.parse().unwrap());
        }
    }
    told
}

fn random(below: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % below
}

/// Invariant 15: killed at any moment, the store opens, every acknowledged event is there, and
/// nothing ran whose intent is not on record.
#[test]
fn kill_9_loses_nothing_that_was_acknowledged() {
    let (_folder, home) = home();
    let mut id = SessionId::new();
    let mut before: Vec<Event> = Vec::new();
    let mut acknowledged = 0;
    let kills = std::env::var(KILLS).map_or(5, |count| count.parse().unwrap());
    for kill in 0..kills {
        let lines = random(if kill % 5 == 0 { 6 } else { 60 }) as usize;
        let told = kill_after(spawn_child(&home, id), lines, Duration::from_micros(random(9000)));
        acknowledged += told.acknowledged;
        let what = format!("kill {kill} after {lines} lines of {id}");
        match recover(&home, id) {
            Ok(_) | Err(RecordError::NotFound { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
        if !home.session_file(id).exists() {
            assert_eq!(told.acknowledged, 0, "{what}");
            continue;
        }
        let archive = sound(&home, id);
        let events: Vec<Event> =
            archive.events().unwrap().into_iter().map(trajectory::Recorded::into_inner).collect();
        assert!(events.len() >= told.acknowledged, "{what}");
        assert_eq!(events[..before.len()], before, "{what}");
        for call in told.runs {
            let intent = |event: &Event| matches!(&event.body, Body::ToolStarted(started) if started.call == call);
            assert!(events.iter().any(intent), "{what}: call {call} ran without a trace");
        }
        assert!(!recover(&home, id).unwrap(), "{what}: recovered twice");
        // Every other time the same session is resumed by the next child.
        (id, before) = if kill % 2 == 0 { (id, events) } else { (SessionId::new(), Vec::new()) };
    }
    assert!(acknowledged > 0, "no child ever got to write");
}

/// A session whose process went away without a word: dropped, with everything left open.
async fn abandoned(home: &Home) -> SessionId {
    let mut story = Story::begin(home);
    story.round("first").await;
    story.prompt("second").await;
    story.ask().await;
    story.reply("two at once", 3).await;
    story.start(3).await;
    story.print(3, b"half a line").await;
    story.id()
}

#[tokio::test]
async fn what_was_left_open_is_closed_and_said_to_be_lost() {
    let (_folder, home) = home();
    let id = abandoned(&home).await;
    assert!(recover(&home, id).unwrap());
    let archive = sound(&home, id);
    let events = archive.events().unwrap();
    let last: Vec<&Body> = events.iter().rev().take(6).rev().map(|event| &event.body).collect();
    let [
        Body::Observation(lost),
        Body::Observation(first),
        Body::Observation(second),
        Body::Interruption(interruption),
        Body::RoundEnded(round),
        Body::SessionEnded(session),
    ] = last[..]
    else {
        panic!("{last:?}")
    };
    assert_eq!((lost.call, lost.status, lost.exec), (3, CallStatus::LostInCrash, Some(3)));
    assert!(lost.shown.contains("unknown") && lost.shown.contains("11 bytes"), "{}", lost.shown);
    let output = lost.output.as_ref().unwrap();
    assert_eq!(output.blake3, blob::Hash::of(b"half a line").to_string());
    assert_eq!((first.call, first.status), (4, CallStatus::Cancelled));
    assert_eq!((second.call, second.exec), (5, None));
    assert_eq!(interruption.cause, InterruptionCause::Crash);
    assert_eq!((round.ended, session.ended), (Ended::Interrupted, Ended::Interrupted));
    assert_eq!(round.usage.input_tokens, 10);
    assert!(archive.execs().unwrap()[2].lost);
    assert_eq!(archive.status().unwrap().ended, Some(Ended::Interrupted));
    assert!(!recover(&home, id).unwrap());
}

#[tokio::test]
async fn a_half_streamed_reply_is_kept_as_an_interrupted_one() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("go").await;
    let request = story.ask().await;
    let draft = async |progress: Progress| story.recorder.draft(&progress).await.unwrap();
    draft(Progress::Text { request, text: "void".into() }).await;
    draft(Progress::Retry { request, reason: "503".into() }).await;
    let (one, other) = (ReasoningField::ReasoningContent, ReasoningField::Reasoning);
    for (field, text) in [(one, "thin"), (one, "king"), (other, "alo"), (other, "ud")] {
        draft(Progress::Reasoning { request, field, text: text.into() }).await;
    }
    draft(Progress::Text { request, text: "Hel".into() }).await;
    draft(Progress::Text { request, text: "lo".into() }).await;
    draft(Progress::ToolCall { request, index: 0, name: Some("rm".into()), arguments: "{".into() })
        .await;
    let id = story.id();
    drop(story);

    let Resumed { recorder, events, .. } = Recorder::resume(&home, id).unwrap();
    let bodies: Vec<&Body> = events.iter().map(|event| &event.body).collect();
    let [
        Body::Prompt(_),
        Body::Reasoning(reasoning),
        Body::Reasoning(aloud),
        Body::Message(text),
        Body::Interruption(_),
        Body::RoundEnded(_),
    ] = bodies[..]
    else {
        panic!("{bodies:?}")
    };
    assert_eq!((reasoning.text.as_str(), reasoning.interrupted), ("thinking", true));
    assert_eq!((reasoning.field, aloud.field, aloud.text.as_str()), (one, other, "aloud"));
    assert_eq!((text.text.as_str(), text.interrupted, text.request), ("Hello", true, request));
    recorder.close().await.unwrap();
    let archive = sound(&home, id);
    let end = archive.requests().unwrap()[0].end.clone().unwrap();
    assert_eq!(end.error.as_deref(), Some("interrupted by a crash"));
    assert_eq!(archive.response(request, 1).unwrap(), None, "nobody knows what came");
    assert_eq!(archive.status().unwrap().ended, None);
    assert!(recover(&home, id).unwrap());
    assert_eq!(sound(&home, id).events().unwrap().len(), 7);
}

#[tokio::test]
async fn a_job_that_ran_when_limn_died_is_said_to_be_gone() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("serve").await;
    story.ask().await;
    let call = story.reply("", 1).await[0];
    story.start(call).await;
    let seen = Observation { exec: Some(call), ..observation(call, CallStatus::Ok) };
    story.emit(Source::Environment, seen).await;
    story.end_round().await;
    story.print(call, b"listening").await;
    let id = story.id();
    drop(story);
    let Resumed { recorder, events, .. } = Recorder::resume(&home, id).unwrap();
    let Some(Body::BackgroundExit(exit)) = events.last().map(|event| &event.body) else {
        panic!("{events:?}")
    };
    assert_eq!((exit.exec, exit.exit.code), (call, None));
    assert!(exit.shown.contains("limn died"), "{}", exit.shown);
    recorder.close().await.unwrap();
    sound(&home, id);
}

/// A reply on record takes its drafts with it.
#[tokio::test]
async fn finished_requests_leave_no_drafts() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("go").await;
    let request = story.ask().await;
    let progress = Progress::Text { request, text: "hello secret".into() };
    story.recorder.draft(&progress).await.unwrap();
    story.commit(Write::default(), Durability::Relaxed).await;
    let drafts = || -> i64 {
        let archive = Archive::open(&home, story.id()).unwrap();
        archive.connection().query_row("SELECT count(*) FROM draft", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(drafts(), 1);
    let id = story.id();
    story.reply("hello", 0).await;
    story.end_round().await;
    story.end().await;
    let file = std::fs::read(home.session_file(id)).unwrap();
    let secret = b"hello secret";
    assert!(!file.windows(secret.len()).any(|window| window == secret));
}

#[tokio::test]
async fn a_resumed_session_goes_on_where_it_stood() {
    let (_folder, home) = home();
    let id = abandoned(&home).await;
    let mut story = Story::resume(&home, id);
    let stood = story.events.len() as u64;
    story.round("third").await;
    assert_eq!(story.events[stood as usize].seq, stood);
    let id = story.end().await;
    let archive = sound(&home, id);
    let runs: std::collections::HashSet<_> =
        archive.events().unwrap().iter().map(|event| event.run).collect();
    assert_eq!(runs.len(), 2);
    assert!(!recover(&home, id).unwrap(), "it has ended");
}

fn change(home: &Home, id: SessionId, sql: &str) {
    rusqlite::Connection::open(home.session_file(id)).unwrap().execute_batch(sql).unwrap();
}

/// A request that was killed before its first token left no event, and its number is used.
#[tokio::test]
async fn the_numbering_goes_on_behind_what_left_no_event() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    let id = story.id();
    assert!(recover(&home, id).is_ok_and(|recovered| !recovered), "it is live");
    story.round("first").await;
    story.prompt("second").await;
    story.ask().await;
    drop(story);
    let last = Ordinals { round: 2, request: 3, call: 2, exec: 2 };
    let resumed = Recorder::resume(&home, id).unwrap();
    assert_eq!(resumed.last, last);
    resumed.recorder.close().await.unwrap();
    // What was redacted is not counted again.
    change(&home, id, "UPDATE event SET nonce = NULL, body = NULL WHERE kind <> 'round_ended'");
    let resumed = Recorder::resume(&home, id).unwrap();
    assert_eq!(resumed.last, last);
    resumed.recorder.close().await.unwrap();
    let mut story = Story::resume(&home, id);
    story.round("third").await;
    assert_eq!(story.events.last().unwrap().round, 3);
    // Replies tell of their requests, too: those of a fork have no row here.
    drop(story);
    change(&home, id, "DELETE FROM llm_call; DELETE FROM llm_call_message");
    let resumed = Recorder::resume(&home, id).unwrap();
    assert_eq!(resumed.last.request, 5);
    resumed.recorder.close().await.unwrap();
    let fresh = Story::begin(&home);
    let id = fresh.id();
    drop(fresh);
    assert_eq!(Recorder::resume(&home, id).unwrap().last, Ordinals::default());
}

/// A result that cannot be read is a result: its call is not answered again.
#[tokio::test]
async fn no_call_is_answered_twice() {
    let unknown_status = "UPDATE event SET body = replace(body, '\"ok\"', '\"telepathic\"')";
    let unknown_source = "UPDATE event SET source = 'oracle'";
    let redacted = "UPDATE event SET nonce = NULL, body = NULL";
    for sql in [unknown_status, unknown_source, redacted] {
        let (_folder, home) = home();
        let mut story = Story::begin(&home);
        story.round("first").await;
        story.prompt("second").await;
        story.ask().await;
        // Calls 3, 4 and 5; the last to be made is the one that has run.
        story.reply("three at once", 3).await;
        story.start(5).await;
        story.observe(5, b"").await;
        let id = story.id();
        let stood = story.events.len();
        drop(story);
        change(&home, id, &format!("{sql} WHERE kind = 'observation'"));
        if sql == redacted {
            // Nor is it known from the intent which call it was, only from the execution.
            change(&home, id, &format!("{sql} WHERE kind = 'tool_started'"));
        }
        assert!(recover(&home, id).unwrap(), "{sql}");
        let archive = Archive::open(&home, id).unwrap();
        let answered: Vec<u32> = archive
            .events_from(stood as u64)
            .unwrap()
            .iter()
            .filter_map(|event| match &event.body {
                Body::Observation(observation) => Some(observation.call),
                _ => None,
            })
            .collect();
        assert_eq!(answered, [3, 4], "{sql}");
        assert!(!recover(&home, id).unwrap(), "{sql}");
        if sql == redacted {
            sound(&home, id);
        }
    }
}

/// Where there is no sandbox, a command of the user's is not one that was run outside of it.
#[tokio::test]
async fn a_lost_command_of_the_users_is_told_with_where_it_ran() {
    for outside in [false, true] {
        let (_folder, home) = home();
        let mut story = Story::begin(&home);
        let facts = ExecFacts {
            argv: vec!["sh".into(), "-c".into(), "make".into()],
            policy: Some(serde_json::json!({ "tier": "off", "outside": outside })),
            ..ExecFacts::default()
        };
        let row = ExecStarted { exec: 1, call: None, tool: "user_command".into(), facts };
        let write = Write { rows: vec![row.into()], ..Write::default() };
        story.commit(write, Durability::Durable).await;
        let id = story.id();
        drop(story);
        assert!(recover(&home, id).unwrap());
        let told = Archive::open(&home, id).unwrap().events().unwrap();
        let Some(Body::UserCommand(ran)) = told.first().map(|event| &event.body) else {
            panic!("{told:?}")
        };
        assert_eq!(ran.outside_sandbox, outside);
        assert_eq!(ran.shown.contains("outside the sandbox"), outside, "{}", ran.shown);
    }
}

/// Whatever a server, or a file, says: the sums do not overflow, and the session can be closed.
#[tokio::test]
async fn absurd_token_counts_stop_nothing() {
    let (_folder, home) = home();
    let id = abandoned(&home).await;
    change(&home, id, "UPDATE llm_call SET input_tokens = 9223372036854775807, output_tokens = -5");
    let archive = Archive::open(&home, id).unwrap();
    let usage = archive.status().unwrap().usage;
    assert!(usage.input_tokens > 1 << 62, "{usage:?}");
    assert_eq!(usage.output_tokens, 0);
    change(&home, id, "UPDATE llm_call SET output_tokens = 9223372036854775807");
    assert!(recover(&home, id).unwrap());
    let usage = archive.status().unwrap().usage;
    assert_eq!(usage.total(), u64::MAX);
    assert_eq!(Library::open(&home).unwrap().list().unwrap().len(), 1);
    assert_eq!(Library::open(&home).unwrap().list().unwrap().len(), 1, "from the catalogue, too");
    let redacted = "INSERT INTO output_part SELECT 77, 0, value, 0, 9223372036854775807, 0, NULL, \
                    x'' FROM generate_series(0, 3)";
    let series = "WITH RECURSIVE generate_series(value) AS (SELECT 0 UNION ALL SELECT value + 1 \
                  FROM generate_series WHERE value < 3)";
    change(
        &home,
        id,
        &format!("{series} {}", redacted.replace("generate_series(0, 3)", "generate_series")),
    );
    assert!(!archive.verify().unwrap().is_empty());
}

/// A process that died between making the file and beginning the session leaves nothing behind.
#[test]
fn an_empty_file_is_no_session() {
    let (_folder, home) = home();
    let id = SessionId::new();
    std::fs::write(home.session_file(id), b"").unwrap();
    assert!(matches!(Archive::open(&home, id), Err(RecordError::Empty { .. })));
    assert!(matches!(home.find("last"), Err(RecordError::NotFound { .. })));
    assert!(Library::open(&home).unwrap().list().unwrap().is_empty());
    assert!(!recover(&home, id).unwrap());
    assert!(home.session_ids().unwrap().is_empty());
}
