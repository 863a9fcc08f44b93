//! Which repository a workspace is of, and what of it is checked out, read from git's files: running
//! git in a folder of somebody else's can run their programs.
//!
//! What tells a repository is recorded as a hash. One that was cloned is told by its address, so that
//! every clone of it is the same one on every machine; the user's name and password are no part of
//! that, nor is the way it is reached. One that has no address is told by where it lies and by the
//! device, so that nobody who does not know the device can try names of folders.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use trajectory::DeviceId;

/// No file that is read of a repository is larger.
const GIT_FILE_BYTES_MAX: u64 = 16 << 20;

/// The remotes by which a repository is told, the first of them that there is: whoever works in a
/// fork of their own calls what it is a fork of `upstream`.
const TELLING_REMOTES: [&str; 2] = ["upstream", "origin"];

/// Clones of clones that are followed to what they are of.
const CLONES_MAX: usize = 8;

/// A repository.
pub(super) struct Repository {
    /// What is this work tree's own: where its branch is named.
    own: PathBuf,
    /// What all its work trees share.
    common: PathBuf,
}

impl Repository {
    /// The one that a workspace is in, if it is in any.
    pub(super) fn of(workspace: &Path) -> Option<Self> {
        let found = workspace.ancestors().find(|folder| folder.join(".git").exists())?;
        let git = found.join(".git");
        if git.is_dir() {
            return Some(Self { own: git.clone(), common: git });
        }
        // That of a work tree, or of a module, lies elsewhere.
        let named = read_bounded(&git)?;
        let own = found.join(named.trim().strip_prefix("gitdir:")?.trim());
        let shared = read_bounded(&own.join("commondir"));
        let common = shared.map_or_else(|| own.clone(), |shared| own.join(shared.trim()));
        common.is_dir().then_some(Self { own, common })
    }

    /// The commit that is checked out.
    pub(super) fn commit(&self) -> Option<String> {
        let head = read_bounded(&self.own.join("HEAD"))?;
        let head = head.trim();
        let Some(name) = head.strip_prefix("ref: ") else { return commit(head) };
        if name.split('/').any(|part| part == "..") || !name.starts_with("refs/") {
            return None;
        }
        if let Some(id) = read_bounded(&self.common.join(name)) {
            return commit(id.trim());
        }
        let packed = read_bounded(&self.common.join("packed-refs"))?;
        let line = packed.lines().find(|line| line.ends_with(name))?;
        commit(line.split(' ').next()?)
    }

    /// A name that tells it from every other repository and says nothing else, hexadecimal.
    pub(super) fn name(&self, device: DeviceId) -> String {
        self.name_by_way_of(device, CLONES_MAX)
    }

    /// The same; of a clone of a clone so many are followed.
    fn name_by_way_of(&self, device: DeviceId, clones_max: usize) -> String {
        let settings = read_bounded(&self.common.join("config")).unwrap_or_default();
        let remotes = remotes(&settings);
        let telling = TELLING_REMOTES.iter().find_map(|name| remotes.get(*name));
        let url = telling.or_else(|| remotes.values().next());
        let place = url.and_then(|url| Place::of(url));
        if let Some(Place::Folder(folder)) = &place
            && let Some(left) = clones_max.checked_sub(1)
            && let Some(original) = self.at(folder)
        {
            return original.name_by_way_of(device, left);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"limn repository 1\0");
        match place {
            Some(Place::Address(address)) => hasher.update(b"address\0").update(address.as_bytes()),
            place => {
                let folder = match place {
                    Some(Place::Folder(folder)) => self.root().join(folder),
                    _ => self.common.clone(),
                };
                let folder = folder.canonicalize().unwrap_or(folder);
                hasher.update(b"folder\0").update(device.as_bytes());
                hasher.update(folder.as_os_str().as_encoded_bytes())
            }
        };
        hasher.finalize().to_hex().to_string()
    }
}

impl Repository {
    /// Where ways to other repositories begin.
    fn root(&self) -> &Path {
        let is_within = self.common.ends_with(".git");
        self.common.parent().filter(|_| is_within).unwrap_or(&self.common)
    }

    /// The one that lies in a folder, with a work tree or without.
    fn at(&self, folder: &Path) -> Option<Self> {
        let folder = self.root().join(folder).canonicalize().ok()?;
        if folder.join(".git").exists() {
            return Self::of(&folder);
        }
        let is_bare = folder.join("HEAD").is_file() && folder.join("objects").is_dir();
        is_bare.then(|| Self { own: folder.clone(), common: folder })
    }
}

/// The first address of each remote, by its name.
fn remotes(settings: &str) -> BTreeMap<String, String> {
    let mut remotes = BTreeMap::new();
    let mut remote = None;
    for line in settings.lines() {
        let mut line = line.trim();
        if let Some((heading, rest)) = line.strip_prefix('[').and_then(|it| it.split_once(']')) {
            let (section, name) = heading.split_once('"').unwrap_or((heading, ""));
            let is_remote = section.trim().eq_ignore_ascii_case("remote");
            remote = is_remote.then(|| name.trim_end_matches('"').to_owned());
            line = rest;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        if let Some(remote) = &remote
            && key.trim().eq_ignore_ascii_case("url")
        {
            remotes.entry(remote.clone()).or_insert_with(|| value_of(value).to_owned());
        }
    }
    remotes
}

/// A value without quotes and without what is remarked behind it.
fn value_of(text: &str) -> &str {
    let text = text.trim();
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default(),
        None => text.split(['#', ';']).next().unwrap_or_default().trim(),
    }
}

/// Where a repository was cloned from.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Another machine, and what it is called there.
    Address(String),
    /// A folder of this one.
    Folder(PathBuf),
}

impl Place {
    fn of(url: &str) -> Option<Self> {
        let (host, path) = match url.split_once("://") {
            Some((scheme, path)) if scheme.eq_ignore_ascii_case("file") => {
                return Some(Self::Folder(path.into()));
            }
            Some((_, rest)) => rest.split_once('/')?,
            // As ssh names files: `host:path`.
            None => match url.split_once(':').filter(|(host, _)| !host.contains('/')) {
                Some(named) => named,
                None => return (!url.is_empty()).then(|| Self::Folder(url.into())),
            },
        };
        let host = host.rsplit('@').next()?.split(':').next()?;
        // What is asked for behind the path may be a key.
        let path = path.split(['?', '#']).next()?.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
        Some(Self::Address(format!("{host}/{path}").to_lowercase()))
    }
}

/// A file of a repository, if it is a regular one of a sensible size: a workspace may hold
/// anything in its place.
fn read_bounded(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let mut file = fs::File::open(path).ok()?.take(GIT_FILE_BYTES_MAX + 1);
    let bytes = file.read_to_string(&mut text).ok()?;
    (bytes as u64 <= GIT_FILE_BYTES_MAX).then_some(text)
}

fn commit(text: &str) -> Option<String> {
    let hexadecimal = text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hexadecimal.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
