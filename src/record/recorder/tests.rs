//! Locks, followers, contradictions, and disks that do not take what they are given.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use trajectory::event::{CallStatus, Prompt};
use trajectory::{Body, SessionId, Source};

use super::{open_existing_to_write, open_locked};
use crate::connection::SESSION_FORMAT;
use crate::tests::{Story, chunk, home, observation, sound, start};
use crate::*;

#[tokio::test]
async fn a_second_writer_is_refused_and_a_follower_is_not() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    let id = story.id();
    let error = Recorder::resume(&home, id).unwrap_err();
    assert!(matches!(error, RecordError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another limn"), "{error}");
    assert!(matches!(Recorder::create(&home, start(id)), Err(RecordError::Locked { .. })));
    assert!(matches!(home.remove(id), Err(RecordError::Locked { .. })));
    assert!(!recover(&home, id).unwrap());
    assert!(home.is_live(id));

    let follower = Archive::open(&home, id).unwrap();
    assert!(follower.events().unwrap().is_empty());
    for round in 0..3 {
        let seen = follower.events().unwrap().len();
        story.round(&format!("round {round}")).await;
        let new = follower.events_from(seen as u64).unwrap();
        assert_eq!(*new.last().unwrap().clone(), *story.events.last().unwrap());
        assert_eq!(follower.verify().unwrap(), []);
    }
    let id = story.end().await;
    assert!(!home.is_live(id));
    assert!(matches!(Recorder::create(&home, start(id)), Err(RecordError::Exists { .. })));
    sound(&home, id);
}

/// Invariant 4, at the door: nothing that contradicts the record gets in, and the recorder lives.
#[tokio::test]
async fn contradictions_are_refused_whole() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("go").await;
    story.ask().await;
    story.reply("x", 2).await;
    story.start(1).await;
    story.observe(1, b"").await;
    let call = story.events[3].body.clone();
    let answer = |call| Write::event(1, Source::Environment, observation(call, CallStatus::Ok));
    let mut twice = answer(2);
    twice.events.extend(answer(2).events);
    let round = trajectory::event::RoundEnded {
        ended: trajectory::event::Ended::Completed,
        usage: trajectory::Usage::default(),
    };
    let rows = |row: Row| Write { rows: vec![row], ..Write::default() };
    let refused = [
        answer(1),
        answer(9),
        twice,
        Write {
            events: vec![NewEvent { round: 1, source: Source::Model, body: call }],
            ..Write::default()
        },
        Write::event(1, Source::Harness, trajectory::event::ToolStarted { call: 1, exec: 7 }),
        Write::event(1, Source::Harness, round),
        rows(RequestStarted { request: 1, attempt: 1, ..RequestStarted::default() }.into()),
        rows(
            RequestStarted { request: 2, attempt: 1, kept: 99, ..RequestStarted::default() }.into(),
        ),
        rows(RequestFinished { request: 1, attempt: 1, ..RequestFinished::default() }.into()),
        rows(ExecStarted { exec: 1, ..ExecStarted::default() }.into()),
        rows(ExecFinished { exec: 2, ..ExecFinished::default() }.into()),
        rows(ExecTrees { exec: 2, ..ExecTrees::default() }.into()),
        rows(ExecResized { exec: 2, ..ExecResized::default() }.into()),
    ];
    for write in refused {
        let said = format!("{write:?}");
        let error = story.recorder.commit(write, Durability::Relaxed).await.unwrap_err();
        assert!(matches!(error, RecordError::Refused { .. }), "{said}: {error}");
    }
    story.start(2).await;
    story.observe(2, b"").await;
    story.end_round().await;
    let id = story.end().await;
    sound(&home, id);
}

#[tokio::test]
async fn only_its_own_device_appends_to_a_session() {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("here").await;
    let id = story.end().await;
    let other = Home::open(&folder.path().join("other")).unwrap();
    std::fs::copy(home.session_file(id), other.session_file(id)).unwrap();
    let error = Recorder::resume(&other, id).unwrap_err();
    assert!(matches!(error, RecordError::OtherDevice { .. }), "{error}");
    assert!(!recover(&other, id).unwrap());
    sound(&other, id);
}

#[tokio::test]
async fn files_are_for_their_owner_alone() {
    let (folder, home) = home();
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o755)).unwrap();
    Home::open(&open).unwrap();
    let mut story = Story::begin(&home);
    story.round("x").await;
    Library::open(&home).unwrap().list().unwrap();
    let mut seen = 0;
    let mut folders = vec![home.path().to_owned(), open];
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                seen += 1;
            }
        }
    }
    // device twice; the session with its lock, -wal and -shm; limn.db.
    assert!(seen >= 7, "{seen} files");
}

/// Runs a command as root may; false where it may not.
fn mounted(arguments: &[&str]) -> bool {
    Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success())
}

struct Mount<'a>(&'a Path);

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

