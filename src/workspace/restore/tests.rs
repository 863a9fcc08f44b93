//! Going back: alone, over the user's edits, over damage, over death.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use proptest::prelude::*;

use crate::diff::is_git_object;
use crate::journal::Journal;
use crate::tests::{NEVER, Tree, World, content, open, paths};
use crate::*;

#[test]
fn a_round_is_undone_whatever_it_did() {
    let world = World::new();
    world.write("kept", "x");
    world.write("changed", "before");
    world.write("gone/deep/file", "x");
    world.make_folder("empty");
    world.write("becomes-a-folder", "x");
    world.write("becomes-a-file/file", "x");
    world.link("kept", "link");
    world.write("becomes-a-link", "x");
    world.chmod("changed", 0o600);
    world.write(".env", "SECRET=1");
    world.write(".gitignore", ".env\n");
    let before = world.checkpoint();
    let tree = world.tree();
    world.write("changed", "after");
    world.chmod("changed", 0o777);
    for path in
        ["gone", "empty", "becomes-a-folder", "becomes-a-file", "link", "becomes-a-link", ".env"]
    {
        world.remove(path);
    }
    world.write("becomes-a-folder/file", "x");
    world.write("becomes-a-file", "x");
    world.write("link/now/a/folder", "x");
    world.link("kept", "becomes-a-link");
    world.write("new/file", "x");
    let after = world.tree();
    let restored = world.restore(&before);
    assert_eq!(world.tree(), tree);
    assert_eq!(restored.left, []);
    assert_eq!(restored.after.unwrap().manifest.content, before.manifest.content);
    // The checkpoint that was taken before it leads back again.
    world.restore(&restored.before);
    assert_eq!(world.tree(), after);
}

#[test]
fn what_did_not_change_is_not_touched() {
    let world = World::new();
    world.write("kept", "x");
    world.write("changed", "x");
    let before = world.checkpoint();
    let kept = fs::metadata(world.at("kept")).unwrap().modified().unwrap();
    world.write("changed", "y");
    let restored = world.restore(&before);
    assert_eq!(paths(&restored.changes), ["changed"]);
    assert_eq!(fs::metadata(world.at("kept")).unwrap().modified().unwrap(), kept);
}

