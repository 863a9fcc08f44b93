//! What cargo, npm and pip need inside the sandbox: their registries ([`Sources`]), and caches of
//! their own.
//!
//! A cache begins with links to what the user has downloaded already, which stays read-only.

mod folder;
mod sources;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sandbox::Policy;

use self::folder::Folder;
pub(crate) use self::sources::Sources;
use crate::error::CliError;
use crate::settings::{CACHES_DEPTH, variable};

/// Packages that are linked into a new cache.
const LINKS_MAX: usize = 20_000;

/// Makes the private caches of a policy, if it has any, and fills them as far as that is cheap.
///
/// # Errors
/// When a folder cannot be made.
pub(crate) fn prepare(policy: &Policy, home: Option<&Path>) -> Result<(), CliError> {
    prepare_from(policy, cargo_home(home).as_deref())
}

/// Where the user's cargo keeps its packages and settings.
fn cargo_home(home: Option<&Path>) -> Option<PathBuf> {
    let named = variable("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| home.map(|home| home.join(".cargo")))
}

/// The same from the folder in which the user has cargo's packages and settings.
fn prepare_from(policy: &Policy, theirs: Option<&Path>) -> Result<(), CliError> {
    let Some(cargo) = policy.variables.get("CARGO_HOME").map(PathBuf::from) else { return Ok(()) };
    let Some(top) = cargo.parent().filter(|top| policy.may_write(top)) else { return Ok(()) };
    let failed = |error: io::Error| {
        CliError::failed(format!("Cannot make the caches in {}: {error}.", top.display()))
    };
    // The user's folder of caches may be a link; what lies in it is limn's.
    let theirs_to_choose = top.ancestors().nth(CACHES_DEPTH).unwrap_or(top);
    fs::create_dir_all(theirs_to_choose).map_err(failed)?;
    let made = top.strip_prefix(theirs_to_choose).unwrap_or(Path::new(""));
    let caches = Folder::open(theirs_to_choose).and_then(|it| it.make(made)).map_err(failed)?;
    // Commands have written in here. What is no folder any more is theirs to do without.
    for folder in policy.variables.values().map(Path::new) {
        if let Ok(inside) = folder.strip_prefix(top) {
            let _ = caches.make(inside);
        }
    }
    let ours = cargo.strip_prefix(top).ok().and_then(|inside| caches.make(inside).ok());
    if let Some((theirs, ours)) = theirs.zip(ours) {
        // Without them cargo downloads again, from its usual place.
        let _ = copy_settings(theirs, &ours);
        let _ = link_crates(theirs, &ours);
    }
    Ok(())
}

/// cargo's settings without the lines that hold a secret.
fn copy_settings(from: &Path, to: &Folder) -> io::Result<()> {
    let text =
        ["config.toml", "config"].iter().find_map(|name| fs::read_to_string(from.join(name)).ok());
    let Some(text) = text else { return Ok(()) };
    let is_secret =
        |line: &&str| line.contains("token") || line.contains("secret") || line.contains('@');
    let kept: Vec<&str> = text.lines().filter(|line| !is_secret(line)).collect();
    to.replace("config.toml", &(kept.join("\n") + "\n"))
}

/// Links to the packages that the user has: cargo checks what it reads of them by hash.
fn link_crates(from: &Path, to: &Folder) -> io::Result<()> {
    let mut links = 0;
    for registry in fs::read_dir(from.join("registry/cache"))? {
        let registry = registry?;
        let folder = to.make(&Path::new("registry/cache").join(registry.file_name()))?;
        for package in fs::read_dir(registry.path())? {
            let package = package?;
            links += 1;
            if links > LINKS_MAX {
                return Ok(());
            }
            folder.link(Path::new(&package.file_name()), &package.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