/// Writes until the recorder fails, and returns what it says and how many events it acknowledged.
async fn write_until_it_fails(recorder: &Recorder) -> (RecordError, usize) {
    let mut noise = vec![0; 20_000];
    for count in 0..10_000 {
        getrandom::fill(&mut noise).unwrap();
        let text = noise.iter().map(|byte| char::from(byte % 26 + b'a')).collect();
        let body = Prompt { text, ..Prompt::default() };
        let write = Write::event(1, Source::User, body);
        if let Err(error) = recorder.commit(write, Durability::Relaxed).await {
            return (error, count);
        }
    }
    panic!("the disk never filled up");
}

async fn check_that_it_failed_for_good(recorder: Recorder, error: &RecordError) {
    let id = recorder.id().to_string();
    let text = error.to_string();
    assert!(matches!(error, RecordError::Storage { .. }), "{error:?}");
    assert!(text.contains(&id), "{text}");
    let again = recorder.commit(Write::default(), Durability::Durable).await.unwrap_err();
    assert_eq!(again.to_string(), text);
    assert_eq!(recorder.output(1, chunk(b"x")).await.unwrap_err().to_string(), text);
    let progress = trajectory::Progress::Text { request: 1, text: "x".into() };
    assert_eq!(recorder.draft(&progress).await.unwrap_err().to_string(), text);
    assert_eq!(recorder.close().await.unwrap_err().to_string(), text);
}

/// Says that this machine cannot run a test; CI has to.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI cannot skip this: {why}");
    println!("skipped: {why}");
}

/// The disk is full: the session stops with a clear word, what was acknowledged is there, and when
/// there is room again it goes on.
#[tokio::test]
async fn a_full_disk_stops_the_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    if !mounted(&["-t", "tmpfs", "-o", "size=1m", "tmpfs", path]) {
        skip("a small disk cannot be mounted here");
        return;
    }
    let _mount = Mount(folder.path());
    let home = Home::open(&folder.path().join("limn")).unwrap();
    let recorder = Recorder::create(&home, start(SessionId::new())).unwrap();
    let id = recorder.id();
    let (error, count) = write_until_it_fails(&recorder).await;
    assert!(error.to_string().contains("Free some space"), "{error}");
    assert!(error.to_string().contains(&format!("limn exec --resume {id}")), "{error}");
    check_that_it_failed_for_good(recorder, &error).await;
    assert!(mounted(&["-o", "remount,size=8m", path]));
    let Resumed { recorder, events, .. } = Recorder::resume(&home, id).unwrap();
    let prompts = events.iter().filter(|event| matches!(event.body, Body::Prompt(_))).count();
    assert_eq!(prompts, count);
    recorder.close().await.unwrap();
    sound(&home, id);
}

/// The disk becomes read-only under a running session, and stays readable.
#[tokio::test]
async fn a_read_only_disk_stops_the_recorder_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    if !mounted(&["-t", "tmpfs", "-o", "size=8m", "tmpfs", path]) {
        skip("a disk cannot be mounted here");
        return;
    }
    let _mount = Mount(folder.path());
    let home = Home::open(&folder.path().join("limn")).unwrap();
    let mut story = Story::begin(&home);
    story.round("x").await;
    let id = story.end().await;
    assert!(mounted(&["-o", "remount,ro", path]));
    let home = Home::open(home.path()).unwrap();
    let archive = sound(&home, id);
    assert_eq!(archive.status().unwrap().rounds, 1);
    assert_eq!(Library::scan(&home).unwrap().len(), 1);
    for error in [
        Recorder::create(&home, start(SessionId::new())).unwrap_err(),
        Recorder::resume(&home, id).unwrap_err(),
        Library::open(&home).unwrap_err(),
    ] {
        assert!(error.to_string().contains("writable"), "{error}");
    }
}

/// A bug in the thread is a failure like any other: nobody waits for ever, nothing is lost.
#[tokio::test]
async fn a_panic_in_the_thread_stops_the_recorder() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("before").await;
    let (id, count) = (story.id(), story.events.len());
    story.recorder.queue.panic();
    let error = story.recorder.commit(Write::default(), Durability::Relaxed).await.unwrap_err();
    assert!(error.to_string().contains("thread died"), "{error}");
    check_that_it_failed_for_good(story.recorder, &error).await;
    let Resumed { recorder, events, .. } = Recorder::resume(&home, id).unwrap();
    assert_eq!(events.len(), count);
    recorder.close().await.unwrap();
    sound(&home, id);
}

/// Bytes that come after their execution was closed are added, and the disagreement is found.
#[tokio::test]
async fn late_output_overwrites_nothing() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("x").await;
    let exec = 1;
    story.print(exec, b"late").await;
    let id = story.end().await;
    let archive = Archive::open(&home, id).unwrap();
    let mut output = Vec::new();
    assert_eq!(archive.output(exec, &mut output).unwrap(), 6004);
    assert!(output.starts_with(&[0xff, b'\n', 0]) && output.ends_with(b"late"));
    assert!(archive.verify().unwrap()[0].problem.contains("6004 bytes are there"));
}

