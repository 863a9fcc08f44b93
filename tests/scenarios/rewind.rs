//! Going back: the files, the conversation, both; never over the user's own edits unseen.

use std::fs;

use mock_server::{MockServer, Reply};
use serde_json::Value;
use trajectory::event::{CheckpointWhen, Ended};
use trajectory::{Body, SessionId};

use crate::world::{World, server, shell};

/// Two rounds that write files, and one more reply for whoever goes on.
fn two_rounds(world: &World) -> MockServer {
    let server = server([
        shell("echo one > a.txt && echo one > b.txt && mkdir empty && echo KEY=1 > .env"),
        Reply::text("Written."),
        shell("echo two > a.txt && rm -r b.txt empty .env && echo new > c.txt"),
        Reply::text("Changed."),
        Reply::text("Here I am."),
    ]);
    world.exec(&server.url(), &["first"]).succeeds();
    world.exec(&server.url(), &["--resume", "last", "second"]).succeeds();
    server
}

fn read(world: &World, name: &str) -> String {
    fs::read_to_string(world.workspace().join(name)).unwrap()
}

fn is_there(world: &World, name: &str) -> bool {
    world.workspace().join(name).symlink_metadata().is_ok()
}

fn is_as_after_the_first_round(world: &World) -> bool {
    read(world, "a.txt") == "one\n"
        && ["b.txt", "empty", ".env"].iter().all(|name| is_there(world, name))
        && !is_there(world, "c.txt")
}

fn changed(value: &Value) -> Vec<&str> {
    let changes = value["files"]["changes"].as_array().unwrap();
    changes.iter().map(|change| change["path"].as_str().unwrap()).collect()
}

#[test]
fn each_round_and_each_command_has_its_checkpoint() {
    let world = World::new();
    two_rounds(&world);
    let whens: Vec<_> = world
        .bodies("checkpoint")
        .into_iter()
        .map(|body| match body {
            Body::Checkpoint(checkpoint) => (checkpoint.when, checkpoint.files),
            body => panic!("{body:?}"),
        })
        .collect();
    assert_eq!(whens, [(CheckpointWhen::BeforeRound, 0), (CheckpointWhen::BeforeRound, 3)]);
    let execs = world.archive().execs().unwrap();
    let trees: Vec<_> = execs.iter().map(|exec| &exec.facts).collect();
    assert!(trees.iter().all(|it| it.tree_before.is_some() && it.tree_after.is_some()));
    assert_eq!(trees[0].tree_after, trees[1].tree_before);
    assert_ne!(trees[1].tree_after, trees[1].tree_before);
    world.assert_sound();
}

#[test]
fn the_files_and_the_conversation_go_back_together() {
    let world = World::new();
    let server = two_rounds(&world);
    let rounds = world.limn(&["rewind", "last", "--json"]).succeeds().json_lines();
    let numbers: Vec<_> = rounds.iter().map(|round| round["round"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2]);
    let dry = world.limn(&["rewind", "last", "--to", "2", "--dry-run", "--json"]).succeeds();
    let events = world.events().len();
    assert_eq!(read(&world, "a.txt"), "two\n");
    let done = world.limn(&["rewind", "last", "--to", "2", "--json"]).succeeds();
    let (dry, done) = (&dry.json_lines()[0], &done.json_lines()[0]);
    assert_eq!(changed(dry), [".env", "a.txt", "b.txt", "c.txt"]);
    assert_eq!(changed(done), changed(dry));
    assert!(is_as_after_the_first_round(&world));
    let kinds: Vec<_> = world.events()[events..].iter().map(|it| it.body.kind()).collect();
    assert_eq!(kinds, ["checkpoint", "checkpoint", "rewind", "session_ended"]);
    assert_eq!(world.archive().status().unwrap().ended, Some(Ended::Completed));
    world.assert_sound();

    world.exec(&server.url(), &["--resume", "last", "third"]).succeeds();
    let requests = server.requests();
    let last = requests.last().unwrap().messages();
    let text = serde_json::to_string(&last).unwrap();
    assert!(text.contains("first") && text.contains("third") && !text.contains("second"), "{text}");
    let again = world.limn(&["rewind", "last", "--to", "2"]).exits(2);
    again.says(&["rewound already", "--files"]);
    world.assert_sound();
}

#[test]
fn the_files_alone_go_back_and_the_model_is_told() {
    let world = World::new();
    let server = two_rounds(&world);
    let done = world.limn(&["rewind", "last", "--to", "2", "--files"]).succeeds();
    assert!(done.stdout.contains("taken back  a.txt"), "{}", done.stdout);
    assert!(is_as_after_the_first_round(&world));
    world.exec(&server.url(), &["--resume", "last", "third"]).succeeds();
    let requests = server.requests();
    let text = serde_json::to_string(&requests.last().unwrap().messages()).unwrap();
    assert!(text.contains("second") && text.contains("before round 2"), "{text}");
    assert!(text.contains("c.txt (deleted)"), "{text}");
    world.assert_sound();
}

