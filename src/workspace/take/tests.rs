//! What is in a checkpoint, what is not, and what it costs to take the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use crate::tests::{NEVER, World, is_root, name, paths, skipped as listed};
use crate::*;

#[test]
fn a_workspace_that_did_not_change_gives_the_same_checkpoint_and_reads_nothing() {
    let world = World::new();
    world.write("a.txt", "one");
    world.write("deep/er/b.txt", "two");
    let first = world.checkpoint();
    assert_eq!((first.manifest.files, first.manifest.folders, first.manifest.bytes), (2, 2, 6));
    settle(&world);
    let second = world.checkpoint();
    let third = world.checkpoint();
    assert_eq!((second.tree, third.tree), (first.tree, first.tree));
    assert_eq!((third.read, third.added), (0, Added::default()));
}

#[test]
fn one_change_adds_the_file_and_the_folders_above_it() {
    let world = World::new();
    for number in 0..100 {
        world.write(format!("folder{}/file{number}", number % 10), format!("content {number}"));
    }
    world.checkpoint();
    settle(&world);
    world.checkpoint();
    world.write("folder3/file3", "changed");
    let after = world.checkpoint();
    assert_eq!(after.read, 1);
    // The file, its folder, the top folder, the manifest.
    assert_eq!(after.added.blobs, 4);
}

/// The trap of every stat cache: a change within one tick of the clock, with the same length.
#[test]
fn a_change_right_after_a_checkpoint_is_seen() {
    let world = World::new();
    for round in 0..50 {
        world.write("a.txt", format!("{round:04}"));
        let one = world.checkpoint();
        world.write("a.txt", format!("{:04}", round + 1000));
        assert_ne!(world.checkpoint().tree, one.tree, "round {round}");
    }
}

#[test]
fn a_time_that_was_set_back_does_not_hide_a_change() {
    let world = World::new();
    world.write("a.txt", "one");
    let time = fs::metadata(world.at("a.txt")).unwrap().modified().unwrap();
    let one = world.checkpoint();
    settle(&world);
    world.checkpoint();
    world.write("a.txt", "two");
    fs::File::open(world.at("a.txt")).unwrap().set_modified(time).unwrap();
    assert_ne!(world.checkpoint().manifest.content, one.manifest.content);
}

#[test]
fn times_alone_change_the_checkpoint_and_not_the_content() {
    let world = World::new();
    world.write("a.txt", "one");
    let one = world.checkpoint();
    let time = std::time::SystemTime::UNIX_EPOCH;
    fs::File::open(world.at("a.txt")).unwrap().set_modified(time).unwrap();
    let two = world.checkpoint();
    assert_ne!(two.tree, one.tree);
    assert_eq!(two.manifest.content, one.manifest.content);
    let store = world.workspace.store();
    assert_eq!(diff(store, &one.manifest, &two.manifest).unwrap(), []);
}

