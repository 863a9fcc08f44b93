//! Private caches of packages, so that cargo, npm and pip work without writing into a home.
//!
//! Each workspace has a folder of its own: what one project downloads, and a program in it may
//! have tampered with, is no other project's. Where the network is off the user's own caches are
//! read instead, and nothing is set.

use std::path::Path;

use super::Refusal;
use super::rules::Policy;

/// The variables that move a cache, each with the name of its folder.
const CACHES: &[(&str, &str)] = &[
    ("CARGO_HOME", "cargo"),
    ("GOMODCACHE", "go-mod"),
    ("GOCACHE", "go-build"),
    ("PIP_CACHE_DIR", "pip"),
    ("UV_CACHE_DIR", "uv"),
    ("XDG_CACHE_HOME", "cache"),
    ("YARN_CACHE_FOLDER", "yarn"),
    ("npm_config_cache", "npm"),
];

/// Opens the folder of caches and points the tools to it.
///
/// # Errors
/// When a link is on the way to it. Another session's commands may have put it there, and what it
/// leads to would be open.
pub(super) fn give(policy: &mut Policy, folder: &Path) -> Result<(), Refusal> {
    if super::places::canonical(folder) != folder {
        return Err(Refusal {
            rule: format!("a link is on the way to {}, the caches of packages", folder.display()),
            remedy: "look where it leads, and remove it".into(),
        });
    }
    // A variable can only be text; whoever has such a path goes without.
    let Some(text) = folder.to_str().map(str::to_owned) else { return Ok(()) };
    let set = CACHES.iter().map(|(name, place)| ((*name).to_owned(), format!("{text}/{place}")));
    policy.variables.extend(set);
    policy.writable.push(folder.to_owned());
    Ok(())
}