/// What was built from the newer file must be built again.
#[test]
fn a_file_that_is_rewritten_is_new_to_make() {
    let world = World::new();
    world.write("source", "old");
    let before = world.checkpoint();
    world.write("source", "new");
    world.write("target/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    world.write("target/built", "from new");
    world.restore(&before);
    let modified = |path| fs::metadata(world.at(path)).unwrap().modified().unwrap();
    assert!(modified("source") >= modified("target/built"));
    assert_eq!(world.read("target/built"), "from new");
}

#[test]
fn the_users_edits_stop_it_unless_told_otherwise() {
    let world = World::new();
    world.write("agents", "before");
    world.write("users", "before");
    let before = world.checkpoint();
    world.write("agents", "after");
    let known = world.checkpoint();
    world.write("users", "mine");
    world.write("users-new", "mine");
    let mine = world.tree();
    let stopped = world.restore_with(&before, Some(&known), OnEdits::Stop);
    assert!(stopped.stopped && stopped.after.is_none());
    assert_eq!(paths(&stopped.edited), ["users", "users-new"]);
    assert_eq!(world.tree(), mine);
    let kept = world.restore_with(&before, Some(&known), OnEdits::KeepTheirs);
    assert_eq!(world.read("agents"), "before");
    assert_eq!((world.read("users"), world.read("users-new")), ("mine".into(), "mine".into()));
    let left: Vec<_> =
        kept.left.iter().map(|left| (left.path.to_str().unwrap(), left.why)).collect();
    assert_eq!(left, [("users", Why::Edited), ("users-new", Why::Edited)]);
    world.restore_with(&before, Some(&known), OnEdits::Overwrite);
    assert_eq!(world.read("users"), "before");
    assert!(!world.at("users-new").exists());
}

/// What the user changed between two rounds counts too, though the agent has seen it since.
#[test]
fn the_users_edits_between_rounds_are_not_undone_unseen() {
    let world = World::new();
    world.write("agents", "0");
    world.write("users", "0");
    let first = world.checkpoint();
    world.write("agents", "1");
    let after_first = world.checkpoint();
    world.write("users", "mine");
    let second = world.checkpoint();
    world.write("agents", "2");
    let known = world.checkpoint();
    let mut what = Restore {
        expected: Some(known.tree),
        users: vec![(after_first.tree, second.tree)],
        ..Restore::to(first.tree)
    };
    let stopped = world.workspace.restore(&what, &NEVER).unwrap();
    assert!(stopped.stopped);
    assert_eq!(paths(&stopped.edited), ["users"]);
    what.on_edits = OnEdits::KeepTheirs;
    world.workspace.restore(&what, &NEVER).unwrap();
    assert_eq!((world.read("agents"), world.read("users")), ("0".into(), "mine".into()));
    // Back to where they were made, they are no edits.
    what.to = second.tree;
    what.on_edits = OnEdits::Stop;
    what.expected = None;
    what.users.clear();
    assert!(!world.workspace.restore(&what, &NEVER).unwrap().stopped);
}

#[test]
fn a_folder_that_the_user_put_something_into_stays() {
    let world = World::new();
    world.write("place", "a file");
    let before = world.checkpoint();
    world.remove("place");
    world.write("place/agents", "x");
    let known = world.checkpoint();
    world.write("place/users", "mine");
    let kept = world.restore_with(&before, Some(&known), OnEdits::KeepTheirs);
    assert_eq!(world.read("place/users"), "mine");
    assert!(kept.left.iter().any(|left| left.path == Path::new("place")));
}

#[test]
fn a_dry_run_says_the_same_and_changes_nothing() {
    let world = World::new();
    world.write("a", "before");
    let before = world.checkpoint();
    world.write("a", "after");
    let tree = world.tree();
    let what = Restore { dry_run: true, ..Restore::to(before.tree) };
    let would = world.workspace.restore(&what, &NEVER).unwrap();
    assert_eq!(world.tree(), tree);
    assert_eq!(paths(&would.changes), paths(&world.restore(&before).changes));
}

#[test]
fn what_was_left_out_is_left_alone_and_listed() {
    let world = World::with(Policy { file_bytes_max: 10, ..Policy::default() });
    world.write("node_modules/a", "x");
    world.write("grows", "short");
    world.write("long", "eleven bytes");
    let before = world.checkpoint();
    world.write("node_modules/b", "x");
    world.write("grows", "longer than the limit");
    world.write("long", "short now");
    world.write("new", "x");
    let restored = world.restore(&before);
    assert_eq!(world.read("grows"), "longer than the limit");
    assert_eq!(world.read("long"), "short now");
    assert!(world.at("node_modules/b").exists() && !world.at("new").exists());
    let listed: Vec<_> = restored.skipped.iter().map(|it| it.path.to_str().unwrap()).collect();
    assert_eq!(listed, ["long", "node_modules"]);
    let left: Vec<_> = restored.left.iter().map(|it| it.path.to_str().unwrap()).collect();
    assert_eq!(left, ["grows", "long"]);
}

#[test]
fn a_link_that_leads_out_is_replaced_and_never_followed() {
    let world = World::new();
    world.write("folder/file", "inside");
    let before = world.checkpoint();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "outside").unwrap();
    world.remove("folder");
    world.link(outside.path().to_str().unwrap(), "folder");
    world.restore(&before);
    assert_eq!(world.read("folder/file"), "inside");
    assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "outside");
}

#[test]
fn a_damaged_or_missing_blob_is_found_before_anything_is_touched() {
    let world = World::new();
    world.write("a", "before a");
    world.write("b", "before b");
    let before = world.checkpoint();
    world.write("a", "after a");
    world.write("b", "after b");
    let tree = world.tree();
    let blob = world.workspace.store().path_of(&content(&before, &world, "b"));
    let whole = fs::read(&blob).unwrap();
    let what = Restore::to(before.tree);
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&blob, damaged).unwrap();
    let error = world.workspace.restore(&what, &NEVER).unwrap_err();
    assert!(error.to_string().contains("do not match its name"), "{error}");
    assert_eq!(world.tree(), tree);
    fs::remove_file(&blob).unwrap();
    let error = world.workspace.restore(&what, &NEVER).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert_eq!(world.tree(), tree);
    fs::write(&blob, whole).unwrap();
    world.workspace.restore(&what, &NEVER).unwrap();
    assert_eq!(world.read("b"), "before b");
}

