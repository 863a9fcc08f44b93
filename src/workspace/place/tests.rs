//! Folders that are nobody's workspace.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::fs::{FlockOperation, flock};

use super::refused;
use crate::tests::World;
use crate::*;

#[test]
fn the_root_a_home_and_limns_own_data_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let home = std::fs::canonicalize(home.path()).unwrap();
    let data = home.join("data");
    let check = |root: &Path| refused(root, &data, Some(&home));
    assert_eq!(check(Path::new("/")), Some("it is the root of the file system"));
    assert_eq!(check(&home), Some("it is your home folder"));
    assert_eq!(check(home.parent().unwrap()), Some("your home folder lies in it"));
    assert_eq!(check(&data), Some("it is limn's own data folder"));
    assert_eq!(check(&data.join("blobs")), Some("it is limn's own data folder"));
    assert_eq!(check(&home.join("project")), None);
}

#[test]
fn a_file_and_nothing_are_no_workspaces() {
    let world = World::new();
    world.write("file", "x");
    let open = |path| Workspace::open(&world.at(path), &world.data(), Policy::default(), true);
    assert!(matches!(open("file"), Err(Error::NoWorkspace { .. })));
    assert!(matches!(open("nothing"), Err(Error::Gone { .. })));
}

#[test]
fn who_waits_for_a_lock_can_be_told_to_stop() {
    let world = World::new();
    world.checkpoint();
    let stopped = AtomicBool::new(true);
    let collector = Collector::begin(&world.data()).unwrap();
    assert!(matches!(world.workspace.checkpoint(&stopped), Err(Error::Cancelled)));
    drop(collector);
    let other = File::open(world.workspace.state.join("lock")).unwrap();
    flock(&other, FlockOperation::LockExclusive).unwrap();
    assert!(matches!(world.workspace.checkpoint(&stopped), Err(Error::Cancelled)));
    drop(other);
    world.checkpoint();
}
