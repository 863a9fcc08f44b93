//! What is stored is checked, and copied to where it survives this disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mock_server::Reply;

use crate::world::{World, files, server, shell};

/// A session whose checkpoints hold a file.
fn recorded() -> World {
    let world = World::new();
    world.write("work/notes.txt", &"a line of notes\n".repeat(500));
    let server = server([shell("echo more >>notes.txt"), Reply::text("Done.")]);
    world.exec(&server.url(), &["Add a line"]).succeeds();
    world
}

#[test]
fn everything_is_read_and_what_is_damaged_is_named() {
    let world = recorded();
    let well = world.limn(&["store", "check"]).succeeds();
    assert!(well.stdout.contains("chain and blobs verify"), "{}", well.stdout);
    assert!(well.stdout.contains("blobs are what they were"), "{}", well.stdout);
    let blob = files(&world.path("data/blobs")).into_iter().next().unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, &bytes).unwrap();
    let bad = world.limn(&["store", "check"]).exits(1);
    assert!(bad.stdout.contains(&blob.display().to_string()), "{}", bad.stdout);
    assert!(bad.stdout.contains("chain and blobs verify"), "the recording itself is whole");
    assert_eq!(fs::read(&blob).unwrap(), bytes, "it was only looked at");
}

#[test]
fn the_doctor_looks_at_the_store_alone_where_that_is_asked_and_else_at_the_machine() {
    let world = recorded();
    world.write(
        "home/limn-train",
        "#!/bin/sh\necho called >>\"$(dirname \"$0\")/called\"\necho {}\n",
    );
    let program = world.path("home/limn-train");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let looks = |args: &[&str]| -> Vec<String> {
        let mut command = world.command(&[&["doctor", "--json"], args].concat());
        command.env("LIMN_TRAIN", &program);
        let lines = crate::world::run(command).json_lines();
        lines.iter().map(|line| line["check"].as_str().unwrap().to_owned()).collect()
    };
    let store = looks(&["--store"]);
    let session = format!("session {}", world.archive().id());
    assert!(store.contains(&"data folder".to_owned()) && store.contains(&session), "{store:?}");
    assert!(!store.iter().any(|it| it == "sandbox" || it == "training"), "{store:?}");
    assert!(!world.path("home/called").exists(), "no program was started");
    let machine = looks(&[]);
    assert!(world.path("home/called").exists());
    for name in ["sqlite", "settings", "model", "sandbox", "shell", "training", "data folder"] {
        assert!(machine.iter().any(|it| it == name), "no {name} in {machine:?}");
    }
    assert!(!machine.contains(&session), "{machine:?}");
}

#[test]
fn a_backup_is_a_data_folder_of_its_own() {
    let world = recorded();
    let copy = world.path("copy");
    let told = world.limn(&["store", "backup", copy.to_str().unwrap()]).succeeds().stdout;
    assert!(told.contains("copied 1 recordings"), "{told}");
    fs::remove_dir_all(world.data()).unwrap();
    let in_copy = |args: &[&str]| {
        let mut command = world.command(args);
        command.env("LIMN_HOME", &copy);
        crate::world::run(command)
    };
    in_copy(&["store", "check"]).succeeds();
    let listed = in_copy(&["sessions", "--json"]).succeeds().json_lines();
    assert_eq!(listed[0]["title"], "Add a line");
    // Its files can be taken back from there too.
    fs::remove_file(world.path("work/notes.txt")).unwrap();
    in_copy(&["rewind", "last", "--to", "1", "--files", "--overwrite"]).succeeds();
    assert_eq!(fs::read_to_string(world.path("work/notes.txt")).unwrap().lines().count(), 500);
}

#[test]
fn how_much_is_stored_is_told() {
    let world = recorded();
    world.limn(&["sessions", "--search", "line"]).succeeds();
    let told = world.limn(&["store", "stats", "--json"]).succeeds().json_lines();
    let number = |name: &str| told[0][name].as_u64().unwrap();
    assert_eq!(number("sessions"), 1);
    for name in ["session_bytes", "library_bytes", "blobs", "blob_bytes"] {
        assert!(number(name) > 0, "{name}");
    }
    let file = world.home().session_file(world.archive().id());
    assert_eq!(number("session_bytes"), fs::metadata(file).unwrap().len());
}
