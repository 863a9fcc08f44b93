//! What was meant: settings files, environment and flags, folded into one answer.
//!
//! Later wins: the user's `config.toml`, the workspace's `.limn/config.toml` (which may only
//! tighten), `LIMN_*` and `OPENAI_*`, flags. An unknown key is an error that names it.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent::Limits;
use serde::Deserialize;
use trajectory::ApprovalMode;

use crate::args::{Api, ApprovalArg, RunArgs, SandboxArg};
use crate::error::CliError;

/// Opening a pipe does not wait for its other end.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// No settings file is larger.
const SETTINGS_BYTES_MAX: u64 = 64 << 10;

const OPENAI_URL: &str = "https://api.openai.com/v1";

/// What answers.
#[derive(Clone)]
pub(crate) enum ModelChoice {
    /// A server.
    Endpoint { model: String, base_url: String, key: Option<String> },
    /// A file of recordings/.
    Scripted(PathBuf),
    /// Recorded streams.
    Cassette(PathBuf),
}

/// Everything a session needs to know.
pub(crate) struct Settings {
    pub(crate) home: PathBuf,
    pub(crate) workspace: PathBuf,
    pub(crate) model: ModelChoice,
    pub(crate) approval: ApprovalMode,
    pub(crate) sandbox: SandboxArg,
    pub(crate) limits: Limits,
    pub(crate) timeout: Option<Duration>,
    pub(crate) fsync: bool,
    pub(crate) annotator: Option<String>,
}

/// The user's settings file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFile {
    pub(crate) model: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) api_key_env: Option<String>,
    api: Option<Api>,
    approval: Option<ApprovalMode>,
    sandbox: Option<SandboxArg>,
    max_steps: Option<u32>,
    max_tokens: Option<u64>,
    timeout: Option<u64>,
    fsync: Option<bool>,
    pub(crate) annotator: Option<String>,
}

/// A workspace's own settings file: it can make things stricter, nothing else.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WorkspaceFile {
    approval: Option<ApprovalMode>,
    max_steps: Option<u32>,
    max_tokens: Option<u64>,
    timeout: Option<u64>,
}

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

/// Reads the user's settings file; an absent one is empty.
pub(crate) fn user_file() -> Result<UserFile, CliError> {
    read_toml(&user_file_path()?, "See assets/config.toml for every key there is.")
}

fn read_toml<T: Default + serde::de::DeserializeOwned>(
    path: &Path,
    hint: &str,
) -> Result<T, CliError> {
    let text = match read_small(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
        Err(error) => {
            return Err(CliError::usage(format!("Cannot read {}: {error}.", path.display())));
        }
    };
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, span.start));
        let what = error.message().trim_end_matches('.');
        CliError::usage(format!("{}, line {line}: {what}. {hint}", path.display()))
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

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn number_variable<T: std::str::FromStr>(name: &str) -> Result<Option<T>, CliError> {
    variable(name)
        .map(|text| {
            text.parse().map_err(|_| {
                CliError::usage(format!("{name} is `{text}`, which is not a number. Correct it."))
            })
        })
        .transpose()
}

fn word_variable<T: clap::ValueEnum>(name: &str) -> Result<Option<T>, CliError> {
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

impl Settings {
    /// Folds everything together.
    pub(crate) fn resolve(run: &RunArgs) -> Result<Self, CliError> {
        let workspace = workspace(run.workspace.as_deref().unwrap_or(Path::new(".")))?;
        let file = user_file()?;
        let hint = "A workspace may set approval, max_steps, max_tokens and timeout, and only to \
                    something stricter; everything else belongs into your own config.toml.";
        let stricter: WorkspaceFile = read_toml(&workspace.join(".limn/config.toml"), hint)?;
        let approval = file.approval.unwrap_or_default();
        let approval = stricter.approval.map_or(approval, |theirs| theirs.min(approval));
        let limits = Limits {
            steps_max: run
                .max_steps
                .or(number_variable("LIMN_MAX_STEPS")?)
                .or(tighter(file.max_steps, stricter.max_steps)),
            tokens_max: run
                .max_tokens
                .or(number_variable("LIMN_MAX_TOKENS")?)
                .or(tighter(file.max_tokens, stricter.max_tokens)),
        };
        let timeout = run
            .timeout
            .or(number_variable("LIMN_TIMEOUT")?)
            .or(tighter(file.timeout, stricter.timeout));
        Ok(Self {
            home: home()?,
            model: model(run, &file)?,
            approval: run
                .approval
                .or(word_variable("LIMN_APPROVAL")?)
                .map_or(approval, ApprovalMode::from),
            sandbox: run
                .sandbox
                .or(word_variable("LIMN_SANDBOX")?)
                .or(file.sandbox)
                .unwrap_or(SandboxArg::Auto),
            limits,
            timeout: timeout.map(Duration::from_secs),
            fsync: !run.no_fsync && file.fsync.unwrap_or(true),
            annotator: file.annotator,
            workspace,
        })
    }
}

fn tighter<T: Ord>(ours: Option<T>, theirs: Option<T>) -> Option<T> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
        (ours, theirs) => ours.or(theirs),
    }
}