#[test]
fn an_error_in_the_middle_undoes_what_was_done() {
    let world = World::new();
    for number in 0..10 {
        world.write(format!("{number}"), "before");
    }
    let before = world.checkpoint();
    for number in 0..10 {
        world.write(format!("{number}"), "after");
    }
    let tree = world.tree();
    let what = Restore::to(before.tree);
    // Nobody can write a file that the kernel keeps as it is.
    let Some(_pinned) = Pinned::new(&world.at("7")) else { return };
    let error = world.workspace.restore(&what, &NEVER).unwrap_err();
    assert!(error.to_string().contains('7'), "{error}");
    assert_eq!(world.tree(), tree);
    assert_eq!(Journal::read(&world.workspace.state).unwrap(), None);
}

/// A file that nobody can replace while this lives; none where the file system knows no such thing.
struct Pinned(std::path::PathBuf);

impl Pinned {
    fn new(path: &Path) -> Option<Self> {
        let done = Command::new("chattr").arg("+i").arg(path).stderr(Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(&self.0).status();
    }
}

#[test]
fn a_git_work_tree_goes_back_whole_even_after_its_objects_were_collected() {
    let world = World::new();
    world.git(".", &["init", "-q", "-b", "main"]);
    world.write("a", "one");
    world.git(".", &["add", "."]);
    world.git(".", &["commit", "-qm", "first"]);
    world.write("a", "two");
    world.git(".", &["commit", "-qam", "second"]);
    world.write("staged", "x");
    world.git(".", &["add", "staged"]);
    let (head, status) =
        (world.git(".", &["rev-parse", "HEAD"]), world.git(".", &["status", "--porcelain"]));
    let before = world.checkpoint();
    world.git(".", &["reset", "-q", "--hard", "HEAD~1"]);
    world.git(".", &["checkout", "-q", "-b", "other"]);
    world.write("b", "x");
    world.git(".", &["add", "."]);
    world.git(".", &["commit", "-qm", "elsewhere"]);
    let elsewhere = world.git(".", &["rev-parse", "HEAD"]);
    world.git(".", &["branch", "-qD", "main"]);
    world.git(".", &["reflog", "expire", "--expire=now", "--all"]);
    world.git(".", &["gc", "-q", "--prune=now"]);
    world.restore(&before);
    assert_eq!(world.git(".", &["rev-parse", "HEAD"]), head);
    assert_eq!(world.git(".", &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    assert_eq!(world.git(".", &["status", "--porcelain"]), status);
    world.git(".", &["fsck", "--full", "--strict"]);
    // What was committed since is not lost to whoever remembers its name.
    world.git(".", &["cat-file", "-e", elsewhere.trim()]);
}

#[test]
fn submodules_and_nested_repositories_go_back_too() {
    let world = World::new();
    world.make_folder("library");
    world.git("library", &["init", "-q"]);
    world.write("library/l", "x");
    world.git("library", &["add", "."]);
    world.git("library", &["commit", "-qm", "library"]);
    world.make_folder("main");
    world.git("main", &["init", "-q"]);
    let library = world.at("library");
    world.git("main", &["submodule", "--quiet", "add", library.to_str().unwrap(), "sub"]);
    world.git("main", &["commit", "-qm", "with a submodule"]);
    let before = world.checkpoint();
    let tree = world.tree();
    world.write("main/sub/l", "changed");
    world.git("main/sub", &["commit", "-qam", "in the submodule"]);
    world.git("main", &["commit", "-qam", "moved"]);
    world.write("library/l", "changed");
    world.git("library", &["commit", "-qam", "in the library"]);
    world.restore(&before);
    let without_objects = |tree: Tree| -> Tree {
        tree.into_iter().filter(|(path, _)| !is_git_object(path)).collect()
    };
    assert_eq!(without_objects(world.tree()), without_objects(tree));
    assert_eq!(world.git("main", &["status", "--porcelain"]), "");
    assert_eq!(world.git("library", &["status", "--porcelain"]), "");
}

/// Something appears in a folder that is to become a file, after the checkpoint of before.
#[test]
fn what_appears_meanwhile_is_in_nobodys_way() {
    let world = World::new();
    world.write("place", "a file");
    world.write("other", "before");
    let before = world.checkpoint();
    world.remove("place");
    world.write("place/file", "x");
    world.write("other", "after");
    let now = world.checkpoint();
    let journal = Journal { from: now.tree, to: before.tree, left: Vec::new() };
    journal.write(&world.workspace.state).unwrap();
    world.write("place/mine", "mine");
    let settled = world.checkpoint().finished.unwrap();
    assert_eq!(settled.left, [Left { path: "place".into(), why: Why::NotEmpty }]);
    assert_eq!((world.read("place/mine"), world.read("other")), ("mine".into(), "before".into()));
    // The other way round: a folder is to come back where a file was changed.
    world.remove("place");
    world.write("place/deep/file", "x");
    let before = world.checkpoint();
    world.remove("place");
    world.write("place", "a file");
    let now = world.checkpoint();
    let journal = Journal { from: now.tree, to: before.tree, left: Vec::new() };
    journal.write(&world.workspace.state).unwrap();
    world.write("place", "mine");
    let settled = world.checkpoint().finished.unwrap();
    assert!(settled.left.iter().all(|left| left.why == Why::Meanwhile), "{settled:?}");
    assert_eq!(world.read("place"), "mine");
}

#[test]
fn a_closed_workspace_is_opened_and_closed_again() {
    let world = World::new();
    world.write("a", "before");
    world.chmod("", 0o555);
    let before = world.checkpoint();
    world.chmod("", 0o755);
    world.write("a", "after");
    world.write("b", "x");
    world.chmod("", 0o555);
    world.restore(&before);
    assert_eq!(world.read("a"), "before");
    assert!(!world.at("b").exists());
    let mode = fs::metadata(world.root()).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o555);
    world.chmod("", 0o755);
}

#[test]
fn the_workspaces_own_mode_goes_back() {
    let world = World::new();
    world.write("a", "x");
    world.chmod("", 0o755);
    let before = world.checkpoint();
    world.chmod("", 0o700);
    world.restore(&before);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(world.root()).unwrap().permissions().mode() & 0o777, 0o755);
}

const CHILD: &str = "restore::tests::child_that_restores";
const FILES: usize = 24;

/// Not a test by itself: another process for the tests of death.
#[test]
#[ignore = "run and killed by killed_at_any_point_it_is_finished_by_the_next_one"]
fn child_that_restores() {
    let (Ok(folder), Ok(tree)) =
        (std::env::var("LIMN_TEST_FOLDER"), std::env::var("LIMN_TEST_TREE"))
    else {
        return;
    };
    let workspace = open(Path::new(&folder), Policy::default());
    let to = tree.parse().unwrap();
    workspace.restore(&Restore::to(to), &NEVER).unwrap();
}

fn restore_elsewhere(world: &World, to: &Checkpoint) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--quiet"])
        .env("LIMN_TEST_FOLDER", world.folder())
        .env("LIMN_TEST_TREE", to.tree.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn before_and_after(world: &World) -> (Checkpoint, Tree) {
    for number in 0..FILES {
        world.write(format!("changed{number:02}"), "before");
        world.write(format!("gone{number:02}/file"), "before");
    }
    world.make_folder("closed");
    world.write("closed/file", "before");
    world.chmod("closed", 0o555);
    let (checkpoint, tree) = (world.checkpoint(), world.tree());
    world.chmod("closed", 0o755);
    for number in 0..FILES {
        world.write(format!("changed{number:02}"), "after, and longer");
        world.remove(&format!("gone{number:02}"));
        world.write(format!("new{number:02}/file"), "after");
    }
    world.write("closed/file", "after");
    (checkpoint, tree)
}

#[test]
fn killed_at_any_point_it_is_finished_by_the_next_one() {
    let mut killed = 0;
    for point in 0..=FILES {
        let world = World::new();
        let (before, tree) = before_and_after(&world);
        let mut child = restore_elsewhere(&world, &before);
        // The journal first; then the folders that go, the last one first; then the files.
        let is_there = || match point {
            0 => Journal::path(&world.workspace.state).exists(),
            point if point <= FILES / 2 => {
                !world.at(format!("new{:02}", FILES - point * 2)).exists()
            }
            point => world.read(&format!("changed{:02}", (point - FILES / 2) * 2 - 1)) == "before",
        };
        while !is_there() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().signal() == Some(9));
        let settled = {
            let _lock = world.workspace.lock(&NEVER).unwrap();
            world.workspace.settle_locked().unwrap()
        };
        if let Some(settled) = settled {
            assert_eq!(
                (settled.at, settled.undone, settled.left),
                (before.tree, false, Vec::new())
            );
        }
        assert_eq!(world.tree(), tree, "killed at {point}");
        assert_eq!(Journal::read(&world.workspace.state).unwrap(), None);
        world.chmod("closed", 0o755);
    }
    assert!(killed > 0, "no process was killed in time");
}

#[test]
fn what_the_user_changed_since_the_death_is_left_alone() {
    let world = World::new();
    let (before, mut tree) = before_and_after(&world);
    let now = world.checkpoint();
    // As a process that died right after it had written its journal.
    let journal = Journal { from: now.tree, to: before.tree, left: Vec::new() };
    journal.write(&world.workspace.state).unwrap();
    world.write("changed03", "mine");
    let settled = world.checkpoint().finished.unwrap();
    assert_eq!(settled.left, [Left { path: "changed03".into(), why: Why::Meanwhile }]);
    tree.get_mut(Path::new("changed03")).unwrap().2 = b"mine".to_vec();
    let said = settled.to_string();
    assert!(said.contains("was finished") && said.ends_with("alone: changed03."), "{said}");
    assert_eq!(world.checkpoint().finished, None);
    assert_eq!(world.tree(), tree);
    world.chmod("closed", 0o755);
}

#[test]
fn a_restore_that_cannot_be_finished_is_undone() {
    let world = World::new();
    let (before, _) = before_and_after(&world);
    let (now, tree) = (world.checkpoint(), world.tree());
    let journal = Journal { from: now.tree, to: before.tree, left: Vec::new() };
    journal.write(&world.workspace.state).unwrap();
    // Half of it was done by then.
    world.write("changed00", "before");
    world.remove("new00");
    fs::remove_file(world.workspace.store().path_of(&content(&before, &world, "changed01")))
        .unwrap();
    let settled = world.checkpoint().finished.unwrap();
    assert_eq!((settled.at, settled.undone), (now.tree, true));
    assert!(settled.to_string().contains("it was undone"), "{settled}");
    assert_eq!(world.tree(), tree);
}

/// What a command may do to a workspace.
#[derive(Clone, Debug)]
enum Deed {
    Write(usize, Vec<u8>),
    Folder(usize),
    Link(usize, usize),
    Remove(usize),
    Rename(usize, usize),
    Mode(usize, u32),
}

const PATHS: [&str; 9] = ["a", "b", "a/a", "a/b", "b/a", "a/b/c", "d", "d/e/f", "d/e"];

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let path = 0..PATHS.len();
    let deed = prop_oneof![
        4 => (path.clone(), prop::collection::vec(0..3_u8, 0..3)).prop_map(|(at, it)| Deed::Write(at, it)),
        2 => path.clone().prop_map(Deed::Folder),
        1 => (path.clone(), path.clone()).prop_map(|(at, to)| Deed::Link(at, to)),
        2 => path.clone().prop_map(Deed::Remove),
        2 => (path.clone(), path.clone()).prop_map(|(at, to)| Deed::Rename(at, to)),
        2 => (path, prop::sample::select(vec![0o644, 0o755, 0o4711, 0o700])).prop_map(|(at, it)| Deed::Mode(at, it)),
    ];
    prop::collection::vec(deed, 0..14)
}