#[test]
fn the_conversation_alone_goes_back_and_no_file_is_touched() {
    let world = World::new();
    two_rounds(&world);
    world.limn(&["rewind", "last", "--to", "2", "--conversation"]).succeeds();
    assert_eq!(read(&world, "a.txt"), "two\n");
    assert_eq!(world.bodies("rewind").len(), 1);
    world.assert_sound();
}

#[test]
fn the_users_own_edits_are_never_undone_unseen() {
    let world = World::new();
    two_rounds(&world);
    world.write("work/a.txt", "mine\n");
    let events = world.events().len();
    let stopped = world.limn(&["rewind", "last", "--to", "2"]).exits(1);
    stopped.says(&["You changed a.txt", "--keep-mine", "--overwrite", "Nothing was changed"]);
    assert_eq!((read(&world, "a.txt"), world.events().len()), ("mine\n".to_owned(), events));
    let kept = world.limn(&["rewind", "last", "--to", "2", "--keep-mine"]).succeeds();
    assert!(kept.stdout.contains("left alone  a.txt: you changed it"), "{}", kept.stdout);
    assert_eq!(read(&world, "a.txt"), "mine\n");
    assert!(is_there(&world, "b.txt"));
    // What was kept is still the user's.
    world.limn(&["rewind", "last", "--to", "1"]).exits(1).says(&["You changed a.txt"]);
    assert_eq!(read(&world, "a.txt"), "mine\n");
    world.limn(&["rewind", "last", "--to", "1", "--overwrite"]).succeeds();
    assert_eq!(fs::read_dir(world.workspace()).unwrap().count(), 0);
    world.assert_sound();
}

#[test]
fn what_cannot_be_done_says_why_and_what_to_do() {
    let world = World::new();
    two_rounds(&world);
    world.limn(&["rewind", "last", "--to", "7"]).exits(2).says(&["no round 7"]);
    fs::rename(world.workspace(), world.path("moved")).unwrap();
    fs::create_dir(world.path("elsewhere")).unwrap();
    let limn = |args: &[&str]| {
        let mut command = world.command(args);
        command.current_dir(world.path("elsewhere"));
        crate::world::run(command)
    };
    limn(&["rewind", "last", "--to", "2"]).exits(1).says(&["is gone", "--workspace"]);
    let moved = world.path("moved");
    let moved = moved.to_str().unwrap();
    limn(&["rewind", "last", "--to", "2", "--workspace", moved]).succeeds();
    assert_eq!(fs::read_to_string(world.path("moved/a.txt")).unwrap(), "one\n");
}

#[test]
fn a_damaged_store_is_found_before_anything_is_touched() {
    let world = World::new();
    two_rounds(&world);
    let blobs = world.data().join("blobs");
    for folder in fs::read_dir(&blobs).unwrap() {
        for blob in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = blob.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            if bytes.ends_with(b"one\n") {
                fs::write(path, b"\0\x04\0\0\0\0\0\0\0two\n").unwrap();
            }
        }
    }
    let events = world.events().len();
    world.limn(&["rewind", "last", "--to", "2"]).exits(1).says(&["damaged"]);
    assert_eq!(read(&world, "a.txt"), "two\n");
    let done: Vec<_> = world.bodies("rewind");
    assert!(done.is_empty(), "{done:?} after {events} events");
    world.assert_sound();
}

#[test]
fn without_checkpoints_the_conversation_goes_back_and_the_files_say_why_not() {
    let world = World::new();
    let server = server([shell("echo one > a.txt"), Reply::text("Done.")]);
    world.exec(&server.url(), &["--no-checkpoints", "first"]).succeeds();
    assert!(world.bodies("checkpoint").is_empty());
    let failed = world.limn(&["rewind", "last", "--to", "1"]).exits(1);
    failed.says(&["No checkpoint", "--conversation"]);
    world.limn(&["rewind", "last", "--to", "1", "--conversation"]).succeeds();
    world.assert_sound();
}

#[test]
fn deleting_a_recording_frees_what_only_it_needed() {
    let world = World::new();
    two_rounds(&world);
    let stats = || world.limn(&["store", "stats", "--json"]).succeeds().json_lines()[0].clone();
    assert!(stats()["blobs"].as_u64().unwrap() > 5);
    let gc = || {
        let run = world.limn(&["store", "gc", "--older-than", "0", "--json"]).succeeds();
        run.json_lines()[0].clone()
    };
    gc();
    world.limn(&["rewind", "last", "--to", "2"]).succeeds();
    assert!(is_as_after_the_first_round(&world));
    let removed = world.limn(&["rm", "last"]).succeeds();
    removed.says(&["removed what only its checkpoints held"]);
    assert_eq!(stats()["blobs"], 0);
    let swept = gc();
    assert_eq!((&swept["checkpoints"], &swept["kept"]), (&0.into(), &0.into()));
    assert_eq!(read(&world, "a.txt"), "one\n");
}

