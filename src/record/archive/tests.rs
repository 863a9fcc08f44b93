//! Recordings that were altered, damaged or never ours: all told, none believed, no panic.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use tempfile::TempDir;
use trajectory::SessionId;

use super::last_event;
use crate::tests::{Story, home, sound};
use crate::*;

async fn recorded() -> (TempDir, Home, SessionId) {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("first").await;
    story.round("second").await;
    let id = story.end().await;
    (folder, home, id)
}

fn problems_after(path: &Path, sql: &str) -> String {
    let original = fs::read(path).unwrap();
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let said = match Archive::open_file(path).and_then(|archive| archive.verify()) {
        Ok(problems) => problems
            .iter()
            .map(|problem| format!("{}: {}\n", problem.place, problem.problem))
            .collect(),
        Err(error) => error.to_string(),
    };
    fs::write(path, original).unwrap();
    said
}

#[tokio::test]
async fn tampering_is_found() {
    let (_folder, home, id) = recorded().await;
    let path = home.session_file(id);
    for (sql, expected) in [
        ("UPDATE event SET body = replace(body, 'first', 'other') WHERE seq = 0", "commitment"),
        ("UPDATE event SET nonce = zeroblob(16) WHERE seq = 3", "commitment"),
        ("UPDATE event SET nonce = NULL WHERE seq = 3", "together"),
        ("UPDATE event SET wall_ns = wall_ns + 1 WHERE seq = 3", "event 3: it does not match"),
        ("UPDATE event SET kind = 'steering' WHERE kind = 'prompt'", "does not match its hash"),
        ("UPDATE event SET copied = 1 WHERE seq = 2", "event 2: it does not match"),
        ("UPDATE event SET hash = zeroblob(32) WHERE seq = 4", "chain is broken"),
        ("UPDATE event SET mono_ns = 0 WHERE seq = 9", "clock goes back"),
        ("UPDATE event SET parent_id = zeroblob(16) WHERE seq = 5", "not before it"),
        ("DELETE FROM event WHERE seq = 4", "should be event 4"),
        ("DELETE FROM event WHERE seq = 0", "should be event 0"),
        ("DELETE FROM event WHERE kind = 'observation' AND seq < 9", "calls have no result"),
        ("DELETE FROM run", "its run is not on record"),
        ("UPDATE session SET started_ns = started_ns + 1", "chain is broken"),
        ("UPDATE session SET private = 1", "chain is broken"),
        ("UPDATE session SET config = replace(config, '1', '2')", "chain is broken"),
        ("UPDATE session SET app_version = '9'", "chain is broken"),
        ("UPDATE session SET annotator = NULL", "chain is broken"),
        ("UPDATE session SET query_id = NULL", "chain is broken"),
        ("UPDATE query SET text = 'another task'", "chain is broken"),
        ("DELETE FROM query", "chain is broken"),
        ("UPDATE session SET environment = zeroblob(32)", "session"),
        ("UPDATE environment SET cwd = '/other'", "environment: it does not match"),
        ("UPDATE environment SET toolchains = 'not json'", "session"),
        ("DELETE FROM environment", "session"),
        ("UPDATE blob SET data = zeroblob(length(data)), codec = 0 WHERE codec = 1", "blob"),
        ("UPDATE blob SET raw_len = 1 << 60", "at most"),
        ("UPDATE blob SET codec = 9", "unknown way of packing"),
        ("DELETE FROM blob WHERE raw_len < 200", "missing"),
        (
            "UPDATE llm_call SET messages_digest = 'x' WHERE request = 2",
            "do not match their digest",
        ),
        ("UPDATE llm_call SET kept = 1000 WHERE request = 2", "keeps more messages"),
        ("UPDATE llm_call SET message_count = 1 WHERE request = 3", "not as many"),
        ("UPDATE llm_call SET head_seq = 999 WHERE request = 2", "not there"),
        ("UPDATE llm_call SET endpoint = 'https://me:key@host/v1'", "endpoint holds a credential"),
        ("UPDATE llm_call SET params = '{\"Authorization\": \"Bearer x\"}'", "holds a credential"),
        ("DELETE FROM llm_call_message WHERE idx = 2", "request 2.1"),
        ("UPDATE llm_call_message SET idx = idx + 5 WHERE request = 2", "out of place"),
        ("DELETE FROM output_part WHERE exec = 1", "output 1: 0 bytes are there"),
        ("UPDATE output_part SET data = zeroblob(raw_len), codec = 0", "not what its observation"),
        ("UPDATE output_part SET offset = 5", "out of place"),
        ("UPDATE output_part SET idx = 1", "part 0 is missing"),
        ("UPDATE output_part SET marks = x'ff'", "timing"),
        ("UPDATE output_part SET marks = x'0001'", "covers 1 of"),
        ("UPDATE tool_exec SET output_bytes = 7 WHERE exec = 1", "its row says 7"),
        ("DELETE FROM tool_exec", "execution is not on record"),
        ("UPDATE event SET body = '{}' WHERE kind = 'tool_call'", "not that of \"tool_call\""),
        ("PRAGMA user_version = 99", "Update limn"),
        ("PRAGMA application_id = 7", "another program made it"),
        ("DELETE FROM session", "no session yet"),
        ("DROP TABLE draft; DROP TABLE blob", "no such table"),
    ] {
        let said = problems_after(&path, sql);
        assert!(said.contains(expected), "{sql}\nsaid: {said}");
    }
    sound(&home, id);
}

