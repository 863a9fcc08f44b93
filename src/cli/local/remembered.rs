//! Which runs were made here: a line for each in the data folder, added when it begins.
//!
//! A run lies wherever its user wants it, so this alone knows where. Nothing is ever taken out: what
//! is gone is passed over when the file is read, and is there again when its disk is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use record::Home;
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::print::note;
use crate::settings;

const FILE: &str = "runs.jsonl";

/// No more of the file is read: some ten thousand runs.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A line of it.
#[derive(Deserialize, Serialize)]
struct Entry {
    path: PathBuf,
}

/// Remembers a run, or a model that was made of one. A run is good without that, so a failure is
/// only told.
pub(crate) fn remember(path: &Path) {
    let done = settings::home().and_then(|home| add(&home, path));
    if let Err(error) = done {
        note(&format!("limn models will not list {}: {error}", path.display()));
    }
}

/// The paths that were remembered, the latest first, each once; some may be gone.
pub(super) fn remembered(home: &Path) -> Vec<PathBuf> {
    let Ok(text) = File::open(home.join(FILE)).and_then(tail) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = Vec::new();
    for line in text.lines().rev() {
        // A line that a crash left half is none.
        let Ok(Entry { path }) = serde_json::from_str(line) else { continue };
        if path.is_absolute() && !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

/// The end of the file, where the latest lines are. What is no text in it costs its line alone.
fn tail(mut file: File) -> io::Result<String> {
    let from = file.metadata()?.len().saturating_sub(FILE_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Adds a line, in one write: two runs that begin at once do not lose one another.
pub(super) fn add(home: &Path, path: &Path) -> Result<(), CliError> {
    // Makes the data folder where there is none yet, readable by its owner only.
    Home::open(home)?;
    let place = home.join(FILE);
    let failed =
        |error: io::Error| CliError::failed(format!("Cannot write {}: {error}.", place.display()));
    let entry = serde_json::to_string(&Entry { path: path.to_owned() });
    let entry = entry.map_err(|error| failed(error.into()))?;
    let mut options = OpenOptions::new();
    let file = options.create(true).read(true).append(true).mode(0o600).open(&place);
    let mut file = file.map_err(failed)?;
    // Behind what a crash left half, a line of its own.
    let before = if ends_whole(&mut file).map_err(failed)? { "" } else { "\n" };
    file.write_all(format!("{before}{entry}\n").as_bytes()).map_err(failed)
}

/// Whether the last line has its end, or there is none.
fn ends_whole(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
