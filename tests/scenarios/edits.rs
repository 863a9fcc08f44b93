//! The user works in the same folder: what they change is told to the model, is on record, and is
//! never taken for the agent's work, nor the agent's for theirs. And what a command leaves for the
//! user's git to obey is told to the user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use mock_server::{MockServer, Reply, Scenario};
use record::{Archive, Home};
use trajectory::Body;
use trajectory::event::{CheckpointWhen, ErrorStage, UserEdit};

use crate::world::{PATIENCE, World, server, shell};

fn edits(world: &World) -> Vec<UserEdit> {
    let edit = |body| match body {
        Body::UserEdit(edit) => edit,
        body => panic!("{body:?}"),
    };
    world.bodies("user_edit").into_iter().map(edit).collect()
}

fn paths(edit: &UserEdit) -> Vec<&str> {
    edit.changes.iter().map(|change| change.path.as_str()).collect()
}

/// Waits until something is as it should be.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        std::thread::yield_now();
    }
}

/// Waits until it is on record how the last command left the workspace.
fn after_the_command(data: &Path) {
    until("the checkpoint", || {
        let home = Home::open(data).unwrap();
        let Ok(archive) = home.find("last").and_then(|id| Archive::open(&home, id)) else {
            return false;
        };
        let execs = archive.execs().unwrap_or_default();
        execs.last().is_some_and(|exec| exec.facts.tree_after.is_some())
    });
}

/// A model that writes a file, is slow, writes another, and is done. While it is slow, the user
/// edits the first.
fn slow_model(world: &World) -> MockServer {
    let (data, work): (PathBuf, PathBuf) = (world.data(), world.workspace());
    MockServer::start(Scenario::generate(move |number, _| match number {
        0 => shell("echo one > a.txt"),
        1 => {
            after_the_command(&data);
            fs::write(work.join("a.txt"), "mine\n").unwrap();
            fs::create_dir(work.join("node_modules")).unwrap();
            fs::write(work.join("node_modules/built.js"), "x").unwrap();
            shell("echo two > b.txt")
        }
        _ => Reply::text("Done."),
    }))
    .unwrap()
}

fn last_request(server: &MockServer) -> String {
    serde_json::to_string(&server.requests().last().unwrap().messages()).unwrap()
}

#[test]
fn what_is_edited_while_the_model_is_asked_is_told_at_its_next_step() {
    let world = World::new();
    let server = slow_model(&world);
    let run = world.exec(&server.url(), &["go"]).succeeds();
    assert!(run.stderr.contains("You changed: a.txt"), "{}", run.stderr);
    let edits = edits(&world);
    assert_eq!(edits.len(), 1, "{edits:?}");
    assert_eq!(paths(&edits[0]), ["a.txt"]);
    assert!(edits[0].changes[0].diff.as_ref().unwrap().contains("-one\n+mine\n"));
    let asked = last_request(&server);
    assert!(asked.contains("The user changed a file of the workspace"), "{asked}");
    assert!(!server.requests()[1].messages().iter().any(|it| it.to_string().contains("+mine")));
    // The agent's command begins at what the user left.
    let execs = world.archive().execs().unwrap();
    let at = world.bodies("checkpoint").into_iter().find_map(|body| match body {
        Body::Checkpoint(it) if it.when == CheckpointWhen::Edited => Some(it.tree),
        _ => None,
    });
    assert!(at.is_some() && execs[1].facts.tree_before == at);
    let shown = world.limn(&["show", "last"]).succeeds();
    assert!(shown.stdout.contains("(edited) The user changed a file"), "{}", shown.stdout);
    world.assert_sound();
    // What trains on it sees it where the model saw it, and is never trained to say it.
    let out = world.path("out");
    let out = out.to_str().unwrap();
    world.limn(&["export", "--format", "messages", "--status", "all", "--out", out]).succeeds();
    let mut rows = String::new();
    for entry in fs::read_dir(out).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "jsonl") {
            rows += &fs::read_to_string(path).unwrap();
        }
    }
    assert!(rows.contains("The user changed a file of the workspace"), "{rows}");
}

#[test]
fn what_was_edited_in_the_middle_of_a_round_is_not_undone_unseen() {
    let world = World::new();
    let server = slow_model(&world);
    world.exec(&server.url(), &["go"]).succeeds();
    world.limn(&["rewind", "last", "--to", "1"]).exits(1).says(&["You changed a.txt"]);
    world.limn(&["rewind", "last", "--to", "1", "--keep-mine"]).succeeds();
    assert_eq!(fs::read_to_string(world.workspace().join("a.txt")).unwrap(), "mine\n");
    assert!(!world.workspace().join("b.txt").exists());
    world.assert_sound();
}

#[test]
fn what_is_edited_between_rounds_is_in_the_next_request() {
    let world = World::new();
    let server = server([
        shell("printf '*.o\\n' > .gitignore; echo one > a.txt"),
        Reply::text("Written."),
        Reply::text("Seen."),
        Reply::text("Nothing new."),
    ]);
    world.exec(&server.url(), &["first"]).succeeds();
    world.write("work/a.txt", "mine\n");
    world.write("work/a.o", "built");
    world.exec(&server.url(), &["--resume", "last", "second"]).succeeds();
    let asked = last_request(&server);
    assert!(asked.contains("The user changed a file") && asked.contains("+mine"), "{asked}");
    assert!(!asked.contains("a.o"), "{asked}");
    world.exec(&server.url(), &["--resume", "last", "third"]).succeeds();
    assert_eq!(edits(&world).len(), 1);
    world.assert_sound();
}

