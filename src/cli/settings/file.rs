//! The settings files as they are written. A key that nobody knows is an error with its line.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trajectory::ApprovalMode;

use super::catalogue::ModelFile;
use super::context::ContextFile;
use super::local::LocalFile;
use super::place::user_file_path;
use super::provider::{ProviderFile, ProviderName};
use super::rules::{AllowedFile, RulesFile};
use super::sandbox::SandboxFile;
use super::terminal::TerminalFile;
use super::web::WebFile;
use crate::args::{Api, ToolsArg};
use crate::error::CliError;

/// Opening a pipe does not wait for its other end.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// No settings file is larger.
const SETTINGS_BYTES_MAX: u64 = 64 << 10;

/// The top of the user's settings file: which model answers, and where.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFile {
    pub(super) model: Option<String>,
    pub(super) provider: Option<ProviderName>,
    pub(super) base_url: Option<String>,
    pub(super) api_key_env: Option<String>,
    pub(super) api: Option<Api>,
    pub(super) tools: Option<ToolsArg>,
    pub(super) approval: Option<ApprovalMode>,
    pub(super) sandbox: Option<SandboxFile>,
    pub(super) max_steps: Option<u32>,
    pub(super) max_tokens: Option<u64>,
    pub(super) timeout: Option<u64>,
    pub(super) fsync: Option<bool>,
    pub(super) checkpoints: Option<bool>,
    pub(super) agents_md: Option<bool>,
    pub(crate) annotator: Option<String>,
    pub(super) consent: Option<Consent>,
    #[serde(default)]
    pub(super) providers: BTreeMap<ProviderName, ProviderFile>,
    #[serde(default)]
    pub(super) models: BTreeMap<String, ModelFile>,
    #[serde(default)]
    pub(super) context: ContextFile,
    /// Models of this machine.
    #[serde(default)]
    pub(crate) local: LocalFile,
    #[serde(default)]
    pub(super) web: WebFile,
    #[serde(default)]
    pub(super) rules: RulesFile,
    #[serde(default)]
    pub(super) terminal: TerminalFile,
    /// What was allowed for good in one folder.
    #[serde(default)]
    pub(super) allowed: Vec<AllowedFile>,
}

/// What recordings may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Consent {
    /// They never go into a dataset.
    Private,
    /// Those of the people one works with.
    Team,
    /// Anybody's.
    Public,
}

impl Consent {
    /// The word for it, as in the settings and on record.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Team => "team",
            Self::Public => "public",
        }
    }
}

/// Sets a text at the top of the user's own settings file, where nothing else is touched.
pub(crate) fn set_at_top(key: &str, value: &str) -> Result<PathBuf, CliError> {
    let path = user_file_path()?;
    let text = with_key(&read_text(&path)?.unwrap_or_default(), key, value);
    write_user_file(&path, &text)?;
    Ok(path)
}

/// The settings with a key of the top set: in its place, or before everything else.
pub(super) fn with_key(text: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {}\n", toml::Value::String(value.to_owned()));
    let is_it = |written: &str| {
        let rest = written.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    // Keys of the top stand before the first table.
    let top = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    let Some(at) = top.map(is_it).position(|is_it| is_it) else {
        return format!("{line}{text}");
    };
    let lines = text.split_inclusive('\n').enumerate();
    lines.map(|(index, old)| if index == at { line.as_str() } else { old }).collect()
}

/// Writes the user's settings file, if it can be read again.
pub(super) fn write_user_file(path: &Path, text: &str) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| {
        CliError::failed(format!(
            "{} could not be written: {error}. Write it there yourself; here it holds all the same.",
            path.display()
        ))
    };
    parse::<UserFile>(text).map_err(|(_, error)| failed(&error))?;
    let place = path.parent().unwrap_or(path);
    std::fs::create_dir_all(place).map_err(|error| failed(&error))?;
    let mut file = tempfile::NamedTempFile::new_in(place).map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    if let Ok(about) = std::fs::metadata(path) {
        file.as_file().set_permissions(about.permissions()).map_err(|error| failed(&error))?;
    }
    // A link to where the settings really lie stays one.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    file.persist(&target).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// Reads the user's settings file; an absent one is empty.
pub(crate) fn user_file() -> Result<UserFile, CliError> {
    read_toml(&user_file_path()?, "See docs/settings.md for every key there is.")
}

fn read_toml<T: Default + serde::de::DeserializeOwned>(
    path: &Path,
    hint: &str,
) -> Result<T, CliError> {
    let Some(text) = read_text(path)? else { return Ok(T::default()) };
    parse(&text).map_err(|told| refuse(path, told, hint))
}

/// The text of a settings file, if there is one.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, CliError> {
    match read_small(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::usage(format!("Cannot read {}: {error}.", path.display()))),
    }
}

/// The error for a line that says nothing sensible.
pub(super) fn refuse(path: &Path, (line, what): (usize, String), hint: &str) -> CliError {
    CliError::usage(format!("{}, line {line}: {what}. {hint}", path.display()))
}

/// What the text says, or the line that says nothing sensible and why.
pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        (line, error.message().trim_end_matches('.').to_owned())
    })
}

/// A small text file. What a workspace puts in its place, a pipe or something endless, is refused.
fn read_small(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut text = String::new();
    if file.take(SETTINGS_BYTES_MAX + 1).read_to_string(&mut text)? as u64 > SETTINGS_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 64 KiB"));
    }
    Ok(text)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
