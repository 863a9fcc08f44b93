//! What differs between two checkpoints, and how it is told.

use std::path::Path;

use trajectory::event::ChangeKind;

use crate::diff::is_git_object;
use crate::tests::{World, paths};
use crate::*;

fn between(world: &World, before: &Checkpoint) -> Vec<Change> {
    diff(world.workspace.store(), &before.manifest, &world.checkpoint().manifest).unwrap()
}

#[test]
fn files_folders_links_and_modes_are_compared() {
    let world = World::new();
    world.write("same/file", "x");
    world.write("changed", "x");
    world.write("gone/file", "x");
    world.write("becomes-a-folder", "x");
    world.write("mode", "x");
    world.make_folder("folder-mode");
    world.link("one", "link");
    let before = world.checkpoint();
    world.write("changed", "y");
    world.remove("gone");
    world.write("new/file", "x");
    world.remove("becomes-a-folder");
    world.write("becomes-a-folder/file", "x");
    world.chmod("mode", 0o755);
    world.chmod("folder-mode", 0o700);
    world.remove("link");
    world.link("two", "link");
    let changes = between(&world, &before);
    assert_eq!(
        paths(&changes),
        [
            "becomes-a-folder",
            "becomes-a-folder/file",
            "changed",
            "folder-mode",
            "gone",
            "gone/file",
            "link",
            "mode",
            "new",
            "new/file",
        ]
    );
    let reversed: Vec<Change> = changes.into_iter().map(Change::reversed).collect();
    let after = world.checkpoint();
    let back = diff(world.workspace.store(), &after.manifest, &before.manifest).unwrap();
    assert_eq!(back, reversed);
}

#[test]
fn text_is_told_line_by_line_and_the_rest_is_named() {
    let world = World::new();
    world.write("text", "one\ntwo\nthree\n");
    world.write("gone", "bye\n");
    world.write("binary", b"\0\x01");
    world.write("long", "x\n".repeat(200_000));
    let before = world.checkpoint();
    world.write("text", "one\n2\nthree\n");
    world.remove("gone");
    world.write("binary", b"\0\x02");
    world.write("long", "y\n".repeat(200_000));
    world.write("folder/new", "hello\n");
    let changes = between(&world, &before);
    let told = file_changes(world.workspace.store(), &changes).unwrap();
    let diffs: Vec<_> =
        told.iter().map(|it| (it.path.as_str(), it.change, it.diff.as_deref())).collect();
    assert_eq!(
        diffs,
        [
            ("binary", ChangeKind::Modified, None),
            (
                "folder/new",
                ChangeKind::Created,
                Some("--- /dev/null\n+++ b/folder/new\n@@ -0,0 +1 @@\n+hello\n")
            ),
            ("gone", ChangeKind::Deleted, Some("--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-bye\n")),
            ("long", ChangeKind::Modified, None),
            (
                "text",
                ChangeKind::Modified,
                Some("--- a/text\n+++ b/text\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n")
            ),
        ]
    );
}

#[test]
fn objects_of_git_are_known_in_submodules_too() {
    let check = |path: &str| is_git_object(Path::new(path));
    assert!(check(".git/objects/ab/cdef"));
    assert!(check("vendor/.git/objects/pack/pack-1.pack"));
    assert!(check(".git/modules/sub/objects/ab/cdef"));
    assert!(!check(".git/refs/heads/main"));
    assert!(!check("objects/ab"));
}
