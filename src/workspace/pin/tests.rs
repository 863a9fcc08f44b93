use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use crate::place::FOLDER;
use crate::tests::World;
use crate::*;

fn collect(world: &World) -> Collected {
    Collector::begin(&world.data()).unwrap().collect([], Duration::ZERO).unwrap()
}

#[test]
fn what_somebody_holds_stays_until_it_is_let_go() {
    let world = World::new();
    world.write("folder/a", "x");
    let checkpoint = world.checkpoint();
    let pin = Pin::hold(&world.data(), [checkpoint.tree]).unwrap();
    let other = Pin::hold(&world.data(), [checkpoint.tree, checkpoint.tree]).unwrap();
    assert_eq!((collect(&world).checkpoints, collect(&world).swept.removed), (1, 0));
    drop(other);
    let gone = HashSet::from([checkpoint.tree]);
    let removed = Collector::begin(&world.data()).unwrap().remove(&gone, [], false).unwrap();
    assert_eq!((removed.blobs, removed.waiting), (0, 1));
    let tree = world.tree();
    world.remove("folder");
    world.restore(&checkpoint);
    assert_eq!(world.tree(), tree);
    drop(pin);
    assert!(collect(&world).swept.removed > 0);
    assert_eq!(size(&world.data()).unwrap(), (0, 0));
    let gone = Pin::hold(&world.data(), [checkpoint.tree]);
    assert!(matches!(gone, Err(Error::Missing { .. })));
}

#[test]
fn what_somebody_held_who_was_killed_is_collected() {
    let world = World::new();
    world.write("a", "x");
    let checkpoint = world.checkpoint();
    let left = world.data().join(FOLDER).join("left.pin");
    fs::write(&left, format!("{}\n", checkpoint.tree)).unwrap();
    assert_eq!(collect(&world).checkpoints, 0);
    assert!(!left.exists());
}
