//! What a watch sees, and what it does not look at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Flood, Watch};
use crate::tests::{NEVER, World};

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn sees(watch: &Watch) {
    assert!(watch.has_seen());
    watch.wait_for_rest(&NEVER);
    watch.forget();
}

#[track_caller]
fn sees_nothing(watch: &Watch) {
    while !watch.seen.catch_up() {}
    assert!(!watch.seen.something.load(Ordering::Acquire));
}

#[test]
fn files_and_folders_that_change_are_seen() {
    let world = World::new();
    world.write("folder/file", "one");
    let watch = Watch::begin(&world.workspace).unwrap();
    sees_nothing(&watch);
    assert_eq!(watch.blindness(), None);
    world.write("folder/file", "two");
    sees(&watch);
    world.chmod("folder/file", 0o755);
    sees(&watch);
    world.write("new/deep/er/file", "one");
    sees(&watch);
    // In a folder that was made since, too.
    world.write("new/deep/er/file", "two");
    sees(&watch);
    std::fs::rename(world.at("new"), world.at("moved")).unwrap();
    sees(&watch);
    world.write("moved/deep/er/file", "three");
    sees(&watch);
    world.remove("folder");
    sees(&watch);
}

#[test]
fn what_is_done_in_a_folder_before_it_is_watched_is_seen() {
    let world = World::new();
    let watch = Watch::begin(&world.workspace).unwrap();
    for round in 0..100 {
        world.write(format!("{round}/deep/er/file"), "one");
        // Whoever forgets at once has forgotten the folder, and not what is done in it from then on.
        watch.forget();
        world.write(format!("{round}/deep/er/file"), "two");
        assert!(watch.has_seen(), "round {round}");
    }
}

#[test]
fn what_is_ignored_left_out_or_gits_own_is_not_looked_at() {
    let world = World::new();
    world.git(".", &["init", "-q"]);
    world.write(".gitignore", "/out\n*.o\n");
    world.make_folder("node_modules");
    let watch = Watch::begin(&world.workspace).unwrap();
    for number in 0..100 {
        world.write(format!("out/{number}/file"), "x");
        world.write(format!("node_modules/{number}/file"), "x");
        world.write(format!("{number}.o"), "x");
    }
    world.git(".", &["config", "user.name", "x"]);
    sees_nothing(&watch);
    // What the user says of it counts from then on.
    world.write(".gitignore", "/out\n");
    sees(&watch);
    world.write("0.o", "y");
    sees(&watch);
}

#[test]
fn reading_is_no_change() {
    let world = World::new();
    world.write("a", "x");
    let watch = Watch::begin(&world.workspace).unwrap();
    world.read("a");
    world.checkpoint();
    sees_nothing(&watch);
}

#[test]
fn who_waits_for_rest_can_be_told_to_stop() {
    let world = World::new();
    let watch = Watch::begin(&world.workspace).unwrap();
    let began = Instant::now();
    watch.seen.note();
    watch.wait_for_rest(&AtomicBool::new(true));
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn too_many_folders_are_said_and_not_watched() {
    let world = World::new();
    let watch = Watch::begin(&world.workspace).unwrap();
    let none_left = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
    watch.seen.go_blind(&none_left);
    let said = watch.blindness().unwrap();
    assert!(said.contains("fs.inotify.max_user_watches"), "{said}");
}

#[test]
fn a_flood_is_many_events_for_seconds_on_end_and_a_checkout_is_none() {
    let told = |seconds: &[u32]| {
        let mut flood = Flood::default();
        let mut rises = false;
        for (second, events) in seconds.iter().enumerate() {
            for _ in 0..*events {
                rises |= flood.rises(second as u64);
            }
        }
        rises
    };
    assert!(!told(&[100_000, 100_000, 0, 100_000, 100_000]));
    assert!(!told(&[4_000; 60]));
    assert!(told(&[6_000; 7]));
}
