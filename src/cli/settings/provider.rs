//! Providers: those that are known by name, and those of `[providers]`.
//!
//! A name of `[providers]` that is known already changes what it sets and leaves the rest, except
//! that another address takes the known key along nowhere.

use std::path::PathBuf;
use std::time::Duration;

use model::Profile;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::file::UserFile;
use super::key::KeySource;
use super::url;
use crate::args::{Api, ThinkArg};
use crate::error::CliError;
use crate::local;

/// A provider that needs no settings.
struct Known {
    name: &'static str,
    base_url: &'static str,
    /// Where its key is by custom; none for servers on this machine, which want none.
    key_env: Option<&'static str>,
}

/// The provider when none is named.
pub(crate) const OPENAI: &str = "openai";

/// What a server is called that only has an address.
pub(crate) const UNNAMED: &str = "openai-compatible";

const KNOWN: &[Known] = &[
    remote(OPENAI, "https://api.openai.com/v1", "OPENAI_API_KEY"),
    remote("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    remote("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    remote("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY"),
    remote("glm", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
    remote("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    remote("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    remote("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
    local("llamacpp", "http://127.0.0.1:8080/v1"),
    local("lmstudio", "http://127.0.0.1:1234/v1"),
    local("ollama", "http://127.0.0.1:11434/v1"),
    local("sglang", "http://127.0.0.1:30000/v1"),
    local("vllm", "http://127.0.0.1:8000/v1"),
];

const fn remote(name: &'static str, base_url: &'static str, key_env: &'static str) -> Known {
    Known { name, base_url, key_env: Some(key_env) }
}

const fn local(name: &'static str, base_url: &'static str) -> Known {
    Known { name, base_url, key_env: None }
}

/// The name of a provider: a short word that fits before a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ProviderName(String);

impl ProviderName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProviderName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            let short: String = name.chars().take(64).collect();
            return Err(format!(
                "{short:?} is no name of a provider: use letters, digits, `-`, `_` and `.`"
            ));
        }
        Ok(Self(name))
    }
}

/// A table of `[providers]` as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ProviderFile {
    base_url: Option<BaseUrl>,
    api: Option<Api>,
    profile: Option<String>,
    quirks: Map<String, Value>,
    key_env: Option<String>,
    key_command: Option<Argv>,
    key_keyring: bool,
    params: Map<String, Value>,
    think: Option<ThinkArg>,
    silence_s: Option<u64>,
    retries: Option<u32>,
    tokenizer: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct BaseUrl(String);

impl TryFrom<String> for BaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match url::origin(&text) {
            Some(_) => Ok(Self(text)),
            None => Err("base_url is an address such as \"http://127.0.0.1:8080/v1\", without \
                         a user or a key in it"
                .to_owned()),
        }
    }
}

/// A program and its arguments.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
struct Argv(Vec<String>);

impl TryFrom<Vec<String>> for Argv {
    type Error = String;

    fn try_from(argv: Vec<String>) -> Result<Self, String> {
        if argv.first().is_none_or(String::is_empty) {
            return Err("key_command is a program and its arguments: [\"pass\", \"show\", \"x\"]"
                .to_owned());
        }
        Ok(Self(argv))
    }
}

/// A provider with all that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) base_url: String,
    /// Unset until it is asked for: a flag, a variable, or the top of the file may say.
    pub(super) api: Option<Api>,
    pub(crate) profile: Option<String>,
    /// What differs from the profile.
    pub(crate) quirks: Map<String, Value>,
    pub(crate) key: KeySource,
    pub(crate) params: Map<String, Value>,
    pub(crate) think: Option<ThinkArg>,
    pub(crate) silence: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) tokenizer: Option<PathBuf>,
}

impl Provider {
    /// A server that only has an address.
    pub(super) fn unnamed(base_url: String) -> Self {
        Self {
            name: UNNAMED.to_owned(),
            base_url,
            api: None,
            profile: None,
            quirks: Map::new(),
            key: KeySource::None,
            params: Map::new(),
            think: None,
            silence: None,
            retries: None,
            tokenizer: None,
        }
    }

