//! Where packages come from, as the user's own settings of cargo, npm, pip and uv say.
//!
//! The hosts that they name are the registries that are allowed, and so are those that the user's
//! cargo has an index of. Credentials are left where they are: of a line with a user or a token
//! nothing is taken.

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sandbox::{HostPattern, is_public};

use crate::settings::variable;

/// Whose settings a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Cargo,
    Npm,
    Pip,
    Uv,
}

/// Settings files in a home.
const FILES: &[(&str, Tool)] = &[
    (".cargo/config", Tool::Cargo),
    (".cargo/config.toml", Tool::Cargo),
    (".config/pip/pip.conf", Tool::Pip),
    (".config/uv/uv.toml", Tool::Uv),
    (".npmrc", Tool::Npm),
    (".pip/pip.conf", Tool::Pip),
];

/// The same for everybody.
const SYSTEM_FILES: &[(&str, Tool)] =
    &[("/etc/npmrc", Tool::Npm), ("/etc/pip.conf", Tool::Pip), ("/etc/uv/uv.toml", Tool::Uv)];

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

/// Settings of files that the tools cannot read inside, each with the variable that says the same.
/// cargo's are copied as they are.
const TOLD: &[(Tool, &str, &str)] = &[
    (Tool::Npm, "cafile", "npm_config_cafile"),
    (Tool::Npm, "registry", "npm_config_registry"),
    (Tool::Pip, "cert", "PIP_CERT"),
    (Tool::Pip, "extra-index-url", "PIP_EXTRA_INDEX_URL"),
    (Tool::Pip, "find-links", "PIP_FIND_LINKS"),
    (Tool::Pip, "index-url", "PIP_INDEX_URL"),
    (Tool::Uv, "index-url", "UV_INDEX_URL"),
];

const FILE_BYTES_MAX: u64 = 256 << 10;
/// Indexes of cargo that are looked at.
const INDEXES_MAX: usize = 64;
/// How long the start waits until the names of mirrors are resolved.
const RESOLVING_MAX: Duration = Duration::from_secs(2);

/// What the user's settings say.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// The hosts of registries and mirrors.
    pub(crate) hosts: Vec<HostPattern>,
    /// What tools inside are told by variables.
    pub(crate) variables: BTreeMap<String, String>,
}

impl Sources {
    /// Reads them; what cannot be read says nothing.
    pub(crate) fn find(home: Option<&Path>) -> Self {
        let mut found = Self::default();
        let system = SYSTEM_FILES.iter().map(|(path, tool)| (PathBuf::from(path), *tool));
        let own = home
            .into_iter()
            .flat_map(|home| FILES.iter().map(move |(path, tool)| (home.join(path), *tool)));
        for (path, tool) in system.chain(own) {
            if let Some(text) = read(&path) {
                found.read(&text, tool);
            }
        }
        for name in VARIABLES {
            if let Some(value) = variable(name).filter(|value| !value.contains('@')) {
                found.hosts.extend(hosts(&value));
                found.variables.insert((*name).to_owned(), value);
            }
        }
        if let Some(cargo) = super::cargo_home(home) {
            found.hosts.extend(indexed(&cargo));
        }
        found.hosts.sort();
        found.hosts.dedup();
        found.hosts.extend(private_addresses(&found.hosts));
        found.hosts.sort();
        found.hosts.dedup();
        found
    }

    pub(super) fn read(&mut self, text: &str, tool: Tool) {
        for line in text.lines().map(str::trim) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            let comment = line.starts_with(['#', ';']);
            // A way out is no place that packages come from, and a user in a URL is a secret.
            if comment || key.contains("proxy") || value.contains('@') {
                continue;
            }
            self.hosts.extend(hosts(value));
            let told = TOLD.iter().find(|(whose, known, _)| *whose == tool && *known == key);
            if let Some((_, _, name)) = told {
                self.variables.insert((*name).to_owned(), value.to_owned());
            }
        }
    }
}

/// A file of settings, if it is one.
fn read(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    let small = metadata.is_file() && metadata.len() < FILE_BYTES_MAX;
    small.then(|| fs::read_to_string(path).ok()).flatten()
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

/// The hosts of the registries that a cargo has an index of: each in the name of its folder, and
/// where its packages lie in the settings of the index. A folder without those was left by a cargo
/// that took the index from a host of repositories, and opens nobody's.
pub(super) fn indexed(cargo: &Path) -> Vec<HostPattern> {
    let mut found = Vec::new();
    for folder in fs::read_dir(cargo.join("registry/index")).into_iter().flatten().flatten() {
        if found.len() >= INDEXES_MAX {
            break;
        }
        // `{"dl": "https://…", "api": "https://…"}`: who publishes does so elsewhere.
        let settings = read(&folder.path().join("config.json"));
        let settings = settings.and_then(|text| serde_json::from_str(&text).ok());
        let settings: serde_json::Value = settings.unwrap_or_default();
        let Some(files) = settings["dl"].as_str() else { continue };
        let name = folder.file_name();
        let host = name.to_str().and_then(|name| name.rsplit_once('-'));
        found.extend(host.and_then(|(host, _)| host.parse::<HostPattern>().ok()));
        found.extend(hosts(files));
    }
    found
}

/// The private addresses of mirrors: who names a mirror means it, wherever it stands.
pub(super) fn private_addresses(hosts: &[HostPattern]) -> Vec<HostPattern> {
    let (told, answers) = mpsc::channel();
    for host in hosts.iter().map(HostPattern::to_string) {
        let told = told.clone();
        // One that is not looked up in time is refused when it is asked for, with a word.
        let _ = thread::Builder::new().spawn(move || told.send(private_addresses_of(&host)));
    }
    drop(told);
    let until = Instant::now() + RESOLVING_MAX;
    let next = || answers.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    iter::from_fn(next).flatten().collect()
}

fn private_addresses_of(text: &str) -> Vec<HostPattern> {
    let with_port = match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => text.to_owned(),
        _ => format!("{text}:443"),
    };
    let mut found = Vec::new();
    let addresses = with_port.to_socket_addrs().into_iter().flatten();
    for address in addresses.filter(|address| !is_public(address.ip())) {
        let port = if with_port == text { format!(":{}", address.port()) } else { String::new() };
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        found.extend(format!("{ip}{port}").parse::<HostPattern>().ok());
    }
    found
}
