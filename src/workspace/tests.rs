//! A workspace, a data folder, and a walker of its own to compare trees with.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use blob::Hash;

use crate::*;

pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

/// A workspace and limn's data folder, each in a place of its own.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) workspace: Workspace,
}

/// What lies at a path, as the tests see it: kind, mode, content or target.
pub(crate) type Tree = BTreeMap<PathBuf, (char, u32, Vec<u8>)>;

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Policy::default())
    }

    pub(crate) fn with(policy: Policy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let workspace = open(folder.path(), policy);
        Self { folder, workspace }
    }

    /// The folder that holds both.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    pub(crate) fn make_folder(&self, path: &str) {
        fs::create_dir_all(self.at(path)).unwrap();
    }

    pub(crate) fn link(&self, target: &str, path: &str) {
        symlink(target, self.at(path)).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.at(path);
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    pub(crate) fn chmod(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn git(&self, folder: &str, args: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b.c",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(args)
            .current_dir(self.at(folder))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.workspace.checkpoint(&NEVER).unwrap()
    }

    pub(crate) fn restore(&self, to: &Checkpoint) -> Restored {
        self.restore_with(to, None, OnEdits::Stop)
    }

    pub(crate) fn restore_with(
        &self,
        to: &Checkpoint,
        expected: Option<&Checkpoint>,
        on_edits: OnEdits,
    ) -> Restored {
        let expected = expected.map(|expected| expected.tree);
        let what = Restore { expected, on_edits, ..Restore::to(to.tree) };
        self.workspace.restore(&what, &NEVER).unwrap()
    }

    pub(crate) fn tree(&self) -> Tree {
        tree(&self.root())
    }

    /// What was left out, each with its reason's name.
    pub(crate) fn skipped(&self) -> Vec<(String, &'static str)> {
        skipped(&self.checkpoint().manifest.skipped)
    }
}

pub(crate) fn open(folder: &Path, policy: Policy) -> Workspace {
    Workspace::open(&folder.join("work"), &folder.join("data"), policy, true).unwrap()
}

pub(crate) fn skipped(skipped: &[Skipped]) -> Vec<(String, &'static str)> {
    let told = |it: &Skipped| (it.path.to_string_lossy().into_owned(), it.reason.name());
    skipped.iter().map(told).collect()
}

pub(crate) fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let seen = if metadata.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                ('l', 0, target.as_os_str().as_bytes().to_vec())
            } else if metadata.is_dir() {
                open.push(path.clone());
                ('d', mode, Vec::new())
            } else if metadata.is_file() {
                ('f', mode, fs::read(&path).unwrap())
            } else {
                ('s', 0, Vec::new())
            };
            tree.insert(path.strip_prefix(root).unwrap().to_owned(), seen);
        }
    }
    tree
}

pub(crate) fn paths(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.path.to_string_lossy().into_owned()).collect()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn name(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The blob that is a file's content.
pub(crate) fn content(checkpoint: &Checkpoint, world: &World, path: &str) -> Hash {
    let store = world.workspace.store();
    let entry = restore::entry_at(store, &checkpoint.manifest, Path::new(path)).unwrap();
    match entry.unwrap().kind {
        Kind::File { hash, .. } => hash,
        kind => panic!("{kind:?}"),
    }
}
