//! What the user changed, as it is told.

use trajectory::event::{ChangeKind, UserEdit};

use crate::tests::World;
use crate::*;

fn since(world: &World, before: &Checkpoint) -> Option<UserEdit> {
    world.workspace.user_edit(&before.manifest, &world.checkpoint().manifest, &[]).unwrap()
}

#[test]
fn few_changes_are_told_with_what_changed_in_them() {
    let world = World::new();
    world.write("changed", "one\ntwo\n");
    world.write("gone", "x\n");
    let before = world.checkpoint();
    world.write("changed", "one\n2\n");
    world.write("new/file", "x\n");
    world.remove("gone");
    let edit = since(&world, &before).unwrap();
    let told: Vec<_> = edit.changes.iter().map(|it| (it.path.as_str(), it.change)).collect();
    let expected = [
        ("changed", ChangeKind::Modified),
        ("gone", ChangeKind::Deleted),
        ("new/file", ChangeKind::Created),
    ];
    assert_eq!((told.as_slice(), edit.more), (expected.as_slice(), 0));
    assert!(edit.changes.iter().all(|it| it.diff.is_some()));
    assert!(
        edit.shown.starts_with("The user changed 3 files of the workspace:\n- changed (modified)")
    );
    assert!(edit.shown.contains("-two\n+2\n") && edit.shown.contains("+x"), "{}", edit.shown);
    assert!(!edit.shown.contains("-x"), "{}", edit.shown);
}

#[test]
fn what_is_built_and_what_git_ignores_is_no_edit() {
    let world = World::new();
    world.git(".", &["init", "-q"]);
    world.write(".gitignore", "*.o\n/dist\n.env\n");
    let before = world.checkpoint();
    world.write("a.o", "x");
    world.write("dist/a.js", "x");
    world.write(".env", "KEY=secret");
    world.write("node_modules/a/index.js", "x");
    world.write("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55");
    world.write("target/debug/a", "x");
    world.make_folder("empty");
    world.git(".", &["add", "."]);
    world.git(".", &["commit", "-qm", "first"]);
    assert_eq!(since(&world, &before), None);
    world.write("a.c", "x");
    assert_eq!(since(&world, &before).unwrap().changes.len(), 1);
}

#[test]
fn what_is_hidden_from_the_agent_is_told_to_nobody() {
    let world = World::new();
    world.write("secrets/key", "old");
    let before = world.checkpoint();
    world.write("secrets/key", "new");
    world.write("token", "secret");
    world.write("token.md", "public");
    let after = world.checkpoint();
    let root = &world.workspace.root;
    let hidden = [root.join("secrets"), root.join("token")];
    let edit = world.workspace.user_edit(&before.manifest, &after.manifest, &hidden).unwrap();
    let edit = edit.unwrap();
    let told: Vec<&str> = edit.changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!((told, edit.more), (vec!["token.md"], 0));
    assert!(!edit.shown.contains("secret"), "{}", edit.shown);
}

#[test]
fn another_branch_of_many_files_is_one_short_message() {
    let world = World::new();
    for number in 0..1200 {
        world.write(format!("folder{}/{number}", number % 50), "one");
    }
    let before = world.checkpoint();
    for number in 0..1200 {
        world.write(format!("folder{}/{number}", number % 50), "another");
    }
    let edit = since(&world, &before).unwrap();
    assert_eq!((edit.changes.len(), edit.more), (200, 1000));
    assert!(edit.changes.iter().all(|change| change.diff.is_none()));
    assert!(edit.shown.starts_with("The user changed 1200 files"), "{}", edit.shown);
    assert!(edit.shown.ends_with("- and 1150 more") && edit.shown.len() < 4096, "{}", edit.shown);
}

#[test]
fn long_differences_are_named_and_not_shown() {
    let world = World::new();
    let before = world.checkpoint();
    world.write("long", "a line of text\n".repeat(2000));
    world.write("short", "x\n");
    world.write("odd\nname", "x\n");
    let edit = since(&world, &before).unwrap();
    assert!(edit.shown.contains("- long (created)\n- odd?name (created)"), "{}", edit.shown);
    assert!(edit.shown.contains("+++ b/short"), "{}", edit.shown);
    assert!(edit.changes.iter().all(|change| change.diff.is_some()));
}