#[test]
fn what_something_makes_again_is_left_out_and_listed() {
    let world = World::new();
    world.write("node_modules/left-pad/index.js", "x");
    world.write("crate/target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    world.write("crate/target/debug/big", "x");
    world.write("target/arrow.txt", "a folder that only has the name");
    world.write(".venv/pyvenv.cfg", "home = /usr");
    world.write("venv/notes.txt", "a folder that only has the name");
    world.write("package/__pycache__/a.pyc", "x");
    world.write(".env", "SECRET=1");
    assert_eq!(
        world.skipped(),
        [
            (".venv".to_owned(), "venv"),
            ("crate/target".to_owned(), "cachedir"),
            ("node_modules".to_owned(), "node_modules"),
            ("package/__pycache__".to_owned(), "pycache"),
        ]
    );
    let checkpoint = world.checkpoint();
    assert_eq!(checkpoint.manifest.files, 3);
}

#[test]
fn sockets_pipes_and_long_files_are_left_out_and_listed() {
    let world = World::with(Policy { file_bytes_max: 10, ..Policy::default() });
    let _socket = UnixListener::bind(world.at("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(world.at("pipe")).status().unwrap().success());
    world.write("long", "eleven bytes");
    world.write("short", "short");
    let expected = [("long", "too-large"), ("pipe", "special"), ("socket", "special")];
    assert_eq!(world.skipped(), expected.map(|(path, why)| (path.to_owned(), why)));
    assert_eq!(world.checkpoint().manifest.files, 1);
}

#[test]
fn links_are_kept_as_they_are_and_never_followed() {
    let world = World::new();
    world.write("real/file", "x");
    world.link("real", "to-folder");
    world.link("nowhere", "dangling");
    world.link("/etc", "out");
    world.link("..", "real/up");
    let manifest = world.checkpoint().manifest;
    assert_eq!((manifest.files, manifest.folders, manifest.links), (1, 1, 4));
}

#[test]
fn hard_links_are_counted_and_what_cannot_be_read_is_listed() {
    let world = World::new();
    world.write("one", "x");
    fs::hard_link(world.at("one"), world.at("two")).unwrap();
    world.write("closed", "x");
    world.chmod("closed", 0o000);
    let checkpoint = world.checkpoint();
    assert_eq!(checkpoint.manifest.hard_linked, 2);
    // Root may read everything.
    let files = if is_root() { 3 } else { 2 };
    assert_eq!(checkpoint.manifest.files, files);
    assert_eq!(world.skipped().is_empty(), is_root());
}

#[test]
fn limns_own_data_is_no_part_of_a_workspace() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("work/.limn-data")).unwrap();
    let (root, data) = (folder.path().join("work"), folder.path().join("work/.limn-data"));
    let workspace = Workspace::open(&root, &data, Policy::default(), false).unwrap();
    let first = workspace.checkpoint(&NEVER).unwrap();
    assert_eq!(listed(&first.manifest.skipped)[0].1, "own-data");
    assert_eq!(workspace.checkpoint(&NEVER).unwrap().tree, first.tree);
}

#[test]
fn a_workspace_that_is_deleted_or_replaced_is_gone_and_not_empty() {
    let world = World::new();
    world.write("a", "x");
    world.checkpoint();
    fs::rename(world.root(), world.folder().join("moved")).unwrap();
    let error = world.workspace.checkpoint(&NEVER).unwrap_err();
    assert!(matches!(error, Error::Gone { .. }), "{error}");
    assert!(error.to_string().contains("--workspace"), "{error}");
}

#[test]
fn too_much_is_said_and_nothing_is_kept() {
    let world = World::with(Policy { entries_max: 10, ..Policy::default() });
    for number in 0..20 {
        world.write(format!("{number}"), format!("{number}"));
    }
    let error = world.workspace.checkpoint(&NEVER).unwrap_err();
    assert!(matches!(error, Error::TooMuch { .. }), "{error}");
    assert_eq!(size(&world.data()).unwrap(), (0, 0));
    let cancelled = AtomicBool::new(true);
    let world = World::new();
    world.write("a", "x");
    let error = world.workspace.checkpoint(&cancelled).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(size(&world.data()).unwrap(), (0, 0));
}

/// Whichever thread finds it out, it is told, and not that the others were called off for it.
#[test]
fn what_another_thread_of_the_walk_runs_into_is_told() {
    let many = |world: &World| {
        for number in 0..600 {
            world.write(format!("a{}/b{}/c{number}", number % 5, number % 25), "x");
        }
    };
    let limited = World::with(Policy { entries_max: 300, ..Policy::default() });
    many(&limited);
    for _ in 0..20 {
        let error = limited.workspace.checkpoint(&NEVER).unwrap_err();
        assert!(matches!(error, Error::TooMuch { .. }), "{error}");
    }
    assert_eq!(size(&limited.data()).unwrap(), (0, 0));
    let world = World::new();
    many(&world);
    let first = world.checkpoint();
    assert_eq!((first.manifest.files, first.manifest.folders), (600, 30));
    for _ in 0..20 {
        assert_eq!(world.checkpoint().tree, first.tree);
    }
}

#[test]
fn a_file_of_100_mb_is_kept_without_being_held_in_memory() {
    let world = World::new();
    let file = fs::File::create(world.at("sparse")).unwrap();
    file.set_len(100_000_000).unwrap();
    let checkpoint = world.checkpoint();
    assert_eq!(checkpoint.manifest.bytes, 100_000_000);
    assert!(checkpoint.added.bytes < 100_000, "{:?}", checkpoint.added);
    world.remove("sparse");
    world.restore(&checkpoint);
    assert_eq!(fs::metadata(world.at("sparse")).unwrap().len(), 100_000_000);
}

/// A file that somebody writes without a pause is kept as it was read, and said to be such.
#[test]
fn a_file_that_changes_while_it_is_read_is_kept_and_listed() {
    let world = World::new();
    world.write("log", vec![b'x'; 1 << 20]);
    let mut writer = Command::new("sh")
        .args(["-c", "while :; do echo x; done >> \"$0\""])
        .arg(world.at("log"))
        .spawn()
        .unwrap();
    let length = || fs::metadata(world.at("log")).unwrap().len();
    while length() == 1 << 20 {
        std::thread::yield_now();
    }
    let skipped = loop {
        let manifest = world.checkpoint().manifest;
        assert_eq!(manifest.files, 1);
        if !manifest.skipped.is_empty() {
            break manifest.skipped;
        }
    };
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(listed(&skipped), [("log".to_owned(), "changing")]);
    assert_eq!(world.skipped(), []);
}

#[test]
fn names_that_are_no_text_and_deep_folders_are_kept() {
    let world = World::new();
    world.write(name(b"\xff\xfe name\n"), "x");
    world.write("A", "upper");
    world.write("a", "lower");
    let deep: PathBuf = (0..150).map(|_| "d").collect();
    world.write(deep.join("file"), "deep");
    let tree = world.tree();
    let checkpoint = world.checkpoint();
    for entry in fs::read_dir(world.root()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
    world.restore(&checkpoint);
    assert_eq!(world.tree(), tree);
}

#[test]
fn folders_that_lie_too_deep_are_left_out_and_listed() {
    let world = World::new();
    let deep: PathBuf = (0..250).map(|_| "d").collect();
    world.write(deep.join("file"), "deep");
    let listed = world.skipped();
    assert_eq!((listed.len(), listed[0].1), (1, "too-deep"));
}

#[test]
fn a_repository_elsewhere_is_pointed_out() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    world.write(".git", format!("gitdir: {}\n", elsewhere.path().display()));
    world.make_folder("inside/real.git");
    world.write("inside/.git", "gitdir: real.git\n");
    assert_eq!(world.skipped(), [(".git".to_owned(), "git-elsewhere")]);
    assert_eq!(world.checkpoint().manifest.files, 2);
}

#[test]
fn what_git_makes_while_at_work_is_not_kept() {
    let world = World::new();
    world.git(".", &["init", "-q"]);
    let before = world.checkpoint();
    world.write(".git/index.lock", "");
    world.write(".git/objects/ab/tmp_obj_x", "x");
    world.remove(".git/objects/ab/tmp_obj_x");
    world.remove(".git/objects/ab");
    let after = world.checkpoint();
    assert_eq!(after.manifest.content, before.manifest.content);
    world.write("Cargo.lock", "not git's");
    let store = world.workspace.store();
    let changes = diff(store, &before.manifest, &world.checkpoint().manifest).unwrap();
    assert_eq!(paths(&changes), ["Cargo.lock"]);
}

#[test]
fn a_damaged_index_costs_reading_and_nothing_else() {
    let world = World::new();
    world.write("a", "one");
    let first = world.checkpoint();
    let index = world.workspace.state.join("index");
    let mut bytes = fs::read(&index).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&index, bytes).unwrap();
    let second = world.checkpoint();
    assert_eq!((second.tree, second.read), (first.tree, 1));
}

