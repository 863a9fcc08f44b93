//! Collecting: what is named stays, what is young stays, and a checkpoint is never half there.

use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};

use crate::tests::{NEVER, World, content};
use crate::*;

fn collect(world: &World, named: &[&Checkpoint], grace: Duration) -> Collected {
    let named: Vec<Hash> = named.iter().map(|checkpoint| checkpoint.tree).collect();
    Collector::begin(&world.data()).unwrap().collect(named, grace).unwrap()
}

/// Makes everything in the store look old, the list of late checkpoints too.
fn grow_old(world: &World) {
    let long_ago = SystemTime::now() - Duration::from_hours(100);
    for folder in fs::read_dir(world.data().join("blobs")).unwrap() {
        for blob in fs::read_dir(folder.unwrap().path()).unwrap() {
            fs::File::open(blob.unwrap().path()).unwrap().set_modified(long_ago).unwrap();
        }
    }
    fs::remove_file(world.workspace.state.join("index")).unwrap();
}

#[test]
fn what_is_named_stays_and_the_rest_goes() {
    let world = World::new();
    world.write("shared/file", "in both");
    world.write("a", "only in the first");
    let first = world.checkpoint();
    let gone = content(&first, &world, "a");
    world.write("a", "only in the second");
    let second = world.checkpoint();
    grow_old(&world);
    let collected = collect(&world, &[&second], Duration::from_hours(1));
    assert_eq!((collected.checkpoints, collected.absent, collected.damaged), (1, 0, 0));
    assert_eq!(collected.swept.removed, 3, "the file, the top folder, the manifest");
    assert!(!world.workspace.store().contains(&gone));
    let tree = world.tree();
    world.remove("shared");
    world.remove("a");
    world.restore(&second);
    assert_eq!(world.tree(), tree);
    assert!(matches!(
        Manifest::load(world.workspace.store(), &first.tree),
        Err(Error::Missing { .. })
    ));
}

#[test]
fn what_was_taken_of_late_stays_though_nobody_names_it_yet() {
    let world = World::new();
    world.write("a", "x");
    let checkpoint = world.checkpoint();
    let tree = world.tree();
    let collected = collect(&world, &[], Duration::from_hours(1));
    assert_eq!((collected.checkpoints, collected.swept.removed), (1, 0));
    world.remove("a");
    world.restore(&checkpoint);
    assert_eq!(world.tree(), tree);
}

/// The blobs are old, the checkpoint that needs them is not.
#[test]
fn old_blobs_that_a_late_checkpoint_needs_stay() {
    let world = World::new();
    world.write("a", "x");
    world.checkpoint();
    grow_old(&world);
    let checkpoint = world.checkpoint();
    let collected = collect(&world, &[], Duration::from_hours(1));
    assert_eq!((collected.checkpoints, collected.swept.removed), (1, 0));
    assert!(world.workspace.store().contains(&content(&checkpoint, &world, "a")));
}

/// An index that outlives its blobs would keep every later checkpoint from storing them.
#[test]
fn after_everything_was_collected_the_next_checkpoint_is_whole() {
    let world = World::new();
    world.write("a", "x");
    world.checkpoint();
    let collected = collect(&world, &[], Duration::ZERO);
    assert_eq!((collected.checkpoints, collected.swept.kept), (0, 0));
    let checkpoint = world.checkpoint();
    let tree = world.tree();
    world.remove("a");
    world.restore(&checkpoint);
    assert_eq!(world.tree(), tree);
}

#[test]
fn checkpoints_of_elsewhere_and_damaged_ones_are_counted() {
    let world = World::new();
    world.write("folder/a", "x");
    let checkpoint = world.checkpoint();
    let store = world.workspace.store().clone();
    fs::write(store.path_of(&checkpoint.manifest.node), "damaged").unwrap();
    grow_old(&world);
    let elsewhere = Hash::of(b"elsewhere");
    let collector = Collector::begin(&world.data()).unwrap();
    let collected =
        collector.collect([elsewhere, checkpoint.tree], Duration::from_hours(1)).unwrap();
    assert_eq!((collected.checkpoints, collected.absent, collected.damaged), (0, 1, 1));
    assert!(store.contains(&checkpoint.tree));
}