/// Does it if it can be done.
fn act(world: &World, deed: &Deed) {
    let at = |path: usize| world.at(PATHS[path]);
    let _ = match deed {
        Deed::Write(path, content) => fs::write(at(*path), content),
        Deed::Folder(path) => fs::create_dir_all(at(*path)),
        Deed::Link(path, target) => std::os::unix::fs::symlink(PATHS[*target], at(*path)),
        Deed::Remove(path) => match fs::symlink_metadata(at(*path)) {
            Ok(it) if it.is_dir() => fs::remove_dir_all(at(*path)),
            _ => fs::remove_file(at(*path)),
        },
        Deed::Rename(from, to) => fs::rename(at(*from), at(*to)),
        Deed::Mode(path, mode) => {
            use std::os::unix::fs::PermissionsExt;
            // What its owner may not enter, nobody but root can look into.
            let is_folder = at(*path).is_dir();
            let mode = if is_folder { *mode | 0o700 } else { *mode };
            fs::set_permissions(at(*path), fs::Permissions::from_mode(mode))
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..Default::default() })]

    #[test]
    fn whatever_happens_a_restore_gives_the_tree_back(first in deeds(), then in deeds()) {
        let world = World::new();
        first.iter().for_each(|deed| act(&world, deed));
        let (before, tree) = (world.checkpoint(), world.tree());
        then.iter().for_each(|deed| act(&world, deed));
        let after = world.tree();
        let restored = world.restore(&before);
        prop_assert_eq!(world.tree(), tree);
        prop_assert!(restored.left.is_empty());
        world.restore(&restored.before);
        prop_assert_eq!(world.tree(), after);
    }
}
