//! What the machine looks like, as far as it can be told by looking: no process is started, since
//! a session begins with this.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use record::Environment;

/// Tools whose presence often decides how a task is done.
const TOOLCHAINS: &[&str] = &[
    "bash", "cargo", "cc", "clang", "cmake", "docker", "gcc", "git", "go", "java", "javac", "make",
    "node", "npm", "pip", "python3", "rg", "rustc", "uv",
];

/// No file that is read of a repository is larger.
const GIT_FILE_BYTES_MAX: u64 = 16 << 20;

/// Variables that a command is given and that change what it does.
const VARIABLES: &[&str] = &["LANG", "LC_ALL", "PATH", "SHELL", "TERM", "VIRTUAL_ENV"];

/// Looks at the machine and the workspace.
pub(crate) fn observe(workspace: &Path) -> Environment {
    let variable = |name: &str| env::var(name).ok();
    Environment {
        os: operating_system(),
        arch: env::consts::ARCH.to_owned(),
        shell: variable("SHELL"),
        cwd: workspace.display().to_string(),
        toolchains: toolchains(),
        git_commit: git_commit(workspace),
        dirty_diff: None,
        tree_hash: None,
        env_allowlist: VARIABLES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), variable(name)?)))
            .collect(),
        locale: variable("LC_ALL").or_else(|| variable("LANG")),
        tz: variable("TZ").or_else(|| {
            let zone = fs::read_link("/etc/localtime").ok()?;
            Some(zone.to_string_lossy().split("zoneinfo/").nth(1)?.to_owned())
        }),
    }
}

fn operating_system() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", env::consts::OS, release.trim()).trim_end().to_owned()
}

/// Where each tool that is on the path lies.
fn toolchains() -> BTreeMap<String, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let find = |tool: &&str| {
        let found = folders.iter().map(|folder| folder.join(tool)).find(|file| file.is_file())?;
        Some(((*tool).to_owned(), found.display().to_string()))
    };
    TOOLCHAINS.iter().filter_map(find).collect()
}

/// The commit that is checked out, read from the files: running git in a folder of somebody
/// else's can run their programs.
fn git_commit(workspace: &Path) -> Option<String> {
    let git = workspace.ancestors().map(|folder| folder.join(".git")).find(|git| git.is_dir())?;
    let head = read_bounded(&git.join("HEAD"))?;
    let head = head.trim();
    let Some(name) = head.strip_prefix("ref: ") else { return commit(head) };
    if name.split('/').any(|part| part == "..") || !name.starts_with("refs/") {
        return None;
    }
    if let Some(id) = read_bounded(&git.join(name)) {
        return commit(id.trim());
    }
    let packed = read_bounded(&git.join("packed-refs"))?;
    let line = packed.lines().find(|line| line.ends_with(name))?;
    commit(line.split(' ').next()?)
}

/// A file of a repository, if it is a regular one of a sensible size: a workspace may hold
/// anything in its place.
fn read_bounded(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    let fits = about.is_file() && about.len() <= GIT_FILE_BYTES_MAX;
    fits.then(|| fs::read_to_string(path).ok()).flatten()
}

fn commit(text: &str) -> Option<String> {
    let hexadecimal = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| text.to_owned())
}