    /// limn itself, which starts a server for a model of this machine.
    pub(super) fn of_this_machine(file: &UserFile) -> Self {
        Self {
            name: local::PROVIDER.to_owned(),
            api: Some(Api::Chat),
            profile: Some("limn".to_owned()),
            params: file.local.params.clone(),
            ..Self::unnamed(String::new())
        }
    }

    /// The provider with that name.
    pub(crate) fn named(name: &str, file: &UserFile) -> Result<Self, CliError> {
        let known = KNOWN.iter().find(|known| known.name == name);
        let table = file.providers.iter().find(|(key, _)| key.as_str() == name);
        let table = table.map(|(_, table)| table);
        if known.is_none() && table.is_none() {
            return Err(CliError::usage(format!(
                "There is no provider {name:?}. Name one of these: {}; or add [providers.NAME] to \
                 config.toml.",
                names(file).join(", ")
            )));
        }
        let table = table.cloned().unwrap_or_default();
        let own_url = table.base_url.as_ref().map(|url| url.0.clone());
        let base_url = own_url.or_else(|| known.map(|known| known.base_url.to_owned()));
        let base_url = base_url.ok_or_else(|| {
            CliError::usage(format!(
                "The provider {name} has no address. Add base_url to [providers.{name}] in \
                 config.toml."
            ))
        })?;
        // The custom is the key's of the known address, not of another under the same name.
        let at_home = known.filter(|known| url::same_origin(known.base_url, &base_url));
        Ok(Self {
            key: key(name, &table, at_home)?,
            name: name.to_owned(),
            base_url,
            api: table.api,
            // A server with a name of its own is spoken to in its own way, wherever it runs.
            profile: table.profile.or_else(|| Some(Profile::named(known?.name)?.name)),
            quirks: table.quirks,
            params: table.params,
            think: table.think,
            silence: table.silence_s.map(Duration::from_secs),
            retries: table.retries,
            tokenizer: table.tokenizer,
        })
    }

    /// The same under another address. Its key stays behind unless the address is the same
    /// server's: a key is only ever sent to the endpoint it was named for.
    pub(super) fn moved(mut self, base_url: String) -> Self {
        if !url::same_origin(&self.base_url, &base_url) {
            self.key = KeySource::None;
        }
        self.base_url = base_url;
        self
    }

    /// The same where a variable of the environment says: some other server, most often, and
    /// spoken to as its address has it, unless the settings say how.
    pub(super) fn at(mut self, base_url: String, file: &UserFile) -> Self {
        if !url::same_origin(&self.base_url, &base_url) {
            let table = file.providers.iter().find(|(name, _)| name.as_str() == self.name);
            self.profile = table.and_then(|(_, table)| table.profile.clone());
        }
        self.base_url = base_url;
        self
    }

    /// The API form that is spoken.
    pub(crate) fn api(&self) -> Api {
        self.api.unwrap_or(Api::Chat)
    }

    /// Whether it runs on this machine.
    pub(crate) fn is_local(&self) -> bool {
        url::is_loopback(&self.base_url)
    }
}

fn key(name: &str, table: &ProviderFile, known: Option<&Known>) -> Result<KeySource, CliError> {
    let named = [table.key_env.is_some(), table.key_command.is_some(), table.key_keyring];
    if named.iter().filter(|named| **named).count() > 1 {
        return Err(CliError::usage(format!(
            "[providers.{name}] names its key twice. Keep one of key_env, key_command and \
             key_keyring."
        )));
    }
    Ok(if let Some(variable) = &table.key_env {
        KeySource::Variable(variable.clone())
    } else if let Some(argv) = &table.key_command {
        KeySource::Command(argv.0.clone())
    } else if table.key_keyring {
        KeySource::Keyring
    } else {
        let variable = known.and_then(|known| known.key_env).map(str::to_owned);
        KeySource::Custom { required: variable.is_some(), variable }
    })
}

/// Every provider that can be named, sorted.
pub(crate) fn names(file: &UserFile) -> Vec<String> {
    let known = KNOWN.iter().map(|known| known.name.to_owned());
    let own = file.providers.keys().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = known.chain(own).collect();
    names.sort();
    names.dedup();
    names
}
