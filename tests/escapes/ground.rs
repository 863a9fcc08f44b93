//! A world to be attacked: a home with secrets, a workspace, a folder outside, limn's data, and
//! what the host sees of all that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::decoy::Decoy;
use crate::probes;

/// Not below `/tmp`: that is private inside, and what lies there would be out of reach anyway.
const AROUND: &str = "/var/tmp";

/// Signs of an escape that are told.
const SIGNS_MAX: usize = 4;

/// Where tools are looked for, on both sides: what a version manager puts before them takes longer
/// than the attempts.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

pub struct Ground {
    base: TempDir,
    pub tmp: PathBuf,
    shm: PathBuf,
    secret: String,
    decoy: Decoy,
    before: BTreeMap<PathBuf, String>,
}

impl Ground {
    pub fn new(limits: &Value) -> Self {
        let base = tempfile::Builder::new().prefix("limn-escapes-").tempdir_in(AROUND).unwrap();
        let name = base.path().file_name().unwrap().to_str().unwrap().to_owned();
        let secret = format!("decoy-secret-{}", name.trim_start_matches("limn-escapes-"));
        let tmp = Path::new("/tmp").join(&name);
        let shm = Path::new("/dev/shm").join(&name);
        plant(base.path(), &tmp, &shm, &secret);
        let decoy = Decoy::start(base.path(), &secret);
        let mut ground = Self { base, tmp, shm, secret, decoy, before: BTreeMap::new() };
        ground.write_facts(limits);
        ground.before = ground.look();
        ground
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    pub fn workspace(&self) -> PathBuf {
        self.path("work")
    }

    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// limn's own program.
    pub fn limn() -> PathBuf {
        std::env::var_os("LIMN_ESCAPES_LIMN")
            .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_limn")), PathBuf::from)
    }

    /// Has the host do something before or while an attempt is made.
    pub fn host_does(&mut self, order: &str) {
        self.decoy.order(order).expect("the decoy lives");
    }

    /// What the user does in another terminal.
    pub fn git(&self, folder: &str, args: &[&str]) {
        git(&self.path(folder), args);
    }

    /// All signs that somebody got out since the ground was made.
    pub fn evidence(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        match self.decoy.order("ping") {
            None => found.push("the decoy was killed".to_owned()),
            Some(events) => found.extend(events.iter().map(|event| format!("reached: {event}"))),
        }
        let now = self.look();
        let paths: BTreeSet<_> = self.before.keys().chain(now.keys()).collect();
        let changed = paths.into_iter().filter(|path| self.before.get(*path) != now.get(*path));
        found.extend(changed.map(|path| format!("changed: {}", path.display())));
        found.extend(self.daemons());
        found.truncate(SIGNS_MAX);
        found
    }

    /// Processes that carry our mark in their name.
    fn daemons(&self) -> Vec<String> {
        let mark = format!("limn-daemon-{}", self.secret);
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let marked = entries.filter(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line.starts_with(mark.as_bytes())
        });
        marked.map(|entry| format!("lives on: process {}", entry.file_name().display())).collect()
    }

    fn write_facts(&self, limits: &Value) {
        let mut facts = self.decoy.facts.clone();
        let own = json!({
            "base": self.base.path(),
            "workspace": self.workspace(),
            "home": self.home(),
            "outside": self.path("outside"),
            "data": self.path("data"),
            "tmp": self.tmp,
            "shm_file": self.shm,
            "limn": Self::limn(),
        });
        for more in [&own, limits] {
            let more = more.as_object().unwrap().clone();
            facts.as_object_mut().unwrap().extend(more);
        }
        fs::write(self.workspace().join("ground.json"), facts.to_string()).unwrap();
    }

    /// Takes away what an attempt then makes itself; that it is gone is no sign of anybody.
    pub fn remove(&mut self, name: &str) {
        fs::remove_dir_all(self.path(name)).unwrap();
        self.before = self.look();
    }

    /// Everything that is not to change: of the workspace only limn's own folder.
    fn look(&self) -> BTreeMap<PathBuf, String> {
        let mut seen = BTreeMap::new();
        for root in [self.base.path(), &self.path("work/.limn"), &self.tmp, &self.shm] {
            look_at(root, &self.workspace(), &mut seen);
        }
        seen
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.tmp);
        let _ = fs::remove_file(&self.shm);
    }
}

fn look_at(path: &Path, except: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if path == except {
        return;
    }
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    let print = format!(
        "{:o} {} {} {} {times:?}",
        metadata.mode(),
        metadata.uid(),
        metadata.len(),
        metadata.nlink()
    );
    seen.insert(path.to_owned(), print);
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            look_at(&entry.unwrap().path(), except, seen);
        }
    }
}

/// Puts everything where an attempt would look for it.
fn plant(base: &Path, tmp: &Path, shm: &Path, secret: &str) {
    let write = |path: PathBuf, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(base.join("home/.ssh/id_ed25519"), &format!("PRIVATE KEY {secret}\n"));
    write(base.join("home/.bash_history"), &format!("export TOKEN={secret}\n"));
    write(base.join("home/.bashrc"), "# settings\n");
    write(base.join("home/.config/settings"), "\n");
    write(base.join("outside/file"), "outside\n");
    write(base.join("data/recording"), &format!("{secret}\n"));
    write(tmp.join("secret"), &format!("{secret}\n"));
    write(shm.to_owned(), &format!("{secret}\n"));
    write(base.join("work/.limn/config.toml"), "\n");
    write(base.join("work/notes/private/plan"), &format!("{secret}\n"));
    // The secrets are the user's; that others can pass by to their own is not what is tried here.
    fs::set_permissions(base, fs::Permissions::from_mode(0o755)).unwrap();
    probes::write(&base.join("work/probes"));
    plant_repository(&base.join("work"));
    fs::create_dir_all(base.join("work/.git/refs/tags")).unwrap();
}

/// The files of a repository, made once.
static REPOSITORY: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();

fn plant_repository(work: &Path) {
    for (path, content) in REPOSITORY.get_or_init(make_repository) {
        let path = work.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// A repository with a submodule's settings below its own.
fn make_repository() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let (work, part) = (folder.path().to_owned(), folder.path().join("part"));
    fs::create_dir(&part).unwrap();
    git(&work, &["init", "--quiet", "--initial-branch=main", "."]);
    fs::create_dir_all(work.join(".git/modules")).unwrap();
    git(&part, &["init", "--quiet", "--separate-git-dir=../.git/modules/part", "."]);
    fs::write(part.join(".git"), "gitdir: ../.git/modules/part\n").unwrap();
    for folder in [&part, &work] {
        fs::write(folder.join("text"), "text\n").unwrap();
        git(folder, &["add", "."]);
        git(folder, &["commit", "--quiet", "--message=start"]);
    }
    let mut files = Vec::new();
    read_all(&work, &work, &mut files);
    files
}

fn read_all(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(root, &path, files);
        } else {
            files.push((path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
}

/// The host's git as a user runs it, with nothing of the machine's settings.
pub fn git(folder: &Path, args: &[&str]) {
    let _ = Command::new("git")
        .args(["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"])
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("PATH", PATH)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("git runs");
}
