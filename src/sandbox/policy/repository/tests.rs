use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::policy::{Policy, PolicyFile, Preset, Surroundings};

/// A repository with a work tree beside it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(place.path("main")).expect("created");
        place.git("main", &["init", "--quiet"]);
        place.git("main", &["commit", "--quiet", "--allow-empty", "--message=start"]);
        place.git("main", &["worktree", "add", "--quiet", "../tree"]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("there").join(name)
    }

    fn git(&self, folder: &str, arguments: &[&str]) {
        let done = Command::new("git")
            .args(["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"])
            .args(arguments)
            .current_dir(self.path(folder))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", "/nonexistent")
            .status();
        assert!(done.expect("git runs").success(), "{arguments:?}");
    }

    fn policy_in(&self, workspace: &str, file: &PolicyFile) -> Policy {
        let around = Surroundings { workspace: self.path(workspace), ..Surroundings::default() };
        file.policy(&around).expect("a policy")
    }

    fn policy(&self) -> Policy {
        self.policy_in("tree", &PolicyFile::default())
    }

    /// What is opened, seen from the repository.
    fn opened(&self) -> Vec<String> {
        let common = self.path("main/.git");
        let names = |path: &PathBuf| path.strip_prefix(&common).ok().map(Path::to_owned);
        let mut found: Vec<String> = self
            .policy()
            .git
            .iter()
            .filter_map(names)
            .map(|path| path.display().to_string())
            .collect();
        found.sort();
        found
    }
}

#[test]
fn commands_write_what_commits_need_of_the_repository_of_a_work_tree_and_no_more() {
    let place = Place::new();
    assert_eq!(place.opened(), ["logs", "objects", "refs", "worktrees/tree"]);
    let (policy, common) = (place.policy(), place.path("main/.git"));
    assert!(policy.readable.contains(&common));
    let own = ["commondir", "config.worktree", "gitdir"];
    let own = own.map(|name| common.join("worktrees/tree").join(name));
    let shared = ["config", "hooks/post-checkout"].map(|name| common.join(name));
    for path in own.iter().chain(&shared).chain([&place.path("tree/.git")]) {
        let said = policy.not_written(path).rule;
        assert!(said.contains("limn or git would act on"), "{said}");
    }
    // File tools are no git.
    for path in policy.git {
        assert!(!place.policy().may_write(&path), "{path:?}");
    }
}

#[test]
fn a_repository_that_does_not_name_the_workspace_stays_closed() {
    let place = Place::new();
    // A folder that a command has made look like a work tree of somebody's.
    fs::create_dir(place.path("false")).expect("created");
    fs::copy(place.path("tree/.git"), place.path("false/.git")).expect("copied");
    let policy = place.policy_in("false", &PolicyFile::default());
    assert!(policy.git.is_empty() && !policy.readable.contains(&place.path("main/.git")));
    // One whose repository has gone elsewhere.
    fs::write(place.path("main/.git/worktrees/tree/commondir"), "../../elsewhere\n").expect("ok");
    assert_eq!(place.opened(), [""; 0]);
}

#[test]
fn a_folder_that_poses_as_a_work_tree_does_not_open_what_lies_around_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().canonicalize().expect("there").join("home");
    let (work, own) = (home.join("worktrees/work"), home.join("worktrees/a"));
    fs::create_dir_all(&work).expect("created");
    fs::create_dir_all(&own).expect("created");
    fs::create_dir(home.join("notes")).expect("created");
    // All that somebody has to pack beside what is worked in.
    fs::write(work.join(".git"), "gitdir: ../a\n").expect("written");
    fs::write(own.join("gitdir"), "../work/.git\n").expect("written");
    fs::write(own.join("commondir"), "../..\n").expect("written");
    let policy = |home: Option<PathBuf>| {
        let around = Surroundings { workspace: work.clone(), home, ..Surroundings::default() };
        PolicyFile::default().policy(&around).expect("a policy")
    };
    let without_repository = policy(None);
    assert!(without_repository.git.is_empty() && !without_repository.readable.contains(&home));
    // Even a home that is a repository is not opened as a whole.
    for name in ["objects", "refs"] {
        fs::create_dir(home.join(name)).expect("created");
    }
    fs::write(home.join("HEAD"), "ref: refs/heads/main\n").expect("written");
    assert!(policy(None).readable.contains(&home), "elsewhere it would be one");
    let policy = policy(Some(home.clone()));
    assert!(policy.git.is_empty() && !policy.may_read(&home.join("notes/today")));
}

#[test]
fn settings_of_a_work_tree_that_git_would_obey_cannot_be_made() {
    let place = Place::new();
    place.git("main", &["config", "extensions.worktreeConfig", "true"]);
    assert_eq!(place.opened(), [""; 0], "a command could make them");
    place.git("tree", &["config", "--worktree", "user.name", "Somebody"]);
    assert_eq!(place.opened(), ["logs", "objects", "refs", "worktrees/tree"]);
}

#[test]
fn what_is_no_pointer_opens_nothing() {
    let place = Place::new();
    for text in ["", "gitdir:", "gitdir: /", "gitdir: ..", "gitdir: /dev/zero", "gitdir: \u{0}"] {
        fs::write(place.path("tree/.git"), text).expect("written");
        assert_eq!(place.opened(), [""; 0], "{text:?}");
    }
    fs::remove_file(place.path("tree/.git")).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", place.path("tree/.git")).expect("linked");
    assert_eq!(place.opened(), [""; 0]);
}

#[test]
fn what_is_only_read_or_hidden_stays_so() {
    let place = Place::new();
    let read_only = PolicyFile { preset: Some(Preset::ReadOnly), ..PolicyFile::default() };
    let policy = place.policy_in("tree", &read_only);
    assert!(policy.git.is_empty() && policy.readable.contains(&place.path("main/.git")));
    let hidden = PolicyFile { hidden: vec![place.path("main")], ..PolicyFile::default() };
    let policy = place.policy_in("tree", &hidden);
    assert!(policy.git.is_empty() && !policy.may_read(&place.path("main/.git/HEAD")));
    let both = PolicyFile::default().tightened(&read_only, &place.path("tree"));
    assert!(place.policy_in("tree", &both).git.is_empty());
}
