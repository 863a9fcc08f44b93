//! Pictures that go with prompts, by the words that stand for them.
//!
//! A prompt that holds such words is sent with the picture; so a prompt that waits, or is recalled,
//! keeps its pictures. Only what the user chose here has words: no text from elsewhere can name a
//! file.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use session::Attached;
use tempfile::NamedTempFile;
use tokio::task::{JoinHandle, spawn_blocking};
use tui::{Answer, Update};

use super::driver::Driver;
use crate::attachments::{Draft, GivenFile};
use crate::compose;
use crate::error::CliError;
use crate::print::safe;

/// Words that are kept.
const PICTURES_MAX: usize = 500;

/// No picture is larger; what reads the file says so.
const CLIPBOARD_BYTES_MAX: u64 = (20 << 20) + 1;

/// For how long a program may take to tell what the clipboard holds: whoever owns it may hang.
const CLIPBOARD_TIME_MAX: Duration = Duration::from_secs(3);

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
        self.pasting.get_or_insert_with(|| spawn_blocking(clipboard));
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

/// What the clipboard holds, as PNG, by whichever program of the desktop is there.
fn clipboard() -> Result<Vec<u8>, CliError> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let wayland: &[&str] = &["wl-paste", "--type", "image/png"];
    let x11: &[&str] = &["xclip", "-selection", "clipboard", "-t", "image/png", "-o"];
    let ways = [
        (is_set("WAYLAND_DISPLAY"), wayland),
        (is_set("DISPLAY"), x11),
        (cfg!(target_os = "macos"), &["pngpaste", "-"]),
    ];
    for (_, words) in ways.into_iter().filter(|(is_there, _)| *is_there) {
        let Some((program, args)) = words.split_first() else { continue };
        if let Some(bytes) =
            printed(program, args, CLIPBOARD_TIME_MAX).filter(|bytes| !bytes.is_empty())
        {
            return Ok(bytes);
        }
    }
    Err(CliError::failed(
        "The clipboard holds no picture that can be reached. Install wl-paste, xclip or pngpaste, \
         or paste the path of a file.",
    ))
}

/// What a program prints, up to a limit; nothing when it fails or takes too long.
fn printed(program: &str, args: &[&str], time_max: Duration) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut printed = child.stdout.take()?.take(CLIPBOARD_BYTES_MAX);
    let (sender, read) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = printed.read_to_end(&mut bytes);
        // Nobody waits for what came too late.
        let _ = sender.send(read.map(|_| bytes));
    });
    let read = read.recv_timeout(time_max);
    let is_too_long = matches!(&read, Ok(Ok(it)) if it.len() as u64 >= CLIPBOARD_BYTES_MAX);
    if is_too_long || !matches!(read, Ok(Ok(_))) {
        // It would go on for ever.
        let _ = child.kill();
    }
    let status = child.wait().ok()?;
    let bytes = read.ok()?.ok()?;
    (status.success() || is_too_long).then_some(bytes)
}

#[cfg(test)]
mod tests;