/// Whoever waited for the lock while the session was deleted finds nothing, and makes nothing.
#[tokio::test]
async fn a_session_deleted_meanwhile_is_not_opened() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("x").await;
    let id = story.end().await;
    let lock = home.lock(id).unwrap();
    std::fs::remove_file(home.session_file(id)).unwrap();
    let error = open_locked(&home, id, lock).unwrap_err();
    assert!(matches!(error, RecordError::NotFound { .. }), "{error}");
    assert_eq!(std::fs::read_dir(home.sessions()).unwrap().count(), 0, "no file, no lock");
    let path = home.session_file(id);
    assert!(open_existing_to_write(&path, SESSION_FORMAT).is_err());
    assert!(!path.exists());
}

/// A response that is empty, one that is unknown and one that is there stay different.
#[tokio::test]
async fn an_unknown_response_is_not_an_empty_one() {
    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.prompt("go").await;
    for response in [None, Some(Vec::new()), Some(b"{}".to_vec())] {
        let request = story.ask().await;
        let archive = Archive::open(&home, story.id()).unwrap();
        assert_eq!(archive.response(request, 1).unwrap(), None, "on its way");
        let finished = RequestFinished {
            request,
            attempt: 1,
            response: response.clone(),
            ..RequestFinished::default()
        };
        let write = Write { rows: vec![finished.into()], ..Write::default() };
        story.commit(write, Durability::Relaxed).await;
        assert_eq!(archive.response(request, 1).unwrap(), response);
    }
    story.end_round().await;
    let id = story.end().await;
    sound(&home, id);
}

/// `LIMN_HOME=/tmp` must not close `/tmp` to everybody else.
#[test]
fn a_folder_of_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared");
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for (name, bytes) in [("notes.txt", "mine"), ("device", "not an id")] {
        std::fs::write(path.join(name), bytes).unwrap();
        let error = Home::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert_eq!(error.contains("LIMN_HOME"), name == "notes.txt", "{error}");
        assert_eq!(mode(&path), 0o755);
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 1);
        std::fs::remove_file(path.join(name)).unwrap();
    }
    // A home that lost its device is one still, and so is one that is being made.
    std::fs::write(path.join(".device-x"), "").unwrap();
    std::fs::create_dir(path.join("sessions")).unwrap();
    let home = Home::open(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    assert_eq!(Home::open(&path).unwrap().device(), home.device(), "it is a home already");
}

/// Figures, printed and never judged: run with `--nocapture --ignored`.
#[tokio::test]
#[ignore = "prints figures"]
async fn figures() {
    let (_folder, home) = home();
    println!("fsync: {:?}", measure_fsync(home.path()).unwrap());
    let begun = std::time::Instant::now();
    let recorder = Recorder::create(&home, start(SessionId::new())).unwrap();
    println!("create: {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    recorder.close().await.unwrap();
    println!("close: {:?}", begun.elapsed());
    let recorder = Recorder::create(&home, start(SessionId::new())).unwrap();
    let event = || {
        let body = Prompt { text: "x".repeat(2048), ..Prompt::default() };
        Write::event(1, Source::User, body)
    };
    for (durability, count) in [(Durability::Relaxed, 5000), (Durability::Durable, 500)] {
        let mut times = Vec::new();
        let begun = std::time::Instant::now();
        for _ in 0..count {
            let one = std::time::Instant::now();
            recorder.commit(event(), durability).await.unwrap();
            times.push(one.elapsed());
        }
        let per_second = f64::from(count) / begun.elapsed().as_secs_f64();
        times.sort_unstable();
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{durability:?}: {per_second:.0} events/s, p50 {p50:?}, p99 {p99:?}");
    }
    let begun = std::time::Instant::now();
    for _ in 0..20_000 {
        let progress = trajectory::Progress::Text { request: 1, text: "word ".into() };
        recorder.draft(&progress).await.unwrap();
    }
    recorder.commit(Write::default(), Durability::Relaxed).await.unwrap();
    println!("20,000 drafts: {:?}", begun.elapsed());
    recorder.close().await.unwrap();
    for noisy in [false, true] {
        let recorder = Recorder::create(&home, start(SessionId::new())).unwrap();
        let id = recorder.id();
        let mut bytes = b"compiling some-crate v1.2.3 (/home/user/project)\n".repeat(1338);
        bytes.truncate(64 * 1024);
        if noisy {
            getrandom::fill(&mut bytes).unwrap();
        }
        let begun = std::time::Instant::now();
        for _ in 0..800 {
            recorder.output(1, chunk(&bytes)).await.unwrap();
        }
        recorder.commit(Write::default(), Durability::Durable).await.unwrap();
        let written = begun.elapsed();
        recorder.close().await.unwrap();
        let size = std::fs::metadata(home.session_file(id)).unwrap().len();
        println!("50 MB of output (noise: {noisy}): {written:?}, {} KiB on disk", size / 1024);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}