#[test]
fn a_full_disk_in_the_middle_keeps_nothing_and_says_so() {
    let Some(disk) = SmallDisk::mount(1 << 20) else { return };
    let world = World::new();
    world.write("small", "x");
    let noise = |seed: u64| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..300_000).map(|_| next()).collect()
    };
    let workspace = Workspace::open(&world.root(), disk.0.path(), Policy::default(), true).unwrap();
    let first = workspace.checkpoint(&NEVER).unwrap();
    let before = size(disk.0.path()).unwrap();
    for number in 0..8 {
        world.write(format!("noise{number}"), noise(number));
    }
    let error = workspace.checkpoint(&NEVER).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    assert_eq!(size(disk.0.path()).unwrap(), before);
    for number in 0..8 {
        world.remove(&format!("noise{number}"));
    }
    assert_eq!(workspace.checkpoint(&NEVER).unwrap().tree, first.tree);
}

/// A file system of its own; none where nobody may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if mounted { Some(Self(folder)) } else { None }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// Waits until a change would show in the times, by trying.
fn settle(world: &World) {
    for _ in 0..100_000 {
        if world.checkpoint().read == 0 {
            return;
        }
    }
    panic!("it never settles");
}

#[test]
fn modes_are_kept_whole() {
    let world = World::new();
    world.write("setuid", "x");
    world.chmod("setuid", 0o4755);
    world.make_folder("sticky");
    world.chmod("sticky", 0o1777);
    world.make_folder("closed/inner");
    world.write("closed/file", "x");
    world.chmod("closed", 0o555);
    let checkpoint = world.checkpoint();
    let tree = world.tree();
    for (path, mode) in [("setuid", 0o644), ("sticky", 0o755), ("closed", 0o755)] {
        world.chmod(path, mode);
    }
    world.write("closed/file", "y");
    world.restore(&checkpoint);
    assert_eq!(world.tree(), tree);
    let mode = fs::metadata(world.at("setuid")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o4755);
    world.chmod("closed", 0o755);
}