/// A redaction drops nonce and body; the chain still verifies and the rest can be read.
#[tokio::test]
async fn a_redacted_event_leaves_the_chain_whole() {
    let (_folder, home, id) = recorded().await;
    let path = home.session_file(id);
    let before = sound(&home, id).events().unwrap().len();
    let sql = "UPDATE event SET nonce = NULL, body = NULL WHERE kind = 'reasoning'";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let archive = sound(&home, id);
    assert_eq!(archive.events().unwrap().len(), before - 4);
    assert_eq!(archive.status().unwrap().events as usize, before);
}

/// What a newer limn recorded is kept and skipped.
#[tokio::test]
async fn unknown_kinds_are_skipped() {
    let (_folder, home, id) = recorded().await;
    let path = home.session_file(id);
    let archive = sound(&home, id);
    let count = archive.events().unwrap().len();
    let last = last_event(archive.connection()).unwrap().unwrap();
    let (nonce, body) = ([7; 16], "{\"of\": \"tomorrow\"}");
    let commitment = chain::commitment(&nonce, body.as_bytes());
    let link = chain::Link {
        prev_hash: last.hash,
        id: trajectory::EventId::new(),
        seq: last.seq + 1,
        parent: Some(last.id),
        run: last.run,
        round: 2,
        kind: "telepathy",
        source: "model",
        wall_ns: 1,
        mono_ns: last.mono_ns,
        copied: false,
        commitment,
    };
    Connection::open(&path)
        .unwrap()
        .execute(
            "INSERT INTO event VALUES (?, ?, ?, ?, 2, 'telepathy', 'model', 1, ?, ?, ?, ?, 0, ?, ?)",
            rusqlite::params![
                link.seq as i64, link.id.as_bytes(), last.id.as_bytes(), link.run.as_bytes(),
                link.mono_ns as i64, body, nonce, commitment, link.prev_hash, link.hash(),
            ],
        )
        .unwrap();
    assert_eq!(archive.events().unwrap().len(), count);
    assert_eq!(archive.status().unwrap().events as usize, count + 1);
    sound(&home, id);
    // The writer goes on after it.
    let recorder = Recorder::resume(&home, id).unwrap().recorder;
    let prompt = trajectory::event::Prompt { text: "x".into(), ..Default::default() };
    let write = Write::event(3, trajectory::Source::User, prompt);
    let events = recorder.commit(write, Durability::Durable).await.unwrap();
    assert_eq!(events[0].seq, link.seq + 1);
    recorder.close().await.unwrap();
    sound(&home, id);
}

/// Everything that can be asked of a file; none of it may panic.
fn ask_everything(path: &Path) -> Result<(), RecordError> {
    let archive = Archive::open_file(path)?;
    let verified = archive.verify();
    archive.session()?;
    archive.status()?;
    archive.events()?;
    archive.request_points()?;
    for request in archive.requests()? {
        archive.request_body(request.request, request.attempt)?;
        archive.response(request.request, request.attempt)?;
    }
    for exec in archive.execs()? {
        archive.output(exec.exec, &mut std::io::sink())?;
    }
    archive.dump(&mut |_, _, _| Ok(()))?;
    verified.map(|_| ())
}

