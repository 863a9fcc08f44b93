//! What git would obey is named, and the daily work of a repository is not.

use std::path::Path;

use crate::tests::World;
use crate::*;

/// What is new for git since a checkpoint, in words.
fn since(world: &World, before: &Checkpoint) -> Vec<String> {
    let after = world.checkpoint();
    let found = world.workspace.planted(&before.manifest, &after.manifest).unwrap();
    found.iter().map(ToString::to_string).collect()
}

fn repository() -> World {
    let world = World::new();
    world.git(".", &["init", "-q", "-b", "main"]);
    world.write("a", "one");
    world.git(".", &["add", "."]);
    world.git(".", &["commit", "-qm", "first"]);
    world
}

#[test]
fn the_daily_work_of_a_repository_is_no_trap() {
    let world = repository();
    let before = world.checkpoint();
    world.write("a", "two");
    world.git(".", &["commit", "-qam", "second"]);
    world.git(".", &["checkout", "-q", "-b", "other"]);
    world.git(".", &["remote", "add", "origin", "https://host.example/a.git"]);
    world.git(".", &["config", "branch.other.remote", "origin"]);
    world.git(".", &["config", "user.name", "Somebody"]);
    world.git(".", &["worktree", "add", "-q", "tree"]);
    world.make_folder("library");
    world.git("library", &["init", "-q"]);
    world.write("library/l", "x");
    world.git("library", &["add", "."]);
    world.git("library", &["commit", "-qm", "library"]);
    let library = world.at("library");
    world.git(".", &["submodule", "--quiet", "add", library.to_str().unwrap(), "sub"]);
    world.git(".", &["clone", "-q", "--bare", "library", "remote.git"]);
    world.write("config", "[core]\n\tfsmonitor = not of git\n");
    world.write("hooks/post-commit", "of another program");
    assert_eq!(since(&world, &before), [""; 0]);
}

#[test]
fn a_repository_with_settings_of_its_own_is_named() {
    let world = World::new();
    let before = world.checkpoint();
    world.make_folder("nested");
    world.git("nested", &["init", "-q"]);
    world.git("nested", &["config", "core.fsmonitor", "./program"]);
    assert_eq!(since(&world, &before), ["nested/.git/config (it sets `core.fsmonitor`)"]);
    // Once it is known it is not named again, but what is changed in it is.
    let before = world.checkpoint();
    world.write("nested/a", "x");
    assert_eq!(since(&world, &before), [""; 0]);
    world.write("nested/.git/hooks/post-checkout", "#!/bin/sh\n");
    assert_eq!(since(&world, &before), ["nested/.git/hooks/post-checkout (a hook)"]);
    let before = world.checkpoint();
    world.chmod("nested/.git/hooks/post-checkout", 0o755);
    assert_eq!(since(&world, &before), ["nested/.git/hooks/post-checkout (a hook)"]);
}

#[test]
fn a_bare_repository_is_named_when_it_becomes_one() {
    let world = World::new();
    world.write("planted/config", "[core]\n\tbare = true\n[alias]\n\tst = !program\n");
    let before = world.checkpoint();
    world.write("planted/HEAD", "ref: refs/heads/main\n");
    world.make_folder("planted/refs");
    assert_eq!(since(&world, &before), [""; 0]);
    let before = world.checkpoint();
    world.make_folder("planted/objects");
    assert_eq!(since(&world, &before), ["planted/config (it sets `alias.st`)"]);
}

#[test]
fn what_leads_elsewhere_is_named() {
    let world = repository();
    let before = world.checkpoint();
    world.write(".git/commondir", "../elsewhere\n");
    world.write("one/.git", "gitdir: ../somewhere\n");
    world.write("two/.git", "gitdir: /somewhere/.git/modules/two\n");
    world.make_folder("three");
    world.link("../somewhere", "three/.git");
    let pointer = |path: &str| format!("{path} (it makes another folder the repository)");
    let expected = [".git/commondir", "one/.git", "three/.git", "two/.git"].map(pointer);
    assert_eq!(since(&world, &before), expected);
}

#[test]
fn a_link_in_the_place_of_the_hooks_or_the_settings_is_named() {
    let world = repository();
    let before = world.checkpoint();
    world.remove(".git/hooks");
    world.link("../made", ".git/hooks");
    world.remove(".git/config");
    world.link("../settings", ".git/config");
    let expected = [".git/config (settings that cannot be judged)", ".git/hooks (a hook)"];
    assert_eq!(since(&world, &before), expected);
}

#[test]
fn settings_are_harmless_only_when_they_are_known_to_be() {
    for (text, harmful) in [
        ("[core]\n\tbare = false ; a word\n", None),
        ("[remote \"origin\"]\n\turl = https://host.example/a.git\n", None),
        ("[remote \"origin\"]\n\turl = ext::program\n", Some("remote.url")),
        ("[include]\n\tpath = other\n", Some("include.path")),
        ("[Core]\n\tFsMonitor = program\n", Some("core.fsmonitor")),
        ("[core] fsmonitor = program\n", Some("[core] fsmonitor = program")),
        ("[user]\n\tname = a\\\n[core]\n", Some("user.name")),
        ("[alias]\n\tx\n", Some("alias.x")),
        ("[core\n", Some("[core")),
        ("[remote \"a]b\"]\n\tfetch = x\n", Some("[remote \"a]b\"]")),
        ("[submodule \"s\"]\n\tupdate = !program\n", Some("submodule.update")),
        ("[future]\n\tsetting = x\n", Some("future.setting")),
    ] {
        assert_eq!(super::first_harmful(text).as_deref(), harmful, "{text}");
    }
}

#[test]
fn what_is_not_there_is_no_repository() {
    assert_eq!(super::repository_of(Path::new("src/main.rs")), None);
    assert_eq!(super::repository_of(Path::new("a/hooks/b/c")), Some("a".into()));
}