/// One thread takes checkpoints, another collects all the time and knows of none of them.
#[test]
fn collecting_beside_a_live_session_takes_nothing_from_it() {
    let world = World::new();
    world.write("kept", "x");
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| {
            let mut all = Vec::new();
            for round in 0..40 {
                world.write("a", format!("round {}", round % 5));
                all.push(world.checkpoint());
            }
            all
        });
        while !taken.is_finished() {
            collect(&world, &[], Duration::from_secs(600));
        }
        for checkpoint in taken.join().unwrap() {
            let what = Restore { dry_run: true, ..Restore::to(checkpoint.tree) };
            world.workspace.restore(&what, &NEVER).unwrap();
            world.restore(&checkpoint);
        }
    });
}

#[test]
fn what_a_killed_writer_left_goes_when_it_is_old() {
    let world = World::new();
    world.write("a", "x");
    let checkpoint = world.checkpoint();
    let leftover = world.data().join("blobs/.tmpAbCdEf");
    fs::write(&leftover, "half a blob").unwrap();
    collect(&world, &[&checkpoint], Duration::from_hours(1));
    assert!(leftover.exists());
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    fs::File::open(&leftover).unwrap().set_modified(long_ago).unwrap();
    collect(&world, &[&checkpoint], Duration::from_hours(1));
    assert!(!leftover.exists());
}

fn remove(world: &World, gone: &[&Checkpoint], named: &[&Checkpoint], is_live: bool) -> Removed {
    let trees = |all: &[&Checkpoint]| all.iter().map(|it| it.tree).collect::<Vec<Hash>>();
    let gone = trees(gone).into_iter().collect();
    Collector::begin(&world.data()).unwrap().remove(&gone, trees(named), is_live).unwrap()
}

#[test]
fn what_only_deleted_recordings_need_goes_at_once() {
    let world = World::new();
    world.write("shared/file", "in both");
    world.write("a", "only in the first");
    let first = world.checkpoint();
    let (gone, shared) = (content(&first, &world, "a"), content(&first, &world, "shared/file"));
    world.write("a", "only in the second");
    let second = world.checkpoint();
    let removed = remove(&world, &[&first], &[&second], false);
    assert_eq!((removed.blobs, removed.waiting), (3, 0), "the file, the top folder, the manifest");
    assert!(!world.workspace.store().contains(&gone) && world.workspace.store().contains(&shared));
    let tree = world.tree();
    world.remove("shared");
    world.restore(&second);
    assert_eq!(world.tree(), tree);
}

#[test]
fn the_last_recording_takes_everything_with_it_and_the_next_checkpoint_is_whole() {
    let world = World::new();
    world.write("a very secret name", "x");
    let checkpoint = world.checkpoint();
    assert_eq!(remove(&world, &[&checkpoint], &[], false).blobs, 3);
    assert_eq!(size(&world.data()).unwrap(), (0, 0));
    assert!(!world.workspace.state.join("index").exists());
    let next = world.checkpoint();
    let tree = world.tree();
    world.remove("a very secret name");
    world.restore(&next);
    assert_eq!(world.tree(), tree);
}

#[test]
fn what_a_running_session_may_have_taken_stays() {
    let world = World::new();
    world.write("a", "x");
    let checkpoint = world.checkpoint();
    let removed = remove(&world, &[&checkpoint], &[], true);
    assert_eq!((removed.blobs, removed.waiting), (0, 1));
    // Of one that another recording names as well, there is nothing to wait for.
    let removed = remove(&world, &[&checkpoint], &[&checkpoint], true);
    assert_eq!((removed.blobs, removed.waiting), (0, 0));
    // What was taken of late and belongs to nobody is left to the collector.
    world.write("a", "y");
    let unnamed = world.checkpoint();
    assert_eq!(remove(&world, &[&checkpoint], &[], false).blobs, 3);
    world.restore(&unnamed);
}

/// What an unfinished restore needs is in its journal: if nobody can read it, everything may be.
#[test]
fn a_journal_that_cannot_be_read_keeps_everything() {
    let world = World::new();
    world.write("a", "x");
    let checkpoint = world.checkpoint();
    grow_old(&world);
    let before = size(&world.data()).unwrap();
    let journal = world.workspace.state.join("restore");
    fs::write(&journal, "half of a journal").unwrap();
    let begin = || Collector::begin(&world.data()).unwrap();
    let collected = begin().collect([], Duration::ZERO).map(drop);
    let removed = begin().remove(&HashSet::from([checkpoint.tree]), [], false).map(drop);
    for result in [collected, removed] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(journal.to_str().unwrap()), "{error}");
    }
    assert_eq!(size(&world.data()).unwrap(), before);
    fs::remove_file(&journal).unwrap();
    assert_eq!(remove(&world, &[&checkpoint], &[], false).blobs, 3);
}