/// The user's git in the workspace.
fn git(workspace: &Path, args: &[&str]) {
    let mut command = std::process::Command::new("git");
    command.args(["-c", "user.name=me", "-c", "user.email=me@example.org"]).args(args);
    command.env("HOME", workspace).env("GIT_CONFIG_NOSYSTEM", "1").current_dir(workspace);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// While the model thinks, the user goes to another branch, on which every file is another one: the
/// watch hears of it all, the checkpoints find it, and it is one event, told in a few words.
#[test]
fn a_checkout_of_five_thousand_files_is_one_short_event() {
    const FILES: usize = 5_000;
    let world = World::new();
    let workspace = world.workspace();
    let write = |text: &str| {
        for number in 0..FILES {
            world.write(&format!("work/d{}/{number}", number % 50), text);
        }
    };
    git(&workspace, &["init", "-q", "-b", "main"]);
    write("one\n");
    git(&workspace, &["add", "."]);
    git(&workspace, &["commit", "-q", "-m", "one"]);
    git(&workspace, &["checkout", "-q", "-b", "other"]);
    write("another branch\n");
    git(&workspace, &["commit", "-q", "-a", "-m", "another"]);
    git(&workspace, &["checkout", "-q", "main"]);
    let (data, work) = (world.data(), workspace);
    let server = MockServer::start(Scenario::generate(move |number, _| match number {
        0 => shell("echo mine > agents.txt"),
        1 => {
            after_the_command(&data);
            git(&work, &["checkout", "-q", "other"]);
            shell("echo more > more.txt")
        }
        _ => Reply::text("Done."),
    }))
    .unwrap();
    let run = world.exec(&server.url(), &["go"]).succeeds();
    assert_eq!(run.stderr.matches("You changed:").count(), 1, "{}", run.stderr);
    let edits = edits(&world);
    let [edit] = edits.as_slice() else { panic!("{} edits", edits.len()) };
    assert_eq!((edit.changes.len(), edit.more), (200, 4_800));
    assert!(edit.shown.starts_with("The user changed 5000 files"), "{}", edit.shown);
    assert!(edit.shown.len() < 2_000, "{} bytes", edit.shown.len());
    assert!(edit.changes.iter().all(|change| change.path.starts_with('d')), "{edit:?}");
    let asked = last_request(&server);
    assert_eq!(asked.matches("The user changed 5000 files").count(), 1);
    world.assert_sound();
}

#[test]
fn what_is_edited_while_a_command_runs_is_told_of_nobody() {
    let world = World::new();
    let server =
        server([shell("echo x > agents; while ! test -e go; do :; done"), Reply::text("Done.")]);
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the command", || world.workspace().join("agents").exists());
    world.write("work/mine", "x");
    world.write("work/go", "");
    assert!(child.wait().unwrap().success());
    assert!(edits(&world).is_empty());
    world.assert_sound();
}

#[test]
fn what_a_command_left_unfinished_is_not_the_users() {
    let world = World::new();
    let server = server([shell("echo x > agents; sleep 1000"), Reply::text("Here.")]);
    let mut command = world.exec_command(&server.url(), &["go"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the command", || world.workspace().join("agents").exists());
    crate::world::kill(&mut child);
    world.exec(&server.url(), &["--resume", "last", "second"]).succeeds();
    assert!(edits(&world).is_empty(), "{:?}", edits(&world));
}

#[test]
fn what_git_would_obey_is_said_at_once_and_before_it_is_taken_back() {
    let world = World::new();
    let server = server([
        shell("mkdir -p nested && cd nested && git init -q && git config core.fsmonitor ./program"),
        Reply::text("Done."),
    ]);
    let run = world.exec(&server.url(), &["go"]).succeeds();
    let warning = "nested/.git/config (it sets `core.fsmonitor`)";
    assert!(run.stderr.contains(warning), "{}", run.stderr);
    let errors = world.bodies("error");
    let [Body::Error(error)] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!(error.stage, ErrorStage::Workspace);
    assert!(world.limn(&["show", "last"]).succeeds().stdout.contains(warning));
    let preview = world.limn(&["rewind", "last", "--to", "1", "--dry-run"]).succeeds();
    preview.says(&["Your git would obey", warning]);
    world.limn(&["rewind", "last", "--to", "1"]).succeeds();
    assert!(!world.workspace().join("nested/.git/config").exists());
    world.assert_sound();
}

/// Each namespace of users has limits of its own for watches: none where nobody may make one.
#[test]
fn too_few_watches_are_said_once_and_what_is_edited_between_rounds_is_noticed_all_the_same() {
    for (limit, count) in [("max_inotify_watches", 1), ("max_inotify_instances", 0)] {
        let world = World::new();
        let limited = |args: &[&str], url: &str| {
            let program = world.exec_command(url, args);
            let set = format!("echo {count} > /proc/sys/user/{limit} && exec \"$0\" \"$@\"");
            let mut command = std::process::Command::new("unshare");
            command.args(["--user", "--map-root-user", "sh", "-c", &set]);
            command.arg(program.get_program()).args(program.get_args()).env_clear();
            command.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
            command.current_dir(world.workspace()).stdin(Stdio::null());
            crate::world::run(command)
        };
        let server = server([
            shell("mkdir -p a/b; echo one > a.txt"),
            Reply::text("Done."),
            Reply::text("Seen."),
        ]);
        world.write("work/folder/file", "x");
        let run = limited(&["first"], &server.url());
        if server.requests().is_empty() {
            assert!(run.stderr.contains("unshare") || run.stderr.contains("sh:"), "{}", run.stderr);
            continue;
        }
        let blind = run.succeeds().stderr.matches("The system allows no more watches").count();
        assert_eq!(blind, 1, "{limit}");
        world.write("work/a.txt", "mine\n");
        limited(&["--resume", "last", "second"], &server.url()).succeeds();
        assert!(last_request(&server).contains("+mine"));
        world.assert_sound();
    }
}
