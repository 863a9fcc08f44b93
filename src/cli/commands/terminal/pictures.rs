//! Pictures that go with prompts, by the words that stand for them.
//!
//! A prompt that holds such words is sent with the picture; so a prompt that waits, or is recalled,
//! keeps its pictures. Only what the user chose here has words: no text from elsewhere can name a
//! file.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::Write;
use std::path::{Path, PathBuf};

use session::Attached;
use tempfile::NamedTempFile;
use tokio::task::{JoinHandle, spawn_blocking};
use tui::{Answer, Update};

use super::clipboard;
use super::driver::Driver;
use crate::attachments::{Draft, GivenFile};
use crate::compose;
use crate::error::CliError;
use crate::print::safe;

/// Words that are kept.
const PICTURES_MAX: usize = 500;

/// Those that were chosen.
#[derive(Default)]
pub(super) struct Pictures {
    /// The words, and the file.
    known: BTreeMap<String, PathBuf>,
    /// What came from the clipboard, as long as this terminal is open.
    pasted: Vec<NamedTempFile>,
    /// The clipboard is being read.
    pasting: Option<JoinHandle<Result<Vec<u8>, CliError>>>,
}

impl Pictures {
    /// The words for a file, if it is a picture.
    pub(super) fn take(&mut self, path: &str, workspace: &Path) -> Result<String, CliError> {
        let path = match path.strip_prefix("~/").zip(std::env::var_os("HOME")) {
            Some((rest, home)) => Path::new(&home).join(rest),
            None => workspace.join(path),
        };
        load(&path)?;
        self.name(path)
    }

    /// The words for what the clipboard holds, if that is a picture.
    pub(super) fn take_pasted(&mut self, bytes: &[u8]) -> Result<String, CliError> {
        let failed = |error: std::io::Error| {
            CliError::failed(format!("The picture could not be kept: {error}."))
        };
        let mut file = tempfile::Builder::new()
            .prefix("clipboard-")
            .suffix(".png")
            .tempfile()
            .map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.flush()).map_err(failed)?;
        load(file.path())?;
        let words = self.name(file.path().to_owned());
        self.pasted.push(file);
        words
    }

    /// Reads the clipboard beside whatever else goes on.
    pub(super) fn paste(&mut self) {
        self.pasting.get_or_insert_with(|| spawn_blocking(clipboard::picture));
    }

    /// Until the clipboard has been read; for ever, where nobody reads it.
    pub(super) async fn pasted(&mut self) -> Result<Vec<u8>, CliError> {
        let Some(task) = &mut self.pasting else { return pending().await };
        let pasted = task.await;
        self.pasting = None;
        pasted.unwrap_or_else(|_| Err(CliError::failed("The clipboard could not be read.")))
    }

    fn name(&mut self, path: PathBuf) -> Result<String, CliError> {
        if let Some((words, _)) = self.known.iter().find(|(_, known)| **known == path) {
            return Ok(words.clone());
        }
        if self.known.len() >= PICTURES_MAX {
            return Err(CliError::failed("There are too many pictures already."));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name: String = safe(&name).replace('\n', " ").chars().take(60).collect();
        let words = |number: usize| match number {
            1 => format!("[image {name}]"),
            number => format!("[image {name} {number}]"),
        };
        let words = (1..).map(words).find(|words| !self.known.contains_key(words));
        let words = words.unwrap_or_default();
        self.known.insert(words.clone(), path);
        Ok(words)
    }

    /// The pictures of a prompt, as they are now.
    pub(super) fn of(&self, prompt: &str) -> Result<Vec<Attached>, CliError> {
        let mut places: Vec<(usize, &PathBuf)> = self
            .known
            .iter()
            .filter_map(|(words, path)| Some((prompt.find(words.as_str())?, path)))
            .collect();
        places.sort();
        let mut attached = Vec::new();
        for (_, path) in places {
            attached.extend(load(path)?);
        }
        Ok(attached)
    }
}

impl Driver {
    /// The clipboard has been read.
    pub(super) async fn pasted(&mut self, pasted: Result<Vec<u8>, CliError>) {
        let found = pasted.and_then(|bytes| self.pictures.take_pasted(&bytes));
        self.picture(None, found).await;
    }

    /// Tells whether something is a picture that can go with a prompt.
    pub(super) async fn picture(
        &mut self,
        written: Option<String>,
        found: Result<String, CliError>,
    ) {
        let found = found.map_err(|error| error.to_string());
        if found.is_ok() && !compose::shows_pictures(&self.chosen.settings) {
            self.say("Pictures cannot be shown to this model: a line of text stands for them.")
                .await;
        }
        self.send(Update::Answer(Answer::Picture { written, found })).await;
    }
}

fn load(path: &Path) -> Result<Vec<Attached>, CliError> {
    let files = vec![GivenFile { path: path.to_owned(), image: true }];
    Ok(Draft { text: String::new(), files }.load()?.attached)
}
