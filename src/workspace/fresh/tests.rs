//! Throw-away copies, by copy and by overlay.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::tests::{World, content, tree};
use crate::*;

fn world() -> (World, Checkpoint) {
    let world = World::new();
    world.write("a", "one");
    world.write("deep/er/b", "two");
    world.make_folder("empty");
    world.link("a", "link");
    world.write("closed/file", "x");
    world.chmod("closed", 0o555);
    world.write("run.sh", "#!/bin/sh\n");
    world.chmod("run.sh", 0o755);
    let checkpoint = world.checkpoint();
    (world, checkpoint)
}

fn fresh(world: &World, checkpoint: &Checkpoint, name: &str, how: How) -> FreshCopy {
    let scratch = world.folder().join(name);
    FreshCopy::new(&world.data(), &checkpoint.tree, &scratch, how).unwrap()
}

fn times(root: &Path) -> Vec<i64> {
    let mut files: Vec<_> =
        tree(root).into_iter().filter(|it| it.1.0 == 'f').map(|it| it.0).collect();
    files.sort();
    files.iter().map(|path| fs::metadata(root.join(path)).unwrap().mtime_nsec()).collect()
}

#[test]
fn a_copy_is_the_same_to_the_last_mode_and_time() {
    let (world, checkpoint) = world();
    let (one, two) = (
        fresh(&world, &checkpoint, "one", How::Copy),
        fresh(&world, &checkpoint, "two", How::Copy),
    );
    assert_eq!(tree(one.root()), world.tree());
    assert_eq!(times(one.root()), times(&world.root()));
    fs::write(one.root().join("a"), "changed").unwrap();
    assert_eq!(fs::read_to_string(two.root().join("a")).unwrap(), "one");
    assert_eq!(world.read("a"), "one");
    let three = fresh(&world, &checkpoint, "three", How::Copy);
    assert_eq!(fs::read_to_string(three.root().join("a")).unwrap(), "one");
    let folder = one.root().to_owned();
    drop(one);
    assert!(!folder.exists() && !world.folder().join("one").exists());
    world.chmod("closed", 0o755);
}

/// Runs a script in namespaces of its own, where the overlay is mounted; none where nobody may.
fn inside(copy: &FreshCopy, script: &str) -> Option<Output> {
    let overlay = copy.overlay().unwrap();
    let options = String::from_utf8(overlay.options(true)).unwrap();
    let mounted = "mount -t overlay overlay -o \"$1\" \"$2\" && cd \"$2\" || exit 77\n";
    let output = Command::new("unshare")
        .args(["-Urm", "--propagation", "private", "sh", "-c", &format!("{mounted}{script}"), "sh"])
        .arg(options)
        .arg(copy.root())
        .output()
        .unwrap();
    if matches!(output.status.code(), Some(77) | Some(1)) && output.stdout.is_empty() {
        return None;
    }
    Some(output)
}

#[test]
fn an_overlay_shows_the_checkpoint_and_keeps_changes_to_itself() {
    let (world, checkpoint) = world();
    let copy = fresh(&world, &checkpoint, "with, comma: and colon", How::Overlay);
    let script = "cat a link deep/er/b; mv deep/er/b moved; rm -r deep; echo changed > a; \
                  echo new > new; ls; cat a";
    let Some(output) = inside(&copy, script) else { return };
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "oneonetwoa\nclosed\nempty\nlink\nmoved\nnew\nrun.sh\nchanged\n");
    // Neither the ground nor the workspace nor the next copy knows of it.
    let next = fresh(&world, &checkpoint, "next", How::Overlay);
    let output = inside(&next, "cat a; ls").unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "onea\nclosed\ndeep\nempty\nlink\nrun.sh\n");
    let snapshot = snapshot::Snapshot::of(&world.data(), &checkpoint.tree).unwrap();
    assert_eq!(tree(snapshot.path()), world.tree());
    world.chmod("closed", 0o755);
}

#[test]
fn names_with_meaning_to_mount_are_escaped() {
    let overlay = Overlay {
        at: "/at".into(),
        lower: "/a,b".into(),
        upper: "/c:d".into(),
        work: "/e\\f".into(),
    };
    let options = std::ffi::OsString::from_vec(overlay.options(false));
    assert_eq!(options, r"lowerdir=/a\,b,upperdir=/c\:d,workdir=/e\\f");
    assert!(overlay.options(true).ends_with(b",userxattr"));
}

#[test]
fn an_expanded_checkpoint_goes_when_nobody_uses_it() {
    let (world, checkpoint) = world();
    let collect = |grace| {
        let collector = Collector::begin(&world.data()).unwrap();
        collector.collect([checkpoint.tree], grace).unwrap().snapshots
    };
    let copy = fresh(&world, &checkpoint, "copy", How::Overlay);
    assert_eq!(collect(Duration::ZERO), 0, "it is in use");
    drop(copy);
    assert_eq!(collect(Duration::from_hours(1)), 0, "it was just in use");
    assert_eq!(collect(Duration::ZERO), 1);
    assert_eq!(collect(Duration::ZERO), 0);
    let again = fresh(&world, &checkpoint, "again", How::Copy);
    assert_eq!(tree(again.root()), world.tree());
    world.chmod("closed", 0o755);
}

#[test]
fn a_damaged_checkpoint_gives_no_copy_and_leaves_nothing() {
    let (world, checkpoint) = world();
    let blob = world.workspace.store().path_of(&content(&checkpoint, &world, "a"));
    fs::write(blob, "damaged").unwrap();
    let scratch = world.folder().join("copy");
    let made = FreshCopy::new(&world.data(), &checkpoint.tree, &scratch, How::Copy);
    assert!(matches!(made, Err(Error::Store(_))));
    assert!(!scratch.exists());
    world.chmod("closed", 0o755);
}
