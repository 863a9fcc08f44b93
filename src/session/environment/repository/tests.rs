use std::fs;
use std::path::Path;
use std::process::Command;

use trajectory::DeviceId;

use super::{Place, Repository};

fn git(folder: &Path, args: &[&str]) {
    let done = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=a", "-c", "user.email=a@b"])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A repository with one commit.
fn made(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    git(folder, &["init", "--quiet"]);
    fs::write(folder.join("a"), "a").unwrap();
    git(folder, &["add", "a"]);
    git(folder, &["commit", "--quiet", "--message", "a"]);
}

fn name(folder: &Path, device: DeviceId) -> String {
    Repository::of(folder).unwrap().name(device)
}

#[test]
fn an_address_is_the_same_however_it_is_reached_and_whoever_reaches_it() {
    for url in [
        "https://example.org/ada/engine",
        "https://example.org/ada/engine.git",
        "https://Example.org/Ada/Engine.git/",
        "https://ada:s3cret@example.org/ada/engine.git",
        "https://oauth2:s3cret@example.org:8443/ada/engine?private_token=s3cret",
        "ssh://git@example.org:22/ada/engine.git",
        "git@example.org:ada/engine.git",
        "example.org:/ada/engine",
        "git://example.org/ada/engine.git#main",
    ] {
        assert_eq!(
            Place::of(url),
            Some(Place::Address("example.org/ada/engine".to_owned())),
            "{url}"
        );
    }
    for folder in ["/srv/git/engine.git", "../engine", "file:///srv/engine"] {
        assert!(matches!(Place::of(folder), Some(Place::Folder(_))), "{folder}");
    }
    assert_eq!(Place::of(""), None);
}

#[test]
fn clones_of_one_repository_have_one_name_on_every_device() {
    let (here, there) = (DeviceId::new(), DeviceId::new());
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for (clone, url) in [
        ("one", "git@example.org:ada/engine.git"),
        ("two", "https://ada:s3cret@example.org/ada/engine"),
        ("other", "https://example.org/ada/loom"),
    ] {
        made(&place(clone));
        git(&place(clone), &["remote", "add", "origin", url]);
    }
    assert_eq!(name(&place("one"), here), name(&place("two"), there));
    assert_ne!(name(&place("one"), here), name(&place("other"), here));
    // A fork is told by what it is a fork of, and a folder of a repository by the whole.
    git(&place("other"), &["remote", "add", "upstream", "https://example.org/ada/engine.git"]);
    fs::create_dir_all(place("other/src/deep")).unwrap();
    assert_eq!(name(&place("other/src/deep"), here), name(&place("one"), here));
    assert!(!name(&place("one"), here).contains("ada"));
}

#[test]
fn one_without_an_address_is_told_by_where_it_lies_on_its_device() {
    let (here, there) = (DeviceId::new(), DeviceId::new());
    let folder = tempfile::tempdir().unwrap();
    let (one, two, tree) =
        (folder.path().join("one"), folder.path().join("two"), folder.path().join("tree"));
    made(&one);
    made(&two);
    assert_ne!(name(&one, here), name(&two, here));
    assert_ne!(
        name(&one, here),
        name(&one, there),
        "who does not know the device cannot try names"
    );
    // Another work tree of it is the same repository, at a commit of its own.
    git(&one, &["worktree", "add", "--quiet", "-b", "side", tree.to_str().unwrap()]);
    assert_eq!(name(&tree, here), name(&one, here));
    fs::write(tree.join("b"), "b").unwrap();
    git(&tree, &["add", "b"]);
    git(&tree, &["commit", "--quiet", "--message", "b"]);
    let commit = |folder: &Path| Repository::of(folder).unwrap().commit().unwrap();
    assert_ne!(commit(&tree), commit(&one));
    // So is a clone of it on this machine, and a clone that says where it came from by a way there.
    let clone = folder.path().join("clone");
    git(folder.path(), &["clone", "--quiet", two.to_str().unwrap(), clone.to_str().unwrap()]);
    let again = folder.path().join("again");
    git(folder.path(), &["clone", "--quiet", two.to_str().unwrap(), again.to_str().unwrap()]);
    assert_eq!(name(&clone, here), name(&two, here));
    git(&again, &["remote", "set-url", "origin", "../clone"]);
    assert_eq!(name(&again, here), name(&two, here));
    // And when that has an address, they have it too; one that is gone, or of itself, ends nothing.
    git(&two, &["remote", "add", "origin", "https://example.org/two.git"]);
    assert_eq!(name(&again, here), name(&two, there));
    git(&two, &["remote", "set-url", "origin", "../again"]);
    assert_eq!(name(&again, here), name(&again, here));
    git(&again, &["remote", "set-url", "origin", "../gone"]);
    assert_ne!(name(&again, here), name(&one, here));
}

#[test]
fn what_is_no_repository_has_no_name_and_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    for (name, text) in [("empty", ""), ("nowhere", "gitdir: ../not-there\n"), ("odd", "gitdir:")] {
        fs::create_dir_all(place(name)).unwrap();
        fs::write(place(name).join(".git"), text).unwrap();
        let found = Repository::of(&place(name));
        assert!(found.is_none_or(|it| it.commit().is_none()), "{name}");
    }
    // Settings that nobody can read are none, and a pipe in their place is not waited for.
    let hostile = place("hostile");
    fs::create_dir_all(hostile.join(".git")).unwrap();
    fs::write(hostile.join(".git/config"), b"[remote \"\xff\"]\nurl = \xff\n").unwrap();
    let pipe = Command::new("mkfifo").arg(hostile.join(".git/HEAD")).status().unwrap();
    assert!(pipe.success());
    let device = DeviceId::new();
    assert_eq!(name(&hostile, device).len(), 64);
    assert_eq!(Repository::of(&hostile).unwrap().commit(), None);
    for settings in ["[", "[remote", "[remote \"a", "[remote \"origin\"] url = ", "url = x", "[]=="]
    {
        fs::write(hostile.join(".git/config"), settings).unwrap();
        assert_eq!(name(&hostile, device).len(), 64, "{settings}");
    }
}
