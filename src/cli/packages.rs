//! What cargo, npm and pip need inside the sandbox: their mirrors, and caches of their own.
//!
//! The user's own settings of these tools say where packages come from; the hosts that they name
//! are allowed like the registries themselves. Credentials in them are left where they are. A
//! cache begins with links to what the user has downloaded already, which stays read-only.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::ToSocketAddrs as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sandbox::{HostPattern, Policy, is_public};

use crate::error::CliError;
use crate::settings::variable;

/// Settings files of the tools in a home.
const FILES: &[&str] = &[
    ".cargo/config",
    ".cargo/config.toml",
    ".config/pip/pip.conf",
    ".config/uv/uv.toml",
    ".npmrc",
    ".pip/pip.conf",
];

/// The same for everybody.
const SYSTEM_FILES: &[&str] = &["/etc/npmrc", "/etc/pip.conf", "/etc/uv/uv.toml"];

/// Variables that say where packages come from, or how to trust that place.
const VARIABLES: &[&str] = &[
    "CARGO_HTTP_CAINFO",
    "CARGO_REGISTRIES_CRATES_IO_PROTOCOL",
    "GOPROXY",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_REGISTRY",
    "PIP_CERT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "REQUESTS_CA_BUNDLE",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "npm_config_registry",
];

/// Settings of files that tools inside cannot read, each with the variable that says the same.
const TOLD: &[(&str, &str)] = &[
    ("cert", "PIP_CERT"),
    ("extra-index-url", "PIP_EXTRA_INDEX_URL"),
    ("find-links", "PIP_FIND_LINKS"),
    ("index-url", "PIP_INDEX_URL"),
    ("registry", "npm_config_registry"),
];

const FILE_BYTES_MAX: u64 = 256 << 10;
/// Packages that are linked into a new cache.
const LINKS_MAX: usize = 20_000;

/// What the user's settings of cargo, npm and pip say.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The hosts of mirrors.
    pub(crate) hosts: Vec<HostPattern>,
    /// What tools inside are told by variables.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Sources {
    /// Reads them; what cannot be read says nothing.
    pub(crate) fn find(home: Option<&Path>) -> Self {
        let mut found = Self::default();
        let own = home.into_iter().flat_map(|home| FILES.iter().map(|file| home.join(file)));
        for path in SYSTEM_FILES.iter().map(PathBuf::from).chain(own) {
            let small =
                fs::metadata(&path).is_ok_and(|it| it.is_file() && it.len() < FILE_BYTES_MAX);
            if let Some(text) = small.then(|| fs::read_to_string(&path).ok()).flatten() {
                let is_cargo = path.parent().is_some_and(|folder| folder.ends_with(".cargo"));
                found.read(&text, is_cargo);
            }
        }
        for name in VARIABLES {
            if let Some(value) = variable(name).filter(|value| !value.contains('@')) {
                found.hosts.extend(hosts(&value));
                found.variables.insert((*name).to_owned(), value);
            }
        }
        found.hosts.extend(private_addresses(&found.hosts));
        found.hosts.sort();
        found.hosts.dedup();
        found
    }

    fn read(&mut self, text: &str, is_cargo: bool) {
        for line in text.lines().map(str::trim) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            let comment = line.starts_with(['#', ';']);
            // A way out is no place that packages come from, and a user in a URL is a secret.
            if comment || key.contains("proxy") || value.contains('@') {
                continue;
            }
            self.hosts.extend(hosts(value));
            // cargo's own settings are copied as they are.
            let told = TOLD.iter().find(|(known, _)| *known == key).filter(|_| !is_cargo);
            if let Some((_, name)) = told {
                self.variables.insert((*name).to_owned(), value.to_owned());
            }
        }
    }
}

/// The hosts of the URLs in a text.
fn hosts(text: &str) -> Vec<HostPattern> {
    let urls = text.split("://").skip(1);
    let authority = |rest: &str| {
        let end = rest.find(|c: char| "/?#\"' ,".contains(c)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().parse().ok()
    };
    urls.filter_map(authority).collect()
}

/// The private addresses of mirrors: who names a mirror means it, wherever it stands.
fn private_addresses(hosts: &[HostPattern]) -> Vec<HostPattern> {
    let mut found = Vec::new();
    for host in hosts {
        let text = host.to_string();
        let with_port = match text.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => text.clone(),
            _ => format!("{text}:443"),
        };
        let addresses = with_port.to_socket_addrs().into_iter().flatten();
        for address in addresses.filter(|address| !is_public(address.ip())) {
            let port =
                if with_port == text { format!(":{}", address.port()) } else { String::new() };
            let ip = match address.ip() {
                std::net::IpAddr::V4(ip) => ip.to_string(),
                std::net::IpAddr::V6(ip) => format!("[{ip}]"),
            };
            found.extend(format!("{ip}{port}").parse::<HostPattern>().ok());
        }
    }
    found
}

/// Makes the private caches of a policy, if it has any, and fills them as far as that is cheap.
///
/// # Errors
/// When a folder cannot be made.
pub(crate) fn prepare(policy: &Policy, home: Option<&Path>) -> Result<(), CliError> {
    let Some(cargo) = policy.variables.get("CARGO_HOME").map(PathBuf::from) else { return Ok(()) };
    let Some(caches) = cargo.parent().filter(|caches| policy.may_write(caches)) else {
        return Ok(());
    };
    let failed = |error: io::Error| {
        CliError::failed(format!("Cannot make the caches in {}: {error}.", caches.display()))
    };
    fs::create_dir_all(caches).map_err(failed)?;
    for folder in policy.variables.values().map(PathBuf::from) {
        if folder.starts_with(caches) {
            fs::create_dir_all(&folder).map_err(failed)?;
        }
    }
    let theirs = variable("CARGO_HOME").map(PathBuf::from);
    let theirs = theirs.or_else(|| home.map(|home| home.join(".cargo")));
    if let Some(theirs) = theirs {
        // Without them cargo downloads again, from its usual place.
        let _ = copy_settings(&theirs, &cargo);
        let _ = link_crates(&theirs, &cargo);
    }
    Ok(())
}

/// cargo's settings without the lines that hold a secret.
fn copy_settings(from: &Path, to: &Path) -> io::Result<()> {
    let text =
        ["config.toml", "config"].iter().find_map(|name| fs::read_to_string(from.join(name)).ok());
    let Some(text) = text else { return Ok(()) };
    let is_secret =
        |line: &&str| line.contains("token") || line.contains("secret") || line.contains('@');
    let kept: Vec<&str> = text.lines().filter(|line| !is_secret(line)).collect();
    fs::write(to.join("config.toml"), kept.join("\n") + "\n")
}

/// Links to the packages that the user has: cargo checks what it reads of them by hash.
fn link_crates(from: &Path, to: &Path) -> io::Result<()> {
    let mut links = 0;
    for registry in fs::read_dir(from.join("registry/cache"))? {
        let registry = registry?;
        let folder = to.join("registry/cache").join(registry.file_name());
        fs::create_dir_all(&folder)?;
        for package in fs::read_dir(registry.path())? {
            let package = package?;
            links += 1;
            if links > LINKS_MAX {
                return Ok(());
            }
            match symlink(package.path(), folder.join(package.file_name())) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
