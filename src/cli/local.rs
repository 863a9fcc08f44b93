//! Models of this machine: runs of `limn train`, folders of models, GGUF files. They have names
//! (`local:RUN`), and limn starts a server for the one that is asked.
//!
//! [`mod@list`] is what there is, [`remembered`] which runs were made here, [`server`] is a server while
//! it runs, [`process`] the process behind it.

mod list;
mod process;
mod remembered;
mod server;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use list::{Local, list};
pub(crate) use remembered::remember;
pub(crate) use server::{Server, load, load_until};

use crate::error::CliError;
use crate::print::safe_line;
use crate::settings::UserFile;

/// What stands before the name of a model of this machine.
pub(crate) const PREFIX: &str = "local:";

/// The provider's name, as it is recorded.
pub(crate) const PROVIDER: &str = "local";

/// Names that an error lists.
const NAMES_LISTED_MAX: usize = 10;

/// How a server is started: the same launch is the same server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The model's name, with its prefix: as it is asked for, and as it is recorded.
    pub(crate) name: String,
    /// What is served: a run, a model's folder, a GGUF file.
    pub(crate) target: PathBuf,
    /// The model whose tokenizer it has.
    pub(crate) base: PathBuf,
    /// What else the program is told.
    pub(crate) arguments: Vec<OsString>,
    /// How long it may take until it answers.
    pub(crate) patience: Duration,
}

/// The model with this name, which has no prefix: one that is listed, or whose path alone ends so,
/// or a path.
pub(crate) fn find(name: &str, file: &UserFile) -> Result<Local, CliError> {
    let mut all = list(file);
    if let Some(at) = all.iter().position(|it| it.name == name) {
        return Ok(all.swap_remove(at));
    }
    let path = crate::settings::expanded(Path::new(name));
    let ends_so = |it: &Local| !name.is_empty() && it.path.ends_with(name);
    let alike: Vec<&str> = all.iter().filter(|it| ends_so(it)).map(|it| it.name.as_str()).collect();
    // A session may have recorded a name that said more while there was another of that name.
    if alike.len() == 1
        && let Some(at) = all.iter().position(ends_so)
    {
        return Ok(all.swap_remove(at));
    }
    if alike.len() > 1 && !(name.contains('/') && path.exists()) {
        return Err(CliError::usage(format!(
            "There are several local models of the name {}. Say which: {}.",
            safe_line(name),
            told(&alike)
        )));
    }
    if name.is_empty() || !path.exists() {
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        let known = if names.is_empty() { String::new() } else { format!("{}, or ", told(&names)) };
        return Err(CliError::usage(format!(
            "There is no local model {:?}. Name one of these: {known}the path of a run of `limn \
             train`, of a model's folder, or of a .gguf file.",
            safe_line(name)
        )));
    }
    let found = Local::at(&path)?.ok_or_else(|| {
        CliError::usage(format!(
            "{} is nothing that can be served. Name a run of `limn train` (it has a recipe.json), a \
             model's folder (it has a config.json and *.safetensors), or a .gguf file.",
            path.display()
        ))
    })?;
    // The name that it is listed under says more, and is the same from every folder.
    let listed = all.into_iter().find(|it| it.path == found.path);
    Ok(listed.unwrap_or(found))
}

/// The name of a model where a path says all: what can be served there is one of this machine, and
/// what is damaged is told where it is looked for.
pub(crate) fn or_path(name: &str) -> String {
    let is_path = || name.contains('/') && !matches!(Local::at(Path::new(name)), Ok(None));
    if !name.starts_with(PREFIX) && is_path() { format!("{PREFIX}{name}") } else { name.to_owned() }
}

fn told(names: &[&str]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_LISTED_MAX)
        .map(|name| format!("{PREFIX}{}", safe_line(name)))
        .collect();
    let more = names.len().saturating_sub(NAMES_LISTED_MAX);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more (`limn models`)") };
    format!("{}{rest}", shown.join(", "))
}
