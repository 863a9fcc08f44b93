//! Private caches of packages, so that cargo, npm and pip work without writing into a home.
//!
//! Each workspace has a folder of its own: what one project downloads, and a program in it may
//! have tampered with, is no other project's. Where the network is off the user's own caches are
//! read instead, and nothing is set.

use std::path::Path;

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
pub(super) fn give(policy: &mut Policy, folder: &Path) {
    let folder = super::places::canonical(folder);
    // A variable can only be text; whoever has such a path goes without.
    let Some(text) = folder.to_str().map(str::to_owned) else { return };
    let set = CACHES.iter().map(|(name, place)| ((*name).to_owned(), format!("{text}/{place}")));
    policy.variables.extend(set);
    policy.writable.push(folder);
}
