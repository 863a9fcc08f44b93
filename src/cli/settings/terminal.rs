//! How the user likes the terminal: a table of the settings, and two files beside them.

use std::path::Path;

use serde::Deserialize;
use tui::{Notify, Taste, Wrong};

use super::file::read_text;
use super::place::{user_file_path, variable};

/// Colours of the user's own.
const THEME: &str = "theme.toml";

/// Keys of the user's own.
const KEYS: &str = "keys.toml";

/// The table `[terminal]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TerminalFile {
    vim: bool,
    notify: Notify,
}

impl TerminalFile {
    /// What that comes to with the two files. What is wrong in one is told with its line, and the
    /// usual holds: nobody is kept from working by a colour.
    pub(crate) fn taste(self) -> (Taste, Vec<String>) {
        let mut taste = Taste::default().with_vim(self.vim);
        taste.notify = self.notify.on(variable);
        let mut wrong = Vec::new();
        if let Ok(settings) = user_file_path() {
            let file = |name| settings.with_file_name(name);
            wrong.extend(read(&file(THEME), "colours", |text| taste.set_theme(text)));
            wrong.extend(read(&file(KEYS), "keys", |text| taste.set_keys(text)));
        }
        (taste, wrong)
    }
}

/// Reads a file, if there is one; what is wrong with it.
fn read(path: &Path, what: &str, take: impl FnOnce(&str) -> Result<(), Wrong>) -> Option<String> {
    let text = match read_text(path) {
        Ok(text) => text?,
        Err(error) => return Some(format!("{error} The usual {what} are used.")),
    };
    let (line, why) = take(&text).err()?;
    Some(format!("{}, line {line}: {why}. The usual {what} are used.", path.display()))
}
