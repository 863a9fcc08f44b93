//! Where things lie: the data folder, the settings file, the variables of the environment.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// `$LIMN_HOME`, else the XDG data folder.
pub(crate) fn home() -> Result<PathBuf, CliError> {
    match set("LIMN_HOME") {
        Some(path) => Ok(path),
        None => folder("XDG_DATA_HOME", ".local/share"),
    }
}

/// The user's settings file, whether it exists or not.
pub(crate) fn user_file_path() -> Result<PathBuf, CliError> {
    Ok(folder("XDG_CONFIG_HOME", ".config")?.join("config.toml"))
}

/// What limn can make again, in the XDG cache folder.
pub(crate) fn cache() -> Result<PathBuf, CliError> {
    folder("XDG_CACHE_HOME", ".cache")
}

/// How far below the user's folder of caches those of a workspace lie.
pub(crate) const CACHES_DEPTH: usize = 3;

/// Where the private caches of packages for a workspace lie, in the XDG cache folder. That may be
/// a link; below it there is none, or commands may have put it there.
pub(crate) fn caches(workspace: &Path) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = blake3::hash(workspace.as_os_str().as_bytes()).to_hex();
    let limns = folder("XDG_CACHE_HOME", ".cache").ok()?;
    let users = real(limns.parent()?);
    Some(users.join("limn/packages").join(name.get(..16)?))
}

/// A path with the links of the part that exists resolved.
fn real(path: &Path) -> PathBuf {
    let found = path
        .ancestors()
        .find_map(|above| Some(above.canonicalize().ok()?.join(path.strip_prefix(above).ok()?)));
    found.unwrap_or_else(|| path.to_path_buf())
}

fn set(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn folder(xdg: &str, under_home: &str) -> Result<PathBuf, CliError> {
    // A relative XDG folder is invalid by its specification.
    if let Some(path) = set(xdg).filter(|path| path.is_absolute()) {
        return Ok(path.join("limn"));
    }
    let home = set("HOME").ok_or_else(|| {
        CliError::usage(format!("Neither {xdg} nor HOME is set. Set one to a folder of yours."))
    })?;
    Ok(home.join(under_home).join("limn"))
}

/// A variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A variable that holds a number.
pub(super) fn number_variable<T: std::str::FromStr>(name: &str) -> Result<Option<T>, CliError> {
    variable(name)
        .map(|text| {
            text.parse().map_err(|_| {
                CliError::usage(format!("{name} is `{text}`, which is not a number. Correct it."))
            })
        })
        .transpose()
}

/// A variable that holds one of the words of a flag.
pub(super) fn word_variable<T: clap::ValueEnum>(name: &str) -> Result<Option<T>, CliError> {
    variable(name)
        .map(|text| {
            T::from_str(&text, false).map_err(|_| {
                let words: Vec<String> = T::value_variants()
                    .iter()
                    .filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()))
                    .collect();
                let words = words.join(", ");
                CliError::usage(format!("{name} is `{text}`. It can be one of: {words}."))
            })
        })
        .transpose()
}