fn workspace(path: &Path) -> Result<PathBuf, CliError> {
    let shown = path.display();
    let real = fs::canonicalize(path).map_err(|error| {
        CliError::usage(format!(
            "Cannot open the workspace {shown}: {error}. Name an existing folder with --workspace."
        ))
    })?;
    if !real.is_dir() {
        return Err(CliError::usage(format!(
            "The workspace {shown} is a file. Name a folder with --workspace."
        )));
    }
    Ok(real)
}

fn model(run: &RunArgs, file: &UserFile) -> Result<ModelChoice, CliError> {
    let name = run.model.clone().or_else(|| variable("LIMN_MODEL")).or_else(|| file.model.clone());
    let Some(name) = name.filter(|name| !name.trim().is_empty()) else {
        return Err(CliError::usage(
            "No model is chosen. Name one with --model, LIMN_MODEL or `model` in config.toml; \
             `limn demo` needs none.",
        ));
    };
    if let Some(path) = name.strip_prefix("scripted:") {
        return Ok(ModelChoice::Scripted(path.into()));
    }
    if let Some(path) = name.strip_prefix("cassette:") {
        return Ok(ModelChoice::Cassette(path.into()));
    }
    if run.api.or(file.api) == Some(Api::Responses) {
        return Err(CliError::usage("The Responses API is not supported yet. Use `--api chat`."));
    }
    let (base_url, key) = endpoint(run, file)?;
    Ok(ModelChoice::Endpoint { model: name, base_url, key })
}

/// The endpoint and the key that belongs to it. `OPENAI_API_KEY` goes to `OPENAI_BASE_URL` or
/// OpenAI, and nowhere else unless `api_key_env` says so.
fn endpoint(run: &RunArgs, file: &UserFile) -> Result<(String, Option<String>), CliError> {
    let own_url = variable("OPENAI_BASE_URL");
    let (base_url, named) = if let Some(url) = &run.base_url {
        (url.clone(), run.api_key_env.clone())
    } else if let Some(url) = &own_url {
        (url.clone(), run.api_key_env.clone())
    } else if let Some(url) = &file.base_url {
        (url.clone(), run.api_key_env.clone().or_else(|| file.api_key_env.clone()))
    } else {
        (OPENAI_URL.to_owned(), run.api_key_env.clone().or_else(|| file.api_key_env.clone()))
    };
    let is_openai = base_url == OPENAI_URL || own_url.as_ref() == Some(&base_url);
    let key = match named {
        Some(name) => Some(variable(&name).ok_or_else(|| {
            CliError::usage(format!(
                "The key for {base_url} is to be read from {name}, which is not set. Export it."
            ))
        })?),
        None if is_openai => variable("OPENAI_API_KEY"),
        None => None,
    };
    Ok((base_url, key))
}

impl From<ApprovalArg> for ApprovalMode {
    fn from(arg: ApprovalArg) -> Self {
        match arg {
            ApprovalArg::ReadOnly => Self::ReadOnly,
            ApprovalArg::Ask => Self::Ask,
            ApprovalArg::Auto => Self::Auto,
            ApprovalArg::All => Self::All,
        }
    }
}
