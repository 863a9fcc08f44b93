//! Keys: where they come from, and getting them.
//!
//! A key is fetched once, when a session begins, goes into an [`ApiKey`], and is seen nowhere
//! else: not on a command line, in a message, in `Debug`, on record.

use model::ApiKey;

use super::place::variable;
use super::provider::Provider;
use super::{command, keyring};
use crate::error::CliError;

/// Where a provider's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// None is sent.
    None,
    /// This environment variable, which has to be set.
    Variable(String),
    /// The first line that this program prints.
    Command(Vec<String>),
    /// The system's keyring, which has to have it.
    Keyring,
    /// Nothing was said: the variable that is this provider's by custom, else the keyring.
    Custom {
        /// The variable, where there is a custom.
        variable: Option<String>,
        /// The provider answers nobody without a key.
        required: bool,
    },
}

/// Whether a key is there, as far as it can be told without asking anybody for it.
pub(crate) enum KeyState {
    /// None is needed.
    NotNeeded,
    /// It is there; where.
    Present(String),
    /// A program will be asked.
    Program(String),
    /// It is not; what to do.
    Missing(String),
}

impl KeySource {
    /// Whether nobody said where the key is.
    pub(super) fn is_by_custom(&self) -> bool {
        matches!(self, Self::None | Self::Custom { .. })
    }
}

impl Provider {
    /// The key to send, if one is to be sent.
    ///
    /// # Errors
    /// When there is none where one has to be.
    pub(crate) fn find_key(&self) -> Result<Option<ApiKey>, CliError> {
        let key = match &self.key {
            KeySource::None => None,
            KeySource::Variable(name) => variable(name),
            KeySource::Command(argv) => Some(command::first_line(argv)?),
            KeySource::Keyring => keyring::get(&self.key_name())?,
            KeySource::Custom { variable: name, .. } => {
                // A machine without a keyring has no key in it.
                let name = name.as_deref();
                name.and_then(variable).or_else(|| keyring::get(&self.key_name()).ok().flatten())
            }
        };
        match key {
            Some(key) => Ok(Some(ApiKey::new(&key))),
            None if !self.needs_key() => Ok(None),
            None => Err(CliError::usage(format!(
                "The key for {} is missing. {}",
                self.told(),
                self.remedy()
            ))),
        }
    }

    /// Whether there is a key, without running anything.
    pub(crate) fn key_state(&self) -> KeyState {
        let in_keyring = || keyring::has(&self.key_name());
        match &self.key {
            KeySource::None => KeyState::NotNeeded,
            KeySource::Variable(name) if variable(name).is_some() => {
                KeyState::Present(name.clone())
            }
            KeySource::Custom { variable: Some(name), .. } if variable(name).is_some() => {
                KeyState::Present(name.clone())
            }
            KeySource::Command(argv) => {
                KeyState::Program(argv.first().cloned().unwrap_or_default())
            }
            KeySource::Keyring | KeySource::Custom { .. } if in_keyring() => {
                KeyState::Present("keyring".to_owned())
            }
            _ if !self.needs_key() => KeyState::NotNeeded,
            _ => KeyState::Missing(self.remedy()),
        }
    }

    /// What the key is called in the keyring: the name and the server it is for, so that a name
    /// that moves to another server takes no key along. None for a server without a name.
    pub(crate) fn key_name(&self) -> String {
        let origin = super::url::origin(&self.base_url).unwrap_or_default();
        format!("{} {origin}", self.name)
    }

    const fn needs_key(&self) -> bool {
        !matches!(self.key, KeySource::None | KeySource::Custom { required: false, .. })
    }

    fn told(&self) -> String {
        if self.name == super::provider::UNNAMED {
            self.base_url.clone()
        } else {
            format!("{} ({})", self.name, self.base_url)
        }
    }

    fn remedy(&self) -> String {
        let name = &self.name;
        match &self.key {
            KeySource::Variable(variable) => {
                format!("It is to be read from {variable}, which is not set. Export it.")
            }
            KeySource::Custom { variable: Some(variable), .. } => {
                format!("Export {variable}, or put it into the keyring with `limn key set {name}`.")
            }
            _ => format!("Put it into the keyring with `limn key set {name}`."),
        }
    }
}
