//! The system's keyring, as far as it is there without a desktop.
//!
//! On Linux that is the kernel's: the persistent keyring of the user. It works on servers, over
//! ssh and in containers, writes nothing to disk, and forgets a key when the machine restarts or
//! nobody has asked for it for three days (`/proc/sys/kernel/keys/persistent_keyring_expiry`).
//! What a desktop keeps for longer is reached with `key_command`. On macOS it is the keychain.

use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};

use crate::error::CliError;

/// What our entries are called.
const SERVICE: &str = "limn";

/// How long a key stays, for whoever puts one in.
pub(crate) const KEPT: &str = if cfg!(target_os = "linux") {
    "The kernel keeps it until this machine restarts, or nobody asks for it for three days."
} else {
    "The keychain keeps it."
};

/// The key of that name, if it is there.
///
/// # Errors
/// When there is no keyring, or it does not let us read.
pub(crate) fn get(name: &str) -> Result<Option<String>, CliError> {
    match entry(name)?.get_password() {
        Ok(key) => Ok(Some(key)),
        Err(Error::NoEntry) => Ok(None),
        Err(error) => Err(failed("read", &error)),
    }
}

/// Whether the key of that name is there.
pub(crate) fn has(name: &str) -> bool {
    matches!(get(name), Ok(Some(_)))
}

/// Puts a key in, or another one in its place.
///
/// # Errors
/// When there is no keyring, or it does not let us write.
pub(crate) fn set(name: &str, key: &str) -> Result<(), CliError> {
    entry(name)?.set_password(key).map_err(|error| failed("write", &error))
}

/// Takes a key out; says whether it was there.
///
/// # Errors
/// When there is no keyring, or it does not let us write.
pub(crate) fn remove(name: &str) -> Result<bool, CliError> {
    match entry(name)?.delete_credential() {
        Ok(()) => Ok(true),
        Err(Error::NoEntry) => Ok(false),
        Err(error) => Err(failed("change", &error)),
    }
}

fn failed(doing: &str, error: &Error) -> CliError {
    CliError::failed(format!(
        "Cannot {doing} the system's keyring: {error}. Keep the key in an environment variable \
         (key_env), or let a program print it (key_command)."
    ))
}

#[cfg(target_os = "linux")]
fn entry(name: &str) -> Result<Entry, CliError> {
    use linux_keyutils::{KeyRing, KeyRingIdentifier};
    // A process that nobody gave a session keyring, in a container say, reaches the persistent
    // one only through a session keyring of its own.
    KeyRing::from_special_id(KeyRingIdentifier::Session, true)
        .map_err(|error| failed("open", &Error::NoStorageAccess(error.into())))?;
    let store =
        linux_keyutils_keyring_store::Store::new().map_err(|error| failed("open", &error))?;
    store.build(SERVICE, name, None).map_err(|error| failed("open", &error))
}

#[cfg(target_os = "macos")]
fn entry(name: &str) -> Result<Entry, CliError> {
    let store = apple_native_keyring_store::keychain::Store::new()
        .map_err(|error| failed("open", &error))?;
    store.build(SERVICE, name, None).map_err(|error| failed("open", &error))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn entry(_: &str) -> Result<Entry, CliError> {
    Err(failed("open", &Error::NoDefaultStore))
}
