//! The environment of a command: what programs need, and nothing that opens a door.
//!
//! An allow-list, since a list of secrets is never complete. On top of it, whatever is named
//! like a secret or holds credentials in a URL stays out.

use std::ffi::{OsStr, OsString};

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

/// What every command gets, whatever limn itself was given. A pager or a question would wait for
/// somebody who is not there; the terminal is the sandbox's own.
const FIXED: &[(&str, &str)] = &[
    ("TERM", "xterm-256color"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// The complete environment of a command, sorted by name.
pub(crate) fn environment(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let fixed = |name: &OsStr| FIXED.iter().any(|(fixed, _)| name == *fixed);
    let mut kept: Vec<(OsString, OsString)> = variables
        .into_iter()
        .filter(|(name, value)| is_allowed(name, value) && !fixed(name))
        .chain(FIXED.iter().map(|(name, value)| (name.into(), value.into())))
        .collect();
    if !kept.iter().any(|(name, _)| name == "PATH") {
        kept.push(("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()));
    }
    kept.sort();
    kept.dedup_by(|a, b| a.0 == b.0);
    kept
}

fn is_allowed(name: &OsStr, value: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let upper = name.to_uppercase();
    let listed = ALLOWED.contains(&name) || name.starts_with("LC_");
    listed && !SECRET.iter().any(|secret| upper.contains(secret)) && !holds_credentials(value)
}

/// Whether a value is a URL with a user in it.
fn holds_credentials(value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    value.split_once("://").is_some_and(|(_, rest)| {
        rest.split('/').next().is_some_and(|authority| authority.contains('@'))
    })
}

#[cfg(test)]
mod tests;
