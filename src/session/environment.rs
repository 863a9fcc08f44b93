//! What the machine looks like, as far as it can be told by looking: no process is started, since
//! a session begins with this.

mod repository;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use record::Environment;
use trajectory::DeviceId;

use self::repository::Repository;

/// Tools whose presence often decides how a task is done.
const TOOLCHAINS: &[&str] = &[
    "bash", "cargo", "cc", "clang", "cmake", "docker", "gcc", "git", "go", "java", "javac", "make",
    "node", "npm", "pip", "python3", "rg", "rustc", "uv",
];

/// Variables that a command is given and that change what it does.
const VARIABLES: &[&str] = &["LANG", "LC_ALL", "PATH", "SHELL", "TERM", "VIRTUAL_ENV"];

/// Looks at the machine and the workspace.
pub(crate) fn observe(workspace: &Path, device: DeviceId) -> Environment {
    let repository = Repository::of(workspace);
    let variable = |name: &str| env::var(name).ok();
    Environment {
        os: operating_system(),
        arch: env::consts::ARCH.to_owned(),
        shell: variable("SHELL"),
        cwd: workspace.display().to_string(),
        toolchains: toolchains(),
        git_commit: repository.as_ref().and_then(Repository::commit),
        repository: repository.map(|it| it.name(device)),
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
