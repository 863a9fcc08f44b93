//! `limn key`: keys in the system's keyring.

use std::io::{self, IsTerminal, Read, Write};

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use serde_json::json;

use crate::args::{KeyListArgs, KeyRmArgs, KeySetArgs};
use crate::error::{CliError, CliResult, Exit};
use crate::print::{Out, note};
use crate::settings::{self, Provider, keyring};

/// No key is longer.
const KEY_BYTES_MAX: usize = 16 << 10;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const KILL_LINE: u8 = 0x15;

pub(crate) fn set(args: &KeySetArgs) -> CliResult {
    let provider = Provider::named(&args.provider, &settings::user_file()?)?;
    let line = if io::stdin().is_terminal() {
        typed(&format!("The key for {} ({}): ", provider.name, provider.base_url))?
    } else {
        piped()?
    };
    let key = checked(&line)?;
    keyring::set(&provider.key_name(), key)?;
    let (name, url) = (&provider.name, &provider.base_url);
    note(&format!("The key for {name} ({url}) is in the keyring. {}", keyring::KEPT));
    Ok(Exit::Completed)
}

pub(crate) fn rm(args: &KeyRmArgs) -> CliResult {
    let provider = Provider::named(&args.provider, &settings::user_file()?)?;
    if keyring::remove(&provider.key_name())? {
        note(&format!("The key for {} is out of the keyring.", provider.name));
        return Ok(Exit::Completed);
    }
    Err(CliError::failed(format!(
        "The keyring has no key for {} ({}). `limn key list` names those it has.",
        provider.name, provider.base_url
    )))
}

pub(crate) fn list(args: &KeyListArgs) -> CliResult {
    let file = settings::user_file()?;
    let mut out = Out::new();
    let mut any = false;
    for name in settings::provider_names(&file) {
        // One without an address has no key.
        let Ok(provider) = Provider::named(&name, &file) else { continue };
        if keyring::get(&provider.key_name())?.is_none() {
            continue;
        }
        any = true;
        if args.json {
            out.json(&json!({ "provider": name, "base_url": provider.base_url }));
        } else {
            out.line(&name);
        }
    }
    if !any && !args.json {
        note("The keyring has no key of ours. `limn key set PROVIDER` puts one in.");
    }
    Ok(Exit::Completed)
}

/// A key is one word of letters, digits and signs: anything else is a slip of the clipboard.
fn checked(line: &[u8]) -> Result<&str, CliError> {
    let bad = |what: &str| CliError::usage(format!("{what} Copy the key once more."));
    let key = std::str::from_utf8(line).map_err(|_| bad("That is no text."))?.trim();
    if key.is_empty() {
        return Err(bad("No key came."));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad("A key has neither spaces nor letters beyond ASCII in it."));
    }
    Ok(key)
}

/// The first line of stdin.
fn piped() -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    io::stdin()
        .lock()
        .take(KEY_BYTES_MAX as u64)
        .read_to_end(&mut text)
        .map_err(|error| CliError::usage(format!("Cannot read the key from stdin: {error}.")))?;
    Ok(text.split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec())
}

/// What is typed at the terminal, which shows none of it.
fn typed(question: &str) -> Result<Vec<u8>, CliError> {
    let failed =
        |error: io::Error| CliError::usage(format!("Cannot read from the terminal: {error}."));
    let silent = Silent::begin().map_err(failed)?;
    let mut stderr = io::stderr().lock();
    // Who sees no question may still know what to type.
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let mut line = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte.map_err(failed)? {
            b'\r' | b'\n' | END => break,
            INTERRUPT => {
                let _ = writeln!(stderr);
                return Err(CliError::new(Exit::Interrupted, "No key was read; nothing changed."));
            }
            KILL_LINE => line.clear(),
            byte if BACKSPACE.contains(&byte) => drop(line.pop()),
            byte if line.len() < KEY_BYTES_MAX => line.push(byte),
            _ => {}
        }
    }
    let _ = writeln!(stderr);
    drop(silent);
    Ok(line)
}

/// A terminal that shows nothing of what is typed, until this is dropped. Ctrl-C comes as a byte,
/// so that the terminal is never left silent.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}