#[tokio::test]
async fn damaged_files_are_errors_that_name_the_file() {
    let (folder, home, id) = recorded().await;
    let whole = fs::read(home.session_file(id)).unwrap();
    let path = folder.path().join("damaged.db");
    let mut cases: Vec<Vec<u8>> = vec![
        b"hello".to_vec(),
        vec![0; 4096],
        vec![0xff; 9000],
        b"SQLite format 3\0 and nothing more".to_vec(),
        whole[..100].to_vec(),
        whole[..4096].to_vec(),
        whole[..whole.len() / 2].to_vec(),
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..40 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let place = state as usize % bytes.len();
            bytes[place] = (state >> 40) as u8;
        }
        cases.push(bytes);
    }
    let count = cases.len();
    let mut refused = 0;
    for bytes in cases {
        fs::write(&path, bytes).unwrap();
        if let Err(error) = ask_everything(&path) {
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            refused += 1;
        }
    }
    assert!(refused >= 7, "{refused} of {count}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    for path in [&path, &folder.path().join("absent.db")] {
        let error = ask_everything(path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

/// A torn WAL: what stands before the tear is there, and the store opens.
#[tokio::test]
async fn a_torn_wal_loses_only_what_stands_after_the_tear() {
    let (folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("first").await;
    let path = home.session_file(story.id());
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    let (main, log) = (fs::read(&path).unwrap(), fs::read(&wal).unwrap());
    let other = Home::open(&folder.path().join("other")).unwrap();
    fs::copy(home.path().join("device"), other.path().join("device")).unwrap();
    let other = Home::open(other.path()).unwrap();
    let copy = other.session_file(story.id());
    let copied_wal = PathBuf::from(format!("{}-wal", copy.display()));
    let mut lengths = Vec::new();
    for tenth in (1..=10).rev() {
        for name in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{name}", copy.display()));
        }
        fs::write(&copy, &main).unwrap();
        fs::write(&copied_wal, &log[..log.len() * tenth / 10]).unwrap();
        match recover(&other, story.id()) {
            Ok(_) if copy.exists() => {
                lengths.push(sound(&other, story.id()).events().unwrap().len());
            }
            Ok(_) => lengths.push(0),
            Err(error) => panic!("{tenth} tenths: {error}"),
        }
    }
    assert!(lengths[0] >= story.events.len(), "{lengths:?}");
    assert!(lengths.last() < lengths.first(), "{lengths:?}");
}

const CHILD_FILE: &str = "LIMN_TEST_CHILD_FILE";

/// Not a test by itself: reads a session as somebody who may not write it.
#[test]
#[ignore = "run by the test below, as a child"]
fn child_that_only_reads() {
    let Some(path) = std::env::var_os(CHILD_FILE) else { return };
    let archive = Archive::open_file(path.as_ref()).unwrap();
    assert_eq!(archive.verify().unwrap(), []);
    assert!(fs::write(format!("{}.x", Path::new(&path).display()), b"").is_err());
}

/// A folder that cannot be written, a file that is readable: an archive of somebody else's.
#[tokio::test]
async fn a_read_only_folder_can_be_read() {
    let (_folder, home, id) = recorded().await;
    let place = tempfile::Builder::new().prefix("limn read only #%?").tempdir().unwrap();
    let file = place.path().join("a session.db");
    fs::copy(home.session_file(id), &file).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o444)).unwrap();
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o555)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "archive::tests::child_that_only_reads", "--ignored"]);
    child.env(CHILD_FILE, &file).current_dir("/");
    if rustix::process::geteuid().is_root() {
        // Root may write anywhere: become nobody.
        child.uid(65534).gid(65534);
    }
    match child.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => println!("skipped: nobody may not run this test here: {error}"),
    }
    fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
}

/// What the workspace was is known later than the execution's end, and a collector asks for it.
#[tokio::test]
async fn the_states_of_the_workspace_are_found() {
    use trajectory::event::{Checkpoint, CheckpointWhen};

    let (_folder, home) = home();
    let mut story = Story::begin(&home);
    story.round("go").await;
    let checkpoint = Checkpoint {
        tree: "c".repeat(64),
        when: CheckpointWhen::OnRequest,
        files: 1,
        bytes: 1,
        skipped: 0,
        restored: Some("r".repeat(64)),
    };
    let mut write = Write::event(1, trajectory::Source::Harness, checkpoint);
    let tree = |name: &str| Some(name.repeat(64));
    let facts = ExecFacts { tree_before: tree("a"), ..ExecFacts::default() };
    let (tool, exit, output, truncated) = ("shell".to_owned(), None, None, None);
    write.rows.push(ExecStarted { exec: 50, call: None, tool, facts }.into());
    let facts = ExecFacts::default();
    write.rows.push(ExecFinished { exec: 50, exit, output, truncated, facts }.into());
    write.rows.push(ExecTrees { exec: 50, after: tree("b") }.into());
    story.commit(write, Durability::Relaxed).await;
    let id = story.end().await;
    let archive = Archive::open(&home, id).unwrap();
    let expected = ["a", "b", "c", "r"].map(|name| name.repeat(64));
    assert_eq!(archive.trees().unwrap(), expected.into());
    let facts = archive.execs().unwrap().pop().unwrap().facts;
    assert_eq!(facts.tree_before.as_deref(), Some("a".repeat(64).as_str()));
    assert_eq!(facts.tree_after.as_deref(), Some("b".repeat(64).as_str()));
    assert_eq!(archive.verify().unwrap(), []);
}

#[tokio::test]
async fn what_the_user_wrote_is_told_the_newest_first_and_nobody_elses() {
    let (_folder, home, id) = recorded().await;
    let texts = |id, count| -> Vec<String> {
        let wrote = Archive::open(&home, id).unwrap().wrote(count).unwrap().into_iter();
        let texts = wrote.map(|event| match event.into_inner().body {
            trajectory::Body::Prompt(prompt) => prompt.text,
            other => panic!("{other:?}"),
        });
        texts.collect()
    };
    assert_eq!(texts(id, 10), ["second", "first"]);
    assert_eq!(texts(id, 1), ["second"]);
    // What was copied was written elsewhere.
    let forked = fork(&home, id, None).unwrap();
    assert_eq!(texts(forked, 10), Vec::<String>::new());
}
