//! The environment of a command: what programs need, and nothing that opens a door.
//!
//! An allow-list, since a list of secrets is never complete. On top of it, whatever is named like
//! a secret, looks like one or holds credentials in a URL stays out, unless the user names the
//! variable. Addresses of agents (`SSH_AUTH_SOCK`, `DBUS_SESSION_BUS_ADDRESS`) are passed on only
//! where the user lets commands speak to the very socket.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::rules::{Policy, Preset};

/// Names that are passed on.
const ALLOWED: &[&str] = &[
    // The user and the place.
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    // Toolchains.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_DEFAULT_ENV",
    "NVM_DIR",
    "NVM_BIN",
    "VOLTA_HOME",
    "FNM_DIR",
    "PNPM_HOME",
    "BUN_INSTALL",
    "GOPATH",
    "GOROOT",
    "JAVA_HOME",
    "ANDROID_HOME",
    "RBENV_ROOT",
    "GEM_HOME",
    "ASDF_DIR",
    "ASDF_DATA_DIR",
    "MISE_DATA_DIR",
    "SDKMAN_DIR",
    "NIX_PROFILES",
    "NIX_PATH",
    "CC",
    "CXX",
    "PKG_CONFIG_PATH",
    "LD_LIBRARY_PATH",
    // The way out, where there is one: certificates, and proxies without credentials.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NIX_SSL_CERT_FILE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// Parts of a name that make a secret of it.
const SECRET: &[&str] = &["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "AUTH"];

/// Beginnings of values that are tokens, whatever their variable is called.
const SECRET_VALUES: &[&str] = &[
    "-----BEGIN",
    "AKIA",
    "ASIA",
    "AIza",
    "dckr_pat_",
    "eyJ",
    "gho_",
    "ghp_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "hf_",
    "npm_",
    "pypi-",
    "rk_live_",
    "sk-",
    "sk_live_",
    "xoxb-",
    "xoxp-",
];

/// What every command gets, whatever limn itself was given. A pager or a question would wait for
/// somebody who is not there; the terminal is the sandbox's own.
const FIXED: &[(&str, &str)] = &[
    ("TERM", "xterm-256color"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// Variables that say where somebody of the machine listens: passed on when the user lets commands
/// speak to just that socket.
const LISTENERS: &[&str] = &[
    "CONTAINER_HOST",
    "DBUS_SESSION_BUS_ADDRESS",
    "DBUS_SYSTEM_BUS_ADDRESS",
    "DOCKER_HOST",
    "SSH_AUTH_SOCK",
];

/// What has no meaning inside: `/tmp` is a private one, and the way out is the sandbox's proxy.
const OUTSIDE: &[&str] = &["TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

impl Policy {
    /// The complete environment of a command, sorted by name, from that of limn.
    #[must_use]
    pub fn environment(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Vec<(OsString, OsString)> {
        let fixed = FIXED.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let set = self.variables.iter().map(|(name, value)| (name.into(), value.into()));
        let mut kept: Vec<(OsString, OsString)> = fixed.chain(set).collect();
        for (name, value) in variables {
            let is_set = kept.iter().any(|(known, _)| *known == name);
            if !is_set && self.passes(&name, &value) {
                kept.push((name, value));
            }
        }
        if !kept.iter().any(|(name, _)| name == "PATH") {
            kept.push(("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()));
        }
        kept.sort();
        kept
    }

    fn passes(&self, name: &OsStr, value: &OsStr) -> bool {
        let Some(name) = name.to_str() else { return false };
        if self.env.contains(name) || (LISTENERS.contains(&name) && self.leads_to_socket(value)) {
            return true;
        }
        let upper = name.to_uppercase();
        if self.preset != Preset::Off && OUTSIDE.contains(&upper.as_str()) {
            return false;
        }
        let listed = ALLOWED.contains(&name) || name.starts_with("LC_");
        listed && !SECRET.iter().any(|secret| upper.contains(secret)) && !is_secret(value)
    }

    fn leads_to_socket(&self, address: &OsStr) -> bool {
        let real = socket_path(address).and_then(|path| path.canonicalize().ok());
        real.is_some_and(|path| self.sockets.contains(&path))
    }
}

/// The path in the address of a socket: `unix:path=/run/bus,guid=…`, `unix:///run/it.sock`, or
/// the path alone. An address of several places has none.
fn socket_path(address: &OsStr) -> Option<&Path> {
    let address = address.to_str().filter(|it| !it.contains(';'))?;
    let address = address.strip_prefix("unix:").unwrap_or(address);
    let address = address.strip_prefix("path=").unwrap_or(address);
    let address = address.strip_prefix("//").unwrap_or(address);
    address.split(',').next().map(Path::new).filter(|path| path.is_absolute())
}

/// Whether a value is a token by its shape, or a URL with a user in it.
fn is_secret(value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    let with_user = value.split_once("://").is_some_and(|(_, rest)| {
        rest.split('/').next().is_some_and(|authority| authority.contains('@'))
    });
    with_user || SECRET_VALUES.iter().any(|begins| value.trim_start().starts_with(begins))
}

#[cfg(test)]
mod tests;