#[test]
fn a_recording_that_cannot_be_read_keeps_everything() {
    let world = World::new();
    two_rounds(&world);
    let file = world.home().session_file(world.archive().id());
    fs::write(&file, "no database").unwrap();
    world.limn(&["store", "gc", "--older-than", "0"]).exits(1).says(&["No blob was deleted"]);
    let stats = world.limn(&["store", "stats", "--json"]).succeeds().json_lines()[0].clone();
    assert!(stats["blobs"].as_u64().unwrap() > 5);
}

/// The blobs that are stored.
fn blobs(world: &World) -> u64 {
    let stats = world.limn(&["store", "stats", "--json"]).succeeds().json_lines();
    stats[0]["blobs"].as_u64().unwrap()
}

#[test]
fn beside_a_damaged_recording_another_is_deleted_and_what_it_held_goes_when_that_is_gone() {
    let world = World::new();
    two_rounds(&world);
    let neighbour = world.archive().id();
    let server = server([shell("echo three > d.txt"), Reply::text("Written.")]);
    world.exec(&server.url(), &["third"]).succeeds();
    let ids: Vec<String> =
        world.home().session_ids().unwrap().iter().map(ToString::to_string).collect();
    let (neighbour, deleted) = (neighbour.to_string(), &ids[1]);
    assert_eq!(ids[0], neighbour);
    fs::write(world.path(&format!("data/sessions/{neighbour}.db")), "no database").unwrap();
    let before = blobs(&world);
    let run = world.limn(&["rm", "--json", deleted]).exits(1);
    let rm = format!("limn rm {neighbour}");
    let told = run.says(&["No blob was deleted", &rm, "after that, `limn store gc`"]).json_lines();
    assert_eq!(told[0]["removed"], **deleted);
    assert_eq!((&told[1]["blobs"], &told[1]["unknown"]), (&0.into(), &false.into()));
    assert!(told[1]["waiting"].as_u64().unwrap() > 0);
    assert_eq!(blobs(&world), before);
    let told = world.limn(&["rm", "--json", &neighbour]).succeeds().json_lines();
    assert_eq!(told[1]["unknown"], true);
    world.limn(&["store", "gc", "--older-than", "0"]).succeeds();
    assert_eq!(blobs(&world), 0);
}

#[test]
fn beside_a_session_that_is_just_beginning_every_blob_stays() {
    let world = World::new();
    two_rounds(&world);
    let (home, recorded) = (world.home(), world.archive().id().to_string());
    let id = SessionId::new();
    let lock = fs::File::create(home.sessions().join(format!("{id}.lock"))).unwrap();
    lock.lock().unwrap();
    fs::write(home.session_file(id), "").unwrap();
    let before = blobs(&world);
    let gc = ["store", "gc", "--older-than", "0"];
    world.limn(&gc).exits(1).says(&["just beginning", "No blob was deleted"]);
    world
        .limn(&["rm", &recorded])
        .exits(1)
        .says(&["just beginning", "after that, `limn store gc`"]);
    assert_eq!(blobs(&world), before);
    drop(lock);
    world.limn(&gc).succeeds();
    assert_eq!(blobs(&world), 0);
}

#[test]
fn a_command_in_a_fresh_copy_changes_the_copy_alone() {
    let world = World::new();
    world.write("work/a.txt", "one\n");
    let taken = world.limn(&["checkpoint", "take"]).succeeds().json_lines()[0].clone();
    let tree = taken["tree"].as_str().unwrap();
    let scratch = world.path("scratch");
    for how in ["auto", "copy"] {
        let run = world.limn(&[
            "checkpoint",
            "copy",
            tree,
            "--scratch",
            scratch.to_str().unwrap(),
            "--how",
            how,
            "--",
            "sh",
            "-c",
            "cat a.txt && echo two > a.txt && cat a.txt",
        ]);
        assert_eq!(run.succeeds().stdout, "one\ntwo\n");
        assert!(!scratch.exists());
    }
    assert_eq!(read(&world, "a.txt"), "one\n");
    let next = world.limn(&["checkpoint", "take"]).succeeds().json_lines()[0].clone();
    assert_eq!(next["tree"], taken["tree"]);
}

#[test]
fn a_home_is_no_workspace_and_the_session_goes_on_without_checkpoints() {
    let world = World::new();
    let server = server([shell("echo one > a.txt"), Reply::text("Done.")]);
    let home = world.path("home");
    let run = world.exec(&server.url(), &["--workspace", home.to_str().unwrap(), "go"]).succeeds();
    assert!(run.stderr.contains("cannot be a workspace for checkpoints"), "{}", run.stderr);
    assert!(run.stderr.contains("it is your home folder"), "{}", run.stderr);
    assert_eq!(world.bodies("error").len(), 1);
    assert!(world.bodies("checkpoint").is_empty() && home.join("a.txt").exists());
    world.assert_sound();
}
