//! What git leaves out.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Ignored;
use crate::tests::World;

fn covered(world: &World, path: &str) -> bool {
    Ignored::of(&world.root()).covers(Path::new(path), false)
}

#[test]
fn the_nearest_pattern_decides() {
    let world = World::new();
    world.write(".gitignore", "*.log\n/build/\n.env\n");
    world.write("kept/.gitignore", "!kept.log\nonly\n");
    for ignored in ["a.log", "deep/in/a.log", "build/x/y", ".env", "kept/a.log", "kept/only"] {
        assert!(covered(&world, ignored), "{ignored}");
    }
    for seen in ["a.txt", "deep/build/x", "kept/kept.log", "only", "kept"] {
        assert!(!covered(&world, seen), "{seen}");
    }
}

#[test]
fn the_repository_around_the_workspace_holds_too() {
    let world = World::new();
    fs::create_dir_all(world.folder().join(".git/info")).unwrap();
    fs::write(world.folder().join(".git/info/exclude"), "mine\n").unwrap();
    fs::write(world.folder().join(".gitignore"), "work/out\n").unwrap();
    assert!(covered(&world, "mine") && covered(&world, "out/a") && !covered(&world, "a/out"));
}

#[test]
fn a_pipe_in_the_place_of_the_patterns_holds_nobody_up() {
    let world = World::new();
    let made = Command::new("mkfifo").arg(world.at(".gitignore")).status();
    assert!(made.unwrap().success());
    assert!(!covered(&world, "a"));
}
