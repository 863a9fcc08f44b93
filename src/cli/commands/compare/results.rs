//! What came of the sessions so far, in a file: `results.jsonl`, a line each. A line is there when
//! its line end is; what a kill left of one is taken away by whoever comes next. Of two lines about
//! the same session the later one counts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::outcome::{Key, Outcome};
use crate::error::CliError;

const FILE: &str = "results.jsonl";

/// No results are larger.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What came of the sessions so far.
pub(super) struct Results {
    /// The file, locked, and its path; none when nothing is kept.
    file: Option<(File, PathBuf)>,
    outcomes: HashMap<Key, Outcome>,
    /// A line could not be written.
    has_failed: bool,
}

impl Results {
    /// What a folder has; it is made where it is not there.
    pub(super) fn open(folder: Option<&Path>) -> Result<Self, CliError> {
        let Some(folder) = folder else {
            return Ok(Self { file: None, outcomes: HashMap::new(), has_failed: false });
        };
        let path = folder.join(FILE);
        fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
        let failed = |error| cannot("read", &path, &error);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CliError::usage(format!(
                    "Another comparison writes into {}. Wait for it, or name another folder with \
                     --out.",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            let path = path.display();
            return Err(CliError::usage(format!(
                "{path} is no file of results. Name another folder with --out."
            )));
        }
        let text = fs::read_to_string(&path).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(failed)?;
        }
        let outcomes = read(&path, &text[..whole])?;
        Ok(Self { file: Some((file, path)), outcomes, has_failed: false })
    }

    /// What came of a session, if it is known.
    pub(super) fn get(&self, key: &Key) -> Option<&Outcome> {
        self.outcomes.get(key)
    }

    /// Keeps what came of a session. After a failure nothing more is kept, or it would stand behind
    /// half a line.
    pub(super) fn put(&mut self, outcome: Outcome) -> Result<(), CliError> {
        if let Some((file, path)) = &mut self.file {
            if self.has_failed {
                let error = io::Error::other("an earlier line could not be written");
                return Err(cannot("write", path, &error));
            }
            let mut line = serde_json::to_vec(&outcome).unwrap_or_default();
            line.push(b'\n');
            if let Err(error) = append(file, &line) {
                self.has_failed = true;
                return Err(cannot("write", path, &error));
            }
        }
        self.outcomes.insert(outcome.key.clone(), outcome);
        Ok(())
    }
}

/// Adds a whole line, or nothing of it.
fn append(file: &mut File, line: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let written = file.write_all(line).and_then(|()| file.sync_data());
    if written.is_err() {
        // Where that fails too, whoever comes next takes the half line away.
        let _ = file.set_len(before);
    }
    written
}

fn read(path: &Path, text: &str) -> Result<HashMap<Key, Outcome>, CliError> {
    let parse = |(number, line): (usize, &str)| {
        let outcome: Outcome = serde_json::from_str(line).map_err(|error| {
            CliError::usage(format!(
                "{}, line {}: {error}. Remove the line, or name another folder with --out.",
                path.display(),
                number + 1
            ))
        })?;
        Ok((outcome.key.clone(), outcome))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CliError {
    let path = path.display();
    CliError::failed(format!("Cannot {what} {path}: {error}. Name another folder with --out."))
}
