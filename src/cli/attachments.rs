//! Files that are handed in with a prompt: what they are is told from their bytes.
//!
//! A picture goes beside the prompt, as it is; a text becomes part of the prompt, in a
//! fenced block under its name. Anything else is refused with a word: a model could do nothing
//! with it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use session::Attached;

use crate::error::CliError;
use crate::print::thousands;

/// No file that is handed in is larger.
const FILE_BYTES_MAX: u64 = 20 << 20;

/// No text in a prompt is longer: the agent reads longer ones itself, as far as it needs.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// No prompt has more.
const FILES_MAX: usize = 50;

/// A name is for reading.
const NAME_CHARACTERS_MAX: usize = 120;

/// Opening a pipe does not wait for its other end.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// A prompt as it was given, its files not yet looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) text: String,
    pub(crate) files: Vec<GivenFile>,
}

/// A file that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GivenFile {
    pub(crate) path: PathBuf,
    /// It was said to be a picture.
    pub(crate) image: bool,
}

/// A prompt to submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) text: String,
    pub(crate) attached: Vec<Attached>,
}

impl Draft {
    /// The prompt with its pictures beside its text, and its texts in it.
    ///
    /// # Errors
    /// When a file cannot be read or handed in.
    pub(crate) fn load(self) -> Result<Ready, CliError> {
        if self.files.len() > FILES_MAX {
            let count = self.files.len();
            return Err(CliError::usage(format!(
                "{count} files are too many for one prompt: at most {FILES_MAX}. Hand them in with \
                 several."
            )));
        }
        let mut ready = Ready { text: self.text, attached: Vec::new() };
        for file in &self.files {
            let bytes = read(&file.path)?;
            let name = name_of(&file.path);
            match kind_of(&bytes) {
                Kind::Image(media_type) => {
                    let media_type = media_type.to_owned();
                    ready.attached.push(Attached { name, media_type, bytes });
                }
                Kind::Text(text) if !file.image => {
                    ready.text.push_str(&block(&name, text, &file.path)?);
                }
                Kind::Text(_) | Kind::Other => return Err(refused(file)),
            }
        }
        Ok(ready)
    }
}

/// What bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    /// A picture of this media type.
    Image(&'static str),
    /// Text.
    Text(&'a str),
    /// Neither.
    Other,
}

/// The name of a file says nothing, its first bytes do.
fn kind_of(bytes: &[u8]) -> Kind<'_> {
    let riff = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Kind::Image("image/png")
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Kind::Image("image/jpeg")
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Kind::Image("image/gif")
    } else if riff {
        Kind::Image("image/webp")
    } else {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => Kind::Text(text),
            _ => Kind::Other,
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let shown = path.display();
    let failed = |error: io::Error| {
        CliError::usage(format!("Cannot read the attachment {shown}: {error}. Check its path."))
    };
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
    }
    if about.len() > FILE_BYTES_MAX {
        return Err(too_large(path, about.len()));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 {
        0 => Err(CliError::usage(format!("The attachment {shown} is empty. Leave it out."))),
        length if length > FILE_BYTES_MAX => Err(too_large(path, length)),
        _ => Ok(bytes),
    }
}

fn too_large(path: &Path, bytes: u64) -> CliError {
    CliError::usage(format!(
        "The attachment {} has {} bytes; at most {} MiB can be handed in. Make it smaller.",
        path.display(),
        thousands(bytes),
        FILE_BYTES_MAX >> 20
    ))
}

fn refused(file: &GivenFile) -> CliError {
    let shown = file.path.display();
    CliError::usage(if file.image {
        format!(
            "{shown} is no picture. Hand in a png, jpeg, gif or webp, or use --attach for text."
        )
    } else {
        format!(
            "{shown} is neither a picture (png, jpeg, gif, webp) nor text. Put it into the \
             workspace, where the agent's tools can read it."
        )
    })
}

/// The last part of a path, as one line that is safe to print and to show to a model.
fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    name.take(NAME_CHARACTERS_MAX).collect()
}

/// A text as a block of the prompt. The fence is longer than any in the text.
fn block(name: &str, text: &str, path: &Path) -> Result<String, CliError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(CliError::usage(format!(
            "The text {} has {} bytes; at most {} KiB go into a prompt. Put it into the workspace, \
             where the agent's tools can read it.",
            path.display(),
            thousands(text.len() as u64),
            TEXT_BYTES_MAX >> 10
        )));
    }
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    Ok(format!("\n\n{name}:\n{fence}\n{text}{end}{fence}"))
}

#[cfg(test)]
mod tests;
